import * as pulumi from "@pulumi/pulumi";
import { getServersOutput, ServerBackupPlan, ServerRestore } from "pulumi-openstack-backup";

const config = new pulumi.Config();
const name = config.require("server");

// by name or, also where it is gone, by id
const isId = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(name);
const server = isId
  ? { id: name, name }
  : getServersOutput().apply(servers => {
      const found = servers.filter(one => one.name === name);
      if (found.length !== 1 || !found[0])
        throw new pulumi.RunError(
          `${found.length} servers are called '${name}', see \`openstack server list\`; of one that is gone give the id`,
        );
      return found[0];
    });

// daily 7, weekly 4, monthly 12, yearly 2; nothing is taken of a server that is being restored
const plan = new ServerBackupPlan("server", {
  serverId: pulumi.output(server).id,
  serverName: pulumi.output(server).name,
  paused: config.get("restore") !== undefined,
});

// On the bad day: `pulumi config set restore daily`, then `pulumi up`. It boots a new server beside the old one;
// with `overwrite` true the old one is rebuilt, and what is on its disk is lost.
const type = config.get("restore");
const backup = type === undefined ? undefined : plan.sets[type];
if (type !== undefined && !backup)
  throw new pulumi.RunError(`restore is '${type}', the types are ${Object.keys(plan.sets).join(", ")}`);
const network = config.get("network");
const restored =
  backup &&
  new ServerRestore(
    "restored",
    config.getBoolean("overwrite")
      ? { backup, serverId: pulumi.output(server).id, overwrite: true }
      : { backup, ...(network !== undefined && { networks: [{ networkId: network }] }) },
  );

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
export const restoredServerId = restored?.restoredServerId ?? "none";
