import * as pulumi from "@pulumi/pulumi";
import { File } from "../file";

class Bucket extends pulumi.CustomResource {}
const base = new File("base", {});
const asks: Record<string, () => unknown> = {
  import: () => new File("x", {}, { import: "some-id" }),
  get: () => new File("x", {}, { id: "some-id" }),
  invoke: () => pulumi.runtime.invoke("aws:index:getRegion", {}),
  call: () => pulumi.runtime.call("aws:index:method", {}, undefined),
  provider: () => new Bucket("aws:s3:Bucket", "x", {}),
  explicitProvider: () =>
    new (class extends pulumi.ProviderResource {
      constructor() {
        super("aws", "x", {});
      }
    })(),
  remote: () => new pulumi.ComponentResource("pkg:index:Remote", "x", {}, {}, true),
  stackReference: () => new pulumi.StackReference("organization/other/dev").getOutput("x"),
  transforms: () => new File("x", {}, { transforms: [() => undefined] }),
  stackTransform: () => pulumi.runtime.registerResourceTransform(() => undefined),
  deletedWith: () => new File("x", {}, { deletedWith: base }),
  replaceWith: () => new File("x", {}, { replaceWith: [base] }),
  replacementTrigger: () => new File("x", {}, { replacementTrigger: "now" }),
  hooks: () => new File("x", {}, { hooks: { beforeCreate: [async () => {}] } }),
  hideDiffs: () => new File("x", {}, { hideDiffs: ["content"] }),
  version: () => new File("x", {}, { version: "1.0.0" }),
  asset: () => new File("x", { content: new pulumi.asset.StringAsset("text") }),
  requirePulumiVersion: () => pulumi.requirePulumiVersion(">=3.0.0"),
};
const asked = asks[process.env.ASK ?? ""];
if (!asked) throw new Error("nothing was asked for");
asked();
