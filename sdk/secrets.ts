import * as pulumi from "@pulumi/pulumi";
import { accessKeys } from "./generated";

/**
 * Of what a program gives, only the secret values are made secret. The engine masks every text of a secret object in all
 * that it prints, so that with the whole access secret no message could name the repository.
 */

/** The inputs with what is secret in them made secret. Paths are those of `Binding`. */
export function withSecrets(
  inputs: Record<string, unknown>,
  { secretInputs = [], addresses = [] }: { secretInputs?: readonly string[]; addresses?: readonly string[] },
): Record<string, unknown> {
  let given: unknown = inputs;
  for (const path of secretInputs) given = changed(given, path.split("."), asSecret);
  for (const path of addresses) given = changed(given, path.split("."), withCredentialsHidden);
  return given as Record<string, unknown>;
}

function changed(value: unknown, path: string[], change: (part: unknown, key: string) => unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined || value === undefined || value === null || typeof value !== "object") return value;
  // What comes from another resource has its parts known only by name.
  if (pulumi.Output.isInstance(value) || value instanceof Promise) {
    if (key === "*") return pulumi.secret(value);
    const output = pulumi.output(value as pulumi.Input<Record<string, unknown>>);
    const parts = Object.fromEntries(accessKeys.map(name => [name, output.apply(known => known?.[name])]));
    return changed(parts, path, change);
  }
  // No access at all: check refuses it.
  if (Array.isArray(value)) return value;
  const held = value as Record<string, unknown>;
  const keys = key === "*" ? Object.keys(held) : Object.keys(held).filter(name => name === key);
  const parts = keys.map(name => [
    name,
    rest.length === 0 ? change(held[name], name) : changed(held[name], rest, change),
  ]);
  return { ...held, ...Object.fromEntries(parts) };
}

/** Variables of a store's environment that say where it is, not how to get in: they stand in messages. */
const publicVariables =
  /^(AWS_(DEFAULT_)?REGION|AWS_PROFILE|OS_(AUTH_URL|REGION_NAME|PROJECT_NAME|PROJECT_DOMAIN_NAME|USER_DOMAIN_NAME|STORAGE_URL)|RESTIC_(PACK_SIZE|COMPRESSION|READ_CONCURRENCY|CACHE_DIR|PROGRESS_FPS))$/;

/** A secret, but for the values of public variables. */
function asSecret(value: unknown, key: string): unknown {
  return value === undefined || publicVariables.test(key) ? value : pulumi.secret(value);
}

/** `rest:https://user:password@host/` is a secret, other addresses are not. */
function withCredentialsHidden(url: unknown): unknown {
  if (url === undefined) return undefined;
  return pulumi
    .output(url as pulumi.Input<string>)
    .apply(known => (/\/\/[^/@]*:[^/@]*@/.test(known) ? pulumi.secret(known) : pulumi.output(known)));
}
