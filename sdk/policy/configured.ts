import type { EnforcementLevel, PolicyPackConfig } from "@pulumi/policy";
import { nearest } from "../../provider/operations/nearest";
import type { PolicyName } from "./controls";
import { refuseUnknownSettings } from "./define";

/** A level, or settings with or without one, for each policy that is to be other than by default. */
export type PolicySettings = Partial<
  Record<PolicyName, EnforcementLevel | ({ enforcementLevel?: EnforcementLevel } & Record<string, unknown>)>
>;

/**
 * The settings as a PolicyPack takes them (its third argument), which would make a policy advisory whose level they do not
 * repeat.
 *
 * @throws where a policy or a setting of one does not exist, with the nearest one
 */
export const configuredFor =
  (
    policies: readonly {
      name: PolicyName;
      enforcementLevel: EnforcementLevel;
      configSchema?: { properties: object };
    }[],
  ) =>
  (settings: PolicySettings): PolicyPackConfig =>
    Object.fromEntries(
      Object.entries(settings).map(([name, given]) => {
        const policy = policies.find(one => one.name === name);
        if (!policy)
          throw new Error(
            `there is no policy '${name}'${nearest(
              name,
              policies.map(one => one.name),
            )}`,
          );
        if (typeof given === "string") return [name, given];
        const known = ["enforcementLevel", ...Object.keys(policy.configSchema?.properties ?? {})];
        refuseUnknownSettings(name, given, known);
        return [name, { enforcementLevel: policy.enforcementLevel, ...given }];
      }),
    );
