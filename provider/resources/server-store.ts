import { runKey } from "../base/marks";
import { handOver } from "../operations/adoption";
import {
  isStillComing,
  removeServerPoint,
  type ServerPoint,
  type ServerSet,
  serverPoints,
  takeServerPoint,
} from "../operations/server-set";
import { describePoint } from "../operations/words";
import { nextDue } from "./inputs";
import { markOf, nameOf, runOf } from "./point-set";
import type { PointStore, Taken } from "./point-store";
import type { Context } from "./resource";
import type { Inputs, Outputs } from "./server-snapshot-schema";
import { labelOf, missingServer } from "./servers";
import { timedStore } from "./timed-store";

/** What the outputs tell of a set, or of its last run, whatever points it has. */
type Own = Pick<Outputs, "nextDue" | "skewSeconds">;

const { removal, ...timed } = timedStore({ setOf, points: serverPoints, remove: removeServerPoint });

/** Recovery points that are the Cinder snapshots of all volumes of one server. */
export const serverStore: PointStore<Inputs, Outputs, ServerPoint, Own> = {
  noun: "recovery point",
  verbs: ["removes", "removed"],
  done: "the recovery point was taken",
  idKey: "pointId",

  ...timed,
  take,

  coming: () => ({ name: "", parts: [], expected: 0 }),
  missing: async (given, context) => (await missingServer(given, context))[0]?.reason,
  announce: given => `will take the recovery point of ${runOf(given)} of all volumes of ${labelOf(given)}`,
  describe: point => ({
    name: point.name,
    snapshots: Object.fromEntries(point.parts.map(({ volumeId, snapshotId }) => [volumeId, snapshotId])),
    ...(point.good ? {} : { status: ailmentOf(point) }),
  }),
  wasGood: ({ status }) => status === undefined,
  current: point => ({
    pointId: point?.id ?? "",
    takenAt: point?.takenAt ?? "",
    sizeGib: point?.parts.reduce((sum, { sizeGib }) => sum + sizeGib, 0) ?? 0,
    volumes: point?.parts.map(({ status: _, ...part }) => part) ?? [],
  }),
  own: (given, state) => ({ nextDue: nextDue(given) ?? "", skewSeconds: state?.skewSeconds ?? 0 }),

  isBegun: (points, given) =>
    points.some(point => !point.good && isStillComing(point) && runKey(point) === runKey(given)),
  ailing: points =>
    points.flatMap(point => {
      const ailment = ailmentOf(point);
      return ailment && ailment !== "creating" ? [`recovery point ${point.id} is broken: ${ailment}`] : [];
    }),
};

/** What is wrong with a point: "1 of 2 snapshots is missing", "snapshot 0e9d… is 'error'", "creating". */
function ailmentOf({ parts, expected }: ServerPoint): string | undefined {
  const missing = expected - parts.length;
  if (missing > 0) return `${missing} of ${expected} snapshots ${missing === 1 ? "is" : "are"} missing`;
  const broken = parts.find(({ status }) => status !== "available" && status !== "creating");
  if (broken) return `snapshot ${broken.snapshotId} of volume ${broken.volumeId} is '${broken.status}'`;
  return parts.some(({ status }) => status === "creating") ? "creating" : undefined;
}

async function take(
  given: Inputs,
  state: (Inputs & Outputs) | undefined,
  context: Context,
): Promise<Taken<ServerPoint, Own>> {
  const set = setOf(given, context);
  if (state && state.owner !== given.owner) await handOver(set, state.owner);
  const taken = serverStore.wants(given)
    ? await takeServerPoint(set, {
        name: nameOf(given, context.now),
        description: given.description,
        metadata: given.metadata,
        mark: markOf({ ...given, origin: given.serverId }, state, context.now),
      })
    : undefined;
  const own = serverStore.own(given, state);
  return {
    points: await serverPoints(set),
    words: taken?.made ? wordsOf(taken.point, given) : undefined,
    superseded: taken?.superseded ?? [],
    own: taken?.skewSeconds === undefined ? own : { ...own, skewSeconds: taken.skewSeconds },
    remove: decisions => removal(set, decisions),
  };
}

function wordsOf(point: ServerPoint, given: Inputs): string {
  const count = point.parts.length;
  return `took recovery point ${describePoint(point)} of ${labelOf(given)} (${count} volume${count === 1 ? "" : "s"})`;
}

function setOf(given: Inputs, context: Context): ServerSet {
  return {
    session: context.session(given),
    owner: given.owner,
    serverId: given.serverId,
    timeoutSeconds: given.timeoutSeconds,
    log: context.log,
    signal: context.signal,
  };
}
