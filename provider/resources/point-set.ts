import { instant, type Mark } from "../base/marks";
import type { Decision } from "../operations/retention";
import { pointOf, type Run, type SetPoint, supersededBy } from "../operations/set-point";
import { describePoint, namedPoints, sentence, shortId, tally } from "../operations/words";
import { setNameOf } from "./inputs";
import type { Given, PointStore, Shown } from "./point-store";
import { type Context, PartialFailure } from "./resource";

/**
 * The lifecycle that every kind of set has: observe, ensure the point of the slot, let go of what retention no longer
 * keeps, and say before and after which points go and why.
 */
export function pointSet<G extends Given, O extends Shown, P extends SetPoint, Own extends Partial<O>>(
  store: PointStore<G, O, P, Own>,
) {
  const [removes, removed] = store.verbs;
  const currentOf = (state: O) => state[store.idKey] as string;

  function outputsOf(kept: Decision<P>[], gone: Shown["removed"], own: Own, run?: Run): O {
    const points = kept.map(({ point }) => point);
    // the run's own, whatever time another one claims
    const current = (run && pointOf(points, run)) ?? points.find(({ good }) => good);
    return {
      ...store.current(current),
      ...own,
      points: kept.map(({ point, reasons }) => ({
        [store.idKey]: point.id,
        ...store.describe(point),
        ...(point.slot ? { slot: point.slot } : {}),
        takenAt: point.takenAt,
        keptBecause: reasons,
      })),
      removed: gone,
    } as unknown as O;
  }

  function explained(points: readonly P[], given: G, context: Context): Decision<P>[] {
    const asOf = asOfOf(store, given, context);
    if (store.explain) return newestFirst(store.explain(points, given, asOf));
    const { keep, remove } = store.judge(points, given, asOf);
    return newestFirst([...keep, ...remove]);
  }

  async function converge(given: G, state: (G & O) | undefined, context: Context): Promise<O> {
    if (store.restsUnwanted && !store.wants(given))
      return { ...outputsOf([], [], store.own(given, state)), ...(state ? { points: state.points } : {}) };
    const taken = await store.take(given, state, context);
    const { superseded, partial } = taken;
    const run = ownRunOf(store, given);
    const own = pointOf(taken.points, run);
    const judged = store.judge(taken.points, given, asOfOf(store, given, context));
    // never the point of the run itself, whatever time another one claims
    const remove = judged.remove.filter(({ point }) => point !== own);
    const end = await taken.remove(remove);
    const gone = new Set(end.removed.map(({ point }) => point.id));
    const isOwed = end.failure !== undefined && store.owes?.(given, end.failure.words, context) === true;
    // the next run finds them there still, and tries again
    const owed = isOwed ? remove.filter(({ point }) => !gone.has(point.id)) : [];
    const left = taken.points.filter(({ id }) => !gone.has(id));
    const outputs = outputsOf(
      explained(left, given, context),
      [
        ...superseded,
        ...end.removed,
        ...owed.map(({ point, reasons }) => ({ point, reasons: [...reasons, "could not be removed yet"] })),
      ].map(({ point, reasons }) => ({
        [store.idKey]: point.id,
        time: instant(point.time),
        because: reasons,
      })),
      taken.own ?? store.own(given, state),
      run,
    );
    if (taken.words || partial || superseded.length + end.removed.length > 0)
      context.log(
        sentence(
          taken.words,
          superseded.length > 0 ? `${removed} ${unfinished(superseded)}` : undefined,
          tally(left.length, end.removed, end.later ?? removed),
        ),
      );
    const fresh = { id: given.owner, outputs: outputs as Record<string, unknown> };
    const but = end.failure && `, but ${end.failure.words}; the next run tries again`;
    if (end.failure && isOwed) context.warn(`${store.done}${but}`);
    else if (end.failure) throw new PartialFailure(`${partial ?? store.done}${but}`, fresh, end.failure);
    if (partial) throw new PartialFailure(partial, fresh);
    return outputs;
  }

  const unfinished = (superseded: Decision<P>[]) =>
    namedPoints(
      superseded.map(({ point }) => point),
      `unfinished ${store.noun}`,
    );

  return {
    async plan(state: (G & O) | undefined, given: G, context: Context) {
      const asOf = asOfOf(store, given, context);
      const found = await store.before(given, state, context);
      const present = store.accept?.(found, given) ?? found;
      const accepted = found.filter(({ good }, index) => !good && present[index]?.good);
      const adopted = (await store.adopted?.(given, state, context)) ?? [];
      const run = ownRunOf(store, given);
      const isDue = store.wants(given) && !pointOf(present, run);
      // of a new resource check says it; where it cannot be asked the run will say
      const missing =
        isDue && state ? await store.missing?.(given, context).catch(() => undefined) : undefined;
      const shortage = isDue ? await store.shortage?.(given, context).catch(() => undefined) : undefined;
      for (const line of (await store.warnings?.(given, state, context)) ?? []) context.warn(line);
      if (shortage !== undefined) context.warn(`the quota may not suffice: ${shortage}`);
      const { superseded, staying } =
        isDue && !store.isBegun?.(present, given)
          ? supersededBy(run, present)
          : { superseded: [], staying: present };
      const moment = store.momentOf(given, context);
      const { time = moment } = markOf(given, state, moment);
      const coming = isDue ? [comingPoint(store, given, new Date(time))] : [];
      const all = [...staying, ...adopted, ...coming];
      const judged = store.judge(all, given, asOf);
      // the run that counts points anew lets none go for them
      const remove = accepted.length > 0 ? [] : judged.remove;
      const other = state && store.isElsewhere?.(given, state) ? state.points.length : 0;
      return [
        sentence(
          // of a lost state, or of a resource that is replaced by itself
          state === undefined && staying.length > 0
            ? `will adopt ${staying.length} ${store.noun}${staying.length === 1 ? "" : "s"}`
            : undefined,
          accepted.length > 0
            ? `will count as good ${namedPoints(accepted, `shrunk ${store.noun}`)}`
            : undefined,
          ...adopted.map(point => `will adopt snapshot ${describePoint(point)}`),
          isDue
            ? `${store.announce(given)}${missing === undefined ? "" : `, and will fail: ${missing}`}`
            : undefined,
          tally(all.length - remove.length, [...superseded, ...remove], removes),
          accepted.length > 0 ? "no point goes for these in this run" : undefined,
          other > 0
            ? `${other} ${store.noun}${other === 1 ? "" : "s"} in the repository before are left there`
            : undefined,
        ),
      ];
    },

    async drift(state: G & O, given: G, context: Context) {
      // another place is a change of its own
      if (store.isElsewhere?.(given, state) || !store.wants(given) || state.points.length === 0) return [];
      const current = currentOf(state);
      if (!current && state.points.some(store.wasGood)) return [`the newest ${store.noun} has vanished`];
      const present = await store.before(given, state, context);
      for (const line of (await store.warnings?.(given, state, context)) ?? []) context.warn(line);
      if (current && !present.some(point => point.id === current))
        return [`${store.noun} ${shortId(current)} has vanished`];
      // together with those of other sets, whose run said that it was gone
      const idsOf = (points: object[]) =>
        points.map(point => (point as Record<string, unknown>)[store.idKey] as string);
      const back = idsOf(state.removed);
      // one that could not be removed then is among the points too, until a run sees that it has gone
      const gone = idsOf(state.points).filter(id => back.includes(id) && !present.some(one => one.id === id));
      if (gone.length > 0) return [`${store.noun} ${gone.map(shortId).join(", ")} has gone at last`];
      const still = present.filter(({ id }) => back.includes(id));
      if (still.length > 0) return [`${namedPoints(still, store.noun)}: to be removed, and still there`];
      return [...(store.unsettled?.(state) ?? []), ...(store.ailing?.(present) ?? [])];
    },

    async create(given: G, context: Context) {
      return { id: given.owner, outputs: await converge(given, undefined, context) };
    },

    async read(id: string, state: G & O, context: Context) {
      const own = store.own(state, state);
      if (state.points.length === 0 && !store.wants(state)) return { id, outputs: outputsOf([], [], own) };
      const present = await store.present(state, context);
      if (present.length === 0 && state.points.length > 0) return undefined;
      const outputs = outputsOf(
        explained(present, state, context),
        state.removed,
        own,
        ownRunOf(store, state),
      );
      // an older point does not take the place of a newest one that is gone: what is missing would be forgotten
      const isLost = store.wants(state) && !present.some(point => point.id === currentOf(state));
      return { id, outputs: isLost ? { ...outputs, ...store.current(undefined) } : outputs };
    },

    update: (_id: string, state: G & O, given: G, context: Context) => converge(given, state, context),

    async delete(_id: string, state: G & O, context: Context) {
      await store.leave?.(state, context);
      if (state.deletionPolicy === "retain") {
        await store.assertStays?.(state, context);
        const count = state.points.length;
        context.log(`deletionPolicy is 'retain': ${count} ${store.noun}${count === 1 ? " stays" : "s stay"}`);
        return;
      }
      const present = await store.present(state, context);
      await store.clear(present, state, context);
      if (present.length > 0) context.log(`${removed} ${namedPoints(present, store.noun)}`);
    },
  };
}

/** What makes a run of a set different from its others. */
export const ownRunOf = <G extends Given>(
  store: { originOf?(given: G): string | undefined },
  given: G,
): Run => ({ slot: given.slot, trigger: given.trigger, origin: store.originOf?.(given) });

/** Retention counts back from the newest slot, never from the wall clock. */
export const asOfOf = <G extends Given>(
  store: { momentOf(given: G, context: Context): Date },
  given: G,
  context: Context,
): Date => (given.slot ? new Date(given.slot) : store.momentOf(given, context));

/** The point that a run will make, for the preview's arithmetic. */
export function comingPoint<G extends Given, P extends SetPoint>(
  store: { coming(given: G): Omit<P, keyof SetPoint> },
  given: G,
  time: Date,
): P {
  const { slot, trigger } = given;
  const common: SetPoint = { id: "coming", time, good: true, slot, trigger, takenAt: instant(time) };
  return { ...common, ...store.coming(given) } as P;
}

/** The mark of a run's point. */
export function markOf(given: Given, state: Run | undefined, takenAt: Date): Mark {
  const slotPassed = state === undefined || state.slot !== given.slot;
  return {
    owner: given.owner,
    set: setNameOf(given),
    role: "recovery-point",
    slot: given.slot,
    trigger: given.trigger,
    origin: given.origin,
    takenAt: instant(takenAt),
    // a second point of one slot, for a trigger, stands in retention where its data is from
    time: slotPassed && given.slot ? given.slot : instant(takenAt),
  };
}

/** "2026-11-22T10:00:00Z (trigger 'before-upgrade')", for what a preview announces. */
export const runOf = ({ slot, trigger }: Run): string =>
  `${slot || "now"}${trigger ? ` (trigger '${trigger}')` : ""}`;

/** The operator's pattern; the timestamp is the slot's, so that the name says which slot it is. */
export function nameOf(given: Given & { namePrefix: string }, now: Date, longest = 255): string {
  const stamp = (given.slot || instant(now)).replaceAll(/[-:]/g, "");
  return `${given.namePrefix}-${setNameOf(given)}`.slice(0, longest - stamp.length - 1).concat("-", stamp);
}

/** What a set's replacement removes, or leaves: "will remove 2 recovery points of volume 1f2e: …". */
export const leavingOf =
  <G extends Given, O extends Shown, P extends SetPoint, Own extends Partial<O>>(
    store: PointStore<G, O, P, Own>,
    subjectOf: (state: G & O) => string,
  ) =>
  async (state: G & O, context: Context): Promise<string> => {
    const subject = subjectOf(state);
    const named = namedPoints(
      await store.present(state, context),
      `${store.noun} of ${subject}`,
      `${store.noun}s of ${subject}`,
    );
    return `will ${state.deletionPolicy === "retain" ? "leave" : "remove"} ${named}`;
  };

function newestFirst<P extends SetPoint>(decisions: Decision<P>[]): Decision<P>[] {
  return decisions.sort((a, b) => b.point.time.getTime() - a.point.time.getTime());
}
