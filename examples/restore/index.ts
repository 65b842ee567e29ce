import * as pulumi from "@pulumi/pulumi";
import { VolumeRestore } from "pulumi-openstack-backup";

const config = new pulumi.Config();
const cinderSnapshotId = config.get("cinderSnapshotId");

// The new volume outlives this stack: deletionPolicy is "retain" unless said otherwise.
const restored =
  cinderSnapshotId !== undefined
    ? new VolumeRestore("restored", { snapshotId: cinderSnapshotId })
    : new VolumeRestore("restored", {
        repository: {
          url: config.require("repositoryUrl"),
          password: config.requireSecret("repositoryPassword"),
          environment: config.getSecretObject<Record<string, string>>("repositoryEnvironment") ?? {},
        },
        backupOwner: config.require("owner"),
        resticSnapshotId: config.get("point") ?? "latest",
        sizeGib: config.getNumber("sizeGib"),
      });

export const volumeId = restored.volumeId;
export const capturedAt = restored.capturedAt;
export const verified = restored.verified;
