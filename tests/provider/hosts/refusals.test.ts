import assert from "node:assert/strict";
import { dynamicProvider } from "../../../provider/hosts/dynamic";
import { registry } from "../../../provider/resources/registry";

const secret = "hunter2-is-not-a-word";

/** What Pulumi's CLI prints of a failed check: the value of the property that the failure names, decrypted. */
function printed(inputs: Record<string, unknown>, failure: { property: string; reason: string }): string {
  const { property, reason } = failure;
  if (property === "") return `resource 'x' has a problem: ${reason}`;
  return `resource 'x': property ${property} value {${JSON.stringify(inputs[property])}} has a problem: ${reason}`;
}

/** Inputs that are refused, each for what holds the secret. */
const bad: Record<string, Record<string, unknown>[]> = {
  ResticRepository: [
    { url: "/srv/restic", password: [secret] },
    { url: "/srv/restic", password: secret, passwordFile: "/etc/restic" },
    { url: "/srv/restic", password: secret, environment: [secret] },
    { url: "/srv/restic", password: secret, environment: { AWS_SECRET_ACCESS_KEY: { key: secret } } },
    { url: [`rest:https://user:${secret}@host/`], password: secret },
    { url: "/srv/restic", password: secret, copyTo: { url: "/srv/other", password: [secret] } },
    { url: "/srv/restic", password: secret, copyTo: secret },
  ],
  ResticBackup: [
    { repository: secret },
    { repository: { url: "/srv/restic", password: [secret] } },
    { repository: { url: "/srv/restic", password: secret, passwort: secret } },
    { repository: { url: "/srv/restic", environment: { AWS_SECRET_ACCESS_KEY: secret } } },
  ],
  VolumeRestore: [{ restic: { repository: secret } }, { restic: secret }],
};

describe("refusals under the real CLI", () => {
  for (const [name, cases] of Object.entries(bad))
    it(`shows no secret of ${name}, and names the property`, async () => {
      assert.ok(registry[name]);
      for (const more of cases) {
        const inputs = { owner: "shop/prod/x", ...more };
        const { failures } = await dynamicProvider(name).check({}, inputs);
        assert.ok(failures.length > 0, JSON.stringify(Object.keys(more)));
        const text = failures.map(failure => printed(inputs, failure)).join("\n");
        assert.ok(!text.includes(secret), text);
        assert.match(text, /has a problem: property \w+/);
      }
    });
});
