import type { ResourceValidationArgs, ResourceValidationPolicy } from "@pulumi/policy";

// @pulumi/policy's own, which its declarations leave out.
const proxy: {
  unknownCheckingProxy<T>(props: T): T;
  unknownStringValue: string;
} = require("@pulumi/policy/proxy");

/** What the engine hands to a policy, as far as ours read it. */
export interface Examined {
  type?: string;
  name?: string;
  props?: Record<string, unknown>;
  protect?: boolean;
  config?: Record<string, unknown>;
  stackTags?: Record<string, string>;
}

/** The sentinel that stands for a string not known in a preview. */
export const { unknownStringValue } = proxy;

/** The violations that a policy reports of one resource, with the defaults of its configuration filled in. */
export function examine(policy: ResourceValidationPolicy, examined: Examined): string[] {
  const defaults = Object.entries(policy.configSchema?.properties ?? {}).map(([key, schema]) => [
    key,
    schema.default,
  ]);
  const {
    type = "CinderSnapshot",
    name = "db",
    props = {},
    protect = false,
    config = {},
    stackTags = {},
  } = examined;
  const args: ResourceValidationArgs = {
    type: type.includes(":") ? type : `pulumi-nodejs:dynamic/openstackbackup:${type}`,
    name,
    urn: `urn:pulumi:dev::shop::${type}::${name}`,
    props: proxy.unknownCheckingProxy(props),
    opts: {
      protect,
      ignoreChanges: [],
      aliases: [],
      additionalSecretOutputs: [],
      customTimeouts: { createSeconds: 0, updateSeconds: 0, deleteSeconds: 0 },
    },
    stackTags: new Map(Object.entries(stackTags)),
    isType: () => false,
    asType: () => undefined,
    getConfig: <T extends object>() => ({ ...Object.fromEntries(defaults), ...config }) as T,
    notApplicable: reason => {
      throw new Error(`not applicable: ${reason}`);
    },
  };
  const violations: string[] = [];
  const validate = [policy.validateResource ?? []].flat();
  for (const each of validate) each(args, message => violations.push(message));
  return violations;
}
