import { fromMetadata, instant, type Mark, toMetadata } from "../base/marks";
import { endAttachments } from "../cinder/attach-volume";
import { type Session, snapshots, undefinedIfNotFound, volumes } from "../openstack";
import type { NewVolume, Volume } from "../openstack/volumes";
import { inventoryOf } from "./inventory";
import { isEvidence } from "./proof";
import { madeVolume, makeVolume, removeVolume } from "./volume";

/** A volume that exists only while something reads it: what it is made from and whose it is. */
export interface TemporaryVolumeSpec {
  owner: string;
  set: string;
  snapshotId: string;
  slot?: string | undefined;
  volumeType?: string | undefined;
  availabilityZone?: string | undefined;
  /** Cinder's size; the snapshot's when absent. */
  sizeGib?: number | undefined;
  /** Wait for `available`, and for the removal. */
  timeoutSeconds: number;
  /** After this the sweep may remove it although nobody released it. */
  expiresAfterSeconds: number;
}

/** Where a volume stays that a run was attaching or detaching when it was killed; it cannot be removed like that. */
const halfAttached: ReadonlySet<string> = new Set(["reserved", "attaching", "detaching"]);

/** One way to the temporary volume of a snapshot: the existing one is adopted, otherwise it is made. */
export async function ensureTemporaryVolume(
  session: Session,
  spec: TemporaryVolumeSpec,
  context: { now: Date; log: (line: string) => void; signal?: AbortSignal | undefined },
): Promise<{ volume: Volume; made: boolean }> {
  const inventory = inventoryOf(session);
  const options = { signal: context.signal };
  const limits = { timeoutSeconds: spec.timeoutSeconds, signal: context.signal };
  const making = { what: "temporary volume", from: `snapshot ${spec.snapshotId}` };
  for (const { row } of await existing(session, spec)) {
    if (inventory.isStuck(row.id)) {
      context.log(`temporary volume ${row.id} is stuck; a new one is made in its place`);
      continue;
    }
    if (inventory.isUntouched(row.id)) return { volume: row, made: false };
    let live = await volumes.get(session, row.id, options).catch(undefinedIfNotFound);
    if (live && halfAttached.has(live.status)) {
      await endAttachments(session, row.id, limits);
      live = await volumes.get(session, row.id, options).catch(undefinedIfNotFound);
    }
    if (live?.status === "available" || live?.status === "in-use") return { volume: live, made: false };
    if (live?.status === "creating") {
      const volume = await madeVolume(session, row.id, { ...making, ...limits }).catch(error => {
        if (!inventory.isStuck(row.id)) throw error;
        context.log(`warning: ${error.message}; a new one is made in its place`);
      });
      if (volume) return { volume, made: false };
      continue;
    }
    if (live) {
      context.log(`removing temporary volume ${row.id}, which is '${live.status}'`);
      await removeVolume(session, row.id, limits);
    } else await inventory.noteGone(row.id);
  }
  const mark: Mark = {
    owner: spec.owner,
    set: spec.set,
    role: "temporary",
    slot: spec.slot,
    expiresAt: instant(new Date(context.now.getTime() + spec.expiresAfterSeconds * 1000)),
  };
  const wanted: NewVolume = {
    snapshotId: spec.snapshotId,
    sizeGib: spec.sizeGib ?? (await snapshots.get(session, spec.snapshotId, options)).size,
    name: `temporary-${spec.set}`.slice(0, 255),
    description: `temporary volume of backup set ${spec.set}, removed after use`.slice(0, 255),
    metadata: toMetadata(mark),
    ...(spec.volumeType === undefined ? {} : { volumeType: spec.volumeType }),
    ...(spec.availabilityZone === undefined ? {} : { availabilityZone: spec.availabilityZone }),
  };
  return makeVolume(session, wanted, { ...making, ...limits }, async volume => {
    await inventory.noteReady(volume);
    return { volume, made: true };
  });
}

/** Whose temporary volumes, and of which snapshot; of any where none is named. */
type Which = Pick<TemporaryVolumeSpec, "owner"> & Partial<Pick<TemporaryVolumeSpec, "snapshotId">>;

/** Removes every temporary volume of this owner and snapshot, and `volumeId`; one that is gone is success. */
export async function releaseTemporaryVolumes(
  session: Session,
  spec: Which & Pick<TemporaryVolumeSpec, "timeoutSeconds">,
  options: { volumeId?: string | undefined; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const found = await existing(session, spec);
  const ids = new Set(found.map(({ row }) => row.id));
  if (options.volumeId && !ids.has(options.volumeId)) {
    const row = await volumes
      .get(session, options.volumeId, { signal: options.signal })
      .catch(undefinedIfNotFound);
    const mark = fromMetadata(row?.metadata);
    if (mark?.role === "temporary" && mark.owner === spec.owner) ids.add(options.volumeId);
  }
  const inventory = inventoryOf(session);
  const stuck = [...ids].filter(id => inventory.isStuck(id));
  await Promise.all(
    [...ids].map(id => {
      const removed = removeVolume(session, id, {
        timeoutSeconds: spec.timeoutSeconds,
        signal: options.signal,
      });
      // it was named when it got stuck, and must not fail the run that made another in its place
      const isReplaced = inventory.isStuck(id) && stuck.length < ids.size;
      return isReplaced ? removed.catch(() => options.signal?.throwIfAborted()) : removed;
    }),
  );
}

/** Removes what was made from other snapshots and says nothing of a backup. What does not go is for the sweep. */
export async function releaseUnused(
  session: Session,
  spec: TemporaryVolumeSpec,
  context: { log: (line: string) => void; signal?: AbortSignal | undefined },
): Promise<void> {
  const limits = { timeoutSeconds: spec.timeoutSeconds, signal: context.signal };
  const found = await existing(session, { owner: spec.owner });
  const unused = found.filter(({ row }) => row.snapshot_id !== spec.snapshotId && !isEvidence(row));
  for (const { row } of unused) {
    await removeVolume(session, row.id, limits).catch((error: Error) => {
      context.signal?.throwIfAborted();
      context.log(`warning: temporary volume ${row.id} of an earlier run stays: ${error.message}`);
    });
  }
}

/** The mark follows a renamed resource: by its owner the volume is found, and allowed to be removed. */
export async function handOverTemporaryVolumes(session: Session, spec: Which, owner: string): Promise<void> {
  for (const { row } of await existing(session, spec)) {
    const metadata = { "osbackup-owner": owner };
    await volumes.setMetadata(session, row.id, metadata);
    await inventoryOf(session).noteVolume({ ...row, metadata: { ...row.metadata, ...metadata } });
  }
}

async function existing(session: Session, { owner, snapshotId }: Which) {
  const found = await inventoryOf(session).volumes(owner, "temporary");
  return found.filter(({ row }) => snapshotId === undefined || row.snapshot_id === snapshotId);
}
