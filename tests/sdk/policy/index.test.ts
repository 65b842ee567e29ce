import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { policies } from "../../../sdk/policy";
import { examine, examineStack } from "./examine";

describe("policies", () => {
  it("are those of the pack, by name", () => {
    assert.deepEqual(
      policies.map(({ name }) => name),
      ["retention-minimum", "retention-rule-required", "rpo-maximum", "deletion-protection"],
    );
  });

  it("say what they check, how severe it is and what to do, with a default for each setting", () => {
    for (const { name, description, severity, remediationSteps, configSchema } of policies) {
      assert.match(description, /^Checks whether .*\.$/, name);
      assert(severity && remediationSteps, name);
      for (const [key, schema] of Object.entries(configSchema?.properties ?? {})) {
        assert(schema.default !== undefined && schema.description, `${name}.${key}`);
      }
    }
  });

  it("have their defaults in the configuration file of the example", () => {
    const file = join(__dirname, "../../../examples/policy-pack/config.json");
    const defaults = policies.map(({ name, configSchema, enforcementLevel }) => {
      const settings = Object.entries(configSchema?.properties ?? {}).map(([key, schema]) => [
        key,
        schema.default,
      ]);
      return [name, settings.length > 0 ? Object.fromEntries(settings) : enforcementLevel];
    });
    assert.deepEqual(JSON.parse(readFileSync(file, "utf8")), Object.fromEntries(defaults));
  });

  it("refuse a configuration key that they do not know, with the nearest one", () => {
    for (const policy of policies) {
      const [known] = Object.keys(policy.configSchema?.properties ?? {});
      const key = known === undefined ? "days" : `${known}x`;
      const run = () =>
        "validateStack" in policy
          ? examineStack(policy, [], { [key]: 1 })
          : examine(policy, { config: { [key]: 1 } });
      const meant = known === undefined ? "" : `, did you mean '${known}'?`;
      assert.throws(run, { message: `policy ${policy.name} has no configuration key '${key}'${meant}` });
    }
  });
});
