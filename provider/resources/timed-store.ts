import { decide, removeEach, type SetPoint } from "../operations/set-point";
import { retentionOf } from "./inputs";
import type { Given, Judged, Removed } from "./point-store";
import type { Context } from "./resource";

/** What the inputs have of a set that takes its points by its own schedule. */
type Timed = Given & Parameters<typeof retentionOf>[0] & { paused: boolean; timeZone: string };

/** Where the points of a set are, and how one goes. */
interface Place<G, P, Set> {
  setOf(given: G, context: Context): Set;
  points(set: Set): Promise<P[]>;
  remove(set: Set, point: P): Promise<void>;
}

/** The half of a PointStore that all sets in the cloud have alike, and how its `take` lets old points go. */
export function timedStore<G extends Timed, P extends SetPoint, Set extends { owner: string }>(
  place: Place<G, P, Set>,
) {
  return {
    // not while paused, and not with a schedule's count of 0
    wants: (given: G): boolean => (given.schedule === undefined ? !given.paused : given.slot !== ""),
    momentOf: (_given: G, context: Context): Date => context.now,

    // those of a renamed resource carry its former name until it runs
    async before(given: G, state: G | undefined, context: Context): Promise<P[]> {
      const set = place.setOf(given, context);
      const owners = new Set([given.owner, ...(state?.owner === undefined ? [] : [state.owner])]);
      const found = await Promise.all([...owners].map(owner => place.points({ ...set, owner })));
      return found.flat();
    },
    present: (state: G, context: Context): Promise<P[]> => place.points(place.setOf(state, context)),
    judge: (points: readonly P[], given: G, asOf: Date): Judged<P> =>
      decide(points, retentionOf(given), { asOf, timeZone: given.timeZone }),
    async clear(present: P[], state: G, context: Context): Promise<void> {
      await Promise.all(present.map(point => place.remove(place.setOf(state, context), point)));
    },
    async removal(set: Set, decisions: Judged<P>["remove"]): Promise<Removed<P>> {
      const { removed, failures } = await removeEach(decisions, point => place.remove(set, point));
      const count = `${failures.length} old point${failures.length === 1 ? "" : "s"}`;
      const words = `${count} could not be removed: ${failures.join("; ")}`;
      return { removed, failure: failures.length > 0 ? { words } : undefined };
    },
  };
}
