import { z } from "zod";
import { snapshots } from "../openstack";
import { adopt, handOver } from "../operations/adoption";
import type { Copy } from "../operations/copied";
import { inventoryOf } from "../operations/inventory";
import { instant, type Mark, runKey } from "../operations/marks";
import { applyRetention, type Decision, type Retention } from "../operations/retention";
import {
  asPoint,
  decide,
  type Pruned,
  points,
  prune,
  type RetentionOptions,
  removePoint,
  type SnapshotPoint,
  type SnapshotSet,
  takePoint,
} from "../operations/snapshot-set";
import { supersededBy } from "../operations/superseded";
import { describePoint, namedPoints, sentence, tally } from "../operations/words";
import {
  deletionPolicy,
  nextDue,
  owner,
  place,
  retention,
  retentionOf,
  scheduleOf,
  set,
  settleSlot,
  timing,
  timingRules,
} from "./inputs";
import { type Context, PartialFailure, resourceType, type State } from "./resource";

const inputs = z.object({
  owner,
  set: set.optional(),
  ...place,
  volumeId: z.string().min(1).describe("The Cinder volume to protect.").meta({ replaceOnChanges: true }),
  ...timing,
  retention: retention
    .describe(
      "Which snapshots are kept; what no rule keeps is removed once a newer good one exists. " +
        "Default keepLast 3 and keepForDays 7, or what the schedule's count says.",
    )
    .optional(),
  namePrefix: z
    .string()
    .min(1)
    .max(200)
    .default("backup")
    .describe("Snapshot names are `{namePrefix}-{set}-{timestamp}`."),
  name: z
    .string()
    .min(1)
    .max(255)
    .describe("The snapshot's whole name, instead of prefix, set and timestamp.")
    .optional(),
  description: z.string().max(255).describe("Description of the snapshots.").optional(),
  force: z
    .boolean()
    .default(true)
    .describe("Snapshot a volume that is attached. From microversion 3.66 Cinder always does. Default true."),
  timeoutSeconds: z
    .number()
    .positive()
    .default(600)
    .describe("Wait for `available`, and for each removal, in seconds."),
  metadata: z
    .record(z.string(), z.string().max(255))
    .default({})
    .describe("More metadata for the snapshots."),
  awaitsCopy: z
    .boolean()
    .describe(
      "True where a ResticBackup copies the points: none goes before the copy of a newer one is proven in the " +
        "repository. A VolumeBackup sets it. Default false.",
    )
    .optional(),
  adoptId: z
    .string()
    .describe(
      "A snapshot of this volume made by other means, to be taken into the set: stands in for `import`.",
    )
    .optional(),
  deletionPolicy: deletionPolicy
    .default("delete")
    .describe("Whether the set's snapshots go with the resource: 'delete' (default) or 'retain'."),
});

const pointOutput = z.object({
  snapshotId: z.string(),
  name: z.string(),
  slot: z.string().optional(),
  takenAt: z.string(),
  /** Cinder's, where it is not `available` */
  status: z.string().optional(),
  keptBecause: z.array(z.string()),
});

const outputs = z.object({
  snapshotId: z.string().describe("Id of the current recovery point; empty before the first one."),
  takenAt: z
    .string()
    .describe("When the current point was taken, ISO 8601 in UTC; empty before the first one."),
  sizeGib: z.number().describe("Size of the volume at that moment, in GiB."),
  points: z
    .array(pointOutput)
    .describe(
      "All points of the set, newest first, each with why it is kept; `status` where it is not `available`.",
    ),
  removed: z
    .array(z.object({ snapshotId: z.string(), time: z.string(), because: z.array(z.string()) }))
    .describe("What the last run removed, and why."),
  nextDue: z.string().describe("When the next point is due, ISO 8601 in UTC; empty without a schedule."),
});

type Inputs = z.output<typeof inputs>;
type Outputs = z.output<typeof outputs>;

/**
 * The set of Cinder snapshots of one volume under one schedule and retention; the newest is current. Serves S0's
 * snapshot part, S1's copy sets and S2's protect.
 */
export const cinderSnapshot = resourceType({
  name: "CinderSnapshot",
  description:
    "The set of Cinder snapshots of one volume under one schedule and retention; the newest is current.",
  inputs,
  outputs,
  rules: given => [
    ...timingRules(given),
    ...(given.retention?.keepTags
      ? [{ property: "retention.keepTags", reason: "Cinder snapshots carry no tags, use it on ResticBackup" }]
      : []),
  ],
  settle: (given, olds, context) => ({
    ...given,
    slot: settleSlot(given, olds, context.now),
    retention: given.retention ?? defaultRetention(given),
  }),
  preflightKeys: ["volumeId", "cloud", "region"],
  async preflight(given, context) {
    const session = context.session(given);
    if (await inventoryOf(session).volume(given.volumeId)) return [];
    return [
      {
        property: "volumeId",
        reason: `volume ${given.volumeId} does not exist in project ${await session.projectId()}, look it up with \`openstack volume list\``,
      },
    ];
  },

  async plan(state, given, context) {
    const asOf = asOfOf(given, context);
    const present = await pointsBefore(given, state, context);
    const adopted = isAdopting(given, state) ? [await toAdopt(given, given.adoptId, context)] : [];
    const due = wanted(given) && !present.some(point => point.good && runKey(point) === runKey(given));
    const coming = due ? [{ ...comingPoint(given, context), time: asOf }] : [];
    const begun = present.some(point => point.status === "creating" && runKey(point) === runKey(given));
    const { superseded, staying } =
      due && !begun ? supersededBy(given, present) : { superseded: [], staying: present };
    const { keep, remove } = decide([...staying, ...adopted, ...coming], policyOf(given), howOf(given, asOf));
    const trigger = given.trigger ? ` (trigger '${given.trigger}')` : "";
    return [
      sentence(
        ...adopted.map(point => `will adopt snapshot ${describePoint(point)}`),
        due ? `will take the recovery point of ${given.slot || "now"}${trigger}` : undefined,
        tally(keep.length, [...superseded, ...remove], "removes"),
      ),
    ];
  },

  async drift(state, given, context) {
    const current = state.snapshotId;
    if (!wanted(given) || state.points.length === 0) return [];
    if (!current) return ["the newest recovery point has vanished"];
    const present = await pointsBefore(given, state, context);
    const found = present.find(point => point.id === current);
    if (!found) return [`recovery point ${current} has vanished`];
    const broken = present.filter(point => point.status.startsWith("error"));
    return broken.map(point => `recovery point ${point.id} is '${point.status}'`);
  },

  async leaving(state, context) {
    const present = await points(setOf(state, context));
    const named = namedPoints(
      present,
      `recovery point of volume ${state.volumeId}`,
      `recovery points of volume ${state.volumeId}`,
    );
    return `will ${state.deletionPolicy === "retain" ? "leave" : "remove"} ${named}`;
  },

  async create(given, context) {
    return { id: given.owner, outputs: await converge(given, undefined, context) };
  },

  async read(id, state, context) {
    const present = await points(setOf(state, context));
    if (present.length === 0 && state.points.length > 0) return undefined;
    const found = outputsOf(state, keptOf(state, present, context), state.removed);
    // An older point does not take the place of a current one that is gone: what is missing would be forgotten.
    const isLost = wanted(state) && !present.some(point => point.id === state.snapshotId);
    return { id, outputs: isLost ? { ...found, snapshotId: "", takenAt: "", sizeGib: 0 } : found };
  },

  update: (_id, state, given, context) => converge(given, state, context),

  async delete(_id, state, context) {
    if (state.deletionPolicy === "retain") {
      context.log(`deletionPolicy is 'retain': ${state.points.length} recovery points stay`);
      return;
    }
    const present = await points(setOf(state, context));
    await Promise.all(present.map(point => removePoint(setOf(state, context), point.id)));
    if (present.length > 0) context.log(`removed ${namedPoints(present, "recovery point")}`);
  },
});

/** Observe, ensure, prune, return. */
async function converge(
  given: Inputs,
  state: State<typeof inputs, typeof outputs> | undefined,
  context: Context,
): Promise<Outputs> {
  const members = setOf(given, context);
  if (state && state.owner !== given.owner) await handOver(members, state.owner);
  if (isAdopting(given, state)) {
    const { adoptId } = given;
    await adopt(members, adoptId, row => adoptedMark(given, adoptId, row));
  }
  let took: string | undefined;
  const removed: Decision<SnapshotPoint>[] = [];
  if (wanted(given)) {
    const slotPassed = state === undefined || state.slot !== given.slot;
    const takenAt = instant(context.now);
    const { point, made, superseded } = await takePoint(members, {
      name: nameOf(given, context),
      description: given.description,
      force: given.force,
      metadata: given.metadata,
      mark: markOf(given, { takenAt, time: slotPassed && given.slot ? given.slot : takenAt }),
    });
    removed.push(...superseded);
    if (made) took = `took recovery point ${describePoint(point)}`;
  }
  const pruned = await prune(members, policyOf(given), howOf(given, asOfOf(given, context)));
  removed.push(...pruned.removed);
  const fresh = outputsOf(
    given,
    keptOf(
      given,
      pruned.kept.map(({ point }) => point),
      context,
    ),
    removed.map(({ point, reasons }) => ({
      snapshotId: point.id,
      time: instant(point.time),
      because: reasons,
    })),
  );
  if (took || removed.length > 0) context.log(sentence(took, tally(fresh.points.length, removed, "removed")));
  if (pruned.failed.length > 0)
    throw new PartialFailure(
      `the recovery point was taken, but ${pruned.failed.length} old point${pruned.failed.length === 1 ? "" : "s"} could not be removed: ${pruned.failed.map(({ reason }) => reason).join("; ")}`,
      { id: given.owner, outputs: fresh },
    );
  return fresh;
}

/** Whether this set should have a point for its slot: not while paused, and not with a count of 0. */
function wanted(given: Inputs): boolean {
  return given.schedule === undefined ? !given.paused : given.slot !== "";
}

/** Snapmanager's count is the whole retention of its copy set; with a count of 0 everything stays. */
function defaultRetention(given: Inputs): Inputs["retention"] {
  const count = scheduleOf(given)?.count;
  if (count === undefined) return { keepLast: 3, keepForDays: 7 };
  return count > 0 ? { keepLast: count } : undefined;
}

/** Retention of the set; without any (a schedule with count 0) everything stays. */
function policyOf(given: Inputs): Retention {
  return retentionOf(given) ?? { keepLast: Number.MAX_SAFE_INTEGER };
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

function markOf(given: Inputs, moment: { takenAt: string; time: string }): Mark {
  return {
    owner: given.owner,
    set: setNameOf(given),
    role: "recovery-point",
    slot: given.slot,
    trigger: given.trigger,
    copy: copyOf(given),
    ...moment,
  };
}

/** What the mark of a new point says of its copy. */
function copyOf(given: Inputs): Copy | undefined {
  return given.awaitsCopy ? "awaited" : undefined;
}

/** The set's name: given, or the resource's. */
export function setNameOf(given: { set?: string | undefined; owner: string }): string {
  return given.set ?? given.owner.split("/").slice(2).join("/") ?? given.owner;
}

/** S0's pattern; the timestamp is the slot's, so that the name says which slot it is. */
function nameOf(given: Inputs, context: Context): string {
  if (given.name) return given.name;
  const stamp = (given.slot || instant(context.now)).replaceAll(/[-:]/g, "");
  return `${given.namePrefix}-${setNameOf(given)}`.slice(0, 255 - stamp.length - 1).concat("-", stamp);
}

/** Retention counts back from the newest slot, never from the wall clock. */
function asOfOf(given: Inputs, context: Context): Date {
  return given.slot ? new Date(given.slot) : context.now;
}

/** How retention is applied to the set. */
function howOf(given: Inputs, asOf: Date): RetentionOptions {
  return { asOf, timeZone: given.timeZone, awaitsCopy: given.awaitsCopy ?? false };
}

const comingId = "coming";

function comingPoint(given: Inputs, context: Context): SnapshotPoint {
  const time = asOfOf(given, context);
  return {
    id: comingId,
    snapshotId: comingId,
    name: "",
    time,
    good: true,
    status: "available",
    sizeGib: 0,
    slot: given.slot,
    trigger: given.trigger,
    takenAt: instant(context.now),
    copy: copyOf(given),
  };
}

/** The points with why each is kept: by the policy, or for the copy that it waits for, proven or not, until the next run. */
function keptOf(
  state: Inputs,
  present: SnapshotPoint[],
  context: Context,
): Pick<Pruned<SnapshotPoint>, "kept"> {
  const { awaitsCopy, ...options } = howOf(state, asOfOf(state, context));
  const { keep, remove } = applyRetention(present, policyOf(state), options);
  const others = awaitsCopy
    ? remove.map(({ point }) => ({ point, reasons: ["until a newer copy is proven"] }))
    : remove;
  return {
    kept: [...keep, ...others].sort((a, b) => b.point.time.getTime() - a.point.time.getTime()),
  };
}

function outputsOf(
  given: Inputs,
  kept: Pick<Pruned<SnapshotPoint>, "kept">,
  removed: Outputs["removed"],
): Outputs {
  const current = kept.kept.find(({ point }) => point.good)?.point;
  return {
    snapshotId: current?.snapshotId ?? "",
    takenAt: current?.takenAt ?? "",
    sizeGib: current?.sizeGib ?? 0,
    points: kept.kept.map(({ point, reasons }) => ({
      snapshotId: point.snapshotId,
      name: point.name,
      ...(point.slot ? { slot: point.slot } : {}),
      takenAt: point.takenAt,
      ...(point.status === "available" ? {} : { status: point.status }),
      keptBecause: reasons,
    })),
    removed,
    nextDue: nextDue(given) ?? "",
  };
}

/** The points that the run will find: those of a renamed resource carry its former name until it runs. */
async function pointsBefore(
  given: Inputs,
  state: Pick<Inputs, "owner"> | undefined,
  context: Context,
): Promise<SnapshotPoint[]> {
  const members = setOf(given, context);
  const owners = new Set([given.owner, ...(state?.owner === undefined ? [] : [state.owner])]);
  const found = await Promise.all([...owners].map(owner => points({ ...members, owner })));
  return found.flat();
}

/** Whether this run takes a snapshot that was made by other means into the set. */
function isAdopting(
  given: Inputs,
  state: Pick<Inputs, "adoptId"> | undefined,
): given is Inputs & { adoptId: string } {
  return given.adoptId !== undefined && given.adoptId !== state?.adoptId;
}

/** That snapshot as a point. */
async function toAdopt(given: Inputs, id: string, context: Context): Promise<SnapshotPoint> {
  const row = await snapshots.get(context.session(given), id, { signal: context.signal });
  return asPoint({ row, mark: adoptedMark(given, id, row) });
}

function adoptedMark(given: Inputs, id: string, row: { created_at?: string }): Mark {
  const takenAt = `${(row.created_at ?? "").slice(0, 19)}Z`;
  return { ...markOf(given, { takenAt, time: takenAt }), slot: undefined, trigger: `adopted ${id}` };
}
