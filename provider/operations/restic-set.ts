import { fromTags, managedBy } from "../base/marks";
import type { Repository, ResticSnapshot } from "../restic";
import type { SetPoint } from "./set-point";

/** The tag of a point for which restic could not read every file. It is kept and never counts as good. */
export const partialTag = "partial";

/** The tag of a point whose run was killed before it knew whether restic had read every file; like a partial one. */
export const unprovenTag = "unproven";

/** A recovery point that is a restic snapshot. */
export interface ResticPoint extends SetPoint {
  owner: string;
  tags: string[];
  /** The snapshot that this one was written for, to carry more tags, where an append-only store has kept it. */
  original?: string;
}

/** The points of these owners in a repository, or of everyone, newest first. */
export async function resticPoints(
  repository: Repository,
  owners?: readonly string[],
  signal?: AbortSignal,
): Promise<ResticPoint[]> {
  const found = await repository.snapshots({ tags: [`managed-by=${managedBy}`], signal });
  return pointsAmong(found).filter(point => owners?.includes(point.owner) ?? true);
}

/** The points among the snapshots of a repository, newest first. */
export function pointsAmong(found: readonly ResticSnapshot[]): ResticPoint[] {
  const present = new Set(found.map(snapshot => snapshot.id));
  const replaced = new Set(found.map(snapshot => snapshot.original));
  return found
    .filter(snapshot => !replaced.has(snapshot.id))
    .flatMap(snapshot => {
      const point = asPoint(snapshot);
      if (!point) return [];
      const { original } = snapshot;
      return original !== undefined && present.has(original) ? { ...point, original } : point;
    })
    .sort((a, b) => b.time.getTime() - a.time.getTime());
}

/** The point that a snapshot is, or undefined where it is none of ours. */
export function asPoint(snapshot: Pick<ResticSnapshot, "id" | "tags" | "time">): ResticPoint | undefined {
  const mark = fromTags(snapshot.tags);
  if (mark?.role !== "recovery-point") return undefined;
  return {
    id: snapshot.id,
    owner: mark.owner,
    time: mark.time ? new Date(mark.time) : snapshot.time,
    good: !snapshot.tags.includes(partialTag) && !snapshot.tags.includes(unprovenTag),
    tags: snapshot.tags,
    slot: mark.slot,
    trigger: mark.trigger,
    origin: mark.origin,
    takenAt: mark.takenAt ?? snapshot.time.toISOString(),
  };
}
