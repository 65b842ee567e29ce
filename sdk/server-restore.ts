import type * as pulumi from "@pulumi/pulumi";
import { BackupResource } from "./binding";
import { type ServerRestoreInputs, type ServerRestoreOutputs, serverRestoreBinding } from "./generated";
import type { ServerBackup } from "./server-backup";
import type { ServerSnapshot } from "./server-snapshot";

/** Inputs of ServerRestore: from an image, from snapshots of volumes, or from the newest good point of a set. */
export type ServerRestoreArgs = ServerRestoreInputs & {
  /** The set whose newest good point is restored, in place of `backupOwner`. */
  backup?: ServerBackup | ServerSnapshot;
};

/**
 * A server brought back from an image or from snapshots of its volumes: a new one beside the old, or the old one rebuilt,
 * which overwrites its disk.
 */
export class ServerRestore extends BackupResource {
  declare readonly restoredServerId: pulumi.Output<ServerRestoreOutputs["restoredServerId"]>;
  declare readonly source: pulumi.Output<ServerRestoreOutputs["source"]>;
  declare readonly capturedAt: pulumi.Output<ServerRestoreOutputs["capturedAt"]>;
  declare readonly volumeIds: pulumi.Output<ServerRestoreOutputs["volumeIds"]>;
  declare readonly addresses: pulumi.Output<ServerRestoreOutputs["addresses"]>;
  declare readonly durationSeconds: pulumi.Output<ServerRestoreOutputs["durationSeconds"]>;
  declare readonly restoredAt: pulumi.Output<ServerRestoreOutputs["restoredAt"]>;

  constructor(name: string, args: ServerRestoreArgs, options?: pulumi.CustomResourceOptions) {
    const { backup, ...rest } = args;
    super(serverRestoreBinding, name, { ...rest, ...(backup ? { backupOwner: backup.owner } : {}) }, options);
  }
}
