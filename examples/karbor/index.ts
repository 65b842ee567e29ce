import * as pulumi from "@pulumi/pulumi";
import { karborProtect, karborRestore, pointLines } from "pulumi-openstack-backup";

const config = new pulumi.Config();

// Protect. Without a schedule one snapshot is taken; a new `trigger` takes another. Deleting the resource deletes them.
const trigger = config.get("trigger");
const protect = karborProtect(
  "data",
  config.require("volumeId"),
  {
    snapshot_name: config.get("snapshotName") ?? "data-snapshot",
    description: "taken before the upgrade",
    force: config.getBoolean("force") ?? false,
  },
  trigger === undefined ? {} : { trigger },
);

// Restore: a new volume from the newest snapshot.
const restored = config.getBoolean("restore")
  ? karborRestore("restored", protect, {
      restore_name: config.get("restoreName") ?? "data-restored",
      restore_description: "the volume before the upgrade",
    })
  : undefined;

export const snapshotId = protect.snapshotId;
export const points = pointLines(protect.points);
export const restoredVolumeId = restored?.volumeId ?? "none";
