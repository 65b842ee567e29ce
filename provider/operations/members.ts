import { tag } from "../base/marks";
import { isOfTheFuture, type ResticPoint, standing, standsFor } from "./restic-set";
import { describePoint } from "./words";

/** A point as the state of its set remembers it. */
export interface Remembered {
  resticSnapshotId: string;
  /** The snapshot that it was written for, to carry other tags. */
  original?: string | undefined;
  /** When its data was captured; unknown of one that was to be forgotten, which goes on in no other. */
  takenAt?: string | undefined;
}

/** What speaks for a point that the state does not know, beside the repository: the cloud, which others write to. */
export interface Proof {
  /** Ids of restic snapshots that a run has written down as its own. */
  ids: ReadonlySet<string>;
  /** Of what instants backups have begun whose end nobody has seen. */
  begun: ReadonlySet<string>;
}

/** How a set knows its points. */
export interface Knowledge {
  /** Whose marks its points carry. */
  owners: readonly string[];
  /** What the state remembers; undefined without one, when every point with the mark is taken over. */
  remembered: readonly Remembered[] | undefined;
  /** Ids, or beginnings of them, of points that somebody has said are its own. */
  adoptIds?: readonly string[] | undefined;
  /** No point can be of later than this. */
  latest: Date;
  /** Is asked only where a point is not remembered. */
  proof(): Promise<Proof>;
}

/**
 * Tells a set's points from snapshots that only say they are: the mark is in the repository, where everybody who may add
 * a backup can write it. What the set has made itself is in its state, or, of a run that was killed, in the cloud.
 */
export class Members {
  /** The points of the set by id; undefined where nothing but the marks tells which they are. */
  private readonly own: Map<string, Remembered> | undefined;
  private readonly made = new Set<string>();
  private others: ResticPoint[] = [];
  private misnamed: string[] = [];

  constructor(private readonly known: Knowledge) {
    const { remembered } = known;
    this.own = remembered && new Map(remembered.map(point => [point.resticSnapshotId, point]));
  }

  /** A point that this run has made, or written anew. */
  note({ id, writtenFor, takenAt }: Pick<ResticPoint, "id" | "writtenFor" | "takenAt">): void {
    this.made.add(id);
    this.own?.set(id, { resticSnapshotId: id, original: writtenFor, takenAt });
  }

  /** The points among snapshots with the marks of the set, in the order given. */
  async among(marked: readonly ResticPoint[]): Promise<ResticPoint[]> {
    const possible = marked.filter(point => !isOfTheFuture(point, this.known.latest));
    const points = standing(
      this.own ? await this.ownAmong(possible, this.own) : await this.takenOver(possible),
    );
    const told = new Set(points.flatMap(({ id, originals }) => [id, ...(originals ?? [])]));
    this.others = marked.filter(({ id }) => !told.has(id));
    this.misnamed = (this.known.adoptIds ?? []).flatMap(
      begin => misnamedWords(begin, marked, possible) ?? [],
    );
    return points;
  }

  /** Those of the snapshots last looked at that are none of the set's points. */
  get strangers(): readonly ResticPoint[] {
    return this.others;
  }

  /** What is said of each of `adoptIds` that named no single one of them. */
  get unadopted(): readonly string[] {
    return this.misnamed;
  }

  /** All of them, as there is no state; the mark alone speaks for those that the cloud does not name either. */
  private async takenOver(possible: readonly ResticPoint[]): Promise<ResticPoint[]> {
    const isUnknown = (point: ResticPoint) => !this.made.has(point.id) && !this.isAdopted(point, possible);
    if (!possible.some(isUnknown)) return [...possible];
    const proven = await this.provenAmong(possible);
    const named = withOriginals([...possible.filter(point => !isUnknown(point)), ...proven], possible);
    return possible.map(point => (named.has(point) ? point : { ...point, adopted: true }));
  }

  private async provenAmong(possible: readonly ResticPoint[]): Promise<ResticPoint[]> {
    const { ids, begun } = await this.known.proof();
    return possible.filter(point => ids.has(point.id) || begun.has(point.takenAt));
  }

  private async ownAmong(
    possible: readonly ResticPoint[],
    own: ReadonlyMap<string, Remembered>,
  ): Promise<ResticPoint[]> {
    const present = new Set(possible.map(({ id }) => id));
    const gone = [...own.values()].filter(({ resticSnapshotId }) => !present.has(resticSnapshotId));
    // restic gives a snapshot another id to tag it
    const goesOn = ({ writtenFor, takenAt }: ResticPoint) =>
      writtenFor !== undefined &&
      !present.has(writtenFor) &&
      gone.some(
        point =>
          point.takenAt === takenAt &&
          (point.resticSnapshotId === writtenFor || point.original === writtenFor),
      );
    const known = possible.filter(
      point => own.has(point.id) || this.isAdopted(point, possible) || goesOn(point),
    );
    const all = withOriginals(known, possible);
    if (all.size === possible.length) return [...possible];
    const told = withOriginals([...all, ...(await this.provenAmong(possible))], possible);
    return possible.filter(point => told.has(point));
  }

  private isAdopted({ id }: ResticPoint, possible: readonly ResticPoint[]): boolean {
    return (this.known.adoptIds ?? []).some(
      begin => id.startsWith(begin) && beginningWith(begin, possible).length === 1,
    );
  }
}

const beginningWith = (begin: string, points: readonly ResticPoint[]): ResticPoint[] =>
  points.filter(({ id }) => id.startsWith(begin));

function misnamedWords(
  begin: string,
  marked: readonly ResticPoint[],
  possible: readonly ResticPoint[],
): string | undefined {
  const { length } = beginningWith(begin, possible);
  if (length === 1) return undefined;
  if (length > 1)
    return `adoptIds: ${length} restic snapshots with the mark of this set begin with ${begin}, none is adopted for it: give more digits`;
  if (beginningWith(begin, marked).length > 0)
    return `adoptIds: restic snapshot ${begin} says that it is of later than now, it is not adopted`;
  // tagged since, by which it has another id
  if (marked.some(({ writtenFor }) => writtenFor?.startsWith(begin))) return undefined;
  return (
    `adoptIds: the repository has no restic snapshot ${begin} with the mark of this set: look it up with ` +
    `\`restic snapshots\`, or take it out of adoptIds where it has gone`
  );
}

/** With what an append-only store has kept of them before they were tagged. */
function withOriginals(known: readonly ResticPoint[], possible: readonly ResticPoint[]): Set<ResticPoint> {
  const rewritten = known.filter(({ writtenFor }) => writtenFor !== undefined);
  return new Set([...known, ...possible.filter(point => rewritten.some(later => standsFor(later, point)))]);
}

/** How many snapshots a message names. */
const named = 3;

function namesOf(points: readonly ResticPoint[]): string {
  const names = points.slice(0, named).map(describePoint).join(", ");
  if (points.length <= named) return names;
  const tags = [...new Set(points.map(({ owner }) => ` --tag '${tag("owner", owner)}'`))].join("");
  return (
    `${names} and ${points.length - named} more (\`restic -r <repository> snapshots${tags}\` lists all with the mark, ` +
    `the set's own too)`
  );
}

/** What is said of the point that 'latest' means, where not all speaks for it. */
export function doubtsOf(
  chosen: ResticPoint,
  points: readonly ResticPoint[],
  strangers: readonly ResticPoint[],
): string | undefined {
  if (chosen.adopted)
    return (
      `restic snapshot ${describePoint(chosen)} is restored by its mark alone, which anybody with the repository's password ` +
      "can write: neither a state nor a Cinder snapshot names it; give resticSnapshotId to restore another one"
    );
  const newer = [...points.filter(({ adopted }) => adopted), ...strangers].filter(
    ({ time }) => time > chosen.time,
  );
  if (newer.length === 0) return undefined;
  const one = newer.length === 1;
  return (
    `${newer.length} newer restic snapshot${one ? " carries" : "s carry"} the mark of this set and ${one ? "is" : "are"} not known ` +
    `to be of its making: ${namesOf(newer)}; restic snapshot ${describePoint(chosen)} is restored; give resticSnapshotId to ` +
    "restore another one"
  );
}

/** What is said of points that a run without a state takes over, and that the cloud does not name as its own. */
export function takenOverWords(points: readonly ResticPoint[]): string | undefined {
  const adopted = points.filter(point => point.adopted);
  if (adopted.length === 0) return undefined;
  const one = adopted.length === 1;
  return (
    `without a state ${adopted.length} restic snapshot${one ? " is" : "s are"} taken over by ${one ? "its" : "their"} mark alone: ` +
    `${namesOf(adopted)}; ${one ? "it pushes" : "they push"} no other point out in this run, the next one ` +
    "decides on all alike: forget before it what this stack has not made"
  );
}

/** What is said of snapshots with the mark of a set that are none of its points. */
export function strangerWords(strangers: readonly ResticPoint[]): string | undefined {
  if (strangers.length === 0) return undefined;
  const one = strangers.length === 1;
  return (
    `${strangers.length} restic snapshot${one ? " carries" : "s carry"} the mark of this set and ${one ? "is" : "are"} not of its making: ` +
    `${namesOf(strangers)}; ${one ? "it counts" : "they count"} for nothing and ${one ? "is" : "are"} not removed; if a run of this stack made ` +
    `${one ? "it, name it" : "them, name them"} in adoptIds, else somebody else has the repository's password`
  );
}
