import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { fromMetadata, instant } from "../base/marks";
import { flavors, servers, undefinedIfNotFound, volumes } from "../openstack";
import { inventoryOf } from "../operations/inventory";
import {
  bootServer,
  keepServer,
  moveFloatingIp,
  type RestoredServer,
  rebuildServer,
  removeServer,
} from "../operations/restore-server";
import { removeVolume } from "../operations/volume";
import { type Context, type Refusal, resourceType } from "./resource";
import { flavorIn, newServerRefusals, rebuildRefusals } from "./server-restore-checks";
import { type FoundPoint, foundPoint, pointOf } from "./server-restore-point";
import { type Inputs, inputs, outputs } from "./server-restore-schema";

/** A server brought back: a new one, or one that is there and whose disk is made anew. */
export const serverRestore = resourceType({
  name: "ServerRestore",
  description:
    "A server brought back from an image or from snapshots of its volumes: a new one beside the old, or the old one " +
    "rebuilt, which overwrites its disk.",
  inputs,
  outputs,

  rules(given) {
    const refusals: Refusal[] = [];
    const refuse = (property: string, reason: string) => refusals.push({ property, reason });
    if (given.backupOwner !== undefined && (given.imageId !== undefined || given.snapshotIds !== undefined))
      refuse("backupOwner", "give ids or backupOwner, not both");
    if (given.serverId === undefined) {
      if (given.overwrite) refuse("overwrite", "is for serverId: a new server overwrites nothing");
      return refusals;
    }
    if (!given.overwrite)
      refuse("overwrite", "must be true: all that is on the disk of the server in serverId will be lost");
    if (given.snapshotIds !== undefined)
      refuse("snapshotIds", "a server is rebuilt from an image; from snapshots a new one is made");
    for (const property of [
      "name",
      "flavor",
      "keyName",
      "availabilityZone",
      "securityGroups",
      "floatingIp",
    ] as const)
      if (given[property] !== undefined)
        refuse(property, "is for a new server: one that is rebuilt keeps its own");
    return refusals;
  },

  preflightKeys: [
    "imageId",
    "snapshotIds",
    "backupOwner",
    "serverId",
    "flavor",
    "networks",
    "floatingIp",
    "cloud",
    "region",
    "projectId",
  ],
  async preflight(given, context) {
    const point = await pointOf(given, context);
    if ("refusal" in point) return [point.refusal];
    return given.serverId === undefined
      ? newServerRefusals(given, point, context)
      : rebuildRefusals(given, given.serverId, point, context);
  },

  async plan(state, given, context) {
    if (state) return [];
    const point = await foundPoint(given, context);
    const from = `${point.source.key}, which was captured at ${point.capturedAt}`;
    if (given.serverId === undefined) {
      const count = point.source.disks.length;
      const disks = count > 0 ? ` with ${count} new volume${count === 1 ? "" : "s"}` : "";
      return [`will boot server '${nameOf(given)}'${disks} from ${from}`];
    }
    const server = await inventoryOf(context.session(given)).server(given.serverId);
    return [
      `will overwrite the disk of server ${server?.name ?? given.serverId} with ${from}: what was written to it since is lost; its further volumes stay as they are`,
    ];
  },

  async create(given, context) {
    const begun = Date.now();
    const point = await foundPoint(given, context);
    const { server, volumeIds } =
      given.serverId === undefined
        ? await boot(given, point, context)
        : await rebuild(given, given.serverId, point, context);
    const words = given.serverId === undefined ? "restored" : "rebuilt";
    context.log(`${words} server ${server.name} (${server.id}) from ${point.source.key}`);
    return {
      id: server.id,
      outputs: {
        restoredServerId: server.id,
        source: point.source.key,
        capturedAt: point.capturedAt,
        volumeIds,
        addresses: Object.values(server.addresses).flatMap(all => all.map(({ addr }) => addr)),
        durationSeconds: (Date.now() - begun) / 1000,
        restoredAt: instant(context.now),
      },
    };
  },

  async read(id, state, context) {
    const row = await servers.get(context.session(state), id).catch(undefinedIfNotFound);
    return row && { id, outputs: outputs.parse(state) };
  },

  async update(id, state, given, context) {
    if (given.serverId !== undefined) {
      if (given.owner !== state.owner)
        await servers.setMetadata(context.session(given), id, { "osbackup-restored-by": given.owner });
      return outputs.parse(state);
    }
    const session = context.session(given);
    if (nameOf(given) !== nameOf(state)) await servers.rename(session, id, nameOf(given));
    if (given.owner !== state.owner || !isDeepStrictEqual(given.metadata, state.metadata)) {
      const metadata = { ...given.metadata, "osbackup-owner": given.owner };
      await servers.setMetadata(session, id, metadata);
      for (const volume of state.volumeIds) await volumes.setMetadata(session, volume, metadata);
    }
    if (given.floatingIp !== undefined && given.floatingIp !== state.floatingIp)
      await moveFloatingIp({ session, log: context.log, signal: context.signal }, id, given.floatingIp);
    return outputs.parse(state);
  },

  async delete(id, state, context) {
    const session = context.session(state);
    const { signal } = context;
    const row = await servers.get(session, id).catch(undefinedIfNotFound);
    if (state.serverId !== undefined || state.deletionPolicy === "retain") {
      const why = state.serverId === undefined ? "deletionPolicy is 'retain'" : "it was there before";
      context.log(`server ${row?.name ?? id} stays: ${why}`);
      await keepServer(session, id, { volumeIds: state.volumeIds, owner: state.owner, signal });
      return;
    }
    const mark = fromMetadata(row?.metadata);
    if (row && (mark?.role !== "restored" || mark.owner !== state.owner)) {
      context.warn(
        `server ${id} stays: ${mark ? `it belongs to ${mark.owner}` : "it does not carry our mark any more"}`,
      );
      return;
    }
    const limits = { timeoutSeconds: Math.min(state.timeoutSeconds, 600), signal };
    await removeServer({ session, ...limits }, id);
    for (const volumeId of state.volumeIds) {
      const volume = await volumes.get(session, volumeId).catch(undefinedIfNotFound);
      if (volume && fromMetadata(volume.metadata)?.owner === state.owner)
        await removeVolume(session, volumeId, limits);
    }
  },
});

async function boot(given: Inputs, { source, image }: FoundPoint, context: Context): Promise<RestoredServer> {
  const session = context.session(given);
  const flavor = flavorIn(await flavors.list(session), given, image);
  if (!flavor) throw new Error(`there is no flavor '${given.flavor}' any more`);
  const { networks, keyName, availabilityZone, securityGroups, floatingIp, metadata, timeoutSeconds } = given;
  const chosen = { flavorId: flavor.id, networks, keyName, availabilityZone, securityGroups };
  const target = {
    session,
    mark: { owner: given.owner, set: given.owner, role: "restored" as const, takenAt: instant(context.now) },
    wishes: createHash("sha256")
      .update(JSON.stringify({ source, ...chosen }))
      .digest("hex"),
    name: nameOf(given),
    ...chosen,
    floatingIp,
    metadata,
    timeoutSeconds,
    log: context.log,
    signal: context.signal,
  };
  return bootServer(target, source);
}

async function rebuild(
  given: Inputs,
  serverId: string,
  { source: { imageId } }: FoundPoint,
  context: Context,
): Promise<RestoredServer> {
  if (imageId === undefined) throw new Error("the point has no image to rebuild a server from");
  const { timeoutSeconds, owner } = given;
  const { log, signal } = context;
  const session = context.session(given);
  const run = { session, owner, serverId, imageId, timeoutSeconds, log, signal };
  return { server: await rebuildServer(run), volumeIds: [] };
}

const nameOf = (given: Pick<Inputs, "name" | "owner">): string =>
  given.name ?? `restore-${given.owner.split("/").slice(2).join("/")}`.slice(0, 255);
