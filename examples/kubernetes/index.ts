import * as pulumi from "@pulumi/pulumi";
import { getClaimVolumeOutput, pointLines, ResticRepository, VolumeBackup } from "pulumi-openstack-backup";

const config = new pulumi.Config();

const repository = new ResticRepository("repository", {
  url: config.require("repositoryUrl"),
  password: config.requireSecret("repositoryPassword"),
  environment: config.getSecretObject<Record<string, string>>("repositoryEnvironment") ?? {},
});

const claim = config.get("claim");
const orders = new VolumeBackup("orders", {
  // of a claim, or a volume that no claim knows
  volumeId: claim
    ? getClaimVolumeOutput({ name: claim, namespace: config.get("claimNamespace") ?? "default" }).volumeId
    : config.require("volumeId"),
  schedule: "30 2 * * *",
  repository,
  mover: "kubernetes",
  moverOptions: {
    kubernetes: {
      namespace: config.get("namespace") ?? "backups",
      image: config.get("image"),
      resources: { requests: { memory: "256Mi" }, limits: { memory: "1Gi" } },
    },
  },
  snapshot: { retention: { keepLast: 3, keepForDays: 7 } },
  retention: { keepLast: 10, keepDaily: 7, keepWeekly: 4, keepMonthly: 6, keepYearly: 2 },
  exclude: ["lost+found", "*.tmp"],
});

export const points = pointLines(orders.points);
