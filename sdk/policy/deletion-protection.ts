import type { ResourceValidationPolicy } from "@pulumi/policy";
import { define } from "./define";
import { setTypeOf, tierKeySchema, tierOf, tiersSchema } from "./recovery-points";
import { isAmong } from "./stack-sets";

interface Config {
  tiers: string[];
  tierKey: string;
}

/** What deletionPolicy is when it is not given. */
const defaults = {
  CinderSnapshot: "delete",
  ServerSnapshot: "delete",
  ServerBackup: "retain",
  ResticBackup: "retain",
} as const;

/** Points of the tiers must outlive a `pulumi destroy`. */
export const deletionProtection = define<ResourceValidationPolicy>({
  name: "deletion-protection",
  displayName: "Points outlive a destroy",
  description:
    "Checks whether recovery points are kept when their resource is deleted, or the resource is protected.",
  enforcementLevel: "mandatory",
  severity: "high",
  remediationSteps: 'Set deletionPolicy "retain", or the resource option protect.',
  configSchema: {
    properties: {
      tiers: tiersSchema(["gold"]),
      tierKey: tierKeySchema,
    },
  },
  validateResource: (args, reportViolation) => {
    const type = setTypeOf(args);
    if (!type) return;
    const { tiers, tierKey } = args.getConfig<Config>();
    const tier = tierOf(args, tierKey);
    if (!isAmong(tiers, tier)) return;
    const deletionPolicy = args.props.deletionPolicy ?? defaults[type];
    if (args.opts.protect || deletionPolicy === "retain") return;
    const whose = tiers.includes("*") ? "" : ` of tier ${tier}`;
    reportViolation(
      `${args.name}${whose} would lose its recovery points with the resource: set deletionPolicy "retain" or the option protect`,
    );
  },
});
