import { randomUUID } from "node:crypto";
import type { Cloud } from "./cloud";
import type { HttpRequest, Reply } from "./http";
import type { Token } from "./identities";
import type { Keystone } from "./keystone";
import type { ServerRow } from "./rows";

export const computePath = "/compute";

/** The most servers in one page, as Nova's osapi_max_limit. */
const maximumPage = 1000;

/** Compute API v2.1, as far as a client that only reads servers needs it. */
export class Nova {
  constructor(
    private readonly cloud: Cloud,
    private readonly keystone: Keystone,
  ) {}

  handle(request: HttpRequest): Reply {
    const path = request.path.slice(computePath.length).replace(/\/$/, "");
    const token = this.keystone.validToken(request.headers["x-auth-token"]);
    const reply = token?.project ? this.route(request, path, token, token.project.id) : unauthorized(request);
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

  private route(request: HttpRequest, path: string, token: Token, projectId: string): Reply {
    if (request.method !== "GET" || !path.startsWith("/v2.1/servers"))
      return notFound("The resource could not be found.");
    const [, id] = /^\/v2\.1\/servers\/([^/]+)$/.exec(path) ?? [];
    if (id === "detail") return this.list(request, token, projectId);
    const row = this.cloud.servers.get(id ?? "");
    return row?.project_id === projectId
      ? { status: 200, body: { server: this.view(request, row) } }
      : notFound(`Instance ${id} could not be found.`);
  }

  private list(request: HttpRequest, token: Token, projectId: string): Reply {
    const { query } = request;
    const everywhere = ["1", "true"].includes((query.get("all_tenants") ?? "").toLowerCase());
    if (everywhere && !token.roles.includes("admin"))
      return refusal(
        403,
        "forbidden",
        "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed.",
      );
    const own = [...this.cloud.servers.values()]
      .filter(row => everywhere || row.project_id === projectId)
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
      image: "",
      addresses: {},
      links: [{ rel: "self", href: `${request.origin}${computePath}/v2.1/servers/${row.id}` }],
      "OS-EXT-STS:task_state": null,
      "os-extended-volumes:volumes_attached": attached.map(({ volume_id }) => ({ id: volume_id })),
    };
  }
}

/** A server that is there at once. */
export function newServer(
  parts: Pick<ServerRow, "name" | "project_id" | "user_id" | "metadata" | "created">,
): ServerRow {
  return { id: randomUUID(), status: "ACTIVE", ...parts };
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
