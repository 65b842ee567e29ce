import * as pulumi from "@pulumi/pulumi";
import { getServersOutput, pointLines, ServerRestore, ServerSnapshot } from "pulumi-openstack-backup";

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

const set = new ServerSnapshot("whole", {
  serverId: pulumi.output(server).id,
  serverName: pulumi.output(server).name,
  schedule: "0 */6 * * *",
  retention: { keepLast: 4, keepDaily: 7 },
  deletionPolicy: "retain",
  // nothing is taken of a server that is being restored
  paused: config.getBoolean("restore") ?? false,
});

// On the bad day: `pulumi config set restore true` and `flavor`, then `pulumi up`. The new server boots from the first
// volume of the newest point, and has all the others; one that boots from an image needs that image's id too.
const imageId = config.get("image");
const network = config.get("network");
const restored = config.getBoolean("restore")
  ? new ServerRestore("restored", {
      ...(imageId === undefined
        ? { backup: set }
        : { imageId, snapshotIds: set.volumes.apply(all => all.map(({ snapshotId }) => snapshotId)) }),
      flavor: config.require("flavor"),
      ...(network !== undefined && { networks: [{ networkId: network }] }),
    })
  : undefined;

export const points = pointLines(set.points);
export const skewSeconds = set.skewSeconds;
export const restoredServerId = restored?.restoredServerId ?? "none";
