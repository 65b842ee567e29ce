import type {
  PolicyResource,
  ResourceValidationArgs,
  ResourceValidationPolicy,
  StackValidationPolicy,
} from "@pulumi/policy";

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

function configOf(policy: ResourceValidationPolicy | StackValidationPolicy, given: object): object {
  const properties = Object.entries(policy.configSchema?.properties ?? {});
  return { ...Object.fromEntries(properties.map(([key, schema]) => [key, schema.default])), ...given };
}

const token = (type: string) => (type.includes(":") ? type : `pulumi-nodejs:dynamic/openstackbackup:${type}`);

const urnOf = (type: string, name: string) => `urn:pulumi:dev::shop::${type}::${name}`;

function notApplicable(reason?: string): never {
  throw new Error(`not applicable: ${reason}`);
}

/** The violations that a policy reports of a stack, each with the name of the resource that it is reported of. */
export function examineStack(
  policy: StackValidationPolicy,
  resources: (Pick<Examined, "type" | "name"> & { props: Record<string, unknown> })[],
  config = {},
): [message: string, resource: string | undefined][] {
  const violations: [string, string | undefined][] = [];
  policy.validateStack(
    {
      resources: resources.map(
        ({ type = "CinderSnapshot", name = "db", props }) =>
          ({
            type: token(type),
            name,
            urn: urnOf(type, name),
            props: proxy.unknownCheckingProxy(props),
          }) as unknown as PolicyResource,
      ),
      stackTags: new Map(),
      getConfig: <T extends object>() => configOf(policy, config) as T,
      notApplicable,
    },
    (message, urn) => violations.push([message, urn?.split("::").pop()]),
  );
  return violations;
}

/** The violations that a policy reports of one resource, with the defaults of its configuration filled in. */
export function examine(policy: ResourceValidationPolicy, examined: Examined): string[] {
  const {
    type = "CinderSnapshot",
    name = "db",
    props = {},
    protect = false,
    config = {},
    stackTags = {},
  } = examined;
  const args: ResourceValidationArgs = {
    type: token(type),
    name,
    urn: urnOf(type, name),
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
    getConfig: <T extends object>() => configOf(policy, config) as T,
    notApplicable,
  };
  const violations: string[] = [];
  const validate = [policy.validateResource ?? []].flat();
  for (const each of validate) each(args, message => violations.push(message));
  return violations;
}
