import { z } from "zod";
import { type BackedUp, type BackUpVolume, backUpVolume } from "../operations/back-up-volume";
import { partialWords, runWords, supersededWords } from "../operations/backup-words";
import { instant, type Mark, runKey } from "../operations/marks";
import { forgetPoints, forgetTogether, knownPoints, letGo } from "../operations/restic-inventory";
import { pointOf, type ResticPoint, resticPoints } from "../operations/restic-set";
import { applyRetention, type Decision, type Retention } from "../operations/retention";
import { supersededBy } from "../operations/superseded";
import { namedPoints, sentence, tally } from "../operations/words";
import { isKind, type Repository } from "../restic";
import { setNameOf } from "./cinder-snapshot";
import { deletionPolicy, owner, place, retention, set, timingRules } from "./inputs";
import { accessOf, accessRules, repositoryAccess } from "./repository-access";
import { type Context, PartialFailure, resourceType, type State } from "./resource";
import { hasUnknown } from "./unknown";

const inputs = z.object({
  owner,
  formerOwners: z
    .array(z.string().min(1))
    .describe(
      "Owner marks that this set had before: restic snapshots with one of them are its points too. " +
        "A rename is remembered by itself; give it where the state was lost.",
    )
    .optional(),
  set: set.optional(),
  ...place,
  snapshotId: z.string().describe("The Cinder snapshot to back up. Empty: there is nothing to back up yet."),
  slot: z
    .string()
    .default("")
    .describe("The slot of that snapshot: one restic snapshot is made for each. Empty without a schedule."),
  trigger: z.string().describe("The trigger of that snapshot.").optional(),
  takenAt: z
    .string()
    .describe("When that snapshot was taken, ISO 8601 in UTC; the restic snapshot's time.")
    .optional(),
  temporaryVolume: z
    .strictObject({
      owner: z
        .string()
        .min(1)
        .describe("Owner mark of the TemporaryVolume, to find or remake its volume by."),
      volumeId: z.string().describe("Its volume, where it is known.").optional(),
      volumeType: z.string().describe("Volume type. Default: the source volume's.").optional(),
      availabilityZone: z.string().describe("Availability zone. Default: the source's.").optional(),
      sizeGib: z.number().int().positive().describe("Size in GiB. Default: the snapshot's.").optional(),
      timeoutSeconds: z.number().positive().default(300).describe("Wait for the volume, in seconds."),
    })
    .describe("The volume to read: ensured before the backup, released after it."),
  source: z
    .strictObject({
      owner: z.string().min(1).describe("Owner mark of the CinderSnapshot."),
      volumeId: z.string().min(1).describe("The volume that is protected."),
    })
    .describe("The set that the snapshot belongs to; needed by onFailure 'cleanup'.")
    .optional(),
  repository: repositoryAccess.describe("The repository to back up into."),
  content: z
    .enum(["auto", "file", "block"])
    .default("auto")
    .describe(
      "'file' reads the file system, 'block' streams the device, 'auto' takes files where there are any.",
    ),
  paths: z
    .array(z.string().min(1))
    .min(1)
    .default(["/"])
    .describe("Paths inside the volume. Default everything."),
  exclude: z
    .array(z.string().min(1))
    .default([])
    .describe("Patterns to leave out, as restic's --exclude takes them."),
  allowUnreadable: z
    .union([z.number().int().min(0), z.array(z.string().min(1)).min(1)])
    .describe(
      "What may be unreadable in a backup that still counts as good: how many files, or patterns of their paths " +
        "such as '/var/lib/docker/**' or '*.sock'. Without it any such file makes the point partial.",
    )
    .optional(),
  host: z
    .string()
    .min(1)
    .describe("restic's host name, the same in every run. Default: the set's name.")
    .optional(),
  retention: retention.describe("Which restic snapshots are kept. Default: all.").optional(),
  timeZone: z.string().default("UTC").describe("IANA time zone of retention's days. Default UTC."),
  timeoutSeconds: z
    .number()
    .positive()
    .default(86_400)
    .describe("Deadline of one backup, in seconds. Default a day."),
  onFailure: z
    .enum(["cleanup", "keepSnapshot"])
    .default("keepSnapshot")
    .describe(
      "After a failed backup: 'cleanup' removes the new Cinder snapshot too, where another one has a proven copy; 'keepSnapshot' keeps it.",
    ),
  deletionPolicy: deletionPolicy
    .default("retain")
    .describe(
      "Whether the restic snapshots go with the resource: 'retain' (default) keeps them, 'delete' forgets them.",
    ),
});

const outputs = z.object({
  resticSnapshotId: z.string().describe("Id of the newest good restic snapshot; empty before the first one."),
  phase: z.enum(["Pending", "Succeeded", "PartiallyFailed"]).describe("How the last backup ended."),
  points: z
    .array(
      z.object({
        resticSnapshotId: z.string(),
        slot: z.string().optional(),
        takenAt: z.string(),
        good: z.boolean(),
        keptBecause: z.array(z.string()),
      }),
    )
    .describe("All points of the set in the repository, newest first, each with why it is kept."),
  removed: z
    .array(z.object({ resticSnapshotId: z.string(), time: z.string(), because: z.array(z.string()) }))
    .describe("What the last run forgot, and why."),
  filesTotal: z.number().describe("Files in the last backup; 1 in block mode."),
  bytesTotal: z.number().describe("Bytes that the last backup covers."),
  bytesAdded: z.number().describe("Bytes that it added to the repository."),
  durationSeconds: z.number().describe("How long restic took for it."),
  readBy: z.string().describe("How the volume was read, such as 'loop mount'."),
});

type Inputs = z.output<typeof inputs>;
type Outputs = z.output<typeof outputs>;
type BackupState = State<typeof inputs, typeof outputs>;

/** The set of restic snapshots of one source under one retention. Serves S0's backup part. */
export const resticBackup = resourceType({
  name: "ResticBackup",
  description: "The set of restic snapshots of one source under one retention.",
  inputs,
  outputs,
  followSlot: ["snapshotId", "takenAt", "temporaryVolume"],
  follows: ["snapshotId", "slot", "trigger", "takenAt", "temporaryVolume", "source"],

  rules: given => [
    ...timingRules({ timeZone: given.timeZone, retention: given.retention }),
    ...(given.repository ? accessRules(given.repository, "repository.") : []),
    ...(given.onFailure === "cleanup" && "source" in given && given.source === undefined
      ? [
          {
            property: "source",
            reason: "onFailure 'cleanup' needs the source set, give source.owner and source.volumeId",
          },
        ]
      : []),
  ],

  // What a snapshot's tags say can be changed only by writing it anew, and on an append-only store not at all.
  settle(given, olds) {
    const before = [...(olds?.formerOwners ?? []), ...(olds?.owner === undefined ? [] : [olds.owner])];
    const formerOwners = [...new Set([...(given.formerOwners ?? []), ...before])].filter(
      former => former !== given.owner,
    );
    return formerOwners.length > 0 ? { ...given, formerOwners } : given;
  },

  // The repository itself is asked by ResticRepository; here it is enough that restic can run at all.
  preflightKeys: ["repository"],
  async preflight(given, context) {
    try {
      await context.repository(accessOf(given.repository)).version();
      return [];
    } catch (error) {
      return [{ property: "repository", reason: (error as Error).message }];
    }
  },

  async plan(state, given, context) {
    const present = await pointsBefore(given, state, context);
    const isDue = given.snapshotId !== "" && !pointOf(present, given);
    const asOf = asOfOf(given, new Date(given.takenAt ?? context.now));
    const coming = isDue ? [comingPoint(given, asOf)] : [];
    const { superseded, staying } = isDue
      ? supersededBy(given, present)
      : { superseded: [], staying: present };
    const { keep, remove } = judge([...staying, ...coming], given, asOf);
    const other = state && !isSameRepository(given, state) ? state.points.length : 0;
    return [
      sentence(
        isDue
          ? `will back up the recovery point of ${given.slot || "this run"} into the repository`
          : undefined,
        tally(keep.length, [...superseded, ...remove], "forgets"),
        other > 0
          ? `${other} restic snapshot${other === 1 ? "" : "s"} in the repository before are left there`
          : undefined,
      ),
    ];
  },

  async drift(state, given, context) {
    // A change of the repository is a change of its own.
    if (!isSameRepository(given, state)) return [];
    if (!state.resticSnapshotId) {
      const isLost = given.snapshotId !== "" && state.points.some(point => point.good);
      return isLost ? ["the newest restic snapshot has vanished"] : [];
    }
    const seen = await known(given, context);
    return seen.some(point => point.id === state.resticSnapshotId)
      ? []
      : [`restic snapshot ${state.resticSnapshotId.slice(0, 8)} has vanished from the repository`];
  },

  async create(given, context) {
    return { id: given.owner, outputs: await converge(given, undefined, context) };
  },

  async read(id, state, context) {
    if (state.points.length === 0) return { id, outputs: outputsOf(state, []) };
    const present = await resticPoints(
      context.repository(accessOf(state.repository)),
      ownersOf(state),
      context.signal,
    );
    if (present.length === 0) return undefined;
    const found = outputsOf(state, decided(present, state));
    // An older point does not take the place of a newest one that is gone: what is missing would be forgotten.
    const isLost = !present.some(point => point.id === state.resticSnapshotId);
    return { id, outputs: isLost ? { ...found, resticSnapshotId: "" } : found };
  },

  update: (_id, state, given, context) => converge(given, state, context),

  async delete(_id, state, context) {
    await context.mover.cleanup({ owner: state.owner, log: context.log });
    if (state.deletionPolicy === "retain") {
      context.log(
        `deletionPolicy is 'retain': ${state.points.length} restic snapshots stay in the repository`,
      );
      return;
    }
    const repository = context.repository(accessOf(state.repository));
    const present = await resticPoints(repository, ownersOf(state), context.signal);
    await forgetPoints(repository, present, context.signal);
    if (present.length > 0) context.log(`forgot ${namedPoints(present, "restic snapshot")}`);
  },
});

async function converge(given: Inputs, state: BackupState | undefined, context: Context): Promise<Outputs> {
  const before: LastRun = state ?? {
    phase: "Pending",
    filesTotal: 0,
    bytesTotal: 0,
    bytesAdded: 0,
    durationSeconds: 0,
    readBy: "",
  };
  if (given.snapshotId === "")
    return { ...outputsOf(before, []), ...(state ? { points: state.points } : {}) };
  const repository = context.repository(accessOf(given.repository));
  const session = context.session(given);
  const takenAt = new Date(given.takenAt ?? context.now);
  const isOver = repository.announceBackup();
  const backedUp = await backedUpBy(isOver, {
    session,
    mover: context.mover,
    repository,
    access: accessOf(given.repository),
    mark: markOf(given, state, takenAt),
    owners: ownersOf(given),
    temporaryVolume: {
      ...given.temporaryVolume,
      set: setNameOf(given),
      snapshotId: given.snapshotId,
      slot: given.slot,
      expiresAfterSeconds: given.timeoutSeconds + 86_400,
    },
    temporaryVolumeId: given.temporaryVolume.volumeId,
    source: given.source && {
      session,
      ...given.source,
      timeoutSeconds: given.temporaryVolume.timeoutSeconds,
      log: context.log,
      signal: context.signal,
    },
    onFailure: given.onFailure,
    isNew: !isDone(given, state),
    content: given.content,
    paths: given.paths,
    exclude: given.exclude,
    host: given.host ?? setNameOf(given),
    takenAt,
    timeoutSeconds: given.timeoutSeconds,
    allowUnreadable: given.allowUnreadable,
    now: context.now,
    log: context.log,
    signal: context.signal,
  });
  const { moved, superseded } = backedUp;
  const run: LastRun = moved
    ? {
        phase: moved.partial ? "PartiallyFailed" : "Succeeded",
        filesTotal: moved.filesTotal,
        bytesTotal: moved.bytesTotal,
        bytesAdded: moved.bytesAdded,
        durationSeconds: Math.round(moved.durationSeconds * 1000) / 1000,
        readBy: moved.how,
      }
    : { ...before, phase: "Succeeded" };
  const kept = await retained(repository, isOver, backedUp.points, given, takenAt, context).catch(
    (error: Error) => {
      isOver();
      const outputs = outputsOf(run, backedUp.points.map(unjudged), superseded);
      throw new PartialFailure(
        `${moved?.partial ? partialWords(moved, backedUp.points) : "the backup is in the repository"}, ` +
          `but old points could not be forgotten: ${error.message}`,
        { id: given.owner, outputs },
        { cause: error },
      );
    },
  );
  const outputs = outputsOf(run, kept.points, [...superseded, ...kept.removed]);
  const replaced = superseded.length > 0 ? `forgot ${supersededWords(superseded)}` : undefined;
  if (moved?.partial) {
    context.log(sentence(replaced, kept.words));
    throw new PartialFailure(partialWords(moved, backedUp.points), { id: given.owner, outputs });
  }
  context.log(sentence(runWords(moved, backedUp.points, given), replaced, kept.words));
  return outputs;
}

/** A backup that fails may be the last one, which the points of other sets wait for. */
async function backedUpBy(isOver: () => void, run: BackUpVolume): Promise<BackedUp> {
  try {
    return await backUpVolume(run);
  } catch (error) {
    await forgetTogether(run.repository, isOver).catch((second: Error) =>
      run.log(`warning: old points of other sets stay until their next slot: ${second.message}`),
    );
    throw error;
  }
}

/** What the policy leaves of the set, in the order of the outputs, and in words. */
async function retained(
  repository: Repository,
  isOver: () => void,
  points: ResticPoint[],
  given: Inputs,
  takenAt: Date,
  context: Context,
): Promise<{ points: Decision<ResticPoint>[]; removed: Decision<ResticPoint>[]; words: string }> {
  if (!given.retention) {
    await forgetTogether(repository, isOver);
    return { points: points.map(unjudged), removed: [], words: tally(points.length, [], "forgot") };
  }
  const { kept, removed } = letGo(repository, points, given.retention as Retention, {
    asOf: asOfOf(given, takenAt),
    timeZone: given.timeZone,
    signal: context.signal,
  });
  const isDone = await forgetTogether(repository, isOver);
  return {
    points: newestFirst(kept),
    removed,
    words: tally(kept.length, removed, isDone ? "forgot" : "forgets with the run's last backup"),
  };
}

/** Whose points make up the set. */
function ownersOf(given: Inputs): string[] {
  return [given.owner, ...(given.formerOwners ?? [])];
}

function known(given: Inputs, context: Context): Promise<ResticPoint[]> {
  return knownPoints(context.repository(accessOf(given.repository)), ownersOf(given), context.signal);
}

/** The points that the run will find. A repository that is not known or not there yet holds none. */
async function pointsBefore(
  given: Inputs,
  state: object | undefined,
  context: Context,
): Promise<ResticPoint[]> {
  if (given.repository === undefined || hasUnknown(given.repository)) return [];
  return known(given, context).catch(error => {
    if (state === undefined && isKind(error, "no-repository")) return [];
    throw error;
  });
}

/** Whether the state already holds the point of this run. */
function isDone(given: Inputs, state: BackupState | undefined): boolean {
  if (state === undefined || !isSameRepository(given, state)) return false;
  return state.resticSnapshotId !== "" && runKey(state) === runKey(given);
}

function isSameRepository(given: Inputs, state: Inputs): boolean {
  return given.repository?.url === state.repository.url;
}

type LastRun = Pick<
  Outputs,
  "phase" | "filesTotal" | "bytesTotal" | "bytesAdded" | "durationSeconds" | "readBy"
>;

function markOf(given: Inputs, state: BackupState | undefined, takenAt: Date): Mark {
  const slotPassed = state === undefined || state.slot !== given.slot;
  return {
    owner: given.owner,
    set: setNameOf(given),
    role: "recovery-point",
    slot: given.slot,
    trigger: given.trigger,
    takenAt: instant(takenAt),
    time: slotPassed && given.slot ? given.slot : instant(takenAt),
  };
}

/** Retention counts back from the newest slot, never from the wall clock. */
function asOfOf(given: Inputs, takenAt: Date): Date {
  return given.slot ? new Date(given.slot) : takenAt;
}

function decided(present: ResticPoint[], given: Inputs): Decision<ResticPoint>[] {
  const { keep, remove } = judge(present, given, asOfOf(given, present[0]?.time ?? new Date(0)));
  return newestFirst(keep, remove);
}

/** What retention says of the points; without one all stay. */
function judge(points: ResticPoint[], given: Inputs, asOf: Date) {
  if (!given.retention) return { keep: points.map(unjudged), remove: [] };
  return applyRetention(points, given.retention as Retention, { asOf, timeZone: given.timeZone });
}

function newestFirst(...lists: Decision<ResticPoint>[][]): Decision<ResticPoint>[] {
  return lists.flat().sort((a, b) => b.point.time.getTime() - a.point.time.getTime());
}

function unjudged(point: ResticPoint): Decision<ResticPoint> {
  return { point, reasons: ["no retention"] };
}

const comingId = "coming";

/** The point that the coming run will make, for the preview's arithmetic. */
function comingPoint(given: Inputs, time: Date): ResticPoint {
  const { owner, slot, trigger } = given;
  return { id: comingId, owner, time, good: true, tags: [], slot, trigger, takenAt: instant(time) };
}

function outputsOf(
  run: LastRun,
  kept: Decision<ResticPoint>[],
  removed: Decision<ResticPoint>[] = [],
): Outputs {
  return {
    resticSnapshotId: kept.find(({ point }) => point.good)?.point.id ?? "",
    phase: run.phase,
    points: kept.map(({ point, reasons }) => ({
      resticSnapshotId: point.id,
      ...(point.slot ? { slot: point.slot } : {}),
      takenAt: point.takenAt,
      good: point.good,
      keptBecause: reasons,
    })),
    removed: removed.map(({ point, reasons }) => ({
      resticSnapshotId: point.id,
      time: instant(point.time),
      because: reasons,
    })),
    filesTotal: run.filesTotal,
    bytesTotal: run.bytesTotal,
    bytesAdded: run.bytesAdded,
    durationSeconds: run.durationSeconds,
    readBy: run.readBy,
  };
}
