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
export type TagSet = string | readonly string[];

export type Period = "hourly" | "daily" | "weekly" | "monthly" | "yearly";

/** What each rule that counts counts. */
export const countRules = {
  keepLast: undefined,
  keepHourly: "hourly",
  keepDaily: "daily",
  keepWeekly: "weekly",
  keepMonthly: "monthly",
  keepYearly: "yearly",
} as const;

/** What each rule with a window keeps the newest of; all points without. */
export const durationRules = {
  keepWithin: undefined,
  keepWithinHourly: "hourly",
  keepWithinDaily: "daily",
  keepWithinWeekly: "weekly",
  keepWithinMonthly: "monthly",
  keepWithinYearly: "yearly",
} as const;

/** A rule that a retention gives. */
export type GivenRule =
  | { kind: "count"; period: Period | undefined; count: number }
  /** A number is a window in days. */
  | { kind: "window"; period: Period | undefined; window: number | string }
  | { kind: "tags"; sets: readonly TagSet[] };

/** The rules that a retention gives, without those of 0, in the order in which their reasons stand. */
export function rulesIn(retention: Retention): GivenRule[] {
  const rules: GivenRule[] = [];
  for (const property of Object.keys(countRules) as (keyof typeof countRules)[]) {
    const count = retention[property] ?? 0;
    if (count > 0) rules.push({ kind: "count", period: countRules[property], count });
  }
  if (retention.keepForDays) rules.push({ kind: "window", period: undefined, window: retention.keepForDays });
  for (const property of Object.keys(durationRules) as (keyof typeof durationRules)[]) {
    const window = retention[property];
    if (window !== undefined && !isNothing(window))
      rules.push({ kind: "window", period: durationRules[property], window });
  }
  if (retention.keepTags?.length) rules.push({ kind: "tags", sets: retention.keepTags });
  return rules;
}

/** The tags of one set. */
export function tagsOf(set: TagSet): string[] {
  return (typeof set === "string" ? set.split(",") : [...set]).map(tag => tag.trim());
}

/** Reads "1y5m7d2h": each unit at most once; undefined when it is no such duration. */
export function parseDuration(
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

/** Whether a duration holds no time. */
function isNothing(window: string): boolean {
  const { years, months, days, hours } = parseDuration(window) ?? { years: 0, months: 0, days: 0, hours: 0 };
  return years + months + days + hours === 0;
}
