import { runKey } from "./marks";
import type { Decision, Point } from "./retention";

/** What makes one run different from every other. */
interface Run {
  slot?: string | undefined;
  trigger?: string | undefined;
}

/**
 * Sets the points apart that a run has made before and that came to no good: they hold nothing that the point which it
 * makes now lacks.
 */
export function supersededBy<P extends Point & Run>(
  run: Run,
  points: readonly P[],
): { superseded: Decision<P>[]; staying: P[] } {
  const isSuperseded = (point: P) => !point.good && runKey(point) === runKey(run);
  return {
    superseded: points
      .filter(isSuperseded)
      .map(point => ({ point, reasons: ["unfinished, replaced by the point of this run"] })),
    staying: points.filter(point => !isSuperseded(point)),
  };
}
