import type { ResourceValidationPolicy } from "@pulumi/policy";
import { setTypeOf, tierKeySchema, tierOf } from "./recovery-points";
import { strict } from "./strict";

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
export const deletionProtection = strict<ResourceValidationPolicy>({
  name: "deletion-protection",
  description:
    "Checks whether recovery points are kept when their resource is deleted, or the resource is protected.",
  enforcementLevel: "mandatory",
  severity: "high",
  remediationSteps: 'Set deletionPolicy "retain", or the resource option protect.',
  configSchema: {
    properties: {
      tiers: {
        type: "array",
        items: { type: "string" },
        default: ["gold"],
        description: 'The tiers that need it; "*" stands for every set, with a tier or without.',
      },
      tierKey: tierKeySchema,
    },
  },
  validateResource: (args, reportViolation) => {
    const type = setTypeOf(args);
    if (!type) return;
    const { tiers, tierKey } = args.getConfig<Config>();
    const tier = tierOf(args, tierKey);
    if (!tiers.includes("*") && (tier === undefined || !tiers.includes(tier))) return;
    const deletionPolicy = args.props.deletionPolicy ?? defaults[type];
    if (args.opts.protect || deletionPolicy === "retain") return;
    const whose = tiers.includes("*") ? "" : ` of tier ${tier}`;
    reportViolation(
      `${args.name}${whose} would lose its recovery points with the resource: set deletionPolicy "retain" or the option protect`,
    );
  },
});
