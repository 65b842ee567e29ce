import * as pulumi from "@pulumi/pulumi";
import { pointLines, ResticRepository, VolumeBackup, VolumeRestore } from "pulumi-openstack-backup";

const config = new pulumi.Config();

const repository = new ResticRepository("repository", {
  url: config.require("repositoryUrl"),
  password: config.requireSecret("repositoryPassword"),
});

const files = new VolumeBackup("files", {
  volumeId: config.require("filesVolumeId"),
  schedule: "30 2 * * *",
  timeZone: "Europe/Berlin",
  repository,
  snapshot: { retention: { keepLast: 2 } },
  retention: { keepDaily: 7, keepWeekly: 4, keepMonthly: 6 },
  exclude: ["lost+found", "*.tmp"],
});

const database = new VolumeBackup("database", {
  volumeId: config.require("databaseVolumeId"),
  schedule: "0 * * * *",
  repository,
  snapshot: { retention: { keepLast: 3 } },
  retention: { keepLast: 3, keepDaily: 7, keepWeekly: 4 },
});

// On the bad day: `pulumi config set restore latest`, then `pulumi up`.
const restore = config.get("restore");
const restored =
  restore === undefined
    ? undefined
    : new VolumeRestore("restored", {
        backup: database.backup,
        resticSnapshotId: restore,
        sizeGib: config.getNumber("restoreSizeGib") ?? 1,
        deletionPolicy: "delete",
      });

export const points = {
  files: pointLines(files.points, "Europe/Berlin"),
  database: pointLines(database.points),
};
export const nextDue = { files: files.snapshot.nextDue, database: database.snapshot.nextDue };
export const restoredVolumeId = restored?.volumeId ?? "none";
