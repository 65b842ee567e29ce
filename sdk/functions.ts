import * as pulumi from "@pulumi/pulumi";
import type * as provider from "pulumi-openstack-backup/functions";

export type { ListedPoint as RecoveryPoint, ServerInfo, VolumeInfo } from "pulumi-openstack-backup/functions";

/** Which servers or volumes, of which cloud. */
export type Where = provider.Where;
/** Which servers, of which cloud, and whether of every project. */
export type WhichServers = provider.WhichServers;

/** Which claim, of which cluster. */
export type ClaimName = provider.ClaimName;
/** The Cinder volume behind a claim. */
export type ClaimVolume = provider.ClaimVolume;

type Inputs<Of> = { [Key in keyof Of]?: pulumi.Input<Of[Key]> };

/** The package by its name, and only when it is needed: a program that asks nothing loads none of it. */
export const functions = (): typeof provider =>
  require("pulumi-openstack-backup/functions") as typeof provider;

/** A failure as a sentence: any other error of a program is printed with the stack of this package. */
export const told = async <T>(ask: () => Promise<T>): Promise<T> => {
  try {
    return await ask();
  } catch (error) {
    throw new pulumi.RunError(error instanceof Error ? error.message : String(error));
  }
};

/** The stack's configuration by its full keys; the provider's process is told it by the engine. */
const config = (): Record<string, string> => pulumi.runtime.allConfig();

/**
 * The project's servers with their volumes, by name, as Nova and Cinder list them now, in previews too.
 * Source: https://docs.openstack.org/api-ref/compute/#list-servers-detailed
 */
export function getServers(where: WhichServers = {}): Promise<provider.ServerInfo[]> {
  return told(() => functions().getServers(config(), where));
}

/** `getServers` of what is known only when the program runs. */
export function getServersOutput(where: Inputs<WhichServers> = {}): pulumi.Output<provider.ServerInfo[]> {
  return pulumi.output(where).apply(known => getServers(known as WhichServers));
}

/**
 * The project's volumes, by name, as Cinder lists them now, in previews too; without those that a backup made for itself.
 * Source: https://docs.openstack.org/api-ref/block-storage/v3/#list-accessible-volumes-with-details
 */
export function getVolumes(where: Where = {}): Promise<provider.VolumeInfo[]> {
  return told(() => functions().getVolumes(config(), where));
}

/** `getVolumes` of what is known only when the program runs. */
export function getVolumesOutput(where: Inputs<Where> = {}): pulumi.Output<provider.VolumeInfo[]> {
  return pulumi.output(where).apply(known => getVolumes(known as Where));
}

/** The recovery points in the cloud, of every stack: Cinder snapshots, then images of servers, newest first. */
export function listRecoveryPoints(which: provider.OfOwner = {}): Promise<provider.ListedPoint[]> {
  return told(() => functions().listRecoveryPoints(config(), which));
}

/** `listRecoveryPoints` of what is known only when the program runs. */
export function listRecoveryPointsOutput(
  which: Inputs<provider.OfOwner> = {},
): pulumi.Output<provider.ListedPoint[]> {
  return pulumi.output(which).apply(known => listRecoveryPoints(known as provider.OfOwner));
}

/**
 * The project's volumes that have no good recovery point in Cinder, of any stack, or none younger than `maxAgeHours`, by
 * name. What only a repository holds is not asked for.
 */
export function getUnprotectedVolumes(which: provider.Unprotected = {}): Promise<provider.VolumeInfo[]> {
  return told(() => functions().getUnprotectedVolumes(config(), which));
}

/** `getUnprotectedVolumes` of what is known only when the program runs. */
export function getUnprotectedVolumesOutput(
  which: Inputs<provider.Unprotected> = {},
): pulumi.Output<provider.VolumeInfo[]> {
  return pulumi.output(which).apply(known => getUnprotectedVolumes(known as provider.Unprotected));
}

/**
 * The Cinder volume behind a PersistentVolumeClaim, as Kubernetes says it now, in previews too. Needs the package
 * @kubernetes/client-node, and an account that may get the claim and its persistent volume.
 */
export function getClaimVolume(claim: ClaimName): Promise<ClaimVolume> {
  return told(() => functions().volumeOfClaim(claim));
}

/** `getClaimVolume` of what is known only when the program runs. */
export function getClaimVolumeOutput(
  claim: Inputs<ClaimName> & { name: pulumi.Input<string> },
): pulumi.Output<ClaimVolume> {
  return pulumi.output(claim).apply(known => getClaimVolume(known as ClaimName));
}
