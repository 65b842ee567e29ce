import { z } from "zod";
import { type CallOptions, idPart } from "./cinder";
import { ApiError, undefinedIfNotFound } from "./errors";
import { everyPage } from "./paging";
import type { Session } from "./session";

/** A server as Nova tells it. Source: https://docs.openstack.org/api-ref/compute/#servers-servers */
export const Server = z.looseObject({
  id: z.string(),
  name: z.string(),
  /** "ACTIVE", "SHUTOFF", "BUILD", "ERROR", … */
  status: z.string(),
  tenant_id: z.string().optional(),
  /** The image that it boots from; "" where it boots from a volume. */
  image: z.union([z.string(), z.looseObject({ id: z.string() })]).nullish(),
  /** What Nova does with it now, such as "image_uploading"; null when it is idle. */
  "OS-EXT-STS:task_state": z.string().nullish(),
  metadata: z.record(z.string(), z.string()).default({}),
  /** Below microversion 2.47 by its id. */
  flavor: z.looseObject({ id: z.string().optional() }).optional(),
  /** By network, what the server is reached at. */
  addresses: z.record(z.string(), z.array(z.looseObject({ addr: z.string() }))).default({}),
  /** Why it is in ERROR. */
  fault: z.looseObject({ message: z.string() }).optional(),
});
export type Server = z.infer<typeof Server>;

/** What a network of a new server is: a network or a port that is there, and on a network the address. */
export interface NewNetwork {
  networkId?: string | undefined;
  portId?: string | undefined;
  fixedIp?: string | undefined;
}

/** A disk of a new server: the volume that it gets. */
export interface NewDisk {
  volumeId: string;
  /** The server boots from it. */
  boots: boolean;
}

export interface NewServer {
  name: string;
  flavorId: string;
  /** Image to boot from; without it one of the disks boots. */
  imageId?: string | undefined;
  disks: readonly NewDisk[];
  networks: "auto" | "none" | readonly NewNetwork[];
  keyName?: string | undefined;
  availabilityZone?: string | undefined;
  securityGroups?: readonly string[] | undefined;
  metadata: Record<string, string>;
}

/** Newton's, the first that takes "auto" and "none" for networks. */
const bootMicroversion = "2.37";
/** Zed's, the first that rebuilds a server that boots from a volume. */
export const volumeRebuildMicroversion = "2.93";

const OneServer = z.looseObject({ server: Server });

/** One of them. Throws ApiError; isNotFound says that it is gone. */
export async function get(session: Session, id: string, { signal }: CallOptions = {}): Promise<Server> {
  const { body } = await session.request({
    service: "compute",
    method: "GET",
    path: `/servers/${idPart("server", id)}`,
    schema: OneServer,
    doing: `reading server ${id}`,
    signal,
  });
  return body.server;
}

/** The servers of the project. */
export function list(session: Session, { signal }: CallOptions = {}): Promise<Server[]> {
  return everyPage(session, {
    service: "compute",
    path: "/servers/detail",
    key: "servers",
    item: Server,
    doing: "listing servers",
    signal,
  });
}

/**
 * Begins an image of the server and returns its id; it is "queued" then, or "active" where the server boots from a
 * volume: Nova makes snapshots of all its volumes first. Never repeated when its outcome is unknown.
 * Source: https://docs.openstack.org/api-ref/compute/#create-image-createimage-action
 */
export async function createImage(
  session: Session,
  serverId: string,
  image: { name: string; metadata: Record<string, string> },
  { signal }: CallOptions = {},
): Promise<string> {
  const doing = `creating image "${image.name}" of server ${serverId}`;
  const path = `/servers/${idPart("server", serverId)}/action`;
  const body = { createImage: image };
  const { headers, status } = await session.request({
    service: "compute",
    method: "POST",
    path,
    body,
    doing,
    signal,
  });
  // from microversion 2.45 on it is in the body; the first one is asked for
  const id = headers.location?.split("/").at(-1);
  if (id) return id;
  throw new ApiError({
    doing,
    status,
    service: "compute",
    method: "POST",
    path,
    detail: "the answer names no image",
  });
}

/**
 * Begins a server and returns its id; it is BUILD then. Its disks stay when it goes. Never repeated when its outcome is
 * unknown. Source: https://docs.openstack.org/api-ref/compute/#create-server
 */
export async function create(
  session: Session,
  wanted: NewServer,
  { signal }: CallOptions = {},
): Promise<string> {
  const { name, flavorId, imageId, disks, networks, keyName, availabilityZone, securityGroups } = wanted;
  const image = { uuid: imageId, source_type: "image", destination_type: "local", boot_index: 0 };
  const mapping = [
    ...(imageId === undefined ? [] : [image]),
    ...disks.map(({ volumeId, boots }) => ({
      uuid: volumeId,
      source_type: "volume",
      destination_type: "volume",
      boot_index: boots ? 0 : -1,
      delete_on_termination: false,
    })),
  ];
  const { body } = await session.request({
    service: "compute",
    method: "POST",
    path: "/servers",
    body: {
      server: {
        name,
        flavorRef: flavorId,
        networks: typeof networks === "string" ? networks : networks.map(asNovas),
        metadata: wanted.metadata,
        ...(imageId !== undefined && { imageRef: imageId }),
        ...(disks.length > 0 && { block_device_mapping_v2: mapping }),
        ...(keyName !== undefined && { key_name: keyName }),
        ...(availabilityZone !== undefined && { availability_zone: availabilityZone }),
        ...(securityGroups !== undefined && { security_groups: securityGroups.map(name => ({ name })) }),
      },
    },
    // the answer has the administrator's password of the new server: nothing but the id is taken from it
    schema: z.object({ server: z.object({ id: z.string() }) }),
    microversion: bootMicroversion,
    doing: `creating server "${name}"`,
    signal,
  });
  return body.server.id;
}

function asNovas({ networkId, portId, fixedIp }: NewNetwork): object {
  return {
    ...(networkId !== undefined && { uuid: networkId }),
    ...(portId !== undefined && { port: portId }),
    ...(fixedIp !== undefined && { fixed_ip: fixedIp }),
  };
}

/**
 * Begins to make the server's disk anew from an image; all that is on it is lost. Sent again it begins again.
 * Source: https://docs.openstack.org/api-ref/compute/#rebuild-server-rebuild-action
 */
export async function rebuild(
  session: Session,
  id: string,
  imageId: string,
  options: CallOptions & { bootsFromVolume: boolean },
): Promise<void> {
  await session.request({
    service: "compute",
    method: "POST",
    path: `/servers/${idPart("server", id)}/action`,
    body: { rebuild: { imageRef: imageId } },
    ...(options.bootsFromVolume && { microversion: volumeRebuildMicroversion }),
    doing: `rebuilding server ${id} from image ${imageId}`,
    signal: options.signal,
  });
}

/** Asks for the removal of a server; one that is gone is fine. It is gone when `get` says 404. */
export async function remove(session: Session, id: string, { signal }: CallOptions = {}): Promise<void> {
  const path = `/servers/${idPart("server", id)}`;
  await session
    .request({ service: "compute", method: "DELETE", path, doing: `deleting server ${id}`, signal })
    .catch(undefinedIfNotFound);
}

/** Gives the server another name. */
export async function rename(
  session: Session,
  id: string,
  name: string,
  { signal }: CallOptions = {},
): Promise<void> {
  await session.request({
    service: "compute",
    method: "PUT",
    path: `/servers/${idPart("server", id)}`,
    body: { server: { name } },
    doing: `renaming server ${id}`,
    isRepeatable: true,
    signal,
  });
}

/** Adds metadata or changes it, leaving other keys as they are. */
export async function setMetadata(
  session: Session,
  id: string,
  metadata: Record<string, string>,
  { signal }: CallOptions = {},
): Promise<void> {
  await session.request({
    service: "compute",
    method: "POST",
    path: `/servers/${idPart("server", id)}/metadata`,
    body: { metadata },
    doing: `setting metadata of server ${id}`,
    isRepeatable: true,
    signal,
  });
}
