import { instant, type Mark, metadataKeys, toTags } from "../base/marks";
import { UndoList, undoSignal } from "../base/undo-list";
import type { MovedBackup, Mover } from "../movers/mover";
import { type Session, snapshots } from "../openstack";
import type { Volume } from "../openstack/volumes";
import type { Repository } from "../restic";
import {
  changeOf,
  type History,
  historyIn,
  historyTag,
  isUnusual,
  unusualIn,
  unusualTag,
  withChange,
} from "./change";
import { type Change, type Figures, selectionTag, tagValue } from "./figures";
import { inventoryOf } from "./inventory";
import type { Members } from "./members";
import { copiedAs, leavesSnapshot, noteBegun, noteProven, pointsOf, tagPoints } from "./proof";
import { recover } from "./recover";
import { resticInventoryOf } from "./restic-inventory";
import { asPoint, partialTag, type ResticPoint, shrinkAllowedTag } from "./restic-set";
import type { Decision } from "./retention";
import { isOfRun, pointOf, supersededBy } from "./set-point";
import { allowedAmong, type Shrink, shrinkIn, shrinkOf, shrinkTags } from "./shrink";
import { points, removePoint, type SnapshotSet } from "./snapshot-set";
import { ensureTemporaryVolume, releaseTemporaryVolumes, type TemporaryVolumeSpec } from "./temporary-volume";
import { type AllowUnreadable, isAllowed } from "./unreadable";
import { isCovered, type Until } from "./until";
import { describePoint } from "./words";

/** One run of a ResticBackup. */
export interface BackUpVolume {
  session: Session;
  mover: Mover;
  repository: Repository;
  /** The mark of the point to make; its owner is the backup's. */
  mark: Mark;
  /** Whose points make up the set: the mark's owner and those it had before. */
  owners: readonly string[];
  /** Tells the set's points from snapshots that others have given its mark. */
  members: Members;
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
  /** Points that may have far less in them than the good one before. */
  allowShrink?: Until | undefined;
  /** What the state knows of a point: what its backup counted, and what of the volume it has. */
  remembered: (point: ResticPoint) => {
    figures?: Figures | undefined;
    change?: Change | undefined;
    selection?: string | undefined;
  };
  now: Date;
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** What a run made, or found made already. */
export interface BackedUp {
  /** Absent when the point of this run existed already; `partial` where files could not be read that must be. */
  moved?: MovedBackup;
  /** The point of this run where it has far less in it than the good one before, which nobody has allowed. */
  shrunk?: { point: ResticPoint; shrink: Shrink };
  /** Points were called good in this run that are far smaller than those before: it lets none go for them. */
  acceptsShrink: boolean;
  /** A temporary volume that could not be removed. */
  leftVolumeId?: string | undefined;
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
    const recovered = await recover(run);
    const before = await allowShrunk(recovered, run);
    const acceptsShrink = before !== recovered;
    const done = pointOf(before, run.mark);
    const shrunk = done ? undefined : shrunkBefore(before, run);
    if (done ?? shrunk) {
      copy = "present";
      // the mark alone is not enough to let the Cinder points before go
      if (done && !done.adopted) await noteCopied(run, done.id, true);
      await cleanUpAndRelease(run);
      await releaseEarlier(run);
      return { points: before, superseded: [], acceptsShrink, ...(shrunk ? { shrunk } : {}) };
    }
    const earlier = earlierOf(before, run);
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
        tags: [
          ...toTags(run.mark),
          selectionTag(run),
          ...(earlier?.history ? [historyTag(earlier.history)] : []),
        ],
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
    const listed = asPoint({ id: moved.snapshotId, tags: moved.tags, time: run.takenAt });
    if (!listed) throw new Error(`backing up set ${run.mark.set}: snapshot ${moved.snapshotId} has no mark`);
    let made = { ...listed, figures: figuresOf(moved) };
    run.members.note(made);
    await resticInventoryOf(repository).noteMade(made);
    moved.partial &&= !isAllowed(moved, run.allowUnreadable);
    const last = earlier && (await figuresBefore(earlier, made, run));
    const change = last && changeSince(last, moved, before, run);
    const shrink =
      last && !moved.partial && !isCovered(made, run.allowShrink)
        ? shrinkOf(made.figures, { point: earlier.point, figures: last })
        : undefined;
    const marks = [
      ...(moved.partial ? [partialTag] : []),
      ...(shrink
        ? shrinkTags(shrink)
        : change && isUnusual(change, earlier.history)
          ? [unusualTag(change)]
          : []),
    ];
    const isGood = !moved.partial && !shrink;
    if (marks.length > 0) {
      copy = "unfinished";
      const tagged = (await tagPoints([made], marks, run)).get(made.id);
      copy = "present";
      made = { ...made, ...tagged, figures: made.figures };
      moved.snapshotId = made.id;
    }
    await noteCopied(run, made.id, isGood);
    const leftVolumeId = await releaseProven(run, volume);
    await releaseEarlier(run);
    const superseded = await forgetSuperseded(run, supersededBy(run.mark, before).superseded);
    const present = await pointsOf(run);
    return {
      moved,
      points: present.map(point =>
        point.id === made.id ? { ...point, figures: made.figures, change } : point,
      ),
      superseded,
      acceptsShrink,
      leftVolumeId,
      ...(shrink ? { shrunk: { point: made, shrink } } : {}),
    };
  } catch (error) {
    throw await undo.undo(error);
  }
}

const figuresOf = ({ filesTotal, bytesTotal }: MovedBackup): Figures => ({ filesTotal, bytesTotal });

/** Takes the mark off shrunk points that somebody has allowed since, and returns the points as they are then. */
async function allowShrunk(points: ResticPoint[], run: BackUpVolume): Promise<ResticPoint[]> {
  const allowed = allowedAmong(points, run.allowShrink);
  if (allowed.length === 0) return points;
  await tagPoints(allowed, [shrinkAllowedTag], run);
  run.log(`allowShrink counts ${allowed.map(describePoint).join(", ")} as good`);
  return pointsOf(run);
}

/** The shrunk point that an earlier attempt at this run has made of the same data: another would be the same. */
function shrunkBefore(points: readonly ResticPoint[], run: BackUpVolume): BackedUp["shrunk"] {
  for (const point of points) {
    const shrink = shrinkIn(point);
    const isSame =
      isOfRun(point, run.mark) &&
      point.takenAt === instant(run.takenAt) &&
      selectionTag(run) === `selection=${tagValue(point.tags, "selection")}`;
    if (shrink && isSame) return { point, shrink };
  }
  return undefined;
}

/** The point that the one of this run is compared with, and what the set has shown up to it. */
interface Earlier {
  point: ResticPoint;
  figures: Figures | undefined;
  history: History | undefined;
  isOfSameSelection: boolean;
}

function earlierOf(before: readonly ResticPoint[], run: BackUpVolume): Earlier | undefined {
  const point = before.find(other => other.good && isOfOneSource(other, run.mark));
  if (!point) return undefined;
  const { figures = point.figures, change = unusualIn(point.tags), selection } = run.remembered(point);
  const tagged = tagValue(point.tags, "selection");
  const isOfSameSelection = (tagged === undefined ? selection : `selection=${tagged}`) === selectionTag(run);
  const known = historyIn(point.tags);
  const history = change ? withChange(known, change, point.time) : known;
  return { point, figures, history: isOfSameSelection ? history : undefined, isOfSameSelection };
}

/** What the point before counted; undefined where it is of other things, or cannot be read. */
async function figuresBefore(
  { point, figures, isOfSameSelection }: Earlier,
  made: ResticPoint,
  run: BackUpVolume,
): Promise<Figures | undefined> {
  if (!isOfSameSelection || tagValue(point.tags, "content") !== tagValue(made.tags, "content")) {
    run.log(`not compared with ${describePoint(point)}: paths, exclude or content have changed`);
    return undefined;
  }
  try {
    return figures ?? (await run.repository.measure(point.id, { signal: run.signal }));
  } catch (error) {
    run.signal?.throwIfAborted();
    run.log(`warning: not compared with ${describePoint(point)}: ${(error as Error).message}`);
    return undefined;
  }
}

/**
 * How much has changed since the point before. A backup that is made again finds the data of the first attempt in the
 * repository, and nothing new in it: what that one saw is in its tags.
 */
function changeSince(
  last: Figures,
  moved: MovedBackup,
  before: readonly ResticPoint[],
  run: BackUpVolume,
): Change | undefined {
  const attempts = before.filter(point => isOfRun(point, run.mark));
  if (attempts.length === 0) return changeOf(moved, last);
  return attempts.map(({ tags }) => unusualIn(tags)).find(seen => seen !== undefined);
}

const isOfOneSource = (a: { origin?: string | undefined }, b: { origin?: string | undefined }): boolean =>
  a.origin === undefined || b.origin === undefined || a.origin === b.origin;

/**
 * Those that are gone then. Where nothing can be forgotten they stay, and so does one that is known by its mark alone and
 * would take another along that it claims to be written for.
 */
async function forgetSuperseded(
  run: BackUpVolume,
  unfinished: Decision<ResticPoint>[],
): Promise<Decision<ResticPoint>[]> {
  const superseded = unfinished.filter(({ point }) => !point.adopted || !point.originals);
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
    run.log(`warning: a temporary volume stays, the next run tries again: ${error.message}`),
  );
}

/**
 * A volume that stays busy is no reason to call a proven backup failed, once it no longer speaks against its point.
 * Returns its id where it stays.
 */
async function releaseProven(run: BackUpVolume, volume: Volume): Promise<string | undefined> {
  try {
    await release(run);
    return undefined;
  } catch (error) {
    await noteProven(run.session, volume, run.now).catch(() => {
      throw error;
    });
    run.log(
      `warning: temporary volume ${volume.id} stays, the next run removes it: ${(error as Error).message}`,
    );
    return volume.id;
  }
}

/**
 * Writes on the Cinder snapshot what became of its data: that tells the point from others if this run is killed, and lets
 * the snapshot's set count a good one. The point is in the repository even where this cannot be written now.
 */
async function noteCopied(run: BackUpVolume, resticSnapshotId: string, isGood: boolean): Promise<void> {
  const id = run.temporaryVolume.snapshotId;
  const inventory = inventoryOf(run.session);
  try {
    const found = (await inventory.ownSnapshots(() => true)).find(({ row }) => row.id === id);
    const metadata = {
      ...copiedAs(run.mark.owner, resticSnapshotId),
      ...(isGood && run.source && found?.mark.copy === "awaited" ? { [metadataKeys.copy]: "proven" } : {}),
    };
    const isWritten = Object.entries(metadata).every(([key, value]) => found?.row.metadata?.[key] === value);
    if (!found || isWritten) return;
    await snapshots.setMetadata(run.session, id, metadata);
    await inventory.noteSnapshot({ ...found.row, metadata: { ...found.row.metadata, ...metadata } });
  } catch (error) {
    run.log(`snapshot ${id} is not marked as copied, older points stay: ${(error as Error).message}`);
  }
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
