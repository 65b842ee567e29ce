import assert from "node:assert/strict";
import { policies } from "../../../sdk/policy";

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
});
