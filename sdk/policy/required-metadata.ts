import type { ResourceValidationArgs, ResourceValidationPolicy } from "@pulumi/policy";
import { typeToken } from "../binding";
import { define } from "./define";

interface Config {
  keys: string[];
  defaults: Record<string, string>;
}

const types = ["CinderSnapshot", "ServerSnapshot", "ServerBackup", "VolumeRestore", "ServerRestore"].map(
  typeToken,
);

const lacking = ({ props }: Pick<ResourceValidationArgs, "props">, keys: readonly string[]): string[] =>
  keys.filter(key => {
    const value: unknown = props.metadata?.[key];
    return typeof value !== "string" || value === "";
  });

/** Whose data it is, and what it may cost: metadata of each point in the cloud. What has a default gets it. */
export const requiredMetadata = define<ResourceValidationPolicy>({
  name: "required-metadata",
  displayName: "Points say whose they are",
  description:
    "Checks whether what is made in the cloud carries the metadata that the organisation asks for.",
  enforcementLevel: "remediate",
  severity: "medium",
  remediationSteps: "Give the metadata that lacks; of a VolumeBackup as snapshot.metadata.",
  configSchema: {
    properties: {
      keys: {
        type: "array",
        items: { type: "string", minLength: 1 },
        default: [],
        description:
          'Keys that each set must have, such as "owner", "tier" and "cost-center"; empty asks for none.',
      },
      defaults: {
        type: "object",
        additionalProperties: { type: "string" },
        default: {},
        description: "What a key that lacks is set to.",
      },
    },
  },
  remediateResource: args => {
    if (!types.includes(args.type)) return undefined;
    const { keys, defaults } = args.getConfig<Config>();
    const added = lacking(args, keys).flatMap(key => {
      const value = defaults[key];
      return value === undefined ? [] : [[key, value] as const];
    });
    if (added.length === 0) return undefined;
    // in place: a copy would ask for what a preview does not know
    args.props.metadata = { ...args.props.metadata, ...Object.fromEntries(added) };
    return args.props;
  },
  validateResource: (args, reportViolation) => {
    if (!types.includes(args.type)) return;
    const missing = lacking(args, args.getConfig<Config>().keys);
    if (missing.length > 0)
      reportViolation(`${args.name} has no metadata ${missing.join(", ")} (required-metadata.keys)`);
  },
});
