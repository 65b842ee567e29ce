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
  const last = nextSlot(schedule, new Date(around.getTime() + 366 * day));
  if (!last || malformed(retention).length > 0) return 0;
  const year = { schedule, begin: around.getTime(), last: last.getTime() };
  const covered = [coveredByCount(year, undefined, retention.minimum ?? 1)];
  for (const rule of rulesIn(retention)) {
    // A single bucket leaves a single point, whatever the period.
    if (rule.kind === "count")
      covered.push(coveredByCount(year, rule.count === 1 ? undefined : rule.period, rule.count));
    else if (rule.kind === "window") covered.push(coveredByWindow(year, rule.period, rule.window));
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
