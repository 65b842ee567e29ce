import { runKey } from "./marks";
import type { Decision, Point } from "./retention";

/** What makes one run different from every other. */
interface Run {
  slot?: string | undefined;
  trigger?: string | undefined;
}

/** The points of a run that came to no good: they hold nothing that the point which the run makes now lacks. */
export function supersededBy<P extends Point & Run>(run: Run, points: readonly P[]): Decision<P>[] {
  return points
    .filter(point => !point.good && runKey(point) === runKey(run))
    .map(point => ({ point, reasons: ["unfinished, replaced by the point of this run"] }));
}
