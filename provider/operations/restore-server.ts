import limited from "p-limit";
import { type Mark, toMetadata } from "../base/marks";
import { pause } from "../base/pause";
import { UndoList, undoSignal } from "../base/undo-list";
import { mayPass, WaitError } from "../cinder/watch";
import { ApiError, networks, type Session, servers, undefinedIfNotFound } from "../openstack";
import type { NewServer, Server } from "../openstack/servers";
import { inventoryOf } from "./inventory";
import { keepRestored, restoreVolume, sourceMetadata, stateMetadata, wishesMetadata } from "./restore-volume";
import { removeVolume } from "./volume";

/** What a server is restored from: an image that has its disk, or snapshots of its volumes, or both. */
export interface ServerSource {
  /** `image:<id>` or `cinder:<id of the first snapshot>`, as marks and outputs say it. */
  key: string;
  /** The image to boot from; without it the first of the disks boots. */
  imageId?: string | undefined;
  disks: readonly { snapshotId: string; device: string }[];
}

/** A server to restore into: a new one, marked with its owner and what it is made from. */
export interface ServerTarget extends Omit<NewServer, "disks" | "imageId"> {
  session: Session;
  mark: Mark;
  /** What else is asked of the server: one that was made for other wishes is not adopted. */
  wishes: string;
  /** Address that leads to the new server in the end, wherever it led before. */
  floatingIp?: string | undefined;
  timeoutSeconds: number;
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** What a restore has made, or found. */
export interface RestoredServer {
  server: Server;
  /** The volumes that were made for it, in the order of its devices. */
  volumeIds: string[];
}

/** Volumes that are made at the same time. */
const atOnce = 8;

/**
 * Makes the volumes, boots the server with them and moves the floating IP. Nothing is left of a failed restore; what a
 * killed run left is gone on with, or removed where it came to no good.
 */
export async function bootServer(target: ServerTarget, source: ServerSource): Promise<RestoredServer> {
  const { session } = target;
  const undo = new UndoList();
  try {
    const begun = await begunBefore(target, source);
    const volumeIds = await volumesFor(target, source, undo);
    const id = begun ?? (await create(target, source, volumeIds));
    undo.add(`server ${id}`, () => removeServer(undoing(target), id));
    const server = await running(target, id);
    if (target.floatingIp !== undefined) await moveFloatingIp(target, id, target.floatingIp);
    await servers.setMetadata(session, id, { [stateMetadata]: "complete" }, { signal: target.signal });
    await inventoryOf(session).noteServer(server);
    return { server, volumeIds };
  } catch (error) {
    // a request whose answer was lost may have made the server, with the volumes: the next run finds both
    if (error instanceof OutcomeUnknown) throw error.cause;
    throw await undo.undo(error);
  }
}

/** A server of this restore that an earlier run has begun; one that came to no good is removed. */
async function begunBefore(target: ServerTarget, source: ServerSource): Promise<string | undefined> {
  const { session, signal } = target;
  for (const { id, metadata } of await inventoryOf(session).restoredServers(target.mark.owner)) {
    if (metadata[sourceMetadata] !== source.key || metadata[stateMetadata] === "kept") continue;
    const live = await servers.get(session, id, { signal }).catch(undefinedIfNotFound);
    // a replacement is made beside the server that it replaces
    if (live?.metadata[stateMetadata] === "complete" && live.metadata[wishesMetadata] !== target.wishes)
      continue;
    if (live && live.status !== "ERROR" && live.metadata[wishesMetadata] === target.wishes) {
      target.log(`adopting server ${id}, which an earlier run began`);
      return id;
    }
    if (live) target.log(`removing server ${id}, which an earlier run began and which is '${live.status}'`);
    await removeServer(target, id);
  }
  return undefined;
}

async function volumesFor(target: ServerTarget, source: ServerSource, undo: UndoList): Promise<string[]> {
  const limit = limited(atOnce);
  const { session, mark, metadata, signal } = target;
  const limits = { timeoutSeconds: target.timeoutSeconds, signal: undoSignal(signal) };
  const making = source.disks.map(({ snapshotId, device }, place) =>
    limit(async () => {
      const { volume } = await restoreVolume(
        {
          session,
          mark,
          sourceKey: `cinder:${snapshotId}`,
          wishes: target.wishes,
          name: `${target.name}-${device.split("/").at(-1) || place + 1}`,
          snapshotId,
          metadata,
          timeoutSeconds: target.timeoutSeconds,
          signal,
        },
        async () => {},
      );
      undo.add(`volume ${volume.id}`, () => removeVolume(session, volume.id, limits));
      return volume.id;
    }),
  );
  const done = await Promise.allSettled(making);
  const failed = done.find(one => one.status === "rejected");
  if (failed) throw failed.reason;
  return done.flatMap(one => (one.status === "fulfilled" ? [one.value] : []));
}

class OutcomeUnknown extends Error {}

async function create(target: ServerTarget, source: ServerSource, volumeIds: string[]): Promise<string> {
  const disks = volumeIds.map((volumeId, place) => ({
    volumeId,
    boots: source.imageId === undefined && place === 0,
  }));
  const metadata = {
    ...target.metadata,
    ...toMetadata(target.mark),
    [sourceMetadata]: source.key,
    [wishesMetadata]: target.wishes,
    [stateMetadata]: "filling",
  };
  const { session, signal } = target;
  try {
    return await servers.create(session, { ...target, imageId: source.imageId, disks, metadata }, { signal });
  } catch (error) {
    if (!mayPass(error)) throw error;
    // Nova may have made it all the same
    const all = await servers.list(session, { signal: undoSignal(signal) }).catch(() => undefined);
    const made = all?.find(row => isOf(row, target, source) && row.metadata[stateMetadata] === "filling");
    if (made) return made.id;
    throw all && hasAnswered(error) ? error : new OutcomeUnknown("", { cause: error });
  }
}

const isOf = ({ metadata }: Server, { mark, wishes }: ServerTarget, { key }: ServerSource): boolean =>
  metadata["osbackup-owner"] === mark.owner &&
  metadata[sourceMetadata] === key &&
  metadata[wishesMetadata] === wishes;

const hasAnswered = (error: unknown): boolean => error instanceof ApiError && error.status >= 500;

/** Waits until the server runs. */
function running(target: ServerTarget, id: string): Promise<Server> {
  const doing = `creating server ${id}`;
  return settles(target, id, doing, row => row.status === "ACTIVE" && !row["OS-EXT-STS:task_state"]);
}

/** Waits for a server. Throws in Nova's words when it goes to ERROR, or is gone. */
async function settles(
  { session, timeoutSeconds, signal }: Pick<ServerTarget, "session" | "timeoutSeconds" | "signal">,
  id: string,
  doing: string,
  isThere: (row: Server) => boolean,
): Promise<Server> {
  const until = Date.now() + timeoutSeconds * 1000;
  for (let wait = 250; ; wait = Math.min(wait * 1.5, 5_000)) {
    const row = await servers.get(session, id, { signal }).catch(error => {
      if (mayPass(error) && Date.now() < until) return "unknown" as const;
      return undefinedIfNotFound(error);
    });
    if (row === undefined) throw new WaitError(`${doing}: it vanished`, false);
    if (row !== "unknown") {
      if (row.status === "ERROR")
        throw new WaitError(
          `${doing}: it went to 'ERROR': ${row.fault?.message ?? "nova says no why"}`,
          false,
        );
      if (isThere(row)) return row;
      if (Date.now() >= until) {
        const task = row["OS-EXT-STS:task_state"];
        const words = `it is '${row.status}'${task ? `, ${task}` : ""}`;
        throw new WaitError(`${doing}: timed out after ${timeoutSeconds} s, ${words}`, true);
      }
    }
    await pause(wait, signal);
  }
}

/** Lets a floating IP of the project lead to the server, wherever it led before. */
export async function moveFloatingIp(
  { session, log, signal }: Pick<ServerTarget, "session" | "log" | "signal">,
  serverId: string,
  address: string,
): Promise<void> {
  const [there, [port]] = await Promise.all([
    networks.floatingIp(session, address, { signal }),
    networks.portsOf(session, serverId, { signal }),
  ]);
  if (!there) throw new Error(`floating IP ${address} is gone from the project`);
  if (port === undefined)
    throw new Error(`server ${serverId} has no port for floating IP ${address}: give it a network`);
  await networks.moveFloatingIp(session, there, port, { signal });
  log(`floating IP ${address} leads to server ${serverId} now`);
}

/** Says on a server and the volumes made for it that they outlive their restore: no later one takes them for its own. */
export async function keepServer(
  session: Session,
  id: string,
  {
    volumeIds,
    owner,
    signal,
  }: { volumeIds: readonly string[]; owner: string; signal: AbortSignal | undefined },
): Promise<void> {
  // one that is gone has volumes all the same
  await servers.setMetadata(session, id, { [stateMetadata]: "kept" }, { signal }).catch(undefinedIfNotFound);
  for (const volumeId of volumeIds) await keepRestored(session, volumeId, owner, signal);
}

/** Removes a server and returns once it is gone. */
export async function removeServer(
  { session, timeoutSeconds, signal }: Pick<ServerTarget, "session" | "timeoutSeconds" | "signal">,
  id: string,
): Promise<void> {
  const until = Date.now() + timeoutSeconds * 1000;
  for (let wait = 250; ; wait = Math.min(wait * 1.5, 5_000)) {
    // Nova takes it again and again, also of a server that a service died over
    await servers.remove(session, id, { signal });
    const row = await servers.get(session, id, { signal }).catch(undefinedIfNotFound);
    if (row === undefined) break;
    if (Date.now() >= until)
      throw new WaitError(
        `removing server ${id}: not gone after ${timeoutSeconds} s, it is '${row.status}'`,
        true,
      );
    await pause(wait, signal);
  }
  await inventoryOf(session).noteGone(id);
}

/** How an image is put back on a server that is there. */
export interface Rebuild {
  session: Session;
  owner: string;
  serverId: string;
  imageId: string;
  timeoutSeconds: number;
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/**
 * Makes the server's disk anew from the image, once: a run that was killed over it is gone on with. The server is not
 * ours, and says of itself only what was put back and by whom.
 */
export async function rebuildServer(run: Rebuild): Promise<Server> {
  const { session, serverId, imageId, signal } = run;
  const told = { [sourceMetadata]: `image:${imageId}`, "osbackup-restored-by": run.owner };
  const doing = `rebuilding server ${serverId} from image ${imageId}`;
  const idle = (row: Server) => !row["OS-EXT-STS:task_state"] && row.status !== "REBUILD";
  const server = await servers.get(session, serverId, { signal });
  const isThis = Object.entries(told).every(([key, value]) => server.metadata[key] === value);
  const state = isThis ? server.metadata[stateMetadata] : undefined;
  if (state === "complete") return server;
  if (state === "filling" && !idle(server)) run.log(`server ${serverId} is being rebuilt for an earlier run`);
  else {
    await servers.setMetadata(session, serverId, { ...told, [stateMetadata]: "filling" }, { signal });
    await servers.rebuild(session, serverId, imageId, { signal, bootsFromVolume: server.image === "" });
  }
  const done = await settles(run, serverId, doing, idle);
  const disk = typeof done.image === "object" ? done.image?.id : undefined;
  if (disk !== undefined && disk !== imageId)
    throw new WaitError(`${doing}: nova gave up, it still has image ${disk}`, false);
  await servers.setMetadata(session, serverId, { [stateMetadata]: "complete" }, { signal });
  return done;
}

const undoing = (target: ServerTarget): ServerTarget => ({ ...target, signal: undoSignal(target.signal) });
