import * as pulumi from "@pulumi/pulumi";
import { ownerOf, pointLines, ResticRepository, VolumeBackup, VolumeRestore } from "pulumi-openstack-backup";

const config = new pulumi.Config();

const offsite = new ResticRepository("offsite", {
  url: config.require("offsiteUrl"),
  password: config.requireSecret("offsitePassword"),
});

// once a day what is in the near repository by then is copied to the far one
const near = new ResticRepository("near", {
  url: config.require("nearUrl"),
  password: config.requireSecret("nearPassword"),
  copyTo: offsite.access,
  copySchedule: config.get("copySchedule") ?? "0 5 * * *",
});

const data = new VolumeBackup("data", {
  volumeId: config.require("volumeId"),
  schedule: "0 * * * *",
  repository: near,
  snapshot: { retention: { keepLast: 2 } },
  retention: { keepLast: 24, keepDaily: 7, keepWeekly: 4 },
});

// On the day when the near repository is gone too: `pulumi config set restore latest`, then `pulumi up --continue-on-error`.
// `ownerOf`, not `data.backup.owner`: the set fails with its repository, and what depends on it is skipped.
const restore = config.get("restore");
const restored =
  restore === undefined
    ? undefined
    : new VolumeRestore("restored", {
        repository: offsite,
        backupOwner: ownerOf("data-backup"),
        resticSnapshotId: restore,
      });

export const points = pointLines(data.points);
export const restoredVolumeId = restored?.volumeId ?? "none";
