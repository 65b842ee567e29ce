import { goBack, wallAt } from "../time-zone";
import { type Period, parseDuration } from "./policy";

/** The hours, days, weeks, months and years of a time zone's wall, and where a window back from an instant begins. */

const hour = 3_600_000;
export const day = 24 * hour;

/** The name of the bucket that an instant lies in: "2026-11-22T03", "2026-11-22", "2026-W47", "2026-11" or "2026". */
export function bucketOf(period: Period, zone: string, instant: number): string {
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
export function cutoff(window: string | number, zone: string, asOf: number): number {
  if (typeof window === "number") return asOf - window * day;
  return goBack(zone, asOf, parseDuration(window) ?? { years: 0, months: 0, days: 0, hours: 0 });
}
