import { randomUUID } from "node:crypto";
import type { Cloud } from "./cloud";
import type { HttpRequest, Reply } from "./http";
import type { Keystone } from "./keystone";
import type { ImageRow } from "./rows";

export const imagePath = "/image";

/** What a listing may be asked for besides an image's own properties. */
const paging = new Set(["limit", "marker", "owner", "sort_key", "sort_dir"]);

/** Image API v2, as far as a client that lists, marks and removes needs it. */
export class Glance {
  constructor(
    private readonly cloud: Cloud,
    private readonly keystone: Keystone,
  ) {}

  handle(request: HttpRequest): Reply {
    const token = this.keystone.validToken(request.headers["x-auth-token"]);
    if (!token?.project)
      return refusal(401, "Unauthorized", "This server could not verify that you are authorized.");
    const [, id] = /^\/v2\/images(?:\/([^/]+))?$/.exec(request.path.slice(imagePath.length)) ?? [
      undefined,
      null,
    ];
    if (id === null) return refusal(404, "Not Found", "The resource could not be found.");
    if (id === undefined) return this.list(request, token.project.id);
    const row = this.cloud.images.get(id);
    if (row?.owner !== token.project.id)
      return refusal(404, "Not Found", `No image found with ID ${id}<br /><br />\n\n\n`);
    if (request.method === "DELETE") {
      this.cloud.images.delete(id);
      this.cloud.changed();
      return { status: 204 };
    }
    if (request.method === "PATCH") {
      const changes = JSON.parse(request.body.toString("utf8")) as { path: string; value: string }[];
      for (const { path, value } of changes) row.properties[path.slice(1)] = value;
      this.cloud.changed();
    }
    return { status: 200, body: view(row) };
  }

  private list(request: HttpRequest, projectId: string): Reply {
    const { query } = request;
    const wanted = [...query].filter(([key]) => !paging.has(key));
    const found = [...this.cloud.images.values()]
      .filter(row => row.owner === projectId)
      .filter(row => wanted.every(([key, value]) => view(row)[key] === value))
      .sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
    const marker = query.get("marker");
    const start = marker === null ? 0 : found.findIndex(({ id }) => id === marker) + 1;
    const limit = Number(query.get("limit") ?? 25);
    const page = found.slice(start, start + limit);
    const next = new URLSearchParams(query);
    next.set("marker", page.at(-1)?.id ?? "");
    return {
      status: 200,
      body: {
        images: page.map(view),
        first: "/v2/images",
        schema: "/v2/schemas/images",
        // Glance says so of every full page
        ...(page.length === limit && { next: `/v2/images?${next}` }),
      },
    };
  }
}

function view({ properties, ...row }: ImageRow): Record<string, unknown> {
  return { ...properties, ...row, visibility: "private", tags: [], self: `/v2/images/${row.id}` };
}

/** An image that Nova begins. */
export const newImage = (parts: Omit<ImageRow, "id" | "size">): ImageRow => ({
  id: randomUUID(),
  size: null,
  ...parts,
});

const refusal = (status: number, title: string, message: string): Reply => ({
  status,
  body: { message, code: `${status} ${title}`, title },
});
