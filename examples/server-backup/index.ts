import * as pulumi from "@pulumi/pulumi";
import { getServersOutput, ServerBackupPlan } from "pulumi-openstack-backup";

const config = new pulumi.Config();
const name = config.require("server");

// by name or id
const server = getServersOutput().apply(servers => {
  const found = servers.filter(one => one.id === name || one.name === name);
  if (found.length !== 1 || !found[0])
    throw new pulumi.RunError(`${found.length} servers are called '${name}', see \`openstack server list\``);
  return found[0];
});

// daily 7, weekly 4, monthly 12, yearly 2
const plan = new ServerBackupPlan(name, { serverId: server.id, serverName: server.name });

export const images = pulumi
  .all(
    Object.entries(plan.sets).map(([type, set]) =>
      pulumi.all([set.points, set.nextDue]).apply(([points, next]) => ({ type, points, next })),
    ),
  )
  .apply(all =>
    all.map(
      ({ type, points, next }) =>
        `${type}: ${points.length} images, newest ${points[0]?.imageId ?? "none"}, next ${next || "none"}`,
    ),
  );
