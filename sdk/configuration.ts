import * as pulumi from "@pulumi/pulumi";
import { nearest } from "../provider/operations/nearest";
import { configurationKeys } from "./generated";

const namespace = "openstackbackup:";

let isLookedAt = false;

/** Warns once of keys in the package's namespace that mean nothing: misspelt, what they were to set would be missing. */
export function warnOfUnknownConfiguration(): void {
  if (isLookedAt) return;
  isLookedAt = true;
  for (const line of unknownConfiguration(Object.keys(pulumi.runtime.allConfig())))
    void pulumi.log.warn(line);
}

/** What is said of each such key. */
export function unknownConfiguration(keys: readonly string[]): string[] {
  const known: readonly string[] = configurationKeys;
  return keys
    .filter(key => key.startsWith(namespace))
    .map(key => key.slice(namespace.length))
    .filter(name => !known.includes(name))
    .map(name => `the configuration key ${namespace}${name} means nothing${nearest(name, [...known])}`);
}
