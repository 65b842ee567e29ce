import { RunError } from "@pulumi/pulumi";
import { nearest } from "../provider/operations/nearest";

/** Refuses a key that a component does not know, as a resource does: in a program without types it would be dropped. */
export function refuseUnknownKeys(what: string, given: object, keys: readonly string[]): void {
  for (const key of Object.keys(given))
    if (!keys.includes(key)) throw new RunError(`${what} has no property '${key}'${nearest(key, [...keys])}`);
}
