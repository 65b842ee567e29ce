import type { ResourceValidationPolicy, StackValidationPolicy } from "@pulumi/policy";
import { nearest } from "../../provider/operations/nearest";

type Validate = (args: { getConfig<T extends object>(): T }, report: never) => unknown;

/**
 * The policy, but one that refuses a configuration key it does not know: misspelt it would leave the default in force,
 * and the pipeline would look stricter than it is. The engine's own check of a schema lets unknown keys pass.
 */
export function strict<P extends ResourceValidationPolicy | StackValidationPolicy>(policy: P): P {
  const known = Object.keys(policy.configSchema?.properties ?? {});
  const kind = "validateStack" in policy ? "validateStack" : "validateResource";
  const validate = policy[kind as keyof P] as Validate;
  const guarded: Validate = (args, report) => {
    for (const key of Object.keys(args.getConfig()))
      if (!known.includes(key))
        throw new Error(`policy ${policy.name} has no configuration key '${key}'${nearest(key, known)}`);
    return validate(args, report);
  };
  return { ...policy, [kind]: guarded };
}
