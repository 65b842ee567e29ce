import { z } from "zod";
import {
  type CallOptions,
  cinder,
  hasMetadata,
  idPart,
  isBeingDeleted,
  metadataFilter,
  version,
} from "./cinder";
import { ConfigError, isBadRequest } from "./errors";
import { compareVersions, olderOf } from "./microversion";
import { everyPage } from "./paging";
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

/** One snapshot. Throws ApiError; isNotFound says that it is gone. */
export async function get(session: Session, id: string, { signal }: CallOptions = {}): Promise<Snapshot> {
  const { body } = await cinder(session, {
    method: "GET",
    path: `/snapshots/${idPart("snapshot", id)}`,
    schema: OneSnapshot,
    doing: `reading snapshot ${id}`,
    signal,
  });
  return body.snapshot;
}

export interface SnapshotFilter {
  volumeId?: string;
  status?: string;
  /** Only snapshots with all of these. */
  metadata?: Record<string, string>;
}

/** All snapshots of the project that match, newest first. */
export async function list(
  session: Session,
  filter: SnapshotFilter = {},
  { signal }: CallOptions = {},
): Promise<Snapshot[]> {
  const microversion = await version(session);
  const ask = (metadata: string | undefined) =>
    everyPage(session, {
      service: "block-storage",
      path: "/snapshots/detail",
      query: { volume_id: filter.volumeId, status: filter.status, metadata },
      microversion,
      key: "snapshots",
      item: Snapshot,
      doing: "listing snapshots",
      signal,
    });
  // Below 3.22 the filter is silently ignored; operators may forbid it (resource_filters.json).
  const wanted = compareVersions(microversion, "3.22") >= 0 ? metadataFilter(filter.metadata) : undefined;
  const snapshots = await ask(wanted).catch(error => {
    if (wanted !== undefined && isBadRequest(error)) return ask(undefined);
    throw error;
  });
  return snapshots.filter(
    snapshot =>
      (filter.volumeId === undefined || snapshot.volume_id === filter.volumeId) &&
      (filter.status === undefined || snapshot.status === filter.status) &&
      hasMetadata(snapshot, filter.metadata),
  );
}

/** The newest `count` snapshots of the project, in one call. */
export async function newest(
  session: Session,
  count: number,
  { signal }: CallOptions = {},
): Promise<Snapshot[]> {
  const { body } = await cinder(session, {
    method: "GET",
    path: "/snapshots/detail",
    query: { limit: count },
    schema: z.looseObject({ snapshots: z.array(Snapshot) }),
    doing: "listing the newest snapshots",
    signal,
  });
  return body.snapshots;
}

/**
 * Asks for the deletion of a snapshot, which Cinder carries out later or silently gives up: only a 404 of `get` means gone.
 * One that is already being deleted is fine; one that is gone throws the 404.
 */
export async function remove(session: Session, id: string, { signal }: CallOptions = {}): Promise<void> {
  try {
    await cinder(session, {
      method: "DELETE",
      path: `/snapshots/${idPart("snapshot", id)}`,
      doing: `deleting snapshot ${id}`,
      signal,
    });
  } catch (error) {
    if (!isBadRequest(error) || !(await isBeingDeleted(() => get(session, id, { signal })))) throw error;
  }
}

/** Adds metadata to a snapshot or changes it, leaving other keys as they are. Returns all of it. */
export async function setMetadata(
  session: Session,
  id: string,
  metadata: Record<string, string>,
  { signal }: CallOptions = {},
): Promise<Record<string, string>> {
  const { body } = await cinder(session, {
    method: "POST",
    path: `/snapshots/${idPart("snapshot", id)}/metadata`,
    body: { metadata },
    schema: z.looseObject({ metadata: z.record(z.string(), z.string()) }),
    doing: `setting metadata of snapshot ${id}`,
    isRepeatable: true,
    signal,
  });
  return body.metadata;
}
