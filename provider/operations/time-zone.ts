/**
 * Wall clocks of IANA time zones, without a clock of our own.
 *
 * A "wall" is what the clock on the wall shows, as milliseconds counted as if the wall were in UTC.
 */

const hour = 3_600_000;
const day = 24 * hour;

interface OffsetChange {
  /** First instant, in ms, at which the offset holds. */
  at: number;
  offset: number;
}

const formats = new Map<string, Intl.DateTimeFormat>();
const changes = new Map<string, OffsetChange[]>();

/** Whether this Node knows the IANA name, such as "Europe/Berlin". Bare offsets such as "+02:00" are no zones. */
export function isTimeZone(name: string): boolean {
  if (!/^[a-z]/i.test(name)) return false;
  try {
    format(name);
    return true;
  } catch {
    return false;
  }
}

/** How far the zone's clocks are ahead of UTC at an instant, in ms. */
export function offsetAt(zone: string, instant: number): number {
  if (zone === "UTC") return 0;
  let offset = 0;
  for (const change of changesOfYear(zone, new Date(instant).getUTCFullYear())) {
    if (change.at > instant) break;
    offset = change.offset;
  }
  return offset;
}

/** What the zone's clocks show at an instant. */
export function wallAt(zone: string, instant: number): number {
  return instant + offsetAt(zone, instant);
}

/**
 * The instants at which the zone's clocks show a time: one, two when clocks are put back over it, none when they are
 * put forward over it. `gapEnd` is then the first instant after the gap.
 */
export function instantsOf(zone: string, wall: number): { instants: number[]; gapEnd?: number } {
  const before = offsetAt(zone, wall - day);
  const after = offsetAt(zone, wall + day);
  if (before === after) return { instants: [wall - before] };
  const instants = [wall - before, wall - after].filter(instant => wallAt(zone, instant) === wall);
  if (instants.length > 0) return { instants: instants.sort((a, b) => a - b) };
  return { instants: [], gapEnd: firstWith(zone, after, wall - day, wall + day) };
}

/**
 * Calendar arithmetic on the wall: years, months and days back at the same time of day, then hours back in real time.
 * A day that a month lacks runs over into the next month. These are the rules of Go's `Time.AddDate`, which restic's
 * keep-within uses: https://pkg.go.dev/time#Time.AddDate
 */
export function goBack(
  zone: string,
  instant: number,
  by: { years: number; months: number; days: number; hours: number },
): number {
  const shown = new Date(wallAt(zone, instant));
  shown.setUTCFullYear(
    shown.getUTCFullYear() - by.years,
    shown.getUTCMonth() - by.months,
    shown.getUTCDate() - by.days,
  );
  const wall = shown.getTime();
  const back = wall - offsetAt(zone, wall - offsetAt(zone, wall)) - by.hours * hour;
  // Beyond what a Date can hold, every point is inside the window.
  return Number.isNaN(back) ? Number.NEGATIVE_INFINITY : back;
}

/** The offsets in force in a UTC year, each with its first instant; the first one holds from before the year. */
function changesOfYear(zone: string, year: number): OffsetChange[] {
  const key = `${zone} ${year}`;
  const known = changes.get(key);
  if (known) return known;
  const end = Date.UTC(year + 1, 0, 1);
  let low = Date.UTC(year, 0, 1);
  let offset = askOffset(zone, low);
  const found = [{ at: Number.NEGATIVE_INFINITY, offset }];
  while (low < end) {
    // No zone of the tz database has put its clocks forth and back within three days.
    const high = Math.min(low + 3 * day, end);
    const next = askOffset(zone, high);
    if (next !== offset) found.push({ at: firstWith(zone, next, low, high), offset: next });
    offset = next;
    low = high;
  }
  if (changes.size > 10_000) changes.clear();
  changes.set(key, found);
  return found;
}

/** The first instant (in whole seconds) between `low` and `high` with the given offset, by halving. */
function firstWith(zone: string, offset: number, low: number, high: number): number {
  let without = Math.floor(low / 1000);
  let having = Math.ceil(high / 1000);
  while (having - without > 1) {
    const middle = Math.floor((without + having) / 2);
    if (askOffset(zone, middle * 1000) === offset) having = middle;
    else without = middle;
  }
  return having * 1000;
}

/** The offset by the runtime's own tz database; slow, hence the table above. */
function askOffset(zone: string, instant: number): number {
  const parts: Record<string, number> = {};
  for (const { type, value } of format(zone).formatToParts(instant)) parts[type] = Number(value);
  const { year = 0, month = 1, day: date = 1, hour: hours = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, date, hours, minute, second) - Math.floor(instant / 1000) * 1000;
}

function format(zone: string): Intl.DateTimeFormat {
  let made = formats.get(zone);
  if (!made) {
    made = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    formats.set(zone, made);
  }
  return made;
}
