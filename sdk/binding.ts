import * as pulumi from "@pulumi/pulumi";

/**
 * What Pulumi stores as the provider of a resource: a constant that requires the installed package by name. No code is
 * captured, so an upgrade of the package is in force at once, for reading and deleting stored resources too, and no
 * resource is updated because code changed.
 */
export function providerText(type: string): string {
  return `exports.handler=()=>require("pulumi-openstack-backup/provider").dynamicProvider("${type}")`;
}

/** The type token of a resource, as it stands in URNs and in policies. */
export function typeToken(type: string): string {
  return `pulumi-nodejs:dynamic/openstackbackup:${type}`;
}

/** How a resource type is bound: its name, its outputs, and which of them follow from secrets. */
export interface Binding {
  type: string;
  inputs: readonly string[];
  outputs: readonly string[];
  secretInputs?: readonly string[];
  secretOutputs?: readonly string[];
}

/** A resource that this package's provider runs. */
export abstract class BackupResource extends pulumi.CustomResource {
  /** The mark on everything this resource makes: `<project>/<stack>/<resource name>`. */
  declare readonly owner: pulumi.Output<string>;

  protected constructor(
    binding: Binding,
    name: string,
    args: object,
    options?: pulumi.CustomResourceOptions,
  ) {
    const given: Record<string, unknown> = { ...args };
    for (const key of binding.secretInputs ?? [])
      if (given[key] !== undefined) given[key] = pulumi.secret(given[key]);
    // Named here, a property becomes an output of the resource: what check adds (slot, defaults) as well.
    const absent = Object.fromEntries([...binding.inputs, ...binding.outputs].map(key => [key, undefined]));
    super(
      typeToken(binding.type),
      name,
      {
        ...absent,
        owner: `${pulumi.getProject()}/${pulumi.getStack()}/${name}`,
        ...given,
        __provider: providerText(binding.type),
      },
      pulumi.mergeOptions({ additionalSecretOutputs: [...(binding.secretOutputs ?? [])] }, options),
    );
  }
}
