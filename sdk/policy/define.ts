import type { ResourceValidationPolicy, StackValidationPolicy } from "@pulumi/policy";
import { nearest } from "../../provider/operations/nearest";
import { controls, type PolicyName } from "./controls";

type Policy = ResourceValidationPolicy | StackValidationPolicy;

/** What each policy says of itself; the rest is the same of all and follows from its name. */
type Described<P extends Policy> = P &
  Required<Pick<P, "displayName" | "severity" | "remediationSteps" | "enforcementLevel">> & {
    name: PolicyName;
  };

type Validate = (args: { getConfig<T extends object>(): T }, report: never) => unknown;

/** @throws where a policy is given a setting that it does not have, with the nearest one */
export function refuseUnknownSettings(policy: string, given: object, known: readonly string[]): void {
  for (const key of Object.keys(given))
    if (!known.includes(key))
      throw new Error(`policy ${policy} has no configuration key '${key}'${nearest(key, [...known])}`);
}

/**
 * The policy with its address, tags and framework, and one that refuses a configuration key it does not know: misspelt it
 * would leave the default in force, and the pipeline would look stricter than it is. The engine's own check of a schema
 * lets unknown keys pass.
 */
export function define<P extends Policy>(policy: Described<P>): Described<P> {
  const known = Object.keys(policy.configSchema?.properties ?? {});
  const checked = (validate: Validate): Validate =>
    function guarded(args, report) {
      refuseUnknownSettings(policy.name, args.getConfig(), known);
      return validate(args, report);
    };
  const functions = ["validateStack", "validateResource", "remediateResource"].flatMap(kind => {
    const given = policy[kind as keyof P] as Validate | undefined;
    return given ? [[kind, checked(given)]] : [];
  });
  return {
    ...policy,
    url: `pulumi-openstack-backup/docs/policies.md#${policy.name}`,
    tags: ["backup", "openstack"],
    framework: controls[policy.name][0],
    ...Object.fromEntries(functions),
  };
}
