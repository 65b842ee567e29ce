import * as pulumi from "@pulumi/pulumi";
import { getUnprotectedVolumes, getVolumes, ResticRepository, VolumeBackup } from "pulumi-openstack-backup";

const config = new pulumi.Config();
/** With the mover "server": the server that this is, where it cannot find out itself. */
const serverId = config.get("serverId");

/** A set for each volume that is tagged now: one that is tagged later is covered by the next run. */
async function sets() {
  const repository = new ResticRepository("repository", {
    url: config.require("repositoryUrl"),
    password: config.requireSecret("repositoryPassword"),
    checkSchedule: "0 6 * * 0",
  });
  const volumes = await getVolumes({ where: { metadata: { backup: "daily" } } });
  // by the id, so that a renamed volume keeps its set
  for (const { id, name } of volumes)
    new VolumeBackup(`volume-${id}`, {
      volumeId: id,
      schedule: "daily-random", // each at its own time of the day
      repository,
      // "server" where the stack runs on a server of the cloud without access to its storage; "auto" finds out
      mover: config.get<"local" | "server" | "auto">("mover") ?? "local",
      ...(serverId !== undefined && { moverOptions: { serverId } }),
      host: name || id,
      snapshot: { retention: { keepLast: 2 } },
      retention: { keepDaily: 7, keepWeekly: 4, keepMonthly: 6 },
    });
  const unprotected = await getUnprotectedVolumes();
  return {
    covered: volumes.map(({ id, name }) => name || id),
    unprotected: unprotected.map(({ id, name }) => name || id),
  };
}

const declared = pulumi.output(sets());
export const covered = declared.covered;
/** Volumes without a point in Cinder when this run began. */
export const unprotected = declared.unprotected;
