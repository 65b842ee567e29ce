import { fromTags, managedBy } from "../base/marks";
import type { Repository, ResticSnapshot } from "../restic";
import { type Change, type Figures, figuresIn } from "./figures";
import type { SetPoint } from "./set-point";

/** The tag of a point for which restic could not read every file. It is kept and never counts as good. */
export const partialTag = "partial";

/** The tag of a point whose run was killed before it knew whether restic had read every file; like a partial one. */
export const unprovenTag = "unproven";

/** The tag of a point that has far less in it than the good one before; like a partial one. */
export const shrunkTag = "shrunk";

/** The tag that takes the mark off a shrunk point: on an append-only store tags can only be added. */
export const shrinkAllowedTag = "shrink-allowed";

/** A recovery point that is a restic snapshot. */
export interface ResticPoint extends SetPoint {
  owner: string;
  tags: string[];
  /** The tree of its files; "" of one that this process has made and not listed. */
  tree: string;
  /** The snapshot that restic says this one was written for, to carry other tags. */
  writtenFor?: string | undefined;
  /** Snapshots that this one stands for, where an append-only store has kept them. */
  originals?: string[];
  /** What its backup counted, where that is known. */
  figures?: Figures | undefined;
  /** How much was others than in the point before, where that is known. */
  change?: Change | undefined;
  /** Taken over by its mark alone, by a run that has no state to know it from. */
  adopted?: boolean;
}

/** All snapshots in a repository that carry the mark of a point, whoever wrote them, newest first. */
export async function markedSnapshots(repository: Repository, signal?: AbortSignal): Promise<ResticPoint[]> {
  const found = await repository.snapshots({ tags: [`managed-by=${managedBy}`], signal });
  return markedAmong(found);
}

const markedAmong = (found: readonly ResticSnapshot[]): ResticPoint[] =>
  found.flatMap(snapshot => asPoint(snapshot) ?? []).sort(newestFirst);

/** The points of everyone in a repository, newest first. */
export async function resticPoints(repository: Repository, signal?: AbortSignal): Promise<ResticPoint[]> {
  return standing(await markedSnapshots(repository, signal));
}

/** The points among the snapshots of a repository, newest first. */
export function pointsAmong(found: readonly ResticSnapshot[]): ResticPoint[] {
  return standing(markedAmong(found));
}

/** How much clocks may differ. */
const toleranceMs = 3_600_000;

/** Whether a point says of itself that it is of later than `latest`: whoever has the password can write so. */
export const isOfTheFuture = ({ time, takenAt }: ResticPoint, latest: Date): boolean =>
  isLaterThan(time, latest) || isLaterThan(new Date(takenAt), latest);

/** Whether an instant is later than another by more than clocks may differ; one that cannot be read is. */
export const isLaterThan = (time: Date, latest: Date): boolean =>
  !(time.getTime() <= latest.getTime() + toleranceMs);

/** The newest good point of a set by the marks alone, where there is no state to know its points from. */
export const newestGood = (
  found: readonly ResticSnapshot[],
  owner: string,
  now: Date,
): ResticPoint | undefined =>
  pointsAmong(found).find(point => point.good && point.owner === owner && !isOfTheFuture(point, now));

/** The snapshots that carry the mark of a set's point, whoever wrote them, newest first. */
export const markedOf = (found: readonly ResticSnapshot[], owner: string): ResticPoint[] =>
  markedAmong(found).filter(point => point.owner === owner);

/** Without those that another one stands for, which carries more tags. */
export function standing(points: readonly ResticPoint[]): ResticPoint[] {
  const rewritten = new Map<string, ResticPoint[]>();
  for (const point of points)
    if (point.writtenFor !== undefined)
      rewritten.set(point.writtenFor, [...(rewritten.get(point.writtenFor) ?? []), point]);
  if (rewritten.size === 0) return [...points];
  const laterOf = (point: ResticPoint) =>
    [point.id, point.writtenFor]
      .flatMap(root => (root === undefined ? [] : (rewritten.get(root) ?? [])))
      .filter(later => standsFor(later, point));
  const originals = new Map<string, string[]>();
  const left = points.filter(point => {
    const later = laterOf(point);
    for (const { id } of later) originals.set(id, [...(originals.get(id) ?? []), point.id]);
    return later.length === 0;
  });
  return left.map(point => {
    const stoodFor = originals.get(point.id);
    return stoodFor ? { ...point, originals: stoodFor } : point;
  });
}

/** Whether restic wrote `later` to give `point` other tags: it changes neither the tree nor when the data was captured. */
export function standsFor(later: ResticPoint, point: ResticPoint): boolean {
  if (later.writtenFor === undefined || later.id === point.id) return false;
  if (later.tree !== point.tree || later.takenAt !== point.takenAt) return false;
  if (later.writtenFor === point.id) return true;
  // restic names the first one in each that it writes, so of two which has more tags is the later
  return (
    later.writtenFor === point.writtenFor &&
    later.tags.length > point.tags.length &&
    point.tags.every(tag => later.tags.includes(tag))
  );
}

const newestFirst = (a: ResticPoint, b: ResticPoint): number => b.time.getTime() - a.time.getTime();

/** The point that a snapshot is, or undefined where it is none of ours. */
export function asPoint(
  snapshot: Pick<ResticSnapshot, "id" | "tags" | "time"> & Partial<ResticSnapshot>,
): ResticPoint | undefined {
  const mark = fromTags(snapshot.tags);
  if (mark?.role !== "recovery-point") return undefined;
  return {
    id: snapshot.id,
    owner: mark.owner,
    time: mark.time ? new Date(mark.time) : snapshot.time,
    good: worthOf(snapshot.tags) === "good",
    tags: snapshot.tags,
    tree: snapshot.tree ?? "",
    writtenFor: snapshot.original,
    figures: figuresIn(snapshot.summary),
    slot: mark.slot,
    trigger: mark.trigger,
    origin: mark.origin,
    takenAt: mark.takenAt ?? snapshot.time.toISOString(),
  };
}

/** What the tags of a point say of it. */
export function worthOf(tags: readonly string[]): "good" | "partial" | "unproven" | "shrunk" {
  if (tags.includes(unprovenTag)) return unprovenTag;
  if (tags.includes(partialTag)) return partialTag;
  return tags.includes(shrunkTag) && !tags.includes(shrinkAllowedTag) ? shrunkTag : "good";
}
