import { type Mark, runKey } from "../base/marks";
import { parseTime, snapshots } from "../openstack";
import { adopt, handOver } from "../operations/adoption";
import { type Copy, retainCopied } from "../operations/copied";
import { inventoryOf } from "../operations/inventory";
import { quotaOf } from "../operations/quota";
import { applyRetention } from "../operations/retention";
import { decide } from "../operations/set-point";
import {
  asPoint,
  points,
  removePoint,
  type SnapshotPoint,
  type SnapshotSet,
  takePoint,
} from "../operations/snapshot-set";
import { unremovedOf } from "../operations/unremoved";
import { describePoint } from "../operations/words";
import type { Inputs, Outputs } from "./cinder-snapshot-schema";
import { nextDue, retentionOf } from "./inputs";
import { markOf, nameOf, runOf } from "./point-set";
import type { PointStore, Taken } from "./point-store";
import type { Context } from "./resource";
import { timedStore } from "./timed-store";

/** What the outputs tell of a set whatever points it has. */
type Own = Pick<Outputs, "nextDue">;

const { removal, ...timed } = timedStore({
  setOf,
  points: points,
  remove: (members, point) => removePoint(members, point.id),
});

/** Recovery points that are Cinder snapshots of one volume. */
export const snapshotStore: PointStore<Inputs, Outputs, SnapshotPoint, Own> = {
  noun: "recovery point",
  verbs: ["removes", "removed"],
  done: "the recovery point was taken",
  idKey: "snapshotId",

  ...timed,

  judge: (members, given, asOf) =>
    decide(
      members,
      retentionOf(given),
      { asOf, timeZone: given.timeZone },
      given.awaitsCopy ? retainCopied : applyRetention,
    ),

  // whether the copy that a point waits for is proven makes no difference until the next run
  explain(members, given, asOf) {
    const { keep, remove } = decide(members, retentionOf(given), { asOf, timeZone: given.timeZone });
    const reasons = ["until a newer copy is proven"];
    return [...keep, ...(given.awaitsCopy ? remove.map(({ point }) => ({ point, reasons })) : remove)];
  },

  take,

  coming: given => ({ name: "", status: "available", sizeGib: 0, copy: copyOf(given) }),
  missing: async (given, context) =>
    (await inventoryOf(context.session(given)).volume(given.volumeId))
      ? undefined
      : `volume ${given.volumeId} does not exist any more`,
  async shortage(given, context) {
    const session = context.session(given);
    const gib = (await inventoryOf(session).volume(given.volumeId))?.size ?? 0;
    // of a set whose copy is awaited a temporary volume is made too
    const copy = given.awaitsCopy ? 1 : 0;
    return quotaOf(session).shortage(given.owner, { snapshots: 1, volumes: copy, gib: gib * (1 + copy) });
  },
  announce: given => `will take the recovery point of ${runOf(given)}`,
  describe: ({ name, status }) => ({ name, ...(status === "available" ? {} : { status }) }),
  wasGood: ({ status = "available" }) => status === "available",
  current: point => ({
    snapshotId: point?.id ?? "",
    takenAt: point?.takenAt ?? "",
    sizeGib: point?.sizeGib ?? 0,
  }),
  own: given => ({ nextDue: nextDue(given) ?? "" }),

  // an old point that cannot go must not stop the copies of new ones
  owes(given, words, context) {
    if (!given.awaitsCopy) return false;
    unremovedOf(context.session(given)).set(given.owner, words);
    return true;
  },

  async adopted(given, state, context) {
    if (!isAdopting(given, state)) return [];
    const row = await snapshots.get(context.session(given), given.adoptId, { signal: context.signal });
    return [asPoint({ row, mark: adoptedMark(given, given.adoptId, row) })];
  },
  isBegun: (members, given) =>
    members.some(point => point.status === "creating" && runKey(point) === runKey(given)),
  ailing: members =>
    members
      .filter(point => point.status.startsWith("error"))
      .map(point => `recovery point ${point.id} is '${point.status}'`),
};

async function take(
  given: Inputs,
  state: (Inputs & Outputs) | undefined,
  context: Context,
): Promise<Taken<SnapshotPoint, Own>> {
  const members = setOf(given, context);
  if (state && state.owner !== given.owner) await handOver(members, state.owner);
  if (isAdopting(given, state)) {
    const { adoptId } = given;
    await adopt(members, adoptId, row => adoptedMark(given, adoptId, row));
  }
  const taken = snapshotStore.wants(given)
    ? await takePoint(members, {
        name: given.name ?? nameOf(given, context.now),
        description: given.description,
        force: given.force,
        metadata: given.metadata,
        mark: { ...markOf(given, state, context.now), copy: copyOf(given) },
      })
    : undefined;
  return {
    points: await points(members),
    words: taken?.made ? `took recovery point ${describePoint(taken.point)}` : undefined,
    superseded: taken?.superseded ?? [],
    remove: decisions => removal(members, decisions),
  };
}

function setOf(given: Inputs, context: Context): SnapshotSet {
  return {
    session: context.session(given),
    owner: given.owner,
    volumeId: given.volumeId,
    timeoutSeconds: given.timeoutSeconds,
    log: context.log,
    signal: context.signal,
  };
}

/** What the mark of a new point says of its copy. */
function copyOf(given: Inputs): Copy | undefined {
  return given.awaitsCopy ? "awaited" : undefined;
}

/** Whether this run takes a snapshot that was made by other means into the set. */
function isAdopting(
  given: Inputs,
  state: Pick<Inputs, "adoptId"> | undefined,
): given is Inputs & { adoptId: string } {
  return given.adoptId !== undefined && given.adoptId !== state?.adoptId;
}

function adoptedMark(given: Inputs, id: string, row: { created_at: string }): Mark {
  const takenAt = parseTime(row.created_at);
  const mark = markOf({ ...given, slot: "" }, undefined, takenAt);
  return { ...mark, slot: undefined, trigger: `adopted ${id}`, copy: copyOf(given) };
}
