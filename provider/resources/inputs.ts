import { z } from "zod";
import { instant } from "../base/marks";
import { kubernetesOptions } from "../movers/kubernetes/options";
import { type MoverName, movers } from "../movers/registry";
import { isLaterThan } from "../operations/restic-set";
import { type Retention, validateRetention } from "../operations/retention";
import { newestSlot, nextSlot, parseSchedule, type Schedule } from "../operations/schedule";
import type { Until } from "../operations/until";
import type { Refusal } from "./resource";

/** The inputs that more than one type has, each described once. */

const count = (what: string) => z.number().int().min(0).describe(what).optional();
const duration = (what: string) =>
  z
    .string()
    .regex(/^(\d+[ymdh])+$/, "must be a duration like '1y5m7d2h' (years, months, days, hours)")
    .describe(what)
    .optional();

/** Retention, one object for every kind of recovery point. */
export const retention = z
  .strictObject({
    keepLast: count("Keep the newest N points."),
    keepForDays: count("Keep points of the last N days, counted back from the newest slot."),
    keepHourly: count("Keep the newest point of each of the last N hours that have one."),
    keepDaily: count("Keep the newest point of each of the last N days that have one."),
    keepWeekly: count("Keep the newest point of each of the last N ISO weeks that have one."),
    keepMonthly: count("Keep the newest point of each of the last N months that have one."),
    keepYearly: count("Keep the newest point of each of the last N years that have one."),
    keepWithin: duration("Keep every point within this time before the newest slot."),
    keepWithinHourly: duration("Keep one point an hour within this time."),
    keepWithinDaily: duration("Keep one point a day within this time."),
    keepWithinWeekly: duration("Keep one point a week within this time."),
    keepWithinMonthly: duration("Keep one point a month within this time."),
    keepWithinYearly: duration("Keep one point a year within this time."),
    keepTags: z
      .array(z.array(z.string()))
      .describe("Keep points that carry all tags of one of these lists.")
      .optional(),
    minimum: z.number().int().min(1).describe("Never fewer good points than this. Default 1.").optional(),
  })
  .describe("Which recovery points are kept. What no rule keeps is removed once a newer good point exists.");

export const owner = z
  .string()
  .min(1)
  .max(255, "must have 255 characters at most, Cinder's limit: shorten the resource's name")
  .describe(
    "`<project>/<stack>/<resource name>`, minted by the SDK: the mark on everything this resource makes.",
  );

export const set = z
  .string()
  .min(1)
  .describe("Name of the backup set in marks and names. Default: the resource's name.");

export const place = {
  cloud: z
    .string()
    .describe("Name in clouds.yaml. Default: the stack's configuration, then OS_*.")
    .optional(),
  region: z.string().describe("Region, where the cloud has several.").optional(),
  projectId: z
    .string()
    .min(1)
    .describe("Id of the project, of those that the login has a role in. Default: the login's own.")
    .optional(),
};

export const timing = {
  schedule: z
    .string()
    .describe(
      "When points are due: cron ('30 2 * * *'), Snapmanager's count[@days][@hours] ('7@mon-fri@2'), or hourly, daily, " +
        "weekly, monthly, yearly, daily-random. Without one a single point is taken.",
    )
    .meta({ decidesSlot: true })
    .optional(),
  timeZone: z
    .string()
    .default("UTC")
    .describe("IANA time zone of the schedule and of retention's days. Default UTC.")
    .meta({ decidesSlot: true }),
  paused: z
    .boolean()
    .default(false)
    .describe("True takes no new points; the existing ones are kept. Default false.")
    .meta({ decidesSlot: true }),
  trigger: z
    .string()
    .describe("Any text; a new one asks for a point now, outside the schedule.")
    .meta({ decidesSlot: true })
    .optional(),
  slot: z
    .string()
    .default("")
    .describe(
      "The newest scheduled instant that has passed, ISO 8601 in UTC; empty without one. Added by check.",
    )
    .meta({ computed: true }),
};

/** The set's name: given, or the resource's. */
export function setNameOf(given: { set?: string | undefined; owner: string }): string {
  return given.set ?? given.owner.split("/").slice(2).join("/") ?? given.owner;
}

const anInstant = "an instant as ISO 8601 with its zone, '2026-11-22T10:00:00Z'";
const isInstant = (text: string): boolean => z.iso.datetime({ offset: true }).safeParse(text).success;

/** An instant, such as a slot. */
export const instantInput = z.string().refine(isInstant, `must be ${anInstant}`);

/** An instant, or "" where there is none yet. */
export const instantInputOrNone = z
  .string()
  .refine(text => text === "" || isInstant(text), `must be ${anInstant}`);

/** All points, or those up to an instant, as `Until`. */
export const until = z.union(
  [z.boolean(), z.string().refine(isInstant, `must be true, or ${anInstant}`)],
  `must be true, or ${anInstant}`,
);

/** Refuses an instant that points would come under which nobody can have looked at yet: that would turn a guard off for good. */
export const notOfTheFuture = (
  property: string,
  instantOf: Until | undefined,
  remedy: string,
  now: Date,
): Refusal[] =>
  typeof instantOf === "string" && isLaterThan(new Date(instantOf), now)
    ? [
        {
          property,
          reason: `must not be later than now, ${instant(now)}: it would cover points that nobody has seen yet; ${remedy} (is ${JSON.stringify(instantOf)})`,
        },
      ]
    : [];

/** Who reads and writes the volume. */
export const mover = z
  .enum(Object.keys(movers) as [MoverName])
  .describe(
    "Who reads and writes the volume: 'local' (default), the machine that runs the stack, which reaches the storage; 'server', " +
      "the same machine where it is a server of the cloud, to which Nova attaches the volume; 'kubernetes', a Job on a " +
      "cluster with the Cinder CSI driver; 'auto', 'server' or 'local', whichever works here.",
  )
  .optional();

/** What the movers 'server' and 'kubernetes' take. */
export const moverOptions = z
  .strictObject({
    serverId: z
      .string()
      .min(1)
      .describe(
        "Id of the server that the stack runs on. Default: what its metadata service, config drive, firmware or cloud-init says.",
      )
      .optional(),
    maxAttached: z
      .number()
      .int()
      .positive()
      .describe("How many temporary volumes it has at most at one time; further ones wait. Default 16.")
      .optional(),
    kubernetes: kubernetesOptions.describe("For the mover 'kubernetes'.").optional(),
  })
  .describe("For the movers 'server', 'kubernetes' and 'auto'.")
  .optional();

export const deletionPolicy = z.enum(["delete", "retain"]);

/** The schedule of a resource, where it has one. The seed spreads `daily-random` sets over the day. */
export function scheduleOf(inputs: {
  schedule?: string | undefined;
  timeZone?: string | undefined;
  owner?: string | undefined;
}): Schedule | undefined {
  if (inputs.schedule === undefined) return undefined;
  return parseSchedule(inputs.schedule, { timeZone: inputs.timeZone ?? "UTC", seed: inputs.owner ?? "" });
}

/** A clock that was so far ahead was wrong: it must not stop a set until the day that it said. */
const mostAheadMs = 86_400_000;

/**
 * The slot to converge on: the newest scheduled instant that has passed, never older than the one in the old inputs, so
 * that neither a clock set back nor a changed schedule asks for a point of the past; but one that lies more than a day
 * ahead is let go of.
 */
export function settleSlot(
  inputs: {
    schedule?: string | undefined;
    timeZone?: string | undefined;
    owner?: string | undefined;
    paused?: boolean;
  },
  olds: { slot?: string | undefined } | undefined,
  now: Date,
): string {
  const last = olds?.slot ?? "";
  const old = Date.parse(last) > now.getTime() + mostAheadMs ? "" : last;
  const schedule = scheduleOf(inputs);
  if (!schedule?.takesPoints || inputs.paused) return old;
  const newest = newestSlot(schedule, now);
  const slot = newest ? instant(newest) : "";
  return slot < old ? old : slot;
}

/** When the next point is due, as ISO 8601, or undefined without a schedule. */
export function nextDue(
  inputs: Parameters<typeof scheduleOf>[0] & { slot?: string | undefined; paused?: boolean },
): string | undefined {
  const schedule = scheduleOf(inputs);
  if (!schedule?.takesPoints || inputs.paused || !inputs.slot) return undefined;
  const next = nextSlot(schedule, new Date(inputs.slot));
  return next && instant(next);
}

/** The retention in force: Snapmanager's count stands for `keepLast` where the policy names none. */
export function retentionOf(
  inputs: Parameters<typeof scheduleOf>[0] & { retention?: z.output<typeof retention> | undefined },
): Retention | undefined {
  const counted = scheduleOf(inputs)?.count;
  if (inputs.retention)
    return withoutUndefined({
      ...inputs.retention,
      keepLast: inputs.retention.keepLast ?? (counted || undefined),
    });
  return counted ? { keepLast: counted } : undefined;
}

function withoutUndefined(value: Record<string, unknown>): Retention {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as Retention;
}

/** The schedule and retention rules that every set of points shares. */
export function timingRules(
  inputs: Parameters<typeof scheduleOf>[0] & { retention?: z.output<typeof retention> | undefined },
): Refusal[] {
  try {
    scheduleOf(inputs);
  } catch (error) {
    const property = (error as { property?: string }).property ?? "schedule";
    return [{ property, reason: (error as Error).message }];
  }
  if (!inputs.retention) return [];
  return validateRetention(retentionOf(inputs) as Retention).map(({ property, reason }) => ({
    property: property.startsWith("retention") ? property : `retention.${property}`,
    reason,
  }));
}

type Retained = { retention?: z.output<typeof retention> | undefined };

/** Points that are not restic's cannot be kept for their tags. */
export function noTags({ retention }: Retained): Refusal[] {
  return retention?.keepTags
    ? [{ property: "retention.keepTags", reason: "restic's points alone carry tags, use it on ResticBackup" }]
    : [];
}

/** What a set keeps that is not told: a count is the whole retention of its copy set, with 0 everything stays. */
export function defaultRetention(
  inputs: Parameters<typeof scheduleOf>[0],
  uncounted: Retained["retention"] = { keepLast: 3, keepForDays: 7 },
): Retained["retention"] {
  const count = scheduleOf(inputs)?.count;
  if (count === undefined) return uncounted;
  return count > 0 ? { keepLast: count } : undefined;
}
