import { createHash } from "node:crypto";
import { Cron, CronPattern } from "croner";
import { instantsOf, isTimeZone, wallAt } from "./time-zone";

/**
 * When recovery points are due. A plain value: two schedules of the same text, zone and seed are equal.
 *
 * Slots are times on the wall of `timeZone`. Clock changes: a schedule that names its hours has each slot exactly once
 * per local day. A slot that falls into the hour that is skipped runs at the first instant after the gap (where it is
 * one with a slot already there), a slot in the hour that occurs twice runs at its first occurrence. A schedule of
 * every hour follows real time: nothing runs in the skipped hour and both repeated hours have their slot. The slots of
 * a day that a zone left out (Pacific/Apia, 2011-12-30) are one, at the midnight after it.
 */
export interface Schedule {
  /** As written. */
  readonly text: string;
  /** IANA name. */
  readonly timeZone: string;
  /** The same as cron: minute, hour, day of month, month, day of week. */
  readonly pattern: string;
  /** How many points to keep, where the spelling says it (`7@mon-fri@0,12`): keepLast. */
  readonly count?: number;
  /** False for a count of 0, which keeps the set but takes no new points. */
  readonly takesPoints: boolean;
}

/** A schedule that cannot be: the message names the text, the part that is wrong and what to write instead. */
export class ScheduleError extends Error {
  override readonly name = "ScheduleError";

  constructor(
    message: string,
    /** The input at fault. */
    readonly property: "schedule" | "timeZone" = "schedule",
  ) {
    super(message);
  }
}

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

const days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const dayNames = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const keywords: Record<string, string | ((seed: number) => string)> = {
  hourly: "0 * * * *",
  daily: "0 0 * * *",
  weekly: "0 0 * * 0",
  monthly: "0 0 1 * *",
  yearly: "0 0 1 1 *",
  "hourly-random": seed => `${seed % 60} * * * *`,
  "daily-random": seed => `${seed % 60} ${Math.floor(seed / 60) % 24} * * *`,
  "weekly-random": seed => `${seed % 60} ${Math.floor(seed / 60) % 24} * * ${Math.floor(seed / 1440) % 7}`,
};

const spellings = `cron ("30 2 * * *"), count@days@hours ("7@mon-fri@0,12") or one of ${Object.keys(keywords).join(", ")}`;

/**
 * Reads a schedule in any of its spellings:
 * - cron with five fields, in croner's dialect (names, `L`, `W`, `#`): `30 2 * * mon-fri`
 * - Snapmanager's `count[@days][@hours]`: `7`, `7@mon-fri`, `24@0-23`, `4@6,18@Fri-Mon`. Days and hours are told apart
 *   by their content and may stand in either order; ranges may wrap. No days mean every day, no hours mean hour 0.
 * - `hourly`, `daily`, `weekly` (Sunday), `monthly`, `yearly`, each at the start of its period, and `hourly-random`,
 *   `daily-random`, `weekly-random`, whose minute is a stable hash of `seed`. A leading `@` is accepted.
 *
 * @param options.timeZone IANA name, default "UTC"
 * @param options.seed what spreads the -random ones; the name of the resource
 * @throws ScheduleError when it cannot be read, or would never be due
 */
export function parseSchedule(text: string, options: { timeZone?: string; seed?: string } = {}): Schedule {
  const timeZone = options.timeZone ?? "UTC";
  if (!isTimeZone(timeZone)) {
    throw new ScheduleError(
      `reading time zone "${timeZone}": not a zone this machine knows; use an IANA name such as "Europe/Berlin" or "UTC"`,
      "timeZone",
    );
  }
  const trimmed = text.trim();
  const word = trimmed.toLowerCase().replace(/^@/, "");
  const keyword = Object.hasOwn(keywords, word) ? keywords[word] : undefined;
  if (typeof keyword === "string") return { text, timeZone, pattern: keyword, takesPoints: true };
  if (keyword) return { text, timeZone, pattern: keyword(hash(text, options.seed)), takesPoints: true };
  if (trimmed.includes("@") || /^[+-]?[\d.]+$/.test(trimmed)) return parseCount(text, trimmed, timeZone);
  return {
    text,
    timeZone,
    pattern: remembered(knownCrons, trimmed, () => parseCron(text, trimmed)),
    takesPoints: true,
  };
}

/** The newest slot at or before `now`; undefined when the schedule takes no points. */
export function newestSlot(schedule: Schedule, now: Date): Date | undefined {
  const slot = neighbour(schedule, now.getTime(), "back");
  return slot === undefined ? undefined : new Date(slot);
}

/** The first slot after `after`; undefined when the schedule takes no points. */
export function nextSlot(schedule: Schedule, after: Date): Date | undefined {
  const slot = neighbour(schedule, after.getTime(), "forth");
  return slot === undefined ? undefined : new Date(slot);
}

/** The slots after `from` up to and including `to`, oldest first, at most `limit`. */
export function slots(schedule: Schedule, from: Date, to: Date, limit = Number.POSITIVE_INFINITY): Date[] {
  return slotTimes(schedule, from.getTime(), to.getTime(), limit).map(time => new Date(time));
}

/**
 * The largest distance in hours between neighbouring slots from the newest slot at `around` on for a year: the recovery
 * point objective (RPO) that the schedule can promise. Clock changes count, so a daily schedule has 25 hours in most
 * zones that have summer time. Infinity when the schedule takes no points.
 */
export function longestGapHours(schedule: Schedule, around: Date): number {
  const first = neighbour(schedule, around.getTime(), "back");
  const last = neighbour(schedule, around.getTime() + 366 * day, "forth");
  if (first === undefined || last === undefined) return Number.POSITIVE_INFINITY;
  let longest = 0;
  let previous = first;
  for (const slot of slotTimes(schedule, first, last)) {
    longest = Math.max(longest, slot - previous);
    previous = slot;
  }
  return longest / hour;
}

/** One line for people: "every day at 02:30 Europe/Berlin". */
export function describeSchedule(schedule: Schedule): string {
  const { pattern, timeZone, count, takesPoints } = schedule;
  if (!takesPoints) return "takes no new points";
  const kept = count === undefined ? "" : `, keeping the last ${count}`;
  const [, , dayOfMonth = "", month = "", dayOfWeek = ""] = pattern.split(" ");
  const { minutes, hours } = timesOf(pattern);
  const when = describeDays(dayOfMonth, month, dayOfWeek);
  if (!when || (hours.length < 24 && minutes.length * hours.length > 6))
    return `cron "${pattern}" ${timeZone}${kept}`;
  if (hours.length === 24) {
    const [first = 0] = minutes;
    const past =
      minutes.length === 1 && first === 0 ? "" : ` at ${minutes.map(m => `:${two(m)}`).join(", ")}`;
    if (minutes.length > 6) return `cron "${pattern}" ${timeZone}${kept}`;
    return `every hour${past}${when === "every day" ? "" : ` ${when}`} ${timeZone}${kept}`;
  }
  const times = hours.flatMap(h => minutes.map(m => `${two(h)}:${two(m)}`));
  return `${when} at ${joined(times)} ${timeZone}${kept}`;
}

function describeDays(dayOfMonth: string, month: string, dayOfWeek: string): string | undefined {
  if (dayOfMonth === "*" && month === "*" && dayOfWeek === "*") return "every day";
  if (dayOfMonth === "*" && month === "*" && /^[0-7](,[0-7])*$/.test(dayOfWeek)) {
    return `every ${joined(dayOfWeek.split(",").map(d => dayNames[Number(d) % 7] ?? d))}`;
  }
  if (!/^\d+$/.test(dayOfMonth) || dayOfWeek !== "*") return undefined;
  if (month === "*") return `on day ${dayOfMonth} of every month`;
  return /^\d+$/.test(month)
    ? `on ${two(Number(month))}-${two(Number(dayOfMonth))} of every year`
    : undefined;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

function joined(words: string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

function hash(text: string, seed: string | undefined): number {
  if (!seed)
    throw new ScheduleError(
      `reading schedule "${text}": a -random schedule needs a seed; give the resource's name`,
    );
  return createHash("sha256").update(seed).digest().readUIntBE(0, 6);
}

/** Snapmanager's `count[@days][@hours]`. */
function parseCount(text: string, trimmed: string, timeZone: string): Schedule {
  const fail = (what: string) => new ScheduleError(`reading schedule "${text}": ${what}`);
  const [countText = "", ...lists] = trimmed.split("@").map(part => part.trim());
  if (!/^\d+$/.test(countText) || !Number.isSafeInteger(Number(countText))) {
    throw fail(
      `"${countText}" is no count of points to keep; start with a whole number from 0 on, as in "7@mon-fri@0,12", or use ${spellings}`,
    );
  }
  if (lists.length > 2) throw fail(`more than one list of days and one of hours; write count@days@hours`);
  let hours: number[] | undefined;
  let weekdays: number[] | undefined;
  for (const list of lists) {
    if (list === "") throw fail(`an "@" with no list after it; name days or hours, or leave it away`);
    const items = list.split(",").map(item => item.trim());
    const kind = /^[\d-]/.test(items[0] ?? "") ? "hours" : "days";
    const values = items.flatMap(item => (kind === "hours" ? hoursOf(item, fail) : daysOf(item, fail)));
    const unique = [...new Set(values)].sort((a, b) => a - b);
    if (kind === "hours" ? hours : weekdays)
      throw fail(`"${list}" is a second list of ${kind}; write count@days@hours`);
    if (kind === "hours") hours = unique;
    else weekdays = unique;
  }
  const count = Number(countText);
  const hourField = hours?.length === 24 ? "*" : (hours ?? [0]).join(",");
  const dayField = weekdays === undefined || weekdays.length === 7 ? "*" : weekdays.join(",");
  return { text, timeZone, pattern: `0 ${hourField} * * ${dayField}`, count, takesPoints: count > 0 };
}

function hoursOf(item: string, fail: (what: string) => ScheduleError): number[] {
  const bounds = item.split("-").map(bound => bound.trim());
  for (const bound of bounds) {
    if (!/^\d{1,2}$/.test(bound) || Number(bound) > 23) {
      throw fail(`"${bound || item}" is no hour; use whole numbers from 0 to 23 and ranges such as 8-17`);
    }
  }
  if (bounds.length > 2) throw fail(`"${item}" is no range of hours; write it as 8-17`);
  const [first, last] = bounds.map(Number);
  return around(first ?? 0, last ?? first ?? 0, 24);
}

function daysOf(item: string, fail: (what: string) => ScheduleError): number[] {
  const bounds = item.split("-").map(bound => bound.trim());
  for (const bound of bounds) {
    if (!days.includes(bound.toLowerCase())) {
      throw fail(
        `"${bound || item}" is no day; use mon, tue, wed, thu, fri, sat, sun and ranges such as mon-fri`,
      );
    }
  }
  if (bounds.length > 2) throw fail(`"${item}" is no range of days; write it as mon-fri`);
  const [first, last] = bounds.map(bound => days.indexOf(bound.toLowerCase()));
  return around(first ?? 0, last ?? first ?? 0, 7);
}

/** From first to last, through the end of the cycle where last comes before first. */
function around(first: number, last: number, cycle: number): number[] {
  const length = ((last - first + cycle) % cycle) + 1;
  return Array.from({ length }, (_, index) => (first + index) % cycle);
}

function parseCron(text: string, trimmed: string): string {
  const fail = (what: string) => new ScheduleError(`reading schedule "${text}": ${what}`);
  const fields = trimmed.split(/\s+/);
  if (fields.length !== 5) {
    const found =
      fields.length === 1
        ? `"${trimmed}" is no schedule`
        : `${fields.length} fields, but cron has 5 (minute, hour, day of month, month, day of week; no seconds)`;
    throw fail(`${found}; use ${spellings}`);
  }
  const pattern = fields.join(" ");
  try {
    new Cron(pattern, { mode: "5-part", timezone: "UTC", paused: true });
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).replace(/^\w+: /, "");
    throw fail(
      `${reason.charAt(0).toLowerCase()}${reason.slice(1)}; the fields of cron are minute, hour, day of month, month, day of week`,
    );
  }
  const [, , dayOfMonth = "*", month = "*", dayOfWeek = "*"] = fields;
  // Only a month that lacks the day can keep a pattern from ever being due; the question costs about a millisecond.
  if (month !== "*" && neverDue(`${dayOfMonth} ${month} ${dayOfWeek}`)) {
    throw fail(
      `no month has such a day ("${dayOfMonth} ${month} ${dayOfWeek}"), so it is never due; use day L for the last of a month`,
    );
  }
  return pattern;
}

function neverDue(dayFields: string): boolean {
  return dayCron(dayFields).nextRun(new Date(Date.UTC(2000, 0, 1) - 1000)) === null;
}

function neighbour(schedule: Schedule, instant: number, direction: "back" | "forth"): number | undefined {
  if (!schedule.takesPoints) return undefined;
  const step = direction === "back" ? -1 : 1;
  const today = Math.floor(wallAt(schedule.timeZone, instant) / day);
  // Where clocks change at midnight an instant can belong to the slots of a neighbouring day.
  const near = [today - step, today, today + step].flatMap(date =>
    isDue(schedule, date) ? slotsOfDay(schedule, date) : [],
  );
  const fitting = near.filter(slot => (direction === "back" ? slot <= instant : slot > instant));
  if (fitting.length > 0) return direction === "back" ? Math.max(...fitting) : Math.min(...fitting);
  const date = dueDay(schedule, today + 2 * step, step);
  return date === undefined ? undefined : slotsOfDay(schedule, date).at(direction === "back" ? -1 : 0);
}

function slotTimes(schedule: Schedule, from: number, to: number, limit = Number.POSITIVE_INFINITY): number[] {
  if (!schedule.takesPoints || limit <= 0) return [];
  const { timeZone } = schedule;
  const lastDay = Math.floor(wallAt(timeZone, to) / day) + 1;
  const found: number[] = [];
  let date = dueDay(schedule, Math.floor(wallAt(timeZone, from) / day) - 1, 1);
  // A day beyond the limit is read too, because clock changes can bring slots of two days out of order.
  for (
    let enough = false;
    date !== undefined && date <= lastDay && !enough;
    date = dueDay(schedule, date + 1, 1)
  ) {
    enough = found.length >= limit;
    for (const slot of slotsOfDay(schedule, date)) if (slot > from && slot <= to) found.push(slot);
  }
  const ordered = found.every((slot, index) => index === 0 || slot > (found[index - 1] ?? slot));
  const unique = ordered ? found : [...new Set(found)].sort((a, b) => a - b);
  return limit < unique.length ? unique.slice(0, limit) : unique;
}

/** The slots of one local day (days since 1970 on the wall), oldest first. */
function slotsOfDay(schedule: Schedule, date: number): number[] {
  const { timeZone, pattern } = schedule;
  const { walls, everyHour } = timesOf(pattern);
  const start = date * day;
  const offset = wallAt(timeZone, start - day) - (start - day);
  // No change of the clocks near this day: the usual case.
  if (offset === wallAt(timeZone, start + 2 * day) - (start + 2 * day))
    return walls.map(wall => start + wall - offset);
  const found = new Set<number>();
  for (const wall of walls) {
    const { instants, gapEnd } = instantsOf(timeZone, start + wall);
    if (everyHour) for (const instant of instants) found.add(instant);
    else found.add(instants[0] ?? gapEnd ?? Number.NaN);
  }
  return [...found].sort((a, b) => a - b);
}

interface Times {
  minutes: number[];
  hours: number[];
  /** Every time of day, as ms after midnight on the wall. */
  walls: number[];
  everyHour: boolean;
}

const knownCrons = new Map<string, string>();
const knownTimes = new Map<string, Times>();
const knownDays = new Map<string, number[]>();

function timesOf(pattern: string): Times {
  return remembered(knownTimes, pattern.split(" ", 2).join(" "), key => {
    const parsed = new CronPattern(`${key} * * *`, "UTC", { mode: "5-part" });
    const minutes = set(parsed.minute);
    const hours = set(parsed.hour);
    const walls = hours.flatMap(h => minutes.map(m => h * hour + m * minute));
    return { minutes, hours, walls, everyHour: hours.length === 24 };
  });
}

function set(flags: number[]): number[] {
  return flags.flatMap((flag, index) => (flag ? [index] : []));
}

function isDue(schedule: Schedule, date: number): boolean {
  return dueDay(schedule, date, 1) === date;
}

/** The nearest local day with slots, from `date` on in the direction of `step`; a leap day can be 8 years away. */
function dueDay(schedule: Schedule, date: number, step: 1 | -1): number | undefined {
  const dayFields = schedule.pattern.split(" ").slice(2).join(" ");
  if (dayFields === "* * *") return date;
  const year = new Date(date * day).getUTCFullYear();
  for (let distance = 0; distance <= 40; distance++) {
    const due = dueDays(dayFields, year + distance * step);
    const found = step === 1 ? due.find(d => d >= date) : due.filter(d => d <= date).at(-1);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The days of a calendar year that the last three fields of cron select, as days since 1970. */
function dueDays(dayFields: string, year: number): number[] {
  return remembered(knownDays, `${year} ${dayFields}`, () => {
    const cron = dayCron(dayFields);
    const end = Date.UTC(year + 1, 0, 1);
    const found: number[] = [];
    let run = cron.nextRun(new Date(Date.UTC(year, 0, 1) - 1000));
    while (run && run.getTime() < end) {
      found.push(run.getTime() / day);
      run = cron.nextRun(run);
    }
    return found;
  });
}

function dayCron(dayFields: string): Cron {
  return new Cron(`0 0 ${dayFields}`, { mode: "5-part", timezone: "UTC", paused: true });
}

function remembered<V>(known: Map<string, V>, key: string, make: (key: string) => V): V {
  let value = known.get(key);
  if (value === undefined) {
    value = make(key);
    if (known.size > 10_000) known.clear();
    known.set(key, value);
  }
  return value;
}
