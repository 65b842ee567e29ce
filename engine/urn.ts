/** URNs: `urn:pulumi:<stack>::<project>::<parent types>$<type>::<name>`. */
export type Urn = string;

/** Type of the root resource that every stack has. */
export const STACK_TYPE = "pulumi:pulumi:Stack";
/** Type of the provider resource behind all dynamic resources of a Node program. */
export const PROVIDER_TYPE = "pulumi:providers:pulumi-nodejs";

/** The URN of a resource; the types of its parents are part of it, except the stack's. */
export function makeUrn(
  stack: string,
  project: string,
  parent: Urn | undefined,
  type: string,
  name: string,
): Urn {
  const parentType = parent ? qualifiedType(parent) : "";
  const prefix = parentType && parentType !== STACK_TYPE ? `${parentType}$` : "";
  return `urn:pulumi:${stack}::${project}::${prefix}${type}::${name}`;
}

/** The resource's type with the types of its parents, `a:b:C$d:e:F`. */
export const qualifiedType = (urn: Urn): string => urn.split("::")[2] ?? "";

/** The resource's own type. */
export const typeOf = (urn: Urn): string => qualifiedType(urn).split("$").pop() ?? "";

/** The resource's name, which may itself hold "::". */
export const nameOf = (urn: Urn): string => urn.split("::").slice(3).join("::");

/** Splits a provider reference, `<urn>::<id>`. */
export function parseProviderReference(reference: string): { urn: Urn; id: string } {
  const at = reference.lastIndexOf("::");
  return { urn: reference.slice(0, at), id: reference.slice(at + 2) };
}
