import type { Repository, ResticSnapshot } from "../restic";
import { fromTags, managedBy, runKey, tag } from "./marks";
import { applyRetention, type Decision, type Point, type Retention } from "./retention";

/** The tag of a point for which restic could not read every file. It is kept and never counts as good. */
export const partialTag = "partial";

/** A recovery point that is a restic snapshot. */
export interface ResticPoint extends Point {
  owner: string;
  tags: string[];
  slot: string | undefined;
  trigger: string | undefined;
  takenAt: string;
}

/** The points of `owner` in a repository, or of everyone, newest first. */
export async function resticPoints(
  repository: Repository,
  owner?: string,
  signal?: AbortSignal,
): Promise<ResticPoint[]> {
  const found = await repository.snapshots({
    tags: [`managed-by=${managedBy}`, ...(owner === undefined ? [] : [tag("owner", owner)])],
    ...(signal && { signal }),
  });
  return found
    .map(asPoint)
    .filter(point => point !== undefined)
    .sort((a, b) => b.time.getTime() - a.time.getTime());
}

function asPoint(snapshot: ResticSnapshot): ResticPoint | undefined {
  const mark = fromTags(snapshot.tags);
  if (mark?.role !== "recovery-point") return undefined;
  return {
    id: snapshot.id,
    owner: mark.owner,
    time: mark.time ? new Date(mark.time) : snapshot.time,
    good: !snapshot.tags.includes(partialTag),
    tags: snapshot.tags,
    slot: mark.slot,
    trigger: mark.trigger,
    takenAt: mark.takenAt ?? snapshot.time.toISOString(),
  };
}

/** The good point of one run, where it exists. */
export function pointOf(
  points: readonly ResticPoint[],
  run: { slot?: string | undefined; trigger?: string | undefined },
): ResticPoint | undefined {
  return points.find(point => point.good && runKey(point) === runKey(run));
}

/** Forgets what the policy no longer keeps; the repository proves by a listing that exactly that is gone. */
export async function forgetByRetention(
  repository: Repository,
  points: readonly ResticPoint[],
  retention: Retention,
  options: { asOf: Date; timeZone: string; log: (line: string) => void; signal?: AbortSignal | undefined },
): Promise<{ kept: Decision<ResticPoint>[]; removed: Decision<ResticPoint>[] }> {
  const decided = applyRetention([...points], retention, options);
  if (decided.remove.length > 0)
    await repository.forget(
      decided.remove.map(decision => decision.point.id),
      options.signal ? { signal: options.signal } : {},
    );
  for (const { point, reasons } of decided.remove)
    options.log(`forgot ${point.id.slice(0, 8)} of ${point.slot ?? point.takenAt}: ${reasons.join(", ")}`);
  return { kept: decided.keep, removed: decided.remove };
}
