import { randomUUID } from "node:crypto";
import type { Cinder } from "./cinder/cinder";
import type { Cloud } from "./cloud";
import type { Devices } from "./devices";
import { newImage } from "./glance";
import type { HttpRequest, Reply } from "./http";
import { type Keystone, volumePath } from "./keystone";
import type { ImageRow, ServerRow } from "./rows";

export const computePath = "/compute";

/** Caracal's. */
const newestMicroversion = "2.96";

/** The flavors that servers can have. */
const flavors = [
  { id: "1", name: "tiny", ram: 64, disk: 1 },
  { id: "2", name: "small", ram: 512, disk: 20 },
] as const;

/** The most servers in one page, as Nova's osapi_max_limit. */
const maximumPage = 1000;

/** Compute API v2.1, as far as a client needs it that makes images of servers and servers of images. */
export class Nova {
  constructor(
    private readonly cloud: Cloud,
    private readonly keystone: Keystone,
    private readonly cinder: Cinder,
    /** Where the volumes of servers appear; absent: nowhere. */
    private readonly devices: Devices | undefined,
  ) {}

  async handle(request: HttpRequest): Promise<Reply> {
    const path = request.path.slice(computePath.length).replace(/\/$/, "");
    const token = this.keystone.validToken(request.headers["x-auth-token"]);
    const reply = token?.project ? await this.route(request, path, token.project.id) : unauthorized(request);
    return {
      ...reply,
      headers: {
        "OpenStack-API-Version": "compute 2.1",
        "X-OpenStack-Nova-API-Version": "2.1",
        Vary: "OpenStack-API-Version, X-OpenStack-Nova-API-Version",
        "x-compute-request-id": request.requestId,
        ...reply.headers,
      },
    };
  }

  private async route(request: HttpRequest, path: string, projectId: string): Promise<Reply> {
    const { method } = request;
    if (path === "/v2.1" && method === "GET")
      return {
        status: 200,
        body: { version: { id: "v2.1", version: newestMicroversion, status: "CURRENT" } },
      };
    if (path === "/v2.1/flavors/detail" && method === "GET") return { status: 200, body: { flavors } };
    if (path === "/v2.1/servers" && method === "POST") return this.create(request, projectId);
    const [, id = "", part, volumeId] =
      /^\/v2\.1\/servers\/([^/]+)(?:\/(action|metadata|os-volume_attachments)(?:\/([^/]+))?)?$/.exec(path) ??
      [];
    if (id === "detail" && method === "GET") return this.list(request, projectId);
    const row = this.cloud.servers.get(id);
    if (id === "") return notFound("The resource could not be found.");
    if (row?.project_id !== projectId) return notFound(`Instance ${id} could not be found.`);
    if (part === "os-volume_attachments") return this.volumes(request, row, volumeId);
    if (part === "action" && method === "POST") return this.act(request, row, projectId);
    if (part === "metadata" && method === "POST") {
      Object.assign(row.metadata, parsed<{ metadata: Record<string, string> }>(request).metadata);
      this.cloud.changed();
      return { status: 200, body: { metadata: row.metadata } };
    }
    if (method === "DELETE") {
      this.removeServer(id);
      return { status: 204 };
    }
    if (method === "PUT") row.name = parsed<{ server: { name: string } }>(request).server.name;
    return { status: 200, body: { server: this.view(request, row) } };
  }

  /** A new server, which runs after a while; all that Nova refuses it refuses before it makes anything. */
  private create(request: HttpRequest, projectId: string): Reply {
    const { server: given } = parsed<{ server: NewServerBody }>(request);
    const flavor = flavors.find(({ id }) => id === given.flavorRef);
    if (!flavor) return refusal(400, "badRequest", `Flavor ${given.flavorRef} could not be found.`);
    if (given.key_name !== undefined && !given.key_name.startsWith("key"))
      return refusal(400, "badRequest", "Invalid key_name provided.");
    if (given.imageRef !== undefined && !this.cloud.images.has(given.imageRef))
      return refusal(400, "badRequest", `Image ${given.imageRef} could not be found.`);
    const disks = (given.block_device_mapping_v2 ?? []).filter(one => one.source_type === "volume");
    for (const { uuid } of disks)
      if (this.cloud.volumes.get(uuid)?.status !== "available")
        return refusal(400, "badRequest", `Block Device Mapping is Invalid: failed to get volume ${uuid}.`);
    const row = newServer({
      name: given.name,
      project_id: projectId,
      user_id: "",
      metadata: { ...given.metadata },
      created: `${this.cloud.timestamp().slice(0, 19)}Z`,
      imageId: given.imageRef ?? null,
    });
    Object.assign(row, { status: "BUILD", taskState: "spawning", flavorId: flavor.id });
    this.cloud.servers.set(row.id, row);
    void this.spawn(row, disks, given.networks === "none" ? null : `10.0.0.${this.cloud.servers.size + 9}`);
    return { status: 202, body: { server: { id: row.id, adminPass: "not-to-be-seen" } } };
  }

  private async spawn(row: ServerRow, disks: { uuid: string }[], address: string | null): Promise<void> {
    await this.cloud.delay(this.cloud.behaviour.statusDelayMs);
    if (!this.cloud.servers.has(row.id)) return;
    const { fault } = this.nextServer.shift() ?? {};
    const first = row.imageId === null ? "a" : "b";
    if (!fault)
      for (const [place, { uuid }] of disks.entries())
        this.attach(row, uuid, `/dev/vd${String.fromCharCode(first.charCodeAt(0) + place)}`);
    Object.assign(row, fault ? { status: "ERROR", fault } : { status: "ACTIVE", address });
    row.taskState = null;
    this.cloud.changed();
  }

  /** The volumes that a server has: what it gets appears on this machine, where devcloud may make devices. */
  private volumes(request: HttpRequest, row: ServerRow, volumeId: string | undefined): Reply {
    const own = [...this.cloud.attachments.values()].filter(({ instance }) => instance === row.id);
    const shown = own.map(({ volume_id, device }) => ({
      id: volume_id,
      volumeId: volume_id,
      serverId: row.id,
      device,
    }));
    const { method } = request;
    if (method === "GET" && volumeId === undefined)
      return { status: 200, body: { volumeAttachments: shown } };
    if (method === "POST") return this.attachVolume(request, row, own.length);
    const found = shown.find(one => one.volumeId === volumeId);
    if (!found || volumeId === undefined)
      return notFound(`Instance ${row.id} is not attached to volume ${volumeId}.`);
    if (method !== "DELETE") return { status: 200, body: { volumeAttachment: found } };
    const volume = this.cloud.volumes.get(volumeId);
    if (volume?.status !== "in-use")
      return refusal(
        400,
        "badRequest",
        `Invalid volume: Invalid input received: Invalid volume: Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.`,
      );
    this.cloud.setVolumeStatus(volume, "detaching");
    void this.detached(row, volumeId);
    return { status: 202 };
  }

  private attachVolume(request: HttpRequest, row: ServerRow, count: number): Reply {
    const { volumeAttachment } = parsed<{ volumeAttachment: { volumeId: string } }>(request);
    const { volumeId } = volumeAttachment;
    const volume = this.cloud.volumes.get(volumeId);
    if (volume?.project_id !== row.project_id) return notFound(`Volume ${volumeId} could not be found.`);
    if (volume.status !== "available")
      return refusal(
        400,
        "badRequest",
        `Invalid volume: volume ${volumeId} status must be available or downloading to reserve, but the current status is ${volume.status}.`,
      );
    if (count >= this.cloud.behaviour.mostVolumesOfServer)
      return refusal(
        403,
        "forbidden",
        `The maximum allowed number of disk devices (${this.cloud.behaviour.mostVolumesOfServer}) to attach to a single instance has been exceeded.`,
      );
    const device = `/dev/vd${String.fromCharCode("b".charCodeAt(0) + count)}`;
    this.attach(row, volumeId, device);
    this.cloud.setVolumeStatus(volume, "reserved");
    void (async () => {
      await this.cloud.delay(this.cloud.behaviour.statusDelayMs);
      await this.devices?.appear(volumeId, this.cloud.storage.volumePath(volumeId));
      this.cloud.setVolumeStatus(volume, "in-use");
    })();
    return {
      status: 200,
      body: { volumeAttachment: { id: volumeId, volumeId, serverId: row.id, device } },
    };
  }

  private async detached(row: ServerRow, volumeId: string): Promise<void> {
    await this.cloud.delay(this.cloud.behaviour.statusDelayMs);
    await this.devices?.vanish(volumeId);
    for (const [id, { instance, volume_id }] of this.cloud.attachments)
      if (instance === row.id && volume_id === volumeId) this.cloud.attachments.delete(id);
    const volume = this.cloud.volumes.get(volumeId);
    if (volume) this.cloud.setVolumeStatus(volume, "available");
  }

  private attach(row: ServerRow, volumeId: string, device: string): void {
    const volume = this.cloud.volumes.get(volumeId);
    if (!volume) return;
    const id = randomUUID();
    this.cloud.attachments.set(id, {
      id,
      volume_id: volumeId,
      project_id: row.project_id,
      instance: row.id,
      status: "attached",
      attach_mode: "rw",
      device,
      created_at: this.cloud.timestamp(),
      attached_at: this.cloud.timestamp(),
      connection_info: {},
    });
    this.cloud.setVolumeStatus(volume, "in-use");
  }

  /** Removes a server; its volumes stay and are free. */
  removeServer(id: string): void {
    for (const [attachmentId, { instance, volume_id }] of this.cloud.attachments) {
      if (instance !== id) continue;
      this.cloud.attachments.delete(attachmentId);
      const volume = this.cloud.volumes.get(volume_id);
      if (volume) this.cloud.setVolumeStatus(volume, "available");
    }
    this.cloud.servers.delete(id);
    this.cloud.changed();
  }

  private async rebuild(request: HttpRequest, row: ServerRow, imageId: string): Promise<Reply> {
    const asked = /^compute 2\.(\d+)$/.exec(String(request.headers["openstack-api-version"] ?? ""))?.[1];
    if (row.imageId === null && Number(asked ?? 1) < 93)
      return refusal(
        400,
        "badRequest",
        "Unable to rebuild with a different image for a volume-backed server.",
      );
    if (!this.cloud.images.has(imageId))
      return refusal(400, "badRequest", `Cannot find image for rebuild: ${imageId}`);
    Object.assign(row, { status: "REBUILD", taskState: "rebuilding" });
    void (async () => {
      await this.cloud.delay(this.cloud.behaviour.statusDelayMs);
      const { fault } = this.nextServer.shift() ?? {};
      Object.assign(row, { status: fault ? "ERROR" : "ACTIVE", taskState: null, ...(fault && { fault }) });
      if (row.imageId !== null) row.imageId = imageId;
      this.cloud.changed();
    })();
    return { status: 202, body: { server: { ...this.view(request, row), adminPass: "not-to-be-seen" } } };
  }

  /** createImage; of a server that boots from a volume it is the snapshots of all its volumes. */
  private async act(request: HttpRequest, server: ServerRow, projectId: string): Promise<Reply> {
    const { id } = server;
    const bootsFromVolume = server.imageId === null;
    const { createImage, rebuild } = parsed<{
      createImage?: { name: string; metadata?: Record<string, string> };
      rebuild?: { imageRef: string };
    }>(request);
    if (rebuild && !server.taskState) return this.rebuild(request, server, rebuild.imageRef);
    if (!createImage) return refusal(400, "badRequest", "There is no such action");
    if (server.taskState)
      return refusal(
        409,
        "conflictingRequest",
        `Cannot 'createImage' instance ${id} while it is in task_state ${server.taskState}`,
      );
    const image = newImage({
      name: createImage.name,
      status: bootsFromVolume ? "active" : "queued",
      owner: projectId,
      created_at: `${this.cloud.timestamp().slice(0, 19)}Z`,
      properties: { ...createImage.metadata, instance_uuid: id, image_type: "snapshot" },
    });
    if (bootsFromVolume) {
      const mapping: object[] = [];
      const attached = [...this.cloud.attachments.values()].filter(({ instance }) => instance === id);
      for (const [place, { volume_id, device }] of attached.entries()) {
        const snapshot = { volume_id, name: `snapshot for ${createImage.name}` };
        const reply = await this.cinder.handle({
          ...request,
          path: `${volumePath}/v3/${projectId}/snapshots`,
          headers: { ...request.headers, "openstack-api-version": "volume 3.66" },
          body: Buffer.from(JSON.stringify({ snapshot })),
        });
        // what was made for the volumes before stays, as with Nova
        if (reply.status !== 202) return refusal(403, "forbidden", "Quota exceeded, too many snapshots.");
        const { snapshot: made } = reply.body as { snapshot: { id: string } };
        mapping.push({ snapshot_id: made.id, device_name: device, boot_index: place === 0 ? 0 : null });
      }
      image.size = 0;
      image.properties.block_device_mapping = JSON.stringify(mapping);
    } else void this.upload(server, image);
    this.cloud.images.set(image.id, image);
    this.cloud.changed();
    return { status: 202, headers: { Location: `${request.origin}/image/images/${image.id}` } };
  }

  private async upload(server: ServerRow, image: ImageRow): Promise<void> {
    server.taskState = "image_uploading";
    await this.cloud.delay(this.cloud.behaviour.statusDelayMs);
    const { status = "active" } = this.nextImage.shift() ?? {};
    image.status = status;
    if (status === "active") image.size = 49;
    server.taskState = null;
    this.cloud.changed();
  }

  /** The status that the next images end with, in place of "active": "queued" is one that Nova gives up without a word. */
  readonly nextImage: { status: string }[] = [];
  /** Why the next servers go to ERROR, in place of running. */
  readonly nextServer: { fault: string }[] = [];

  private list(request: HttpRequest, projectId: string): Reply {
    const { query } = request;
    const own = [...this.cloud.servers.values()]
      .filter(row => row.project_id === projectId)
      .sort((a, b) => (a.created < b.created ? 1 : -1));
    const marker = query.get("marker");
    const start = marker === null ? 0 : own.findIndex(({ id }) => id === marker) + 1;
    if (marker !== null && start === 0) return refusal(400, "badRequest", `marker [${marker}] not found`);
    const limit = Math.min(Number(query.get("limit") ?? maximumPage), maximumPage);
    const page = own.slice(start, start + limit);
    const next = new URLSearchParams(query);
    next.set("marker", page.at(-1)?.id ?? "");
    const href = `${request.origin}${request.path}?${next}`;
    return {
      status: 200,
      body: {
        servers: page.map(row => this.view(request, row)),
        ...(start + limit < own.length && { servers_links: [{ rel: "next", href }] }),
      },
    };
  }

  private view(request: HttpRequest, row: ServerRow): object {
    const attached = [...this.cloud.attachments.values()].filter(({ instance }) => instance === row.id);
    return {
      id: row.id,
      name: row.name,
      status: row.status,
      tenant_id: row.project_id,
      user_id: row.user_id,
      metadata: row.metadata,
      created: row.created,
      updated: row.created,
      image: row.imageId === null ? "" : { id: row.imageId },
      flavor: { id: row.flavorId },
      addresses: row.address === null ? {} : { private: [{ addr: row.address, version: 4 }] },
      ...(row.fault !== undefined && { fault: { code: 500, message: row.fault } }),
      links: [{ rel: "self", href: `${request.origin}${computePath}/v2.1/servers/${row.id}` }],
      "OS-EXT-STS:task_state": row.taskState,
      "os-extended-volumes:volumes_attached": attached.map(({ volume_id }) => ({ id: volume_id })),
    };
  }
}

/** A server that is there at once. */
export function newServer(
  parts: Pick<ServerRow, "name" | "project_id" | "user_id" | "metadata" | "created" | "imageId">,
): ServerRow {
  const [flavor] = flavors;
  return {
    id: randomUUID(),
    status: "ACTIVE",
    taskState: null,
    address: null,
    flavorId: flavor.id,
    ...parts,
  };
}

interface NewServerBody {
  name: string;
  flavorRef: string;
  imageRef?: string;
  networks: unknown;
  key_name?: string;
  metadata?: Record<string, string>;
  block_device_mapping_v2?: { uuid: string; source_type: string }[];
}

const parsed = <T>({ body }: HttpRequest): T => JSON.parse(body.toString("utf8")) as T;

const refusal = (status: number, kind: string, message: string): Reply => ({
  status,
  body: { [kind]: { code: status, message } },
});
const notFound = (message: string) => refusal(404, "itemNotFound", message);
const unauthorized = (request: HttpRequest): Reply => ({
  ...refusal(401, "unauthorized", "The request you have made requires authentication."),
  headers: { "WWW-Authenticate": `Keystone uri="${request.origin}/identity/"` },
});
