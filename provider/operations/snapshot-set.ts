import { fromMetadata, instant, type Mark, runKey, toMetadata } from "../base/marks";
import { UndoList, undoSignal } from "../base/undo-list";
import { inCindersWords } from "../cinder/cinders-words";
import { removeUntilGone } from "../cinder/remove";
import { snapshotKind, WaitError, waitForStatus } from "../cinder/watch";
import { parseTime, type Session, snapshots } from "../openstack";
import type { Snapshot } from "../openstack/snapshots";
import type { Copy } from "./copied";
import { inventoryOf, type Marked, timeOf } from "./inventory";
import type { Decision } from "./retention";
import { type SetPoint, supersededBy } from "./set-point";

/** A recovery point that is a Cinder snapshot. Good means `available`. */
export interface SnapshotPoint extends SetPoint {
  name: string;
  status: string;
  sizeGib: number;
  copy: Copy | undefined;
}

/** Which snapshots make up one set, and how long Cinder may take with one. */
export interface SnapshotSet {
  session: Session;
  owner: string;
  volumeId: string;
  timeoutSeconds: number;
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** The points of a set as Cinder has them, newest first. */
export async function points(set: SnapshotSet): Promise<SnapshotPoint[]> {
  const found = await inventoryOf(set.session).snapshots(set.owner, set.volumeId);
  return found
    .filter(({ mark, row }) => mark.role === "recovery-point" && row.status !== "deleting")
    .map(asPoint);
}

/** A snapshot with a mark, as a point. */
export function asPoint(found: Marked<Snapshot>): SnapshotPoint {
  const { row, mark } = found;
  const time = new Date(timeOf(found));
  return {
    id: row.id,
    time,
    good: row.status === "available",
    name: row.name ?? "",
    status: row.status,
    sizeGib: row.size,
    slot: mark.slot,
    trigger: mark.trigger,
    copy: mark.copy === "awaited" || mark.copy === "proven" ? mark.copy : undefined,
    takenAt: mark.takenAt ?? instant(parseTime(row.created_at)),
  };
}

/** How to make the point of one run. */
export interface TakePoint {
  name: string;
  description?: string | undefined;
  force: boolean;
  mark: Mark;
  metadata: Record<string, string>;
}

/** What `takePoint` did. */
export interface TakenPoint {
  point: SnapshotPoint;
  /** False when a point of this run existed already and was adopted. */
  made: boolean;
  /** Broken points of the same run that were removed. */
  superseded: Decision<SnapshotPoint>[];
}

/**
 * The recovery point of one run: an existing one with the same slot and trigger is adopted, otherwise a snapshot is
 * made and waited for. A snapshot that goes to `error` is removed again; Cinder's own words are in the error.
 */
export async function takePoint(set: SnapshotSet, take: TakePoint): Promise<TakenPoint> {
  const superseded: Decision<SnapshotPoint>[] = [];
  for (const candidate of await points(set)) {
    if (runKey(candidate) !== runKey(take.mark)) continue;
    if (candidate.status === "available") return { point: candidate, made: false, superseded };
    if (candidate.status === "creating") {
      set.log(`adopting snapshot ${candidate.id}, which an earlier run began`);
      return { point: asPoint(await settledOrUndone(set, candidate.id)), made: false, superseded };
    }
    set.log(`removing snapshot ${candidate.id}, which is '${candidate.status}'`);
    await removePoint(set, candidate.id);
    superseded.push(...supersededBy(take.mark, [candidate]).superseded);
  }
  const id = await beginSnapshot(set, take);
  return { point: asPoint(await settledOrUndone(set, id)), made: true, superseded };
}

/** Asks for a snapshot of the set's volume; it is "creating" when this returns its id. */
export async function beginSnapshot(set: SnapshotSet, take: TakePoint): Promise<string> {
  const begun = await snapshots.create(
    set.session,
    {
      volumeId: set.volumeId,
      name: take.name,
      ...(take.description === undefined ? {} : { description: take.description }),
      force: take.force,
      metadata: { ...take.metadata, ...toMetadata(take.mark) },
    },
    { signal: set.signal },
  );
  await inventoryOf(set.session).noteSnapshot(begun);
  return begun.id;
}

/** Waits until a snapshot that was begun is `available`. A failure is told in Cinder's own words. */
export async function settled(set: SnapshotSet, id: string): Promise<Marked<Snapshot>> {
  try {
    const row = await waitForStatus(set.session, snapshotKind, id, "available", {
      doing: `creating snapshot ${id} of volume ${set.volumeId}`,
      timeoutSeconds: set.timeoutSeconds,
      signal: set.signal,
    });
    await inventoryOf(set.session).noteSnapshot(row);
    const mark = fromMetadata(row.metadata);
    if (!mark) throw new Error(`creating snapshot ${id} of volume ${set.volumeId}: it lost its mark`);
    return { row, mark };
  } catch (error) {
    throw isBroken(error) ? await inCindersWords(set.session, id, error as Error) : timedOut(error);
  }
}

async function settledOrUndone(set: SnapshotSet, id: string): Promise<Marked<Snapshot>> {
  try {
    return await settled(set, id);
  } catch (error) {
    if (!isBroken(error)) throw error;
    const undo = new UndoList();
    undo.add(`snapshot ${id}`, () => removePoint({ ...set, signal: undoSignal(set.signal) }, id));
    throw await undo.undo(error);
  }
}

/** Whether the object will not come to what was waited for; otherwise the next run may still adopt it. */
export const isBroken = (error: unknown): boolean => error instanceof WaitError && !error.timedOut;

/** The VolumeSnapshotBackup operator's message, which users look up. The snapshot stays marked: the next run adopts it or removes it. */
function timedOut(error: unknown): unknown {
  return error instanceof WaitError
    ? new WaitError(`Snapshot creation timed out: ${error.message}`, true, { cause: error.cause })
    : error;
}

/** Removes one point and returns once it is really gone. */
export async function removePoint(set: SnapshotSet, id: string): Promise<void> {
  await removeUntilGone(set.session, snapshotKind, id, {
    timeoutSeconds: set.timeoutSeconds,
    signal: set.signal,
  });
  await inventoryOf(set.session).noteGone(id);
}
