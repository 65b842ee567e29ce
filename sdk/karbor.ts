import type * as pulumi from "@pulumi/pulumi";
import { CinderSnapshot } from "./cinder-snapshot";
import { refuseUnknownKeys } from "./known-keys";
import { VolumeRestore } from "./volume-restore";

/**
 * Parameters of a protection plan, by the names in the schema of Karbor's Cinder volume snapshot plugin
 * (karbor/services/protection/protection_plugins/volume/volume_snapshot_plugin_schemas.py).
 */
export interface KarborProtect {
  /** Name of the snapshot. Default: minted from the resource's name and the time. */
  snapshot_name?: pulumi.Input<string>;
  /** Description of the snapshot. Default none. */
  description?: pulumi.Input<string>;
  /** Whether a volume that a server has is snapshot too. Default false: it is refused. */
  force?: pulumi.Input<boolean>;
}

/** Parameters of a restore, by the names in Karbor's schema. */
export interface KarborRestore {
  /** Name of the new volume. Default: minted from the resource's name. */
  restore_name?: pulumi.Input<string>;
  /** Description of the new volume. Default none. */
  restore_description?: pulumi.Input<string>;
}

/** What a volume is protected with beyond Karbor's parameters: it has no schedule of its own. */
type Timing = Partial<
  Pick<ConstructorParameters<typeof CinderSnapshot>[1], "schedule" | "timeZone" | "trigger" | "retention">
>;

/** Karbor's protect and delete: snapshots of one volume. Without a schedule one is taken; a new `trigger` takes another. */
export function karborProtect(
  name: string,
  volumeId: pulumi.Input<string>,
  parameters: KarborProtect = {},
  timing: Timing = {},
  options?: pulumi.CustomResourceOptions,
): CinderSnapshot {
  refuseUnknownKeys(`the parameters of '${name}'`, parameters, ["snapshot_name", "description", "force"]);
  const { snapshot_name, description, force = false } = parameters;
  const given = {
    ...timing,
    volumeId,
    force,
    ...(snapshot_name !== undefined && { name: snapshot_name }),
    ...(description !== undefined && { description }),
  };
  return new CinderSnapshot(name, given, options);
}

/** Karbor's restore: a new volume from the newest snapshot of a set, or from one that is named by its id. */
export function karborRestore(
  name: string,
  checkpoint: CinderSnapshot | pulumi.Input<string>,
  parameters: KarborRestore = {},
  options?: pulumi.CustomResourceOptions,
): VolumeRestore {
  refuseUnknownKeys(`the parameters of '${name}'`, parameters, ["restore_name", "restore_description"]);
  const { restore_name, restore_description } = parameters;
  const given = {
    snapshotId: checkpoint instanceof CinderSnapshot ? checkpoint.snapshotId : checkpoint,
    ...(restore_name !== undefined && { name: restore_name }),
    ...(restore_description !== undefined && { description: restore_description }),
  };
  return new VolumeRestore(name, given, options);
}
