import type * as pulumi from "@pulumi/pulumi";
import { BackupResource } from "./binding";
import { type ServerSnapshotInputs, type ServerSnapshotOutputs, serverSnapshotBinding } from "./generated";

/** Inputs of ServerSnapshot. */
export type ServerSnapshotArgs = ServerSnapshotInputs;

/**
 * The set of recovery points of one server under one schedule and retention; a point is the Cinder snapshots of all
 * volumes that the server has when the slot is due, kept and removed as one.
 */
export class ServerSnapshot extends BackupResource {
  declare readonly serverId: pulumi.Output<string>;
  declare readonly slot: pulumi.Output<string>;
  declare readonly pointId: pulumi.Output<ServerSnapshotOutputs["pointId"]>;
  declare readonly takenAt: pulumi.Output<ServerSnapshotOutputs["takenAt"]>;
  declare readonly sizeGib: pulumi.Output<ServerSnapshotOutputs["sizeGib"]>;
  declare readonly volumes: pulumi.Output<ServerSnapshotOutputs["volumes"]>;
  declare readonly skewSeconds: pulumi.Output<ServerSnapshotOutputs["skewSeconds"]>;
  declare readonly points: pulumi.Output<ServerSnapshotOutputs["points"]>;
  declare readonly removed: pulumi.Output<ServerSnapshotOutputs["removed"]>;
  declare readonly nextDue: pulumi.Output<ServerSnapshotOutputs["nextDue"]>;

  constructor(name: string, args: ServerSnapshotArgs, options?: pulumi.CustomResourceOptions) {
    super(serverSnapshotBinding, name, args, options);
  }
}
