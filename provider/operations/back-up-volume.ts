import type { MovedBackup, Mover } from "../movers/mover";
import type { Session } from "../openstack";
import type { Repository, RepositoryAccess } from "../restic";
import { type Mark, runKey, toTags } from "./marks";
import { partialTag, pointOf, type ResticPoint, resticPoints } from "./restic-set";
import { points, removePoint, type SnapshotSet } from "./snapshot-set";
import { ensureTemporaryVolume, releaseTemporaryVolume, type TemporaryVolumeSpec } from "./temporary-volume";
import { UndoList, undoSignal } from "./undo-list";

/** One run of a ResticBackup. */
export interface BackUpVolume {
  session: Session;
  mover: Mover;
  repository: Repository;
  access: RepositoryAccess;
  /** The mark of the point to make; its owner is the backup's. */
  mark: Mark;
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
  now: Date;
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** What a run made, or found made already. */
export interface BackedUp {
  point: ResticPoint;
  /** Absent when the point of this run existed already. */
  moved?: MovedBackup;
  points: ResticPoint[];
}

/**
 * Gets one snapshot's data into the repository: ensures the temporary volume, moves the bytes, proves the point.
 * The temporary volume is released in every case. A failure undoes what the run made; with `onFailure: "cleanup"`
 * the Cinder snapshot too, unless that would leave its set without a good point.
 */
export async function backUpVolume(run: BackUpVolume): Promise<BackedUp> {
  const undo = new UndoList();
  const { source } = run;
  let isInRepository = !run.isNew;
  if (source && run.onFailure === "cleanup")
    undo.add(`snapshot ${run.temporaryVolume.snapshotId}`, async () =>
      isInRepository ? false : takeBackSnapshot(source, run),
    );
  undo.add("the temporary volume", () => cleanUpAndRelease(run));
  try {
    await run.repository.ensureInitialised({ signal: run.signal });
    await run.repository.unlockStale();
    const before = await resticPoints(run.repository, run.mark.owner, run.signal);
    const done = pointOf(before, run.mark);
    if (done) {
      run.log(`restic snapshot ${done.id.slice(0, 8)} of this slot exists already`);
      isInRepository = true;
      await cleanUpAndRelease(run);
      return { point: done, points: before };
    }
    const { volume } = await ensureTemporaryVolume(run.session, run.temporaryVolume, run);
    run.log(`Backup: snapshot ${run.temporaryVolume.snapshotId} by temporary volume ${volume.id}`);
    const moved = await run.mover.synchronize({
      session: run.session,
      volumeId: volume.id,
      owner: run.mark.owner,
      repository: run.access,
      content: run.content,
      paths: run.paths,
      exclude: run.exclude,
      host: run.host,
      tags: toTags(run.mark),
      time: run.takenAt,
      timeoutSeconds: run.timeoutSeconds,
      log: run.log,
      signal: run.signal,
    });
    isInRepository = true;
    if (moved.partial) await run.repository.addTags([moved.snapshotId], [partialTag]);
    await release(run);
    return await proven(run, before, moved);
  } catch (error) {
    throw await undo.undo(error);
  }
}

/** The point as the repository lists it; an unfinished one of the same run that it takes the place of is forgotten. */
async function proven(run: BackUpVolume, before: ResticPoint[], moved: MovedBackup): Promise<BackedUp> {
  const known = new Set(before.map(point => point.id));
  const after = await resticPoints(run.repository, run.mark.owner, run.signal);
  const point = after.find(candidate => !known.has(candidate.id));
  if (!point)
    throw new Error(
      `backing up set ${run.mark.set}: restic reported snapshot ${moved.snapshotId}, the repository does not list it`,
    );
  const superseded = before.filter(old => !old.good && runKey(old) === runKey(run.mark));
  if (superseded.length > 0) await run.repository.forget(superseded.map(old => old.id));
  return {
    point,
    moved,
    points: after.filter(candidate => !superseded.some(old => old.id === candidate.id)),
  };
}

/** What a killed run has left open would keep the volume busy. */
async function cleanUpAndRelease(run: BackUpVolume): Promise<void> {
  await run.mover.cleanup({ owner: run.mark.owner, log: run.log });
  await release(run);
}

async function release(run: BackUpVolume): Promise<void> {
  run.log("Cleanup: releasing the temporary volume");
  await releaseTemporaryVolume(run.session, run.temporaryVolume, {
    volumeId: run.temporaryVolumeId,
    signal: undoSignal(run.signal),
  });
}

/** S0's rule: a failure removes everything that the run made. The last good point of a set is never removed. */
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
  await removePoint({ ...source, signal: undoSignal(source.signal) }, id);
  return true;
}
