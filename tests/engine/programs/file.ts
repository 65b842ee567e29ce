import * as pulumi from "@pulumi/pulumi";

/** Which of the providers beside this file serves the resource. */
type ProviderFile = "file-provider" | "plain-provider" | "configured-provider";

/** A file of the test's little cloud. */
export class File extends pulumi.CustomResource {
  declare readonly content: pulumi.Output<string>;
  declare readonly digest: pulumi.Output<string>;
  declare readonly token: pulumi.Output<string>;
  declare readonly greeting: pulumi.Output<string>;

  constructor(
    name: string,
    args: Record<string, unknown> = {},
    opts: pulumi.CustomResourceOptions = {},
    provider: ProviderFile = "file-provider",
  ) {
    const inputs = {
      __provider: `exports.handler=()=>require("../${provider}.cjs")`,
      label: name,
      digest: undefined,
      token: undefined,
      greeting: undefined,
      ...args,
    };
    super("pulumi-nodejs:dynamic/files:File", name, inputs, opts);
  }
}

/** A component that holds what `fill` makes. */
export class Folder extends pulumi.ComponentResource {
  constructor(
    name: string,
    fill: (folder: Folder) => Record<string, unknown> | undefined,
    opts: pulumi.ComponentResourceOptions = {},
    type = "test:index:Folder",
  ) {
    super(type, name, { purpose: "test" }, opts);
    const outputs = fill(this);
    if (outputs) this.registerOutputs(outputs);
  }
}

/** Which edition of the program runs: 1, 2, … */
export const edition = Number(process.env.EDITION ?? "1");

/** The entry for this edition; the last one for later ones. */
export const by = <T>(...editions: T[]): T => editions[Math.min(edition, editions.length) - 1] as T;
