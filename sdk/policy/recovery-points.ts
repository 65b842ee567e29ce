import type { ResourceValidationArgs } from "@pulumi/policy";
import type { Retention } from "../../provider/operations/retention";
import { parseSchedule, type Schedule } from "../../provider/operations/schedule";
import { typeToken } from "../binding";

/** The resources that keep a set of recovery points. */
const setTypes = ["CinderSnapshot", "ServerSnapshot", "ServerBackup", "ResticBackup"] as const;
export type SetType = (typeof setTypes)[number];

/** What a policy reads of a resource, whether it is given one or the whole stack. */
export type Examinable = Pick<ResourceValidationArgs, "type" | "name" | "props" | "notApplicable">;

/** Which of them a resource is; undefined for all others. */
export function setTypeOf(args: Pick<Examinable, "type">): SetType | undefined {
  return setTypes.find(type => args.type === typeToken(type));
}

/**
 * The schedule of a set; undefined when it has none. One that cannot be read is the provider's to refuse.
 *
 * @throws what @pulumi/policy throws when an input is not known in a preview: it turns that into a notice
 */
export function scheduleOf(args: Examinable): Schedule | undefined {
  const { schedule, timeZone, owner } = args.props;
  if (typeof schedule !== "string") return undefined;
  return readSchedule(args, schedule, timeZone, owner);
}

/** Reads a schedule with the zone of a set, or says that the policy does not apply. */
export function readSchedule(args: Examinable, text: string, timeZone: unknown, owner?: unknown): Schedule {
  try {
    return parseSchedule(text, {
      timeZone: typeof timeZone === "string" ? timeZone : "UTC",
      seed: typeof owner === "string" ? owner : args.name,
    });
  } catch (error) {
    return args.notApplicable(error instanceof Error ? error.message : String(error));
  }
}

/** The retention in force as a plain object: a schedule's count stands for keepLast; undefined when there is none. */
export function retentionOf(args: Examinable): Retention | undefined {
  const given: Record<string, unknown> | undefined = args.props.retention;
  const count = scheduleOf(args)?.count;
  if (given === undefined || given === null) return count ? { keepLast: count } : undefined;
  const retention: Record<string, unknown> = {};
  for (const property of Object.keys(given)) retention[property] = given[property];
  if (retention.keepLast === undefined && count) retention.keepLast = count;
  return retention;
}

/** The tier that a set belongs to: the metadata of that name on the resource, or else the stack's tag. */
export function tierOf(args: ResourceValidationArgs, tierKey: string): string | undefined {
  return tierIn(args.props, tierKey) ?? args.stackTags.get(tierKey);
}

/** The tier that a resource's metadata say. */
export function tierIn(props: Examinable["props"], tierKey: string): string | undefined {
  const tier: unknown = props.metadata?.[tierKey];
  return typeof tier === "string" ? tier : undefined;
}

/** Whether two names of a tier are the same: "Gold" is gold. */
export const isSameTier = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

/** The configuration of the tiers that a policy is for. */
export const tiersSchema = (tiers: string[]) =>
  ({
    type: "array",
    items: { type: "string" },
    default: tiers,
    description: 'The tiers that need it; "*" stands for every set, with a tier or without.',
  }) as const;

/** The configuration of the schedule of a set whose own is not in the stack. */
export const assumedScheduleSchema = {
  type: "string",
  default: "daily",
  description:
    "The schedule of a ResticBackup whose CinderSnapshot is not in the stack; otherwise it follows that one's.",
} as const;

/** The configuration key that names the tier, the same in every policy that knows tiers. */
export const tierKeySchema = {
  type: "string",
  default: "tier",
  description: "Key of a resource's metadata, or else of the stack's tags, that holds its tier.",
} as const;

/** Numbers for people: at most two places. */
export function rounded(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** A number of days for people, or of hours where it is less than one. */
export const inDays = (days: number): string =>
  days > 0 && days < 1 ? counted(days * 24, "hour") : counted(days, "day");

const counted = (count: number, unit: string): string =>
  `${rounded(count)} ${unit}${rounded(count) === "1" ? "" : "s"}`;
