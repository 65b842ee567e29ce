/**
 * Prints what a schedule and a retention come to, with the functions that the provider itself uses:
 *   npx tsx scripts/retention-preview.ts '<schedule>' '<retention as JSON>' [time zone] [now, ISO 8601]
 */
import {
  applyRetention,
  daysCovered,
  type Retention,
  validateRetention,
} from "../provider/operations/retention";
import {
  describeSchedule,
  longestGapHours,
  newestSlot,
  nextSlot,
  parseSchedule,
  slots,
} from "../provider/operations/schedule";

const [text = "30 2 * * *", policy = '{"keepDaily":7,"keepWeekly":4}', timeZone = "UTC", given] =
  process.argv.slice(2);
const now = given ? new Date(given) : new Date();
const schedule = parseSchedule(text, { timeZone, seed: "example" });
const retention: Retention = JSON.parse(policy);
const shown = (date: Date | undefined) => date?.toISOString().replace(".000Z", "Z") ?? "never";

console.log(`schedule    ${describeSchedule(schedule)}`);
console.log(`newest slot ${shown(newestSlot(schedule, now))}`);
console.log(`next slot   ${shown(nextSlot(schedule, now))}`);
console.log(`longest gap ${longestGapHours(schedule, now)} h in the coming year`);
for (const { property, reason } of validateRetention(retention))
  console.log(`refused     ${property} ${reason}`);

const asOf = newestSlot(schedule, now);
if (asOf && validateRetention(retention).length === 0) {
  console.log(`covers      ${daysCovered(retention, schedule, now)} days at least`);
  // A year of points, one for each slot, pruned as of the newest slot.
  const points = slots(schedule, new Date(asOf.getTime() - 400 * 86_400_000), asOf).map((time, index) => ({
    id: String(index),
    time,
    good: true,
  }));
  const { keep, remove } = applyRetention(points, retention, { asOf, timeZone });
  console.log(`of ${points.length} points, ${keep.length} stay, ${remove.length} go:`);
  for (const { point, reasons } of keep)
    console.log(`keep        ${shown(point.time)}  ${reasons.join(", ")}`);
  const [newest] = remove;
  if (newest) console.log(`remove      ${shown(newest.point.time)}  ${newest.reasons.join(", ")}`);
}
