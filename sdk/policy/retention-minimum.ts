import type { ReportViolation, StackValidationPolicy } from "@pulumi/policy";
import { applyRetention, daysCovered, type Point, type Retention } from "../../provider/operations/retention";
import { newestSlot, type Schedule, slots } from "../../provider/operations/schedule";
import { define } from "./define";
import { assumedScheduleSchema, inDays } from "./recovery-points";
import { remember } from "./remember";
import { byOrigin, ruleOf, type StackSet, setsOf } from "./stack-sets";
import { eachKnown } from "./unknown";

interface Config {
  minDays: number;
  minKeepLast: number;
  minKeepDaily: number;
  minKeepWeekly: number;
  minKeepMonthly: number;
  minKeepYearly: number;
  assumedSchedule: string;
}

const required = {
  minKeepLast: "keepLast",
  minKeepDaily: "keepDaily",
  minKeepWeekly: "keepWeekly",
  minKeepMonthly: "keepMonthly",
  minKeepYearly: "keepYearly",
} as const;

type Rule = (typeof required)[keyof typeof required];

/** The longest that a period can be, in days. */
const daysOf: Record<Rule, number> = {
  keepLast: 1,
  keepDaily: 1,
  keepWeekly: 7,
  keepMonthly: 31,
  keepYearly: 366,
};

const words: Record<Rule, string> = {
  keepLast: "newest points",
  keepDaily: "newest days that have points",
  keepWeekly: "newest weeks that have points",
  keepMonthly: "newest months that have points",
  keepYearly: "newest years that have points",
};

/** A slot in the hour that clocks skip runs later than on other days: this much of minDays, in days, may be lacking. */
const clockChange = 2 / 24;

const minimumOf = (what: string, byDefault: number) =>
  ({
    type: "integer",
    minimum: 0,
    default: byDefault,
    description: `At least ${what}; 0 asks for none.`,
  }) as const;

/**
 * Weighs the effect of a policy, not its numbers: any mix of rules will do that reaches as far back and keeps a point
 * of each period asked for. A set that keeps everything passes. A volume is as well protected as the best of its sets:
 * Cinder snapshots may be few and short-lived where a ResticBackup of them keeps what is required.
 */
export const retentionMinimum = define<StackValidationPolicy>({
  name: "retention-minimum",
  displayName: "Retention reaches far enough",
  description:
    "Checks whether the recovery points of each volume reach far enough back and are enough, in the best of its sets.",
  enforcementLevel: "mandatory",
  severity: "high",
  remediationSteps: "Raise the counts or windows of retention.",
  configSchema: {
    properties: {
      minDays: {
        type: "number",
        minimum: 0,
        default: 7,
        description: "Days that the points reach back at the worst moment of a year.",
      },
      minKeepLast: minimumOf("so many of the newest points", 3),
      minKeepDaily: minimumOf("a point of so many of the newest days that have one", 0),
      minKeepWeekly: minimumOf("a point of so many of the newest weeks that have one", 0),
      minKeepMonthly: minimumOf("a point of so many of the newest months that have one", 0),
      minKeepYearly: minimumOf("a point of so many of the newest years that have one", 0),
      assumedSchedule: assumedScheduleSchema,
    },
  },
  validateStack: (args, reportViolation) => {
    const config = args.getConfig<Config>();
    eachKnown(byOrigin(setsOf(args)), ({ sets }) => judge(sets, config, reportViolation));
  },
});

function judge(sets: readonly StackSet[], config: Config, reportViolation: ReportViolation): void {
  const judged = sets.flatMap(set => {
    const found = findOf(set, config);
    return found ? [{ set, found }] : [];
  });
  const [best] = judged.sort(
    (a, b) => a.found.shortfalls.length - b.found.shortfalls.length || b.found.days - a.found.days,
  );
  const others =
    judged.length > 1
      ? `, the best of the ${judged.length} sets of its ${best?.set.ofServer ? "server" : "volume"},`
      : "";
  for (const shortfall of best?.found.shortfalls ?? [])
    reportViolation(`${best?.set.name}${others} ${shortfall}`, best?.set.urn);
}

/** How many days a set's points reach back, and what it lacks, one line each. */
interface Found {
  days: number;
  shortfalls: string[];
}

/** Undefined for a set that takes no points. */
function findOf(set: StackSet, config: Config): Found | undefined {
  const rule = ruleOf(set, config.assumedSchedule);
  if (!rule) return undefined;
  const { schedule, retention } = rule;
  const now = new Date();
  const { pattern, timeZone } = schedule;
  return retention
    ? remember(["retention-minimum", retention, pattern, timeZone, config], now, () =>
        find(retention, schedule, config, now),
      )
    : { days: Number.POSITIVE_INFINITY, shortfalls: [] };
}

function find(retention: Retention, schedule: Schedule, config: Config, now: Date): Found {
  const shortfalls: string[] = [];
  const days = daysCovered(retention, schedule, now);
  if (days < config.minDays - clockChange) {
    shortfalls.push(
      `can be left with points that reach back ${inDays(days)}; ${inDays(config.minDays)} are required (retention-minimum.minDays)`,
    );
  }
  const moments = momentsOf(schedule, now);
  for (const [setting, rule] of Object.entries(required) as [keyof typeof required, Rule][]) {
    const count = config[setting];
    if (count === 0) continue;
    const kept = Math.min(...moments.map(asOf => periodsKept(retention, schedule, rule, count, asOf)));
    if (kept < count) {
      shortfalls.push(`keeps ${kept} of the ${count} ${words[rule]} (retention-minimum.${setting})`);
    }
  }
  return { days, shortfalls };
}

/** At most so many moments of a day are looked at. */
const mostMoments = 24;

/** The slots of the last day, or the newest one: what a policy leaves must not depend on when it is looked at. */
function momentsOf(schedule: Schedule, now: Date): Date[] {
  const ofDay = slots(schedule, new Date(now.getTime() - 86_400_000), now);
  if (ofDay.length === 0) return [newestSlot(schedule, now) ?? now];
  const step = Math.ceil(ofDay.length / mostMoments);
  return ofDay.filter((_, index) => (ofDay.length - 1 - index) % step === 0);
}

/**
 * How many of the newest `count` periods with slots have a point that the policy keeps, had every slot made one. All,
 * where the schedule has fewer.
 */
function periodsKept(
  retention: Retention,
  schedule: Schedule,
  rule: Rule,
  count: number,
  asOf: Date,
): number {
  const options = { asOf, timeZone: schedule.timeZone };
  let points: Point[] = [];
  let asked: string[] = [];
  for (let days = 2 * count * daysOf[rule]; asked.length < count && days < 200 * 366; days *= 2) {
    const from = new Date(asOf.getTime() - days * 86_400_000);
    points = slots(schedule, from, asOf).map((time, index) => ({ id: String(index), time, good: true }));
    asked = periodsOf(points, rule, count, options);
  }
  const stay = applyRetention(points, retention, options).keep.map(({ point }) => point);
  const kept = new Set(periodsOf(stay, rule, stay.length, options));
  return asked.filter(period => kept.has(period)).length + count - asked.length;
}

/** The newest periods that have a point: for keepLast the points themselves. */
function periodsOf(
  points: Point[],
  rule: Rule,
  count: number,
  options: { asOf: Date; timeZone: string },
): string[] {
  return applyRetention(points, { [rule]: count }, options).keep.map(({ point, reasons }) =>
    rule === "keepLast" ? point.id : reasons.join(),
  );
}
