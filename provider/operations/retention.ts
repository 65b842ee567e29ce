import { nextSlot, type Schedule, slots } from "./schedule";
import { goBack, wallAt } from "./time-zone";

/**
 * Which recovery points stay. A point stays when any rule keeps it; the rules are restic's, plus keepForDays.
 * Counts are whole numbers, 0 is the same as leaving the rule out. Durations are written like "1y5m7d2h" (years,
 * months, days, hours).
 */
export interface Retention {
  /** The newest N points. */
  keepLast?: number | undefined;
  /** All points younger than N times 24 hours. */
  keepForDays?: number | undefined;
  /** The newest point of each of the newest N hours that have one. */
  keepHourly?: number | undefined;
  keepDaily?: number | undefined;
  /** Weeks are ISO weeks: they begin on Monday. */
  keepWeekly?: number | undefined;
  keepMonthly?: number | undefined;
  keepYearly?: number | undefined;
  /** All points younger than the duration. */
  keepWithin?: string | undefined;
  /** The newest point of each hour within the duration. */
  keepWithinHourly?: string | undefined;
  keepWithinDaily?: string | undefined;
  keepWithinWeekly?: string | undefined;
  keepWithinMonthly?: string | undefined;
  keepWithinYearly?: string | undefined;
  /** Tag sets such as "legal-hold", "audit,2026" or ["audit", "2026"]: points that have all the tags of any one set. */
  keepTags?: readonly TagSet[] | undefined;
  /** Good points that stay whatever the rules say, the newest ones; default 1, never less. */
  minimum?: number | undefined;
}

/** Tags that must all be there: a list, or as restic's --keep-tag writes it. */
type TagSet = string | readonly string[];

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

const hour = 3_600_000;
const day = 24 * hour;

type Period = "hourly" | "daily" | "weekly" | "monthly" | "yearly";

const countRules = {
  keepLast: undefined,
  keepHourly: "hourly",
  keepDaily: "daily",
  keepWeekly: "weekly",
  keepMonthly: "monthly",
  keepYearly: "yearly",
} as const;

const durationRules = {
  keepWithin: undefined,
  keepWithinHourly: "hourly",
  keepWithinDaily: "daily",
  keepWithinWeekly: "weekly",
  keepWithinMonthly: "monthly",
  keepWithinYearly: "yearly",
} as const;

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
  if (!hasRule(retention))
    return { keep: ordered.map(point => ({ point, reasons: ["no rule"] })), remove: [] };

  const newRules = () => rulesOf(retention, options.asOf.getTime(), options.timeZone ?? "UTC");
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

/**
 * What is wrong with a retention, by property: values that cannot be, and policies that would keep nothing (no rule, or
 * keepTags alone, where a misspelt tag would remove all but the newest good point). "retention" stands for the whole.
 */
export function validateRetention(retention: Retention): { property: string; reason: string }[] {
  const problems = malformed(retention);
  if (problems.length > 0) return problems;
  if (!hasRule(retention)) {
    return [
      {
        property: "retention",
        reason: "keeps nothing: set keepLast, keepForDays, keepDaily or another rule above 0",
      },
    ];
  }
  if (!hasRule({ ...retention, keepTags: undefined })) {
    return [
      {
        property: "keepTags",
        reason: "is the only rule, so that points without the tag are all removed: add a count or a window",
      },
    ];
  }
  return [];
}

/**
 * How far back the points reach at the worst moment of a year, in days on the wall of the time zone: the guarantee of
 * the policy, not its best day.
 *
 * A point stands for the time up to the next slot, so keepDaily 7 of a daily schedule is 7 days, and so is keepForDays 7.
 * Of a rule by month the worst moment is the first slot of a month: keepMonthly 12 keeps that slot and the ends
 * of the 11 months before, which is 305 days with a daily schedule. The result is that of the single best rule; every
 * slot is taken to have made a good point, for long enough. 0 when the schedule takes no points. keepTags does not count.
 * It looks back 100,000 slots or 100 years and no further.
 *
 * @param around the year examined begins here
 */
export function daysCovered(retention: Retention, schedule: Schedule, around: Date): number {
  const last = nextSlot(schedule, new Date(around.getTime() + 366 * day));
  if (!last || malformed(retention).length > 0) return 0;
  const year = { schedule, begin: around.getTime(), last: last.getTime() };
  const covered = [coveredByCount(year, undefined, retention.minimum ?? 1)];
  for (const property of Object.keys(countRules) as (keyof typeof countRules)[]) {
    const count = retention[property] ?? 0;
    // A single bucket leaves a single point, whatever the period.
    if (count > 0) covered.push(coveredByCount(year, count === 1 ? undefined : countRules[property], count));
  }
  if (retention.keepForDays) covered.push(coveredByWindow(year, undefined, retention.keepForDays));
  for (const property of Object.keys(durationRules) as (keyof typeof durationRules)[]) {
    const window = retention[property];
    if (window && !isNothing(window)) covered.push(coveredByWindow(year, durationRules[property], window));
  }
  return Math.max(...covered) / day;
}

interface Year {
  schedule: Schedule;
  begin: number;
  /** The first slot after the year. */
  last: number;
}

/** The shortest reach of a rule that counts, which is always at the first slot of a bucket, in ms. */
function coveredByCount({ schedule, begin, last }: Year, period: Period | undefined, count: number): number {
  const zone = schedule.timeZone;
  // Newest first; `after` is the slot that follows the bucket's first one.
  const buckets: { name: string; first: number; after: number; last: number }[] = [];
  let bucket: (typeof buckets)[number] | undefined;
  let following = nextSlot(schedule, new Date(last))?.getTime() ?? last;
  let before = 0;
  for (const slot of slotsBack(schedule, last)) {
    const name = period ? bucketOf(period, zone, slot) : String(slot);
    if (bucket?.name === name) {
      bucket.first = slot;
      bucket.after = following;
    } else {
      if (bucket && bucket.first <= begin && ++before === count) break;
      bucket = { name, first: slot, after: following, last: slot };
      buckets.push(bucket);
    }
    following = slot;
  }
  const reaches = buckets
    .filter(({ first }) => first > begin)
    .map(({ first, after }, index) => {
      const oldest = buckets[Math.min(index + count, buckets.length) - 1]?.last;
      return wallAt(zone, after) - wallAt(zone, oldest ?? first);
    });
  return Math.min(...reaches);
}

/** The shortest reach of a rule with a window, in ms. */
function coveredByWindow(
  { schedule, begin, last }: Year,
  period: Period | undefined,
  window: string | number,
): number {
  const zone = schedule.timeZone;
  const known: number[] = [nextSlot(schedule, new Date(last))?.getTime() ?? last];
  const enough = cutoff(window, zone, begin);
  for (const slot of slotsBack(schedule, last)) {
    known.push(slot);
    if (slot <= enough) break;
  }
  known.reverse();
  let shortest = Number.POSITIVE_INFINITY;
  let oldest = 0;
  let newestOfBucket = 0;
  for (const [index, now] of known.entries()) {
    const next = known[index + 1];
    if (now <= begin || next === undefined) continue;
    const from = cutoff(window, zone, now);
    while ((known[oldest] ?? now) <= from) oldest++;
    newestOfBucket = Math.max(newestOfBucket, oldest);
    if (period) {
      const name = bucketOf(period, zone, known[oldest] ?? now);
      while (newestOfBucket < index && bucketOf(period, zone, known[newestOfBucket + 1] ?? now) === name)
        newestOfBucket++;
    }
    shortest = Math.min(
      shortest,
      wallAt(zone, next) - wallAt(zone, known[Math.min(newestOfBucket, index)] ?? now),
    );
  }
  return shortest;
}

/** The slots up to and including `newest`, newest first. */
function* slotsBack(schedule: Schedule, newest: number): Generator<number> {
  let given = 0;
  let to = newest;
  for (let span = 64 * day; given < 100_000 && newest - to < 36_525 * day; span *= 2) {
    const chunk = slots(schedule, new Date(to - span), new Date(to));
    yield* chunk.reverse().map(slot => slot.getTime());
    given += chunk.length;
    to -= span;
  }
}

function rulesOf(retention: Retention, asOf: number, zone: string): Rule[] {
  const rules: Rule[] = [];
  for (const property of Object.keys(countRules) as (keyof typeof countRules)[]) {
    const count = retention[property] ?? 0;
    const period = countRules[property];
    if (count > 0) rules.push(period ? bucketRule(period, count, zone) : lastRule(count));
  }
  if (retention.keepForDays) {
    const days = retention.keepForDays;
    rules.push(windowRule(cutoff(days, zone, asOf), `${days} day${days === 1 ? "" : "s"}`));
  }
  for (const property of Object.keys(durationRules) as (keyof typeof durationRules)[]) {
    const window = retention[property];
    if (window === undefined || isNothing(window)) continue;
    const period = durationRules[property];
    const from = cutoff(window, zone, asOf);
    rules.push(period ? bucketWindowRule(period, from, window, zone) : windowRule(from, window));
  }
  if (retention.keepTags?.length) rules.push(tagRule(retention.keepTags));
  return rules;
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

function tagsOf(set: TagSet): string[] {
  return (typeof set === "string" ? set.split(",") : [...set]).map(tag => tag.trim());
}

function reasonsToKeep(rules: Rule[], point: Point): string[] {
  // Every rule is asked, because each counts for itself.
  return rules.flatMap(rule => rule.keeps(point) ?? []);
}

function newestFirst(a: Point, b: Point): number {
  return b.time.getTime() - a.time.getTime() || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

/** The name of the bucket that an instant lies in: "2026-11-22T03", "2026-11-22", "2026-W47", "2026-11" or "2026". */
function bucketOf(period: Period, zone: string, instant: number): string {
  const wallHour = Math.floor(wallAt(zone, instant) / hour);
  const names = bucketNames[period];
  let name = names.get(wallHour);
  if (name === undefined) {
    const length = { hourly: 13, daily: 10, weekly: 0, monthly: 7, yearly: 4 }[period];
    name = length ? new Date(wallHour * hour).toISOString().slice(0, length) : isoWeek(wallHour * hour);
    if (names.size > 100_000) names.clear();
    names.set(wallHour, name);
  }
  return name;
}

/** Names by hour on the wall: to make one costs more than all the rest of a rule. */
const bucketNames: Record<Period, Map<number, string>> = {
  hourly: new Map(),
  daily: new Map(),
  weekly: new Map(),
  monthly: new Map(),
  yearly: new Map(),
};

/** The ISO 8601 week, such as "2026-W47": that of the Thursday between its Monday and Sunday. */
function isoWeek(wall: number): string {
  const thursday = new Date((mondayOf(wall) + 3) * day);
  const newYear = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  const week = Math.floor((thursday.getTime() - newYear) / (7 * day)) + 1;
  return `${thursday.getUTCFullYear()}-W${String(week).padStart(2, "0")}`;
}

/** The Monday at or before a wall time, as days since 1970-01-01, which was a Thursday. */
function mondayOf(wall: number): number {
  const date = Math.floor(wall / day);
  return date - ((((date + 3) % 7) + 7) % 7);
}

/** Where a window begins: points must be newer than this. */
function cutoff(window: string | number, zone: string, asOf: number): number {
  if (typeof window === "number") return asOf - window * day;
  return goBack(zone, asOf, parseDuration(window) ?? { years: 0, months: 0, days: 0, hours: 0 });
}

/** Reads "1y5m7d2h": each unit at most once; undefined when it is no such duration. */
function parseDuration(
  text: string,
): { years: number; months: number; days: number; hours: number } | undefined {
  const duration = { years: 0, months: 0, days: 0, hours: 0 };
  const units = { y: "years", m: "months", d: "days", h: "hours" } as const;
  const parts = [...text.trim().matchAll(/(\d+)([ymdh])/g)];
  const given = parts.map(part => part[2]);
  if (parts.length === 0 || parts.map(part => part[0]).join("") !== text.trim()) return undefined;
  if (new Set(given).size !== given.length) return undefined;
  for (const [, number, unit] of parts) duration[units[unit as keyof typeof units]] = Number(number);
  return duration;
}

function isNothing(window: string | number): boolean {
  if (typeof window === "number") return window === 0;
  const { years, months, days, hours } = parseDuration(window) ?? { years: 0, months: 0, days: 0, hours: 0 };
  return years + months + days + hours === 0;
}

function hasRule(retention: Retention): boolean {
  return rulesOf(retention, 0, "UTC").length > 0;
}

/** Values that no rule can have. They come from programs without types too. */
function malformed(retention: Retention): { property: string; reason: string }[] {
  const problems: { property: string; reason: string }[] = [];
  for (const [property, value] of Object.entries(retention) as [string, unknown][]) {
    const reason = value === undefined ? undefined : flaw(property, value);
    if (reason) problems.push({ property, reason });
  }
  return problems;
}

function flaw(property: string, value: unknown): string | undefined {
  const is = `is ${typeof value === "string" ? `"${value}"` : String(value)}`;
  if (property in countRules || property === "keepForDays" || property === "minimum") {
    const least = property === "minimum" ? 1 : 0;
    if (value === -1 || value === Number.POSITIVE_INFINITY || value === "unlimited") {
      return `${is}, but there is no unlimited: name a number`;
    }
    const valid = typeof value === "number" && Number.isSafeInteger(value) && value >= least;
    return valid ? undefined : `${is}: use a whole number from ${least} on`;
  }
  if (property in durationRules) {
    const valid = typeof value === "string" && parseDuration(value);
    if (valid) return undefined;
    const weeks = typeof value === "string" && /\dw/.test(value) ? "; a week is 7d" : "";
    return `${is}: use years, months, days and hours such as "1y5m7d2h"${weeks}`;
  }
  if (property === "keepTags") {
    const isText = (tag: unknown) => typeof tag === "string" && tag.trim() !== "";
    const isSet = (set: unknown) =>
      typeof set === "string"
        ? tagsOf(set).every(isText)
        : Array.isArray(set) && set.length > 0 && set.every(isText);
    const valid = Array.isArray(value) && value.every(isSet);
    return valid ? undefined : `is no list of tag sets such as ["legal-hold", "audit,2026"]`;
  }
  return `is no rule: use ${[...Object.keys(countRules), "keepForDays", ...Object.keys(durationRules), "keepTags", "minimum"].join(", ")}`;
}
