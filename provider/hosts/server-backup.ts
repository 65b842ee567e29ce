import { Driver } from "../driver/driver";
import { clock, World } from "../driver/world";
import { ownServerId } from "../movers/server/own-server";
import { serverCalled } from "../operations/schedule-file";
import { getServers, type ServerInfo } from "./functions";
import { accepted, cancellable } from "./without-stack";

/** What a backup by hand, by cron or before an apt action is told. */
export interface ServerBackupOptions {
  /** Names or ids. Default: the server that this machine is. */
  server?: string[];
  /** All servers of the project, from a management host. */
  all?: boolean;
  namePrefix?: string;
  /** Seconds that one image may take. */
  timeout?: number;
  cloud?: string;
  json?: boolean;
}

/** What came of one server. */
interface Done {
  serverId: string;
  server: string;
  imageId?: string;
  /** ids of the images that went */
  removed?: string[];
  failure?: string;
}

/**
 * Takes an image of a server now and keeps the newest `rotation` of its type, without a stack, as the nova backup script
 * did: images that the script has made count, and go in their turn. Returns 1 where a server's backup failed.
 */
export async function serverBackup(
  type: string,
  rotation: number,
  options: ServerBackupOptions,
): Promise<number> {
  const world = new World({}, line => console.error(line));
  return cancellable(world, async () => {
    const done: Done[] = [];
    // one after the other: images are large, and a management host has many servers
    for (const server of await chosen(options)) {
      if (world.abort.signal.aborted) break;
      done.push(await backedUp(world, server, type, rotation, options));
    }
    if (options.json) console.log(JSON.stringify(done, null, 2));
    const failed = done.filter(({ failure }) => failure !== undefined);
    if (done.length > 1) console.error(`${done.length - failed.length} of ${done.length} servers backed up`);
    return failed.length > 0 ? 1 : 0;
  });
}

async function chosen(options: ServerBackupOptions): Promise<Pick<ServerInfo, "id" | "name">[]> {
  if (options.all && options.server) throw new Error("give --server or --all, not both");
  const place = options.cloud === undefined ? {} : { cloud: options.cloud };
  if (!options.all && !options.server) {
    const id = await ownServerId();
    return [{ id, name: id }];
  }
  const all = await getServers({}, place);
  if (options.all && all.length === 0) throw new Error("the project has no servers");
  return options.server ? options.server.map(name => serverCalled(name, all)) : all;
}

async function backedUp(
  world: World,
  { id, name }: Pick<ServerInfo, "id" | "name">,
  backupType: string,
  rotation: number,
  { namePrefix, timeout, cloud }: ServerBackupOptions,
): Promise<Done> {
  const driver = new Driver(world);
  const given = {
    owner: `osbackup/server-backup/${id}-${backupType}`,
    set: `${backupType}-${name}`,
    serverId: id,
    serverName: name,
    backupType,
    // two of one second are two
    trigger: clock().toISOString(),
    retention: { keepLast: rotation },
    adoptImages: true,
    ...(namePrefix !== undefined && { namePrefix }),
    ...(timeout !== undefined && { timeoutSeconds: timeout }),
    ...(cloud !== undefined && { cloud }),
  };
  try {
    const inputs = await accepted(driver, "ServerBackup", given);
    const { outputs } = await driver.create("ServerBackup", inputs);
    const removed = (outputs.removed as { imageId: string }[]).map(({ imageId }) => imageId);
    return { serverId: id, server: name, imageId: String(outputs.imageId), removed };
  } catch (error) {
    const failure = error instanceof Error ? error.message : String(error);
    console.error(`osbackup: server ${name}: ${failure}`);
    return { serverId: id, server: name, failure };
  }
}
