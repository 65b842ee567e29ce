import { nextSlot, type Schedule, slots } from "../schedule";
import { wallAt } from "../time-zone";
import { bucketOf, cutoff, day } from "./buckets";
import { type Period, type Retention, rulesIn } from "./policy";
import { malformed } from "./validation";

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
  return Math.max(0, ...reachesOf(retention, schedule, around).map(({ shortest }) => shortest)) / day;
}

/**
 * How old a point becomes before the policy lets it go, in days on the wall of the time zone: the longest of a year, that
 * of the rule that keeps longest. Infinite with `keepTags`, which lets nothing go; 0 when the schedule takes no points.
 *
 * @param around the year examined begins here
 */
export function daysKept(retention: Retention, schedule: Schedule, around: Date): number {
  const reaches = reachesOf(retention, schedule, around);
  if (reaches.length > 0 && (retention.keepTags ?? []).length > 0) return Number.POSITIVE_INFINITY;
  return Math.max(0, ...reaches.map(({ longest }) => longest)) / day;
}

/** How far back the points of one rule reach in a year, just before the slot that follows, in ms. */
interface Reach {
  shortest: number;
  longest: number;
}

function reachesOf(retention: Retention, schedule: Schedule, around: Date): Reach[] {
  const last = nextSlot(schedule, new Date(around.getTime() + 366 * day));
  if (!last || malformed(retention).length > 0) return [];
  const year = { schedule, begin: around.getTime(), last: last.getTime() };
  return [
    reachOfCount(year, undefined, retention.minimum ?? 1),
    ...rulesIn(retention).flatMap(rule => {
      // a single bucket leaves a single point, whatever the period
      if (rule.kind === "count")
        return reachOfCount(year, rule.count === 1 ? undefined : rule.period, rule.count);
      return rule.kind === "window" ? reachOfWindow(year, rule.period, rule.window) : [];
    }),
  ];
}

interface Year {
  schedule: Schedule;
  begin: number;
  /** The first slot after the year. */
  last: number;
}

/** Of a rule that counts: shortest at the first slot of a bucket, longest at its last. */
function reachOfCount({ schedule, begin, last }: Year, period: Period | undefined, count: number): Reach {
  const zone = schedule.timeZone;
  // Newest first; `after` is the slot that follows the bucket's first one.
  const buckets: { name: string; first: number; after: number; last: number; next: number }[] = [];
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
      bucket = { name, first: slot, after: following, last: slot, next: following };
      buckets.push(bucket);
    }
    following = slot;
  }
  const reaches = buckets
    .filter(({ last: newest }) => newest > begin)
    .map(({ first, after, next }, index) => {
      const oldest = buckets[Math.min(index + count, buckets.length) - 1]?.last ?? first;
      return {
        // the year begins in the middle of the oldest bucket
        shortest: first > begin ? wallAt(zone, after) - wallAt(zone, oldest) : Number.POSITIVE_INFINITY,
        longest: wallAt(zone, next) - wallAt(zone, oldest),
      };
    });
  return {
    shortest: Math.min(...reaches.map(({ shortest }) => shortest)),
    longest: Math.max(...reaches.map(({ longest }) => longest)),
  };
}

function reachOfWindow(
  { schedule, begin, last }: Year,
  period: Period | undefined,
  window: string | number,
): Reach {
  const zone = schedule.timeZone;
  const known: number[] = [nextSlot(schedule, new Date(last))?.getTime() ?? last];
  const enough = cutoff(window, zone, begin);
  for (const slot of slotsBack(schedule, last)) {
    known.push(slot);
    if (slot <= enough) break;
  }
  known.reverse();
  let shortest = Number.POSITIVE_INFINITY;
  let longest = 0;
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
    const reach = wallAt(zone, next) - wallAt(zone, known[Math.min(newestOfBucket, index)] ?? now);
    shortest = Math.min(shortest, reach);
    longest = Math.max(longest, reach);
  }
  return { shortest, longest };
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
