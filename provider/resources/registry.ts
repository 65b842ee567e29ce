import { cinderSnapshot } from "./cinder-snapshot";
import type { ResourceType } from "./resource";
import { resticBackup } from "./restic-backup";
import { resticRepository } from "./restic-repository";
import { serverBackup } from "./server-backup";
import { serverRestore } from "./server-restore";
import { serverSnapshot } from "./server-snapshot";
import { temporaryVolume } from "./temporary-volume";
import { volumeRestore } from "./volume-restore";

/** Every resource type, by name. The hosts, the contract suite and the reference docs go over this list. */
export const registry: Readonly<Record<string, ResourceType>> = Object.fromEntries(
  [
    cinderSnapshot,
    serverSnapshot,
    serverBackup,
    temporaryVolume,
    resticRepository,
    resticBackup,
    volumeRestore,
    serverRestore,
  ].map(type => [type.name, type as unknown as ResourceType]),
);
