import { runKey } from "../base/marks";
import { applyRetention, type Decision, type Point, type Retention } from "./retention";

/** What makes one run of a set different from every other. */
export interface Run {
  slot?: string | undefined;
  trigger?: string | undefined;
  /** What is backed up, where one set may go over from one volume to another. */
  origin?: string | undefined;
}

/** Whether a point is that of a run: its slot and trigger, of the same volume or server where both say which. */
export const isOfRun = (point: Run, run: Run): boolean =>
  runKey(point) === runKey(run) &&
  (point.origin === undefined || run.origin === undefined || point.origin === run.origin);

/** A recovery point of a set, of whatever kind. */
export interface SetPoint extends Point {
  slot: string | undefined;
  trigger: string | undefined;
  origin?: string | undefined;
  /** when the data was captured, ISO 8601 in UTC */
  takenAt: string;
}

/** The good point of one run, where it exists. */
export function pointOf<P extends SetPoint>(points: readonly P[], run: Run): P | undefined {
  return points.find(point => point.good && isOfRun(point, run));
}

/**
 * Sets the points apart that a run has made before and that came to no good: they hold nothing that the point which it
 * makes now lacks.
 */
export function supersededBy<P extends SetPoint>(
  run: Run,
  points: readonly P[],
): { superseded: Decision<P>[]; staying: P[] } {
  const isSuperseded = (point: P) => !point.good && isOfRun(point, run);
  return {
    superseded: points
      .filter(isSuperseded)
      .map(point => ({ point, reasons: ["unfinished, replaced by the point of this run"] })),
    staying: points.filter(point => !isSuperseded(point)),
  };
}

/** What a policy says of the points of a set; without one all stay. */
export function decide<P extends SetPoint>(
  points: readonly P[],
  policy: Retention | undefined,
  options: { asOf: Date; timeZone: string },
  apply: typeof applyRetention<P> = applyRetention,
): { keep: Decision<P>[]; remove: Decision<P>[] } {
  if (policy) return apply(points, policy, options);
  return { keep: points.map(point => ({ point, reasons: ["no retention"] })), remove: [] };
}

/** Keeps those of the points to be removed that something speaks against, and says what. */
export function holdBack<P extends SetPoint>(
  { keep, remove }: { keep: Decision<P>[]; remove: Decision<P>[] },
  why: (point: P) => string | undefined,
): { keep: Decision<P>[]; remove: Decision<P>[] } {
  const held = remove.flatMap(({ point, reasons }) => {
    const reason = why(point);
    return reason === undefined ? [] : [{ point, reasons: [`${reasons.join(", ")}, but ${reason}`] }];
  });
  const isHeld = new Set(held.map(({ point }) => point.id));
  return { keep: [...keep, ...held], remove: remove.filter(({ point }) => !isHeld.has(point.id)) };
}

/** Removes points, and returns those that are gone and why the others are not. A failure does not stop the others. */
export async function removeEach<P extends SetPoint>(
  decisions: readonly Decision<P>[],
  remove: (point: P) => Promise<void>,
): Promise<{ removed: Decision<P>[]; failures: string[] }> {
  const removed: Decision<P>[] = [];
  const failures: string[] = [];
  // the oldest is asked for first
  await Promise.all(
    [...decisions].reverse().map(decision =>
      remove(decision.point).then(
        () => removed.push(decision),
        (error: unknown) => failures.push(error instanceof Error ? error.message : String(error)),
      ),
    ),
  );
  return { removed, failures };
}
