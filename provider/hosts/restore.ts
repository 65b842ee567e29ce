import { fromMetadata } from "../base/marks";
import { Driver, type Properties } from "../driver/driver";
import { World } from "../driver/world";
import { images, snapshots, undefinedIfNotFound } from "../openstack";
import type { Snapshot } from "../openstack/snapshots";
import { keepServer } from "../operations/restore-server";
import { keepRestored } from "../operations/restore-volume";
import { serverCalled } from "../operations/schedule-file";
import { serverPoints } from "../operations/server-set";
import type { Fresh } from "../resources/resource";
import type { ResticSnapshot } from "../restic";
import { getServers } from "./functions";
import { accessFromEnvironment, cloudPoints, hasService, listedPoints } from "./list";
import { localTime } from "./wall-clock";
import { accepted, cancellable } from "./without-stack";

/** How a point is restored without a stack. */
export interface RestoreOptions {
  /** URL of the restic repository; without it the point is a Cinder snapshot. */
  repository?: string;
  cloud?: string;
  /** The new volume: its name, its size in GiB (default: what the point needs) and its type. */
  name?: string;
  size?: number;
  volumeType?: string;
  /** A claim of Kubernetes for the new volume, as namespace/name or name, and its storage class. */
  claim?: string;
  storageClass?: string;
  /** Folder of this machine to restore files into, in place of a new volume. */
  target?: string;
  /** Only these files and folders of the point. */
  path?: string[];
  /** Of a snapshot that is one of a server's point: a new server with all volumes of the point. */
  server?: boolean;
  /** A server that is rebuilt from an image, which overwrites its disk. */
  inPlace?: string;
  /** Nothing is asked. */
  yes?: boolean;
  /** The new server: its flavor, networks by id, key pair, availability zone, security groups and floating IP. */
  flavor?: string;
  network?: string[];
  key?: string;
  zone?: string;
  securityGroup?: string[];
  floatingIp?: string;
  json?: boolean;
}

/**
 * Restores one recovery point: into a new volume, files of it into a folder of this machine, or an image into a new
 * server. Needs no state of a stack: the point's id is all, as `osbackup list` shows it. Nothing that exists is
 * overwritten but files in `target`, and the disk of a server that is named with `inPlace` and said yes to.
 */
export async function restore(given: string | undefined, options: RestoreOptions): Promise<void> {
  const world = new World({}, line => (options.json ? console.error(line) : console.log(line)));
  await cancellable(world, async () => {
    if (given !== undefined) refuseNoId(given);
    const id = await wholeId(world, given ?? (await chosen(world, options)), options);
    if (options.target !== undefined) await restoreFiles(world, id, options.target, options);
    else if (await isOfServer(world, id, options)) {
      refuseOptions(options, ofVolumes, "is for a new volume, and this point becomes a server");
      if (options.inPlace !== undefined)
        refuseOptions(options, ofNewServers, "is for a new server: one that is rebuilt keeps its own");
      await restoreServer(world, id, options);
    } else {
      refuseOptions(options, ofServers, "is for servers, and this point becomes a volume");
      await restoreVolume(world, id, options);
    }
  });
}

const ofVolumes = ["size", "volumeType", "claim", "storageClass"] as const;
const ofNewServers = ["name", "flavor", "network", "key", "zone", "securityGroup", "floatingIp"] as const;
const ofServers = [...ofNewServers.slice(1), "server", "inPlace", "yes"] as const;

/** An option that means nothing here is a slip, not to be passed over: what comes would be something else. */
function refuseOptions(options: RestoreOptions, names: readonly (keyof RestoreOptions)[], why: string): void {
  const given = names.find(name => options[name] !== undefined);
  if (given) throw new Error(`--${given.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)} ${why}`);
}

/** Everything begins with nothing: a word that is no id must not stand for the only point that there is. */
export function refuseNoId(given: string): void {
  if (!/^([0-9a-f]{4,64}|[0-9a-f]{8}-[0-9a-f-]*)$/.test(given))
    throw new Error(
      `give the id of a point, or a beginning of it of 4 digits or more, as \`osbackup list\` shows it, not '${given}'`,
    );
}

/** The id of the one point in the cloud that begins so; any other is taken as it is. */
async function wholeId(world: World, id: string, options: RestoreOptions): Promise<string> {
  if (options.repository !== undefined || id.length >= 32) return id;
  const found = (await cloudPoints(world.session(options))).filter(point => point.id.startsWith(id));
  if (found.length > 1) throw new Error(`${found.length} points begin with ${id}, give more of the id`);
  if (!found[0]) throw new Error(`no point in the cloud begins with ${id}, see \`osbackup list\``);
  return found[0].id;
}

/** Lets somebody at a terminal choose among the points that there are, newest first. */
async function chosen(world: World, options: RestoreOptions): Promise<string> {
  if (!process.stdin.isTTY) throw new Error("give the id of a point, as `osbackup list` shows it");
  const points = await listedPoints(world, options);
  if (points.length === 0) throw new Error("there are no recovery points here, see `osbackup list`");
  const { default: select } = await import("@inquirer/select");
  return select({
    message: "Which recovery point?",
    pageSize: 15,
    choices: points
      .sort((a, b) => (a.takenAt < b.takenAt ? 1 : -1))
      .map(({ id, takenAt, owner, where, status }) => ({
        value: id,
        name: `${localTime(takenAt)}  ${owner}  ${where}  ${status}  ${id.slice(0, 8)}`,
      })),
  });
}

async function restoreFiles(
  world: World,
  id: string,
  target: string,
  options: RestoreOptions,
): Promise<void> {
  if (options.repository === undefined)
    throw new Error(
      "--target restores files out of a restic repository, name it with --repository; a Cinder snapshot becomes a volume",
    );
  const repository = world.repository(accessFromEnvironment(options.repository));
  const { signal } = world.abort;
  const found = pointOf(id, await repository.snapshots({ signal }), options.repository);
  if (found.tags.includes("content=block"))
    throw new Error(
      `point ${id} is of a raw device and has no files; restore it into a volume, without --target`,
    );
  await repository.restore(found.id, { target, include: options.path, verify: true, signal });
  if (options.json)
    console.log(JSON.stringify({ id: found.id, target, takenAt: found.time.toISOString() }, null, 2));
  else
    console.log(
      `restored ${options.path ? options.path.join(", ") : "all files"} of point ${found.id.slice(0, 8)} into ${target}, and compared them with the repository`,
    );
}

/** The one snapshot that an id, or the beginning of one, stands for. */
export function pointOf(id: string, all: readonly ResticSnapshot[], url: string): ResticSnapshot {
  const [found, another] = all.filter(snapshot => snapshot.id.startsWith(id));
  const list = `\`osbackup list --repository ${url}\``;
  if (!found) throw new Error(`the repository has no point ${id}, see ${list}`);
  if (another) throw new Error(`several points begin with ${id}, give more of the id, see ${list}`);
  return found;
}

async function restoreVolume(world: World, id: string, options: RestoreOptions): Promise<void> {
  if (options.path) throw new Error("--path needs --target: a new volume gets everything");
  if (options.storageClass !== undefined && options.claim === undefined)
    throw new Error("--storage-class needs --claim");
  const type = "VolumeRestore";
  const driver = new Driver(world);
  const given = {
    owner: `osbackup/restore/${id.slice(0, 8)}`,
    ...(options.repository === undefined
      ? { snapshotId: id }
      : { resticSnapshotId: id, repository: accessFromEnvironment(options.repository) }),
    ...(options.cloud !== undefined && { cloud: options.cloud }),
    ...(options.name !== undefined && { name: options.name }),
    ...(options.size !== undefined && { sizeGib: options.size }),
    ...(options.volumeType !== undefined && { volumeType: options.volumeType }),
    ...(options.claim !== undefined && { claim: claimCalled(options.claim, options.storageClass) }),
  };
  const made = await created(driver, type, given);
  // what a killed restore began is made anew; from here on the volume is its user's, and the next restore makes another
  await keepRestored(world.session(options), made.id, given.owner, world.abort.signal).catch((error: Error) =>
    console.error(`warning: a later restore may take volume ${made.id} for its own: ${error.message}`),
  );
  const { restoredSizeGib, capturedAt, compared, claimedBy } = made.outputs;
  if (options.json) {
    console.log(JSON.stringify(made.outputs, null, 2));
    return;
  }
  console.log(`volume ${made.id}: ${restoredSizeGib} GiB, data of ${capturedAt}; compared: ${compared}`);
  console.log(
    claimedBy
      ? `claim ${claimedBy} is bound to it`
      : `attach it with \`openstack server add volume SERVER ${made.id}\``,
  );
}

function claimCalled(text: string, storageClass: string | undefined): Properties {
  const [name, namespace] = text.split("/").reverse();
  return { name, ...(namespace && { namespace }), ...(storageClass !== undefined && { storageClass }) };
}

async function created(driver: Driver, type: string, given: Properties): Promise<Fresh<Properties>> {
  const inputs = await accepted(driver, type, given);
  for (const line of await driver.plan(type, undefined, inputs)) console.error(line);
  return driver.create(type, inputs);
}

/** Whether a server is what comes of it: of an image always, of a snapshot where that is asked for. */
async function isOfServer(world: World, id: string, options: RestoreOptions): Promise<boolean> {
  if (options.repository !== undefined) return false;
  if (options.server || options.inPlace !== undefined) return true;
  const session = world.session(options);
  if (await snapshots.get(session, id).catch(undefinedIfNotFound)) return false;
  return (await hasService(session, "image")) && (await images.get(session, id)) !== undefined;
}

async function restoreServer(world: World, id: string, options: RestoreOptions): Promise<void> {
  const session = world.session(options);
  const snapshot = await snapshots.get(session, id).catch(undefinedIfNotFound);
  const driver = new Driver(world);
  const place = options.cloud === undefined ? {} : { cloud: options.cloud };
  const owner = `osbackup/restore/${id.slice(0, 8)}`;
  const from = snapshot ? { snapshotIds: await snapshotsOfPoint(world, snapshot, options) } : { imageId: id };
  const { inPlace } = options;
  if (inPlace !== undefined) {
    const { id: serverId, name } = serverCalled(inPlace, await getServers({}, place));
    await agreed(
      `the disk of server ${name} (${serverId}) is overwritten, what was written since is lost`,
      options,
    );
    const made = await created(driver, "ServerRestore", {
      owner,
      ...place,
      ...from,
      serverId,
      overwrite: true,
    });
    await handedOver(world, made, owner, options);
    tell(made.outputs, `server ${name} has the data of ${made.outputs.capturedAt}`, options);
    return;
  }
  const { name, flavor, network, key, zone, securityGroup, floatingIp } = options;
  const made = await created(driver, "ServerRestore", {
    owner,
    ...place,
    ...from,
    ...(name !== undefined && { name }),
    ...(flavor !== undefined && { flavor }),
    ...(network !== undefined && { networks: networksOf(network) }),
    ...(key !== undefined && { keyName: key }),
    ...(zone !== undefined && { availabilityZone: zone }),
    ...(securityGroup !== undefined && { securityGroups: securityGroup }),
    ...(floatingIp !== undefined && { floatingIp }),
  });
  await handedOver(world, made, owner, options);
  const addresses = (made.outputs.addresses as string[]).join(", ") || "no address";
  tell(made.outputs, `server ${made.id}: data of ${made.outputs.capturedAt}, ${addresses}`, options);
}

/** From here on they are their user's: the next restore makes others. */
const handedOver = (
  world: World,
  { id, outputs }: Fresh<Properties>,
  owner: string,
  options: RestoreOptions,
) =>
  keepServer(world.session(options), id, {
    volumeIds: outputs.volumeIds as string[],
    owner,
    signal: world.abort.signal,
  });

const networksOf = (given: readonly string[]) =>
  given.join() === "none" ? "none" : given.map(networkId => ({ networkId }));

const tell = (outputs: object, words: string, { json }: RestoreOptions): void =>
  console.log(json ? JSON.stringify(outputs, null, 2) : words);

/** The snapshots of the point that one is a part of, in the order of the devices. */
async function snapshotsOfPoint(
  world: World,
  snapshot: Snapshot,
  options: RestoreOptions,
): Promise<string[]> {
  const session = world.session(options);
  const owner = fromMetadata(snapshot.metadata)?.owner ?? "";
  const set = { session, owner, serverId: "", timeoutSeconds: 0, log: console.error };
  const points = owner === "" ? [] : await serverPoints(set);
  const point = points.find(({ parts }) => parts.some(({ snapshotId }) => snapshotId === snapshot.id));
  if (!point?.good)
    throw new Error(
      `snapshot ${snapshot.id} is no part of a whole point of a server; restore it into a volume, without --server`,
    );
  return point.parts.map(({ snapshotId }) => snapshotId);
}

/** Asks on a terminal; elsewhere `--yes` is the answer. */
async function agreed(what: string, { yes }: RestoreOptions): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY) throw new Error(`${what}: give --yes to do it`);
  const { default: confirm } = await import("@inquirer/confirm");
  if (!(await confirm({ message: `${what}. Go on?`, default: false }))) throw new Error("nothing was done");
}
