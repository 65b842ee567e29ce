import type { ResourceValidationPolicy } from "@pulumi/policy";
import { longestGapHours } from "../../provider/operations/schedule";
import { define } from "./define";
import { isSameTier, rounded, scheduleOf, setTypeOf, tierKeySchema, tierOf } from "./recovery-points";

interface Config {
  maxRpoHours: number;
  byTier: Record<string, number>;
  tierKey: string;
}

/**
 * The recovery point objective that a schedule can promise is its longest gap in a year. The defaults allow for the 25th
 * hour that a day has when clocks are put back. A ResticBackup runs with its snapshots and is not examined.
 */
export const rpoMaximum = define<ResourceValidationPolicy>({
  name: "rpo-maximum",
  displayName: "Points come often enough",
  description: "Checks whether a schedule leaves no longer gap between recovery points than its tier allows.",
  enforcementLevel: "mandatory",
  severity: "high",
  remediationSteps: "Schedule recovery points more often.",
  configSchema: {
    properties: {
      maxRpoHours: {
        type: "number",
        exclusiveMinimum: 0,
        default: 25,
        description: "Longest gap in hours for sets without a tier of byTier.",
      },
      byTier: {
        type: "object",
        additionalProperties: { type: "number", exclusiveMinimum: 0 },
        default: { gold: 4, silver: 25, bronze: 169 },
        description: "Longest gap in hours of each tier.",
      },
      tierKey: tierKeySchema,
    },
  },
  validateResource: (args, reportViolation) => {
    const type = setTypeOf(args);
    // a ResticBackup follows the slots of its CinderSnapshot
    if (!type || type === "ResticBackup") return;
    const { maxRpoHours, byTier, tierKey } = args.getConfig<Config>();
    const tier = tierOf(args, tierKey);
    const ofTier = Object.entries(byTier).find(([name]) => tier !== undefined && isSameTier(name, tier))?.[1];
    const allowed = ofTier ?? maxRpoHours;
    const limit = `at most ${rounded(allowed)} are allowed${ofTier === undefined ? "" : ` for tier ${tier}`}`;
    const schedule = scheduleOf(args);
    const none = !schedule
      ? "has no schedule"
      : args.props.paused === true
        ? "is paused"
        : schedule.takesPoints
          ? ""
          : "has a count of 0";
    if (!schedule || none) {
      reportViolation(
        `${args.name} ${none} and takes no points by itself; of the hours between points ${limit}`,
      );
      return;
    }
    const gap = longestGapHours(schedule, new Date());
    if (gap > allowed) {
      reportViolation(
        `${args.name} leaves up to ${rounded(gap)} hours between points ("${schedule.text}" ${schedule.timeZone}); ${limit}`,
      );
    }
  },
});
