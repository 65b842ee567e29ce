import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { withSecrets } from "../../sdk/secrets";

describe("withSecrets", () => {
  const binding = {
    secretInputs: ["password", "repository.password", "repository.environment.*"],
    addresses: ["repository.url"],
  };
  type Outputs = Record<string, pulumi.Output<unknown>>;

  const seen = async (value: unknown) => {
    const output = pulumi.output(value);
    return [await plain(output), await pulumi.isSecret(output)];
  };
  const plain = <T>(output: pulumi.Output<T>) =>
    new Promise<unknown>(resolve => pulumi.unsecret(output).apply(resolve));

  it("hides values and not names, and leaves the input as it was", async () => {
    const repository = {
      url: "s3:https://store/bucket",
      password: "correct-horse-battery",
      environment: { AWS_SECRET_ACCESS_KEY: "store-key", AWS_DEFAULT_REGION: "eu-1" },
      caCertFile: "/etc/ca.pem",
    };
    const given = { owner: "a/b/c", repository };
    const hidden = withSecrets(given, binding).repository as Outputs;
    const environment = hidden.environment as unknown as Outputs;
    assert.deepEqual(await seen(hidden.url), ["s3:https://store/bucket", false]);
    assert.deepEqual(await seen(hidden.password), ["correct-horse-battery", true]);
    assert.deepEqual(await seen(environment.AWS_SECRET_ACCESS_KEY), ["store-key", true]);
    assert.deepEqual(await seen(environment.AWS_DEFAULT_REGION), ["eu-1", false]);
    assert.deepEqual(await seen(hidden.caCertFile), ["/etc/ca.pem", false]);
    assert.equal(repository.password, "correct-horse-battery");
  });

  it("hides a URL that holds a password", async () => {
    const hidden = withSecrets({ repository: { url: "rest:https://me:pass@host/" } }, binding);
    assert.deepEqual(await seen((hidden.repository as Outputs).url), ["rest:https://me:pass@host/", true]);
  });

  it("hides the same of an access that comes from another resource", async () => {
    const access = pulumi.output({
      url: "/srv/restic",
      password: "correct-horse-battery",
      environment: { AWS_DEFAULT_REGION: "eu-1" },
    });
    const hidden = withSecrets({ repository: access }, binding).repository as Outputs;
    assert.deepEqual(await seen(hidden.url), ["/srv/restic", false]);
    assert.deepEqual(await seen(hidden.password), ["correct-horse-battery", true]);
    // its names are not known beforehand
    assert.deepEqual(await seen(hidden.environment), [{ AWS_DEFAULT_REGION: "eu-1" }, true]);
    assert.deepEqual(await seen(hidden.passwordFile), [undefined, false]);
  });

  it("leaves a list as it is, which is no access", () => {
    const list = [pulumi.secret("correct-horse-battery")];
    assert.equal(withSecrets({ repository: list }, binding).repository, list);
  });

  it("hides what is a value itself, and nothing where there is nothing", async () => {
    const hidden = withSecrets({ password: pulumi.output("correct-horse-battery") }, binding);
    assert.deepEqual(await seen(hidden.password), ["correct-horse-battery", true]);
    assert.deepEqual(withSecrets({ repository: undefined, password: undefined }, binding), {
      repository: undefined,
      password: undefined,
    });
  });
});
