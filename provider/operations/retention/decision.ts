import { bucketOf, cutoff } from "./buckets";
import { type GivenRule, type Period, type Retention, rulesIn, type TagSet, tagsOf } from "./policy";
import { malformed } from "./validation";

/** A recovery point of any kind. */
export interface Point {
  id: string;
  /** When it was due (its slot), or else when it was made. */
  time: Date;
  /** False for one that is proven to be incomplete or broken. */
  good: boolean;
  tags?: readonly string[];
}

/** What becomes of a point, and why. */
export interface Decision<P extends Point = Point> {
  point: P;
  reasons: string[];
}

/** A rule with its state during one walk over the points, newest first. */
interface Rule {
  /** Why it keeps the point, or undefined. Is asked once for each point. */
  keeps(point: Point): string | undefined;
  /** Why it does not keep the point that it was just asked about. */
  lacks(point: Point): string;
}

/**
 * Decides for each point of one set whether it stays, as of `asOf`: windows count back from there, so that nothing is
 * removed because time went by without new points.
 *
 * - Good points: as restic does it. Buckets are hours, days, ISO weeks, months and years on the wall of `timeZone`, and
 *   each is represented by its newest point; an hour that occurs twice is one bucket. A window excludes its far end:
 *   keepForDays 7 with one point a day at the same time keeps 7.
 * - The newest good point stays always, and so do the newest `minimum` good ones.
 * - A point that is not good never counts for a rule. It is removed once a newer good point exists, because that one has
 *   all that it could give; a tag of keepTags still holds it. Those newer than the newest good point are all there is of
 *   that time: the newest stays, the others as the rules would keep them among themselves, so that a backup that is
 *   never quite complete neither loses its latest state nor grows without bound.
 * - With no rule at all nothing is removed.
 * - Points of the same time are ordered by id, the smaller id counting as the newer.
 *
 * Only points of the list are ever removed: leave out those whose state is not known yet.
 *
 * @param options.timeZone IANA name, default "UTC"
 * @returns both lists newest first; together they are all points
 * @throws RangeError when a rule or a time is not valid; `validateRetention` says so beforehand
 */
export function applyRetention<P extends Point>(
  points: readonly P[],
  retention: Retention,
  options: { asOf: Date; timeZone?: string },
): { keep: Decision<P>[]; remove: Decision<P>[] } {
  const [problem] = malformed(retention);
  if (problem) throw new RangeError(`applying retention: ${problem.property} ${problem.reason}`);
  for (const { id, time } of [...points, { id: "asOf", time: options.asOf }]) {
    if (Number.isNaN(time.getTime()))
      throw new RangeError(`applying retention: the time of ${id} is not valid`);
  }
  const ordered = [...points].sort(newestFirst);
  const given = rulesIn(retention);
  if (given.length === 0)
    return { keep: ordered.map(point => ({ point, reasons: ["no rule"] })), remove: [] };

  const newRules = () => given.map(rule => walking(rule, options.asOf.getTime(), options.timeZone ?? "UTC"));
  const forGood = newRules();
  const forOthers = newRules();
  const minimum = retention.minimum ?? 1;
  const keep: Decision<P>[] = [];
  const remove: Decision<P>[] = [];
  let good = 0;
  let others = 0;
  for (const point of ordered) {
    if (point.good) {
      good++;
      const reasons = reasonsToKeep(forGood, point);
      if (reasons.length === 0 && good <= minimum) {
        reasons.push(good === 1 ? "newest good point" : `minimum ${minimum}`);
      }
      if (reasons.length > 0) keep.push({ point, reasons });
      else remove.push({ point, reasons: forGood.map(rule => rule.lacks(point)) });
    } else if (good === 0) {
      others++;
      const reasons = reasonsToKeep(forOthers, point);
      if (reasons.length > 0 || others === 1) {
        keep.push({ point, reasons: ["not good, but no newer good point", ...reasons] });
      } else {
        remove.push({ point, reasons: ["not good", ...forOthers.map(rule => rule.lacks(point))] });
      }
    } else {
      const reason = tagRule(retention.keepTags ?? []).keeps(point);
      if (reason) keep.push({ point, reasons: [reason] });
      else remove.push({ point, reasons: ["not good, and a newer good point exists"] });
    }
  }
  return { keep, remove };
}

/** What a rule becomes for one walk. */
function walking(rule: GivenRule, asOf: number, zone: string): Rule {
  if (rule.kind === "tags") return tagRule(rule.sets);
  const { period } = rule;
  if (rule.kind === "count") return period ? bucketRule(period, rule.count, zone) : lastRule(rule.count);
  const { window } = rule;
  const from = cutoff(window, zone, asOf);
  const words = typeof window === "number" ? `${window} day${window === 1 ? "" : "s"}` : window;
  return period ? bucketWindowRule(period, from, words, zone) : windowRule(from, words);
}

function lastRule(count: number): Rule {
  let seen = 0;
  return {
    keeps: () => (++seen <= count ? `last ${seen} of ${count}` : undefined),
    lacks: () => `beyond the last ${count}`,
  };
}

function bucketRule(period: Period, count: number, zone: string): Rule {
  let newest = "";
  let left = count;
  return {
    keeps(point) {
      const bucket = bucketOf(period, zone, point.time.getTime());
      if (bucket === newest || left === 0) return undefined;
      newest = bucket;
      left--;
      return `${period} ${bucket}`;
    },
    lacks(point) {
      const bucket = bucketOf(period, zone, point.time.getTime());
      return bucket === newest ? `not the newest of ${bucket}` : `beyond ${count} ${period}`;
    },
  };
}

function windowRule(from: number, window: string): Rule {
  return {
    keeps: point => (point.time.getTime() > from ? `within ${window}` : undefined),
    lacks: () => `older than ${window}`,
  };
}

function bucketWindowRule(period: Period, from: number, window: string, zone: string): Rule {
  let newest = "";
  return {
    keeps(point) {
      if (point.time.getTime() <= from) return undefined;
      const bucket = bucketOf(period, zone, point.time.getTime());
      if (bucket === newest) return undefined;
      newest = bucket;
      return `${period} ${bucket} within ${window}`;
    },
    lacks: point =>
      point.time.getTime() > from
        ? `not the newest of ${bucketOf(period, zone, point.time.getTime())}`
        : `older than ${window}`,
  };
}

function tagRule(sets: readonly TagSet[]): Rule {
  const names = sets.map(set => ({ set: tagsOf(set).join(","), tags: tagsOf(set) }));
  return {
    keeps: point => {
      const found = names.find(({ tags }) => tags.every(tag => point.tags?.includes(tag)));
      return found && `tag ${found.set}`;
    },
    lacks: () => `no tag ${names.map(({ set }) => set).join(" or ")}`,
  };
}

function reasonsToKeep(rules: Rule[], point: Point): string[] {
  // Every rule is asked, because each counts for itself.
  return rules.flatMap(rule => rule.keeps(point) ?? []);
}

function newestFirst(a: Point, b: Point): number {
  return b.time.getTime() - a.time.getTime() || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}
