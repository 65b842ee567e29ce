import { instant, type Mark, toTags } from "../base/marks";
import { UndoList, undoSignal } from "../base/undo-list";
import type { MovedBackup, Mover } from "../movers/mover";
import type { Session } from "../openstack";
import type { Volume } from "../openstack/volumes";
import type { Repository } from "../restic";
import { leavesSnapshot, noteBegun, noteProven, tagPoints } from "./proof";
import { recover } from "./recover";
import { resticInventoryOf } from "./restic-inventory";
import { asPoint, partialTag, type ResticPoint } from "./restic-set";
import type { Decision } from "./retention";
import { pointOf, supersededBy } from "./set-point";
import { markCopied, points, removePoint, type SnapshotSet } from "./snapshot-set";
import { ensureTemporaryVolume, releaseTemporaryVolumes, type TemporaryVolumeSpec } from "./temporary-volume";
import { type AllowUnreadable, isAllowed } from "./unreadable";

/** One run of a ResticBackup. */
export interface BackUpVolume {
  session: Session;
  mover: Mover;
  repository: Repository;
  /** The mark of the point to make; its owner is the backup's. */
  mark: Mark;
  /** Whose points make up the set: the mark's owner and those it had before. */
  owners: readonly string[];
  temporaryVolume: TemporaryVolumeSpec;
  /** The volume that the stack already made for this snapshot, when it is known. */
  temporaryVolumeId?: string | undefined;
  /** The set that the source snapshot belongs to, so that a failed run can take it back. */
  source: SnapshotSet | undefined;
  onFailure: "cleanup" | "keepSnapshot";
  /** Whether no point of this run was known before; only then may a failure take the Cinder snapshot back. */
  isNew: boolean;
  content: "auto" | "file" | "block";
  paths: string[];
  exclude: string[];
  host: string;
  takenAt: Date;
  timeoutSeconds: number;
  /** Of the files that cannot be read, those that are no reason to call the point partial. */
  allowUnreadable?: AllowUnreadable | undefined;
  now: Date;
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** What a run made, or found made already. */
export interface BackedUp {
  /** Absent when the point of this run existed already; `partial` where files could not be read that must be. */
  moved?: MovedBackup;
  /** All points of the set, newest first. */
  points: ResticPoint[];
  /** Unfinished points of the same run that were forgotten. */
  superseded: Decision<ResticPoint>[];
}

/**
 * What is known of the run's restic snapshot. "uncertain" and "unfinished" ones have no mark that says so: the temporary
 * volume is what says it to the next run. Only an unfinished one is known to be there.
 */
type Copy = "absent" | "uncertain" | "unfinished" | "present";

const isThere = (copy: Copy): boolean => copy === "unfinished" || copy === "present";
const speaksForItself = (copy: Copy): boolean => copy === "absent" || copy === "present";

/**
 * Gets one snapshot's data into the repository: recovers, observes, ensures the temporary volume, moves the bytes,
 * proves the point and releases the volume. A failure undoes what the run made; with `onFailure: "cleanup"` the Cinder
 * snapshot too, unless that would leave its set without a good point.
 */
export async function backUpVolume(run: BackUpVolume): Promise<BackedUp> {
  const undo = new UndoList();
  const { source, repository } = run;
  let copy: Copy = run.isNew ? "absent" : "present";
  if (source && run.onFailure === "cleanup")
    undo.add(`snapshot ${run.temporaryVolume.snapshotId}`, async () =>
      isThere(copy) ? false : takeBackSnapshot(source, run),
    );
  undo.add("the temporary volume", () => (speaksForItself(copy) ? cleanUpAndRelease(run) : keepVolume(run)));
  try {
    const before = await recover(run);
    const done = pointOf(before, run.mark);
    if (done) {
      copy = "present";
      await noteCopied(run);
      await cleanUpAndRelease(run);
      await releaseEarlier(run);
      return { points: before, superseded: [] };
    }
    const { volume } = await ensureTemporaryVolume(run.session, run.temporaryVolume, run);
    await noteBegun(run.session, volume, { takenAt: instant(run.takenAt), now: run.now }, run.signal);
    const moved = await run.mover
      .synchronize({
        session: run.session,
        volumeId: volume.id,
        isDetached: volume.status === "available",
        owner: run.mark.owner,
        repository,
        content: run.content,
        paths: run.paths,
        exclude: run.exclude,
        host: run.host,
        tags: toTags(run.mark),
        time: run.takenAt,
        timeoutSeconds: run.timeoutSeconds,
        log: run.log,
        signal: run.signal,
      })
      .catch((error: unknown) => {
        if (leavesSnapshot(error)) copy = isThere(copy) ? "unfinished" : "uncertain";
        throw error;
      });
    copy = "present";
    const made = asPoint({ id: moved.snapshotId, tags: moved.tags, time: run.takenAt });
    if (!made) throw new Error(`backing up set ${run.mark.set}: snapshot ${moved.snapshotId} has no mark`);
    await resticInventoryOf(repository).noteMade(made);
    moved.partial &&= !isAllowed(moved, run.allowUnreadable);
    if (moved.partial) {
      copy = "unfinished";
      const marked = await tagPoints(repository, [moved.snapshotId], partialTag, run.owners, run.signal);
      copy = "present";
      moved.snapshotId = marked.find(({ id }) => !before.some(old => old.id === id))?.id ?? moved.snapshotId;
    }
    if (!moved.partial) await noteCopied(run);
    await releaseProven(run, volume);
    await releaseEarlier(run);
    const superseded = await forgetSuperseded(run, supersededBy(run.mark, before).superseded);
    return { moved, points: await resticInventoryOf(repository).points(run.owners, run.signal), superseded };
  } catch (error) {
    throw await undo.undo(error);
  }
}

/** Those that are gone then. Where nothing can be forgotten they stay. */
async function forgetSuperseded(
  run: BackUpVolume,
  superseded: Decision<ResticPoint>[],
): Promise<Decision<ResticPoint>[]> {
  try {
    await resticInventoryOf(run.repository).forget(
      superseded.map(({ point }) => point),
      run.signal,
    );
    return superseded;
  } catch (error) {
    run.log(`an unfinished point of this slot stays: ${(error as Error).message}`);
    return [];
  }
}

/** What a killed run has left open would keep the volume busy. */
async function cleanUpAndRelease(run: BackUpVolume): Promise<void> {
  await run.mover.cleanup({ owner: run.mark.owner, log: run.log });
  await release(run);
}

async function keepVolume(run: BackUpVolume): Promise<false> {
  await run.mover.cleanup({ owner: run.mark.owner, log: run.log });
  run.log("keeping the temporary volume: it says to the next run that the restic snapshot is not proven");
  return false;
}

async function release(run: BackUpVolume): Promise<void> {
  await releaseTemporaryVolumes(run.session, run.temporaryVolume, {
    volumeId: run.temporaryVolumeId,
    signal: undoSignal(run.signal),
  });
}

/** What failed runs made from other snapshots: what it says of their points is marked by now, and it is in nobody's way. */
async function releaseEarlier(run: BackUpVolume): Promise<void> {
  const { owner, timeoutSeconds } = run.temporaryVolume;
  const options = { signal: undoSignal(run.signal) };
  await releaseTemporaryVolumes(run.session, { owner, timeoutSeconds }, options).catch((error: Error) =>
    run.log(`warning: a temporary volume of an earlier run stays: ${error.message}`),
  );
}

/** A volume that stays busy is no reason to call a proven backup failed, once it no longer speaks against its point. */
async function releaseProven(run: BackUpVolume, volume: Volume): Promise<void> {
  try {
    await release(run);
  } catch (error) {
    await noteProven(run.session, volume, run.now).catch(() => {
      throw error;
    });
    run.log(
      `warning: temporary volume ${volume.id} stays, the next run removes it: ${(error as Error).message}`,
    );
  }
}

/** Lets the set's retention count the point. It is in the repository even where this cannot be written now. */
async function noteCopied(run: BackUpVolume): Promise<void> {
  const id = run.temporaryVolume.snapshotId;
  if (!run.source) return;
  await markCopied(run.source, id).catch((error: Error) =>
    run.log(`snapshot ${id} is not marked as copied, older points stay: ${error.message}`),
  );
}

/**
 * A failure removes everything that the run made, but a point only where its set holds another whose copy is proven:
 * where there is none, its coming may already have pushed older ones out.
 */
async function takeBackSnapshot(source: SnapshotSet, run: BackUpVolume): Promise<boolean> {
  const id = run.temporaryVolume.snapshotId;
  const members = await points(source);
  if (!members.some(point => point.id === id)) {
    run.log(`keeping snapshot ${id}: it is not a recovery point of ${source.owner}`);
    return false;
  }
  const others = members.filter(point => point.good && point.id !== id);
  if (others.length === 0) {
    run.log(`keeping snapshot ${id}: it is the only good recovery point of its set`);
    return false;
  }
  if (!others.some(point => point.copy === "proven")) {
    run.log(`keeping snapshot ${id}: no other point of its set has a proven copy`);
    return false;
  }
  await removePoint({ ...source, signal: undoSignal(source.signal) }, id);
  return true;
}
