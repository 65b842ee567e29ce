import type { StackValidationPolicy } from "@pulumi/policy";
import { daysKept } from "../../provider/operations/retention";
import { define } from "./define";
import { assumedScheduleSchema, inDays, tierIn } from "./recovery-points";
import { remember } from "./remember";
import { ruleOf, setsOf } from "./stack-sets";
import { eachKnown } from "./unknown";

interface Config {
  maxDays: number;
  exceptClassification: string[];
  classificationKey: string;
  assumedSchedule: string;
}

/** What may not be stored longer than it is needed. Points that no younger one follows stay all the same. */
export const retentionMaximum = define<StackValidationPolicy>({
  name: "retention-maximum",
  displayName: "Retention ends",
  description: "Checks whether no recovery point is kept longer than allowed.",
  enforcementLevel: "mandatory",
  severity: "high",
  remediationSteps:
    "Lower the counts or windows of retention, or classify the set as one that may keep longer.",
  configSchema: {
    properties: {
      maxDays: {
        type: "number",
        exclusiveMinimum: 0,
        default: 400,
        description: "Days that a point may become old before the retention removes it.",
      },
      exceptClassification: {
        type: "array",
        items: { type: "string" },
        default: ["legal-hold"],
        description: "Classifications of sets that may keep longer.",
      },
      classificationKey: {
        type: "string",
        default: "classification",
        description: "Key of a set's metadata that holds its classification.",
      },
      assumedSchedule: assumedScheduleSchema,
    },
  },
  validateStack: (args, reportViolation) => {
    const { maxDays, exceptClassification, classificationKey, assumedSchedule } = args.getConfig<Config>();
    const now = new Date();
    eachKnown(setsOf(args), set => {
      const classification = tierIn(set.source?.props ?? set.props, classificationKey);
      if (classification !== undefined && exceptClassification.includes(classification)) return;
      const rule = ruleOf(set, assumedSchedule);
      if (!rule) return;
      const { schedule, retention } = rule;
      const { pattern, timeZone } = schedule;
      const days = retention
        ? remember(["daysKept", retention, pattern, timeZone], now, () => daysKept(retention, schedule, now))
        : Number.POSITIVE_INFINITY;
      if (days <= maxDays) return;
      const long = Number.isFinite(days) ? `for up to ${inDays(days)}` : "for ever";
      reportViolation(
        `${set.name} keeps points ${long}; at most ${inDays(maxDays)} are allowed (retention-maximum.maxDays)`,
        set.urn,
      );
    });
  },
});
