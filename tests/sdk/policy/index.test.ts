import assert from "node:assert/strict";
import { configured, controls, policies } from "../../../sdk/policy";
import { examine, examineStack } from "./examine";

describe("policies", () => {
  it("are those of the pack, by name", () => {
    assert.deepEqual(
      policies.map(({ name }) => name),
      Object.keys(controls),
    );
  });

  it("say what they check, how severe it is and what to do, with a default for each setting", () => {
    for (const {
      name,
      description,
      displayName,
      severity,
      remediationSteps,
      url,
      tags,
      framework,
      configSchema,
    } of policies) {
      assert.match(description, /^Checks (whether|how) .*\.$/, name);
      assert(severity && remediationSteps && displayName, name);
      assert.deepEqual(
        [url, tags],
        [`pulumi-openstack-backup/docs/policies.md#${name}`, ["backup", "openstack"]],
      );
      assert.deepEqual(framework, controls[name][0]);
      for (const [key, schema] of Object.entries(configSchema?.properties ?? {})) {
        assert(schema.default !== undefined && schema.description, `${name}.${key}`);
      }
    }
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

  it("are configured with their own levels, and with nothing that does not exist", () => {
    assert.deepEqual(configured({ "retention-minimum": { minDays: 30 }, coverage: "disabled" }), {
      "retention-minimum": { enforcementLevel: "mandatory", minDays: 30 },
      coverage: "disabled",
    });
    assert.throws(() => configured({ "retention-minimun": { minDays: 1 } } as object), {
      message: "there is no policy 'retention-minimun', did you mean 'retention-minimum'?",
    });
    assert.throws(() => configured({ "retention-minimum": { minDay: 1 } }), {
      message: "policy retention-minimum has no configuration key 'minDay', did you mean 'minDays'?",
    });
  });
});
