import { instant, runKey } from "../base/marks";
import { type BackUpVolume, backUpVolume } from "../operations/back-up-volume";
import { partialWords, runWords } from "../operations/backup-words";
import { unacknowledged, unusualWords } from "../operations/change";
import { type Figures, selectionTag } from "../operations/figures";
import { Members, type Remembered, strangerWords, takenOverWords } from "../operations/members";
import { proofOf } from "../operations/proof";
import { resticInventoryOf } from "../operations/restic-inventory";
import { markedSnapshots, type ResticPoint } from "../operations/restic-set";
import type { Decision, Retention } from "../operations/retention";
import { decide, holdBack, pointOf } from "../operations/set-point";
import {
  allowedAmong,
  asAllowed,
  fullGoWords,
  fullPoints,
  guardOffWords,
  shrinkWords,
  shrunkSince,
  shrunkWords,
} from "../operations/shrink";
import { unremovedOf } from "../operations/unremoved";
import { describePoint } from "../operations/words";
import { isKind, type Repository } from "../restic";
import { setNameOf } from "./inputs";
import { asOfOf, comingPoint, markOf, ownRunOf } from "./point-set";
import type { PointStore, Removed, Taken } from "./point-store";
import { accessOf } from "./repository-access";
import type { Context } from "./resource";
import type { Inputs, Outputs } from "./restic-backup-schema";
import { hasUnknown } from "./unknown";

type BackupState = Inputs & Outputs;

/** What the outputs tell of the last backup. */
type LastRun = Pick<
  Outputs,
  | "phase"
  | "message"
  | "startedAt"
  | "completedAt"
  | "filesTotal"
  | "bytesTotal"
  | "bytesAdded"
  | "durationSeconds"
  | "readBy"
  | "leftVolumeId"
>;

/** Recovery points that are restic snapshots of one source. */
export const resticStore: PointStore<Inputs, Outputs, ResticPoint, LastRun> = {
  noun: "restic snapshot",
  verbs: ["forgets", "forgot"],
  done: "the backup is in the repository",
  idKey: "resticSnapshotId",
  originOf: ({ source }) => source?.volumeId,

  wants: given => given.snapshotId !== "",
  restsUnwanted: true,
  momentOf: (given, context) => new Date(given.takenAt || context.now),

  before: async (given, state, context) => (await look(given, state, context)).points,
  async warnings(given, state, context) {
    const { points, members } = await look(given, state, context);
    const shrunk = shrunkWords(shrunkSince(points, given.allowShrink));
    return [
      ...cautions(members, points, given),
      ...(shrunk ? [shrunk] : []),
      ...foretold(points, given, context),
    ];
  },
  accept: (points, { allowShrink }) => asAllowed(points, allowShrink),
  async present(state, context) {
    const all = await markedSnapshots(repositoryOf(state, context), context.signal);
    const owners = ownersOf(state);
    const members = membersOf(state, state, context);
    const points = await members.among(all.filter(({ owner }) => owners.includes(owner)));
    for (const line of cautions(members, points, state)) context.warn(line);
    return points.map(remembering(state));
  },
  judge,

  take,
  clear: (points, state, context) =>
    resticInventoryOf(repositoryOf(state, context)).forget(points, context.signal),
  async assertStays(state, context) {
    // with nothing to be left there, or nothing that goes elsewhere because of it, it may be gone
    if (!state.source || !state.points.some(({ good }) => good)) return;
    const giveUp =
      "the set's Cinder snapshots would go next, so nothing of it is removed: put the repository back, or, to give its points up, " +
      "take this resource out of the state with `pulumi state delete`";
    const there = await resticInventoryOf(repositoryOf(state, context))
      .marked(ownersOf(state), context.signal)
      .catch(error => {
        throw new Error(
          `deletionPolicy is 'retain', and whether its restic snapshots are there is not known: ${(error as Error).message}; ${giveUp}`,
          { cause: error },
        );
      });
    const ids = new Set(there.flatMap(({ id, writtenFor }) => [id, writtenFor]));
    if (!state.points.some(({ resticSnapshotId, good }) => good && ids.has(resticSnapshotId)))
      throw new Error(
        `deletionPolicy is 'retain', and none of its good restic snapshots is there any more; ${giveUp}`,
      );
  },
  async leave(state, context) {
    await context.mover(state).cleanup({ owner: state.owner, log: context.log });
  },

  coming: ({ owner }) => ({ owner, tags: [], tree: "" }),
  announce: ({ slot }) => `will back up the recovery point of ${slot || "this run"} into the repository`,
  describe: ({ good, writtenFor, figures, change }) => ({
    good,
    ...(writtenFor === undefined ? {} : { original: writtenFor }),
    ...figures,
    ...(change ? { filesChanged: rounded(change.files), bytesChanged: rounded(change.bytes) } : {}),
  }),
  wasGood: ({ good }) => good,
  current: point => ({ resticSnapshotId: point?.id ?? "" }),
  own: (_given, state) => ({
    phase: state?.phase ?? "Pending",
    message: state?.message ?? "",
    startedAt: state?.startedAt ?? "",
    completedAt: state?.completedAt ?? "",
    filesTotal: state?.filesTotal ?? 0,
    bytesTotal: state?.bytesTotal ?? 0,
    bytesAdded: state?.bytesAdded ?? 0,
    durationSeconds: state?.durationSeconds ?? 0,
    readBy: state?.readBy ?? "",
    leftVolumeId: state?.leftVolumeId ?? "",
  }),
  unsettled: ({ leftVolumeId }) =>
    leftVolumeId ? [`temporary volume ${leftVolumeId} of a proven backup could not be removed`] : [],
  isElsewhere,
};

/** The points that a run will find. A repository that is not known or not there yet holds none. */
async function look(
  given: Inputs,
  state: BackupState | undefined,
  context: Context,
): Promise<{ points: ResticPoint[]; members: Members }> {
  const members = membersOf(given, state, context);
  if (given.repository === undefined || hasUnknown(given.repository)) return { points: [], members };
  const marked = await resticInventoryOf(repositoryOf(given, context))
    .marked(ownersOf(given), context.signal)
    .catch(error => {
      if (state === undefined && isKind(error, "no-repository")) return [];
      throw error;
    });
  const points = await members.among(marked);
  return { points: points.map(remembering(state)), members };
}

/** What a preview and a run say of what they have seen in the repository. */
function cautions(
  { strangers, unadopted }: Members,
  points: readonly ResticPoint[],
  { acknowledgeChange, allowShrink }: Inputs,
): string[] {
  return [
    strangerWords(strangers),
    ...unadopted,
    takenOverWords(points),
    guardOffWords(allowShrink),
    ...unacknowledged(points, acknowledgeChange).map(unusualWords),
  ].filter(words => words !== undefined);
}

/** What a preview says of the full points that will go for shrunk ones: in this run, or where it lets none go in the next. */
function foretold(found: readonly ResticPoint[], given: Inputs, context: Context): string[] {
  const points = asAllowed(found, given.allowShrink);
  const accepts = allowedAmong(found, given.allowShrink).length > 0;
  const isDue = resticStore.wants(given) && !pointOf(points, ownRunOf(resticStore, given));
  const moment = asOfOf(resticStore, given, context);
  if (isDue && !accepts) return fullGoing("this run", points, given, moment);
  return nextGoing(isDue ? [comingPoint(resticStore, given, moment), ...points] : points, given, accepts);
}

/**
 * What the next due slot lets go of the full points. The run that counts shrunk ones names all, others the last: that a
 * set's oldest point goes is its every day. When the next slot is due only the schedule of the source knows: it is taken
 * to be as far from the last as that from the one before.
 */
function nextGoing(points: readonly ResticPoint[], given: Inputs, accepts: boolean): string[] {
  const slots = points.map(({ slot, time }) => Date.parse(slot || "") || time.getTime());
  const [last = 0, before] = [...new Set(slots)].sort((a, b) => b - a);
  const next = new Date(last + (before === undefined ? dayMs : last - before));
  return fullGoing("the next due slot", points, given, next, accepts);
}

const dayMs = 86_400_000;

/** Says which full points go for a point of that time, where the last ones do, or any. */
function fullGoing(
  when: string,
  points: readonly ResticPoint[],
  given: Inputs,
  time: Date,
  isAnySaid = false,
): string[] {
  const full = new Set(fullPoints(points).map(({ id }) => id));
  const { remove } = judge([comingPoint(resticStore, given, time), ...points], given, time);
  const gone = remove.filter(({ point }) => full.has(point.id));
  const isAll = gone.length === full.size;
  return gone.length > 0 && (isAll || isAnySaid) ? [fullGoWords(when, gone, isAll)] : [];
}

/**
 * As the policy says, but for two things. Nothing goes that is older than an unusual change which nobody has acknowledged.
 * And of points that are known by their mark alone none pushes another out: where the state was lost, a run lets only those
 * go that would go beside the points alone that it knows: its own, and those that the cloud names.
 */
function judge(
  points: readonly ResticPoint[],
  { retention, timeZone, acknowledgeChange }: Inputs,
  asOf: Date,
) {
  const decided = (some: readonly ResticPoint[]) =>
    decide(some, retention as Retention | undefined, { asOf, timeZone });
  const known = points.filter(({ adopted }) => !adopted);
  const [alarm] = unacknowledged(points, acknowledgeChange);
  return holdBack(decided(points), point => {
    if (alarm && point.time <= alarm.time) return `the change in ${describePoint(alarm)} is not acknowledged`;
    if (known.length === points.length) return undefined;
    const beside = decided([point, ...known.filter(({ id }) => id !== point.id)]);
    const goes = beside.remove.some(({ point: { id } }) => id === point.id);
    return goes ? undefined : "known by its mark alone: the next run decides";
  });
}

async function take(
  given: Inputs,
  state: BackupState | undefined,
  context: Context,
): Promise<Taken<ResticPoint, LastRun>> {
  const repository = repositoryOf(given, context);
  const isOver = repository.announceBackup();
  const begun = Date.now();
  try {
    const run = runOf(given, state, repository, context);
    const {
      moved,
      points: present,
      superseded,
      shrunk,
      acceptsShrink,
      leftVolumeId = "",
    } = await backUpVolume(run);
    const points = present.map(remembering(state));
    const left = acceptsShrink
      ? points
      : judge(points, given, new Date(run.mark.slot || run.takenAt)).keep.map(({ point }) => point);
    for (const line of [...cautions(run.members, points, given), ...nextGoing(left, given, acceptsShrink)])
      context.warn(line);
    const partial = shrunk
      ? shrinkWords(shrunk.point, shrunk.shrink, points)
      : moved?.partial
        ? partialWords(moved, points)
        : undefined;
    const words = partial === undefined ? runWords(moved, points, given) : undefined;
    return {
      points,
      superseded,
      words,
      partial,
      own: moved
        ? {
            phase: partial === undefined ? "Succeeded" : "PartiallyFailed",
            message: partial ?? words ?? "",
            startedAt: instant(context.now),
            // on the clock that `now` is of
            completedAt: instant(new Date(context.now.getTime() + Date.now() - begun)),
            filesTotal: moved.filesTotal,
            bytesTotal: moved.bytesTotal,
            bytesAdded: moved.bytesAdded,
            durationSeconds: Math.round(moved.durationSeconds * 1000) / 1000,
            readBy: moved.how,
            leftVolumeId,
          }
        : {
            ...resticStore.own(given, state),
            leftVolumeId,
            phase: partial === undefined ? "Succeeded" : "PartiallyFailed",
            ...(partial === undefined ? {} : { message: partial }),
          },
      remove: async decisions => {
        // the next preview names what goes, before it does
        const end = await forget(repository, acceptsShrink ? [] : decisions, isOver, context);
        const words = given.source && unremovedOf(context.session(given)).get(given.source.owner);
        return words && !end.failure
          ? { ...end, failure: { words: `of its Cinder snapshots ${words}` } }
          : end;
      },
    };
  } catch (error) {
    // it may be the last one, which the points of other sets wait for
    await resticInventoryOf(repository)
      .forgetTogether(isOver)
      .catch((second: Error) =>
        context.log(`warning: old points of other sets stay until their next slot: ${second.message}`),
      );
    throw error;
  }
}

function runOf(
  given: Inputs,
  state: BackupState | undefined,
  repository: Repository,
  context: Context,
): BackUpVolume {
  const { log, signal } = context;
  const session = context.session(given);
  const takenAt = resticStore.momentOf(given, context);
  const { volumeId, ...temporaryVolume } = given.temporaryVolume;
  return {
    session,
    mover: context.mover(given),
    repository,
    mark: markOf({ ...given, origin: given.source?.volumeId }, state, takenAt),
    owners: ownersOf(given),
    members: membersOf(given, state, context),
    temporaryVolume: {
      ...temporaryVolume,
      set: setNameOf(given),
      snapshotId: given.snapshotId,
      slot: given.slot,
      expiresAfterSeconds: given.timeoutSeconds + 86_400,
    },
    temporaryVolumeId: volumeId,
    source: given.source && {
      session,
      ...given.source,
      timeoutSeconds: given.temporaryVolume.timeoutSeconds,
      log,
      signal,
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
    allowShrink: given.allowShrink,
    remembered: point => {
      const { figures, change } = remembering(state)(point);
      return { figures, change, selection: state && selectionTag(state) };
    },
    now: context.now,
    log,
    signal,
  };
}

/** Together with the points of other sets, when the run's last backup has ended. */
async function forget(
  repository: Repository,
  decisions: Decision<ResticPoint>[],
  isOver: () => void,
  { signal }: Context,
): Promise<Removed<ResticPoint>> {
  const inventory = resticInventoryOf(repository);
  try {
    inventory.letGo(
      decisions.map(({ point }) => point),
      signal,
    );
    const isForgotten = await inventory.forgetTogether(isOver);
    return { removed: decisions, later: isForgotten ? undefined : "forgets with the run's last backup" };
  } catch (error) {
    isOver();
    const words = `old points could not be forgotten: ${(error as Error).message}`;
    return { removed: [], failure: { words, cause: error } };
  }
}

function repositoryOf(given: Inputs, context: Context): Repository {
  return context.repository(accessOf(given.repository));
}

/** What tells the set's points from snapshots that others have given its mark. */
function membersOf(given: Inputs, state: BackupState | undefined, context: Context): Members {
  const owners = ownersOf(given);
  const times = [context.now.getTime(), Date.parse(given.slot), Date.parse(state?.slot ?? "")];
  const volume = hasUnknown(given.temporaryVolume) ? state?.temporaryVolume : given.temporaryVolume;
  return new Members({
    owners,
    remembered: state === undefined || isElsewhere(given, state) ? undefined : rememberedBy(state),
    adoptIds: given.adoptIds,
    latest: new Date(Math.max(...times.filter(time => !Number.isNaN(time)))),
    proof: () => proofOf(context.session(given), owners, volume),
  });
}

/** What was to be forgotten and is still there is the set's too. */
const rememberedBy = ({ points, removed }: BackupState): Remembered[] => [
  ...points,
  ...removed.map(({ resticSnapshotId }) => ({ resticSnapshotId })),
];

/** With what the state knows that the repository does not. */
function remembering(state: BackupState | undefined): (point: ResticPoint) => ResticPoint {
  const known = new Map(state?.points.map(point => [point.resticSnapshotId, point]));
  return point => {
    const { filesTotal, bytesTotal, filesChanged, bytesChanged } =
      known.get(point.id) ?? known.get(point.writtenFor ?? "") ?? {};
    const figures =
      filesTotal !== undefined && bytesTotal !== undefined ? { filesTotal, bytesTotal } : undefined;
    const change =
      filesChanged !== undefined && bytesChanged !== undefined
        ? { files: filesChanged, bytes: bytesChanged }
        : undefined;
    return {
      ...point,
      figures: point.figures ?? figures ?? lastRun(point, state),
      change: point.change ?? change,
    };
  };
}

/** What a version before kept of the last backup alone. */
function lastRun({ id }: ResticPoint, state: BackupState | undefined): Figures | undefined {
  if (state?.phase !== "Succeeded" || state.resticSnapshotId !== id || state.filesTotal === 0)
    return undefined;
  return { filesTotal: state.filesTotal, bytesTotal: state.bytesTotal };
}

/** In thousandths, upwards. */
const rounded = (share: number): number => Math.ceil(Math.round(share * 1e6) / 1e3) / 1e3;

function isElsewhere(given: Inputs, state: BackupState): boolean {
  return given.repository?.url !== state.repository.url;
}

/** Whose points make up the set. */
function ownersOf(given: Inputs): string[] {
  return [given.owner, ...(given.formerOwners ?? [])];
}

/** Whether the state already holds the point of this run. */
function isDone(given: Inputs, state: BackupState | undefined): boolean {
  if (state === undefined || isElsewhere(given, state)) return false;
  return (
    state.resticSnapshotId !== "" &&
    state.source?.volumeId === given.source?.volumeId &&
    runKey(state) === runKey(given)
  );
}
