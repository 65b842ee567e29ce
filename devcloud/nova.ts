import { randomUUID } from "node:crypto";
import type { Cinder } from "./cinder/cinder";
import type { Cloud } from "./cloud";
import { newImage } from "./glance";
import type { HttpRequest, Reply } from "./http";
import { type Keystone, volumePath } from "./keystone";
import type { ImageRow, ServerRow } from "./rows";

export const computePath = "/compute";

/** The most servers in one page, as Nova's osapi_max_limit. */
const maximumPage = 1000;

/** Compute API v2.1, as far as a client needs it that reads servers and makes images of them. */
export class Nova {
  constructor(
    private readonly cloud: Cloud,
    private readonly keystone: Keystone,
    private readonly cinder: Cinder,
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
    const [, acted] = /^\/v2\.1\/servers\/([^/]+)\/action$/.exec(path) ?? [];
    if (request.method === "POST" && acted) return this.act(request, acted, projectId);
    if (request.method !== "GET" || !path.startsWith("/v2.1/servers"))
      return notFound("The resource could not be found.");
    const [, id] = /^\/v2\.1\/servers\/([^/]+)$/.exec(path) ?? [];
    if (id === "detail") return this.list(request, projectId);
    const row = this.cloud.servers.get(id ?? "");
    return row?.project_id === projectId
      ? { status: 200, body: { server: this.view(request, row) } }
      : notFound(`Instance ${id} could not be found.`);
  }

  /** createImage; of a server that boots from a volume it is the snapshots of all its volumes. */
  private async act(request: HttpRequest, id: string, projectId: string): Promise<Reply> {
    const server = this.cloud.servers.get(id);
    if (server?.project_id !== projectId) return notFound(`Instance ${id} could not be found.`);
    const { createImage } = JSON.parse(request.body.toString("utf8")) as {
      createImage?: { name: string; metadata?: Record<string, string> };
    };
    if (!createImage) return refusal(400, "badRequest", "There is no such action");
    if (server.taskState)
      return refusal(
        409,
        "conflictingRequest",
        `Cannot 'createImage' instance ${id} while it is in task_state ${server.taskState}`,
      );
    const image = newImage({
      name: createImage.name,
      status: server.bootsFromVolume ? "active" : "queued",
      owner: projectId,
      created_at: `${this.cloud.timestamp().slice(0, 19)}Z`,
      properties: { ...createImage.metadata, instance_uuid: id, image_type: "snapshot" },
    });
    if (server.bootsFromVolume) {
      const mapping: { snapshot_id: string }[] = [];
      const attached = [...this.cloud.attachments.values()].filter(({ instance }) => instance === id);
      for (const { volume_id } of attached) {
        const snapshot = { volume_id, name: `snapshot for ${createImage.name}` };
        const reply = await this.cinder.handle({
          ...request,
          path: `${volumePath}/v3/${projectId}/snapshots`,
          headers: { ...request.headers, "openstack-api-version": "volume 3.66" },
          body: Buffer.from(JSON.stringify({ snapshot })),
        });
        // what was made for the volumes before stays, as with Nova
        if (reply.status !== 202) return refusal(403, "forbidden", "Quota exceeded, too many snapshots.");
        mapping.push({ snapshot_id: (reply.body as { snapshot: { id: string } }).snapshot.id });
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
      image: row.bootsFromVolume ? "" : { id: "the-image-that-it-was-made-of" },
      addresses: {},
      links: [{ rel: "self", href: `${request.origin}${computePath}/v2.1/servers/${row.id}` }],
      "OS-EXT-STS:task_state": row.taskState,
      "os-extended-volumes:volumes_attached": attached.map(({ volume_id }) => ({ id: volume_id })),
    };
  }
}

/** A server that is there at once. */
export function newServer(
  parts: Pick<ServerRow, "name" | "project_id" | "user_id" | "metadata" | "created" | "bootsFromVolume">,
): ServerRow {
  return { id: randomUUID(), status: "ACTIVE", taskState: null, ...parts };
}

const refusal = (status: number, kind: string, message: string): Reply => ({
  status,
  body: { [kind]: { code: status, message } },
});
const notFound = (message: string) => refusal(404, "itemNotFound", message);
const unauthorized = (request: HttpRequest): Reply => ({
  ...refusal(401, "unauthorized", "The request you have made requires authentication."),
  headers: { "WWW-Authenticate": `Keystone uri="${request.origin}/identity/"` },
});
