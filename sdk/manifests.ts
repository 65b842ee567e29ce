import * as pulumi from "@pulumi/pulumi";
import type * as provider from "pulumi-openstack-backup/functions";
import { functions, told } from "./functions";

/** A manifest of the operator VolumeSnapshotBackup, read. */
export type Manifest = provider.Manifest;

/** The manifests of the operator VolumeSnapshotBackup in a YAML text or in objects. */
export function manifestsOf(given: string | object | readonly object[]): Manifest[] {
  try {
    return functions().manifestsOf(given);
  } catch (error) {
    throw new pulumi.RunError((error as Error).message);
  }
}

/** The values of a Secret of Kubernetes, decoded, as a secret output. */
export function secretValues(
  secret: Parameters<typeof provider.valuesOfSecret>[0],
): pulumi.Output<Record<string, string>> {
  return pulumi.secret(told(() => functions().valuesOfSecret(secret)));
}

/** The set that a manifest describes. */
export const setOf: typeof provider.setOf = manifest => functions().setOf(manifest);
