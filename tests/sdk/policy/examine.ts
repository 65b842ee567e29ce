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

const optionsOf = (protect: boolean) => ({
  protect,
  ignoreChanges: [],
  aliases: [],
  additionalSecretOutputs: [],
  customTimeouts: { createSeconds: 0, updateSeconds: 0, deleteSeconds: 0 },
});

/** A resource of a stack; `dependsOn` names those that a property comes from. */
export type InStack = Pick<Examined, "type" | "name" | "protect"> & {
  props: Record<string, unknown>;
  dependsOn?: Record<string, string>;
};

type Violations = [message: string, resource: string | undefined][];

/** The violations that a policy reports of a stack, each with the name of the resource that it is reported of. */
export function examineStack(...given: Parameters<typeof begun>): Violations {
  return begun(...given).violations;
}

/** Of a policy that asks somebody. */
export async function examineStackLater(...given: Parameters<typeof begun>): Promise<Violations> {
  const { violations, done } = begun(...given);
  await done;
  return violations;
}

function begun(
  policy: StackValidationPolicy,
  resources: readonly InStack[],
  config = {},
  stackTags: Record<string, string> = {},
  /** Gets the messages too: of a policy that throws in the end. */
  heard: string[] = [],
): { violations: Violations; done: unknown } {
  const violations: Violations = [];
  const all = resources.map(
    ({ type = "CinderSnapshot", name = "db", props, protect = false }) =>
      ({
        type: token(type),
        name,
        urn: urnOf(type, name),
        props: proxy.unknownCheckingProxy(props),
        opts: optionsOf(protect),
        propertyDependencies: {},
        dependencies: [],
      }) as unknown as PolicyResource,
  );
  for (const [place, { dependsOn = {} }] of resources.entries())
    for (const [property, name] of Object.entries(dependsOn))
      (all[place] as PolicyResource).propertyDependencies[property] = all.filter(one => one.name === name);
  const done = policy.validateStack(
    {
      resources: all,
      stackTags: new Map(Object.entries(stackTags)),
      getConfig: <T extends object>() => configOf(policy, config) as T,
      notApplicable,
    },
    (message, urn) => {
      violations.push([message, urn?.split("::").pop()]);
      heard.push(message);
    },
  );
  return { violations, done };
}

/** The violations that a policy reports of one resource, with the defaults of its configuration filled in. */
export function examine(policy: ResourceValidationPolicy, examined: Examined): string[] {
  const violations: string[] = [];
  const validate = [policy.validateResource ?? []].flat();
  for (const each of validate) each(argsOf(policy, examined), message => violations.push(message));
  return violations;
}

/** What a policy makes of the inputs; undefined where it leaves them. */
export function remediate(policy: ResourceValidationPolicy, examined: Examined): unknown {
  const props = structuredClone(examined.props ?? {});
  const result = policy.remediateResource?.(argsOf(policy, { ...examined, props }));
  // the library takes what is behind the object that it handed out
  return result === undefined ? undefined : props;
}

function argsOf(policy: ResourceValidationPolicy, examined: Examined): ResourceValidationArgs {
  const {
    type = "CinderSnapshot",
    name = "db",
    props = {},
    protect = false,
    config = {},
    stackTags = {},
  } = examined;
  return {
    type: token(type),
    name,
    urn: urnOf(type, name),
    props: proxy.unknownCheckingProxy(props),
    opts: optionsOf(protect),
    stackTags: new Map(Object.entries(stackTags)),
    isType: () => false,
    asType: () => undefined,
    getConfig: <T extends object>() => configOf(policy, config) as T,
    notApplicable,
  };
}
