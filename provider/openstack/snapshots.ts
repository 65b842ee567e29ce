import { z } from "zod";
import { type CallOptions, cinder, version } from "./cinder";
import { collection } from "./collection";
import { ConfigError } from "./errors";
import { compareVersions, olderOf } from "./microversion";
import type { Session } from "./session";
import * as volumes from "./volumes";

/** A snapshot as Cinder tells it. Times are UTC without a zone, see parseTime. */
export const Snapshot = z.looseObject({
  id: z.string(),
  name: z.string().nullable(),
  description: z.string().nullish(),
  /** "creating", "available", "deleting", "error", "error_deleting", "backing-up", "restoring", "unmanaging". */
  status: z.string(),
  /** GiB. */
  size: z.number(),
  volume_id: z.string(),
  /** Whole seconds in a GET, so snapshots may share one; the answer to the creation has microseconds. */
  created_at: z.string(),
  updated_at: z.string().nullish(),
  metadata: z.record(z.string(), z.string()).default({}),
});
export type Snapshot = z.infer<typeof Snapshot>;

export const { get, list, newest, remove, setMetadata } = collection("snapshot", Snapshot);

const OneSnapshot = z.looseObject({ snapshot: Snapshot });

export interface NewSnapshot {
  volumeId: string;
  name: string;
  description?: string;
  metadata: Record<string, string>;
  /** Whether an attached volume may be snapshotted; without it the cloud decides (from 3.66 on it may). */
  force?: boolean;
}

/**
 * Starts a snapshot; it is "creating" when this returns. Never repeated when its outcome is unknown.
 * From microversion 3.66 on Cinder always forces and refuses `force: false` (cinder/api/v3/snapshots.py); there,
 * `force: false` with an attached volume throws ConfigError before anything is created.
 */
export async function create(
  session: Session,
  snapshot: NewSnapshot,
  { signal }: CallOptions = {},
): Promise<Snapshot> {
  const { volumeId, name, description, metadata, force } = snapshot;
  let microversion = await version(session);
  const isAlwaysForced = compareVersions(microversion, "3.66") >= 0;
  if (force === false && isAlwaysForced) {
    const { status } = await volumes.get(session, volumeId, { signal });
    if (status === "in-use") {
      throw new ConfigError(
        `snapshot of volume ${volumeId}: the volume is "in-use" and force is false; detach it or set force to true`,
      );
    }
    // The last version with the flag: Cinder itself refuses if the volume is attached in the meantime.
    microversion = olderOf(microversion, "3.65");
  }
  const sendsForce = force !== undefined && !(force && isAlwaysForced);
  const { body } = await cinder(session, {
    method: "POST",
    path: "/snapshots",
    microversion,
    body: {
      snapshot: {
        volume_id: volumeId,
        name,
        ...(description !== undefined && { description }),
        metadata,
        ...(sendsForce && { force }),
      },
    },
    schema: OneSnapshot,
    doing: `creating snapshot of volume ${volumeId}`,
    signal,
  });
  return body.snapshot;
}
