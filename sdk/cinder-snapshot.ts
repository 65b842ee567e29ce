import type * as pulumi from "@pulumi/pulumi";
import { BackupResource } from "./binding";
import { type CinderSnapshotInputs, type CinderSnapshotOutputs, cinderSnapshotBinding } from "./generated";

/** Inputs of CinderSnapshot. */
export type CinderSnapshotArgs = CinderSnapshotInputs;

/**
 * The set of Cinder snapshots of one volume under one schedule and retention; the newest is current. When a slot is
 * due, `pulumi preview` shows which point will be taken, which removed, and why.
 */
export class CinderSnapshot extends BackupResource {
  declare readonly volumeId: pulumi.Output<string>;
  declare readonly slot: pulumi.Output<string>;
  declare readonly snapshotId: pulumi.Output<CinderSnapshotOutputs["snapshotId"]>;
  declare readonly takenAt: pulumi.Output<CinderSnapshotOutputs["takenAt"]>;
  declare readonly sizeGib: pulumi.Output<CinderSnapshotOutputs["sizeGib"]>;
  declare readonly points: pulumi.Output<CinderSnapshotOutputs["points"]>;
  declare readonly removed: pulumi.Output<CinderSnapshotOutputs["removed"]>;
  declare readonly nextDue: pulumi.Output<CinderSnapshotOutputs["nextDue"]>;

  /** As given. An optional input that is absent would be an unknown output in every preview. */
  readonly trigger: CinderSnapshotArgs["trigger"];

  constructor(name: string, args: CinderSnapshotArgs, options?: pulumi.CustomResourceOptions) {
    super(cinderSnapshotBinding, name, args, options);
    this.trigger = args.trigger;
  }
}
