import { readFileSync } from "node:fs";
import type { Enforcement } from "./events";
import { schemaProblems } from "./json-schema";
import type { Properties, Value } from "./property";

/** How a policy is to be applied. Without a level it keeps the one it has. */
export interface PolicySetting {
  enforcement?: Enforcement;
  properties: Properties;
}

/** Settings by the name of a policy; "all" sets the level of every policy that is not named itself. */
export type PolicySettings = Record<string, PolicySetting>;

/** What a pack says of one of its policies. */
export interface PolicyInfo {
  name: string;
  enforcement: Enforcement;
  /** JSON schemas of its configuration, by property, and which of them it needs. */
  schema: { properties: Properties; required: string[] } | undefined;
}

const levels: Enforcement[] = ["advisory", "mandatory", "remediate", "disabled"];
const isObject = (value: Value): value is Properties =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Reads a pack's configuration: a JSON object of `"policy": "level"` or `"policy": {"enforcementLevel": "level", …}`. */
export function readPolicyConfig(file: string): PolicySettings {
  const reading = `reading the policy configuration ${file}`;
  let content: Value;
  try {
    content = JSON.parse(readFileSync(file, "utf8")) as Value;
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw new Error(`${reading}: ${isMissing ? "there is no such file" : (cause as Error).message}`, {
      cause,
    });
  }
  const form = `it must be a JSON object such as {"all": "advisory", "<policy>": {"enforcementLevel": "mandatory"}}`;
  if (!isObject(content)) throw new Error(`${reading}: ${form}`);
  const settings: PolicySettings = {};
  for (const [policy, given] of Object.entries(content)) {
    if (typeof given !== "string" && !isObject(given))
      throw new Error(
        `${reading}: ${policy} must be an enforcement level or an object: ${JSON.stringify(given)}`,
      );
    const { enforcementLevel, ...properties } =
      typeof given === "string" ? { enforcementLevel: given } : given;
    const enforcement = levels.find(level => level === enforcementLevel);
    if (enforcementLevel !== undefined && !enforcement)
      throw new Error(
        `${reading}: the enforcement level of ${policy} must be one of ${levels.join(", ")}: ${JSON.stringify(enforcementLevel)}`,
      );
    settings[policy] = { properties, ...(enforcement ? { enforcement } : {}) };
  }
  return settings;
}

/**
 * The setting of every policy of a pack: its own level and the defaults of its schema, then what the pack brings along,
 * then what the user gave; "all" yields to a policy's own name. Throws when it does not fit the schemas.
 */
export function settlePolicies(
  pack: string,
  policies: PolicyInfo[],
  initial: PolicySettings,
  given: { file: string; settings: PolicySettings } | undefined,
): Record<string, Required<PolicySetting>> {
  const configuring = `configuring policy pack ${pack}${given ? ` by ${given.file}` : ""}`;
  const known = new Map(policies.map(policy => [policy.name, policy]));
  const unknown = Object.keys(given?.settings ?? {}).filter(name => name !== "all" && !known.has(name));
  if (unknown.length > 0)
    throw new Error(
      `${configuring}: it has no policy ${unknown.join(", ")}; its policies are ${[...known.keys()].join(", ")}`,
    );
  const settled: Record<string, Required<PolicySetting>> = {};
  const problems: string[] = [];
  for (const { name, enforcement, schema } of policies) {
    const properties: Properties = {};
    for (const [key, own] of Object.entries(schema?.properties ?? {}))
      if (isObject(own) && own.default !== undefined) properties[key] = own.default;
    const setting: Required<PolicySetting> = { enforcement, properties };
    for (const settings of [initial, given?.settings ?? {}]) {
      setting.enforcement = settings[name]?.enforcement ?? settings.all?.enforcement ?? setting.enforcement;
      Object.assign(properties, settings[name]?.properties);
    }
    settled[name] = setting;
    if (schema) problems.push(...schemaProblems({ ...schema }, properties, name));
  }
  if (problems.length > 0) throw new Error(`${configuring}: ${problems.join("; ")}`);
  return settled;
}
