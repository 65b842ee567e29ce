import { applyRetention, type Decision, type Point, type Retention } from "./retention";

/** Whether a Cinder point's data is proven to be in a repository too; absent where none is meant to be. */
export type Copy = "awaited" | "proven";

/** A point of a set whose points are copied into a repository. */
export interface CopiedPoint extends Point {
  copy?: Copy | undefined;
}

/**
 * Retention of a set whose points are copied into a repository, in two groups. Up to the newest point with a proven copy
 * every point counts, as of that point. The younger ones are not yet good: they push none of the others out, and are
 * thinned among themselves by the same policy, as of the newest slot, so that a repository that fails for weeks neither
 * costs a point nor fills a quota.
 */
export function retainCopied<P extends CopiedPoint>(
  points: readonly P[],
  retention: Retention,
  options: { asOf: Date; timeZone?: string },
): { keep: Decision<P>[]; remove: Decision<P>[] } {
  const proven = points.filter(point => point.good && point.copy === "proven");
  const newest = proven.reduce<P | undefined>(
    (best, point) => (best && best.time >= point.time ? best : point),
    undefined,
  );
  const isYounger = (point: P) => newest === undefined || point.time > newest.time;
  const waiting = applyRetention(points.filter(isYounger), retention, options);
  const settled = applyRetention(
    points.filter(point => !isYounger(point)),
    retention,
    { ...options, asOf: newest?.time ?? options.asOf },
  );
  return {
    keep: [...waiting.keep.map(because("not copied yet")), ...settled.keep],
    remove: [...waiting.remove.map(because("among those not copied yet")), ...settled.remove],
  };
}

function because(why: string): <P extends Point>(decision: Decision<P>) => Decision<P> {
  return ({ point, reasons }) => ({ point, reasons: [why, ...reasons] });
}
