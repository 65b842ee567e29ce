import type * as pulumi from "@pulumi/pulumi";
import { BackupResource } from "./binding";
import { type ServerBackupInputs, type ServerBackupOutputs, serverBackupBinding } from "./generated";

/** Inputs of ServerBackup. */
export type ServerBackupArgs = ServerBackupInputs;

/**
 * The set of images of one server under one schedule and retention. A new server boots from an image of it with
 * `openstack server create --image`.
 */
export class ServerBackup extends BackupResource {
  declare readonly serverId: pulumi.Output<string>;
  declare readonly slot: pulumi.Output<string>;
  declare readonly imageId: pulumi.Output<ServerBackupOutputs["imageId"]>;
  declare readonly takenAt: pulumi.Output<ServerBackupOutputs["takenAt"]>;
  declare readonly sizeBytes: pulumi.Output<ServerBackupOutputs["sizeBytes"]>;
  declare readonly consistency: pulumi.Output<ServerBackupOutputs["consistency"]>;
  declare readonly snapshotIds: pulumi.Output<ServerBackupOutputs["snapshotIds"]>;
  declare readonly points: pulumi.Output<ServerBackupOutputs["points"]>;
  declare readonly removed: pulumi.Output<ServerBackupOutputs["removed"]>;
  declare readonly nextDue: pulumi.Output<ServerBackupOutputs["nextDue"]>;

  constructor(name: string, args: ServerBackupArgs, options?: pulumi.CustomResourceOptions) {
    super(serverBackupBinding, name, args, options);
  }
}
