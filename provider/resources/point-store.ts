import type { Decision } from "../operations/retention";
import type { Run, SetPoint } from "../operations/set-point";
import type { Context } from "./resource";

/** What the inputs of every set of points have. */
export interface Given extends Run {
  owner: string;
  set?: string | undefined;
  slot: string;
  deletionPolicy: "delete" | "retain";
}

/** What the outputs of every set of points have. */
export interface Shown {
  points: object[];
  removed: object[];
}

/** What retention says of the points of a set. */
export interface Judged<P extends SetPoint> {
  keep: Decision<P>[];
  remove: Decision<P>[];
}

/** What a run has ensured. */
export interface Taken<P extends SetPoint, Own> {
  /** all points of the set, newest first */
  points: P[];
  /** what was done, for the line of the run */
  words?: string | undefined;
  /** unfinished points of the same run that are gone now */
  superseded: Decision<P>[];
  /** outputs that tell of the run */
  own?: Own;
  /** what is wrong with the point, which is there all the same */
  partial?: string | undefined;
  /** lets go of what retention no longer keeps, oldest last */
  remove(decisions: Decision<P>[]): Promise<Removed<P>>;
}

/** What became of the points that should go. */
export interface Removed<P extends SetPoint> {
  removed: Decision<P>[];
  /** set where they go later, with the points of other sets */
  later?: "forgets with the run's last backup" | undefined;
  /** "1 old point could not be removed: …" */
  failure?: { words: string; cause?: unknown } | undefined;
}

/** One kind of recovery point: where the points of a set are, and how one is taken and removed there. */
export interface PointStore<G extends Given, O extends Shown, P extends SetPoint, Own extends Partial<O>> {
  /** what a point is called, such as "restic snapshot" */
  noun: string;
  /** what becomes of one that goes: in a preview, and in a run */
  verbs: readonly ["removes", "removed"] | readonly ["forgets", "forgot"];
  /** what a run has done whose old points stay, "the backup is in the repository" */
  done: string;
  /** what the inputs say is backed up, where one set may go over from one volume to another */
  originOf?(given: G): string | undefined;
  /** why no point can be taken now: its volume or server is gone */
  missing?(given: G, context: Context): Promise<string | undefined>;
  /** what of the project's quota the coming point may exceed, in words */
  shortage?(given: G, context: Context): Promise<string | undefined>;
  /** the output that names a point */
  idKey: string & keyof O;

  /** Whether the set should have a point for its slot. */
  wants(given: G): boolean;
  /** The points that the coming run will find, newest first, as far as they can be known before it. */
  before(given: G, state: (G & O) | undefined, context: Context): Promise<P[]>;
  /** What must be looked at, whatever the coming run does. */
  warnings?(given: G, state: (G & O) | undefined, context: Context): Promise<string[]>;
  /** The points that are there, newest first. */
  present(state: G & O, context: Context): Promise<P[]>;
  /** When the data of the run's point is captured: what retention counts back from where there is no slot. */
  momentOf(given: G, context: Context): Date;
  judge(points: readonly P[], given: G, asOf: Date): Judged<P>;
  /** The points with why each is kept, where that is not simply what `judge` says. */
  explain?(points: readonly P[], given: G, asOf: Date): Decision<P>[];
  /** Ensures the point of this run. */
  take(given: G, state: (G & O) | undefined, context: Context): Promise<Taken<P, Own>>;
  /** Removes all points of a set that is deleted. */
  clear(points: P[], state: G, context: Context): Promise<void>;

  /** What the point that a run will take has, for the preview's arithmetic. */
  coming(given: G): Omit<P, keyof SetPoint>;
  /** "will take the recovery point of …" */
  announce(given: G): string;
  /** What a point shows of itself beyond its id, slot, time and why it is kept. */
  describe(point: P): object;
  /** Whether a point was good, by what it showed. */
  wasGood(shown: O["points"][number]): boolean;
  /** The outputs that follow from the newest good point, also where there is none. */
  current(point: P | undefined): Partial<O>;
  /** The outputs that tell of a set, or of its last run, whatever points there are. */
  own(given: G, state: O | undefined): Own;

  /** Notes old points that cannot go where another resource of the set must not wait for them; that one fails at its end. */
  owes?(given: G, words: string, context: Context): boolean;

  /** The points as they are when the coming run has counted those as good that somebody has allowed; it lets none go for them. */
  accept?(points: readonly P[], given: G): P[];
  /** Points made by other means that the coming run takes into the set. */
  adopted?(given: G, state: (G & O) | undefined, context: Context): Promise<P[]>;
  /** A set that wants no point has nothing to take from yet: the run does nothing then. */
  restsUnwanted?: true;
  /** Whether the set's points are in another place now; those of before are left there. */
  isElsewhere?(given: G, state: G): boolean;
  /** Whether the run only waits for a point that an earlier one began. */
  isBegun?(points: readonly P[], given: G): boolean;
  /** What the last run could not put right. */
  unsettled?(state: G & O): string[];
  /** What is wrong with points that are there. */
  ailing?(points: readonly P[]): string[];
  /** Called before a set is deleted whose points stay: fails where that cannot be relied on. */
  assertStays?(state: G & O, context: Context): Promise<void>;
  /** Called before a set is deleted. */
  leave?(state: G, context: Context): Promise<void>;
}
