import type { StackValidationPolicy } from "@pulumi/policy";
import { applyRetention, daysCovered, type Point, type Retention } from "../../provider/operations/retention";
import { newestSlot, type Schedule, slots } from "../../provider/operations/schedule";
import {
  type Examinable,
  readSchedule,
  retentionOf,
  rounded,
  scheduleOf,
  setTypeOf,
} from "./recovery-points";
import { strict } from "./strict";

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
export const retentionMinimum = strict<StackValidationPolicy>({
  name: "retention-minimum",
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
      assumedSchedule: {
        type: "string",
        default: "daily",
        description:
          "The schedule of a ResticBackup whose CinderSnapshot is not in the stack; otherwise it follows that one's.",
      },
    },
  },
  validateStack: (args, reportViolation) => {
    const config = args.getConfig<Config>();
    const sets = args.resources
      .filter(resource => setTypeOf(resource))
      .map(({ type, name, props, urn }) => ({ type, name, props, urn, notApplicable: args.notApplicable }));
    for (const ofOneVolume of byVolume(sets).values()) {
      const judged = ofOneVolume
        .map(set => ({ set, found: findOf(set, sets, config) }))
        .filter(({ found }) => found !== undefined) as { set: StackSet; found: Found }[];
      const [best] = judged.sort(
        (a, b) => a.found.shortfalls.length - b.found.shortfalls.length || b.found.days - a.found.days,
      );
      const others =
        judged.length > 1
          ? `, the best of the ${judged.length} sets of its ${isServers(best?.set) ? "server" : "volume"},`
          : "";
      for (const shortfall of best?.found.shortfalls ?? [])
        reportViolation(`${best?.set.name}${others} ${shortfall}`, best?.set.urn);
    }
  },
});

interface StackSet extends Examinable {
  urn: string;
}

/** How many days a set's points reach back, and what it lacks, one line each. */
interface Found {
  days: number;
  shortfalls: string[];
}

/** The sets of each volume. */
function byVolume(sets: StackSet[]): Map<string, StackSet[]> {
  const volumes = new Map<string, StackSet[]>();
  for (const set of sets) {
    const key = volumeOf(sourceOf(set, sets) ?? set);
    volumes.set(key, [...(volumes.get(key) ?? []), set]);
  }
  return volumes;
}

/** The CinderSnapshot that a ResticBackup follows, where the stack has it. */
function sourceOf(set: StackSet, sets: StackSet[]): StackSet | undefined {
  if (setTypeOf(set) !== "ResticBackup") return undefined;
  const owner: unknown = set.props.source?.owner;
  return sets.find(other => setTypeOf(other) === "CinderSnapshot" && other.props.owner === owner);
}

/** The volume that a set protects. One that is yet to be made is not known in a preview: there the set stands for it. */
function volumeOf(set: StackSet): string {
  try {
    const volumeId: unknown = set.props.volumeId ?? set.props.source?.volumeId;
    if (typeof volumeId === "string") return `volume ${volumeId}`;
    const serverId: unknown = set.props.serverId;
    if (typeof serverId === "string") return `server ${serverId}`;
  } catch {
    // @pulumi/policy throws for what is not known
  }
  return set.urn;
}

const isServers = (set: StackSet | undefined) =>
  set !== undefined && ["ServerSnapshot", "ServerBackup"].includes(setTypeOf(set) ?? "");

/** Undefined for a set that takes no points. */
function findOf(set: StackSet, sets: StackSet[], config: Config): Found | undefined {
  const source = sourceOf(set, sets);
  const schedule =
    setTypeOf(set) !== "ResticBackup"
      ? scheduleOf(set)
      : source
        ? scheduleOf(source)
        : readSchedule(set, config.assumedSchedule, set.props.timeZone);
  const retention = retentionOf(set);
  if (!schedule?.takesPoints) return undefined;
  return retention
    ? remembered(retention, schedule, config)
    : { days: Number.POSITIVE_INFINITY, shortfalls: [] };
}

const known = new Map<string, Found>();

/** Many sets share a policy, so the answers are remembered. */
function remembered(retention: Retention, schedule: Schedule, config: Config): Found {
  const now = new Date();
  const { pattern, timeZone } = schedule;
  const key = JSON.stringify([retention, pattern, timeZone, config, now.toISOString().slice(0, 10)]);
  let found = known.get(key);
  if (!found) {
    found = find(retention, schedule, config, now);
    if (known.size > 1000) known.clear();
    known.set(key, found);
  }
  return found;
}

function find(retention: Retention, schedule: Schedule, config: Config, now: Date): Found {
  const shortfalls: string[] = [];
  const days = daysCovered(retention, schedule, now);
  if (days < config.minDays - clockChange) {
    shortfalls.push(
      `can be left with points that reach back ${inDays(days)}; ${inDays(config.minDays)} are required (retention-minimum.minDays)`,
    );
  }
  for (const [setting, rule] of Object.entries(required) as [keyof typeof required, Rule][]) {
    const count = config[setting];
    if (count === 0) continue;
    const kept = periodsKept(retention, schedule, rule, count, now);
    if (kept < count) {
      shortfalls.push(`keeps ${kept} of the ${count} ${words[rule]} (retention-minimum.${setting})`);
    }
  }
  return { days, shortfalls };
}

/**
 * How many of the newest `count` periods with slots have a point that the policy keeps, had every slot made one. All,
 * where the schedule has fewer.
 */
function periodsKept(retention: Retention, schedule: Schedule, rule: Rule, count: number, now: Date): number {
  const asOf = newestSlot(schedule, now) ?? now;
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

function inDays(days: number): string {
  return `${rounded(days)} day${rounded(days) === "1" ? "" : "s"}`;
}
