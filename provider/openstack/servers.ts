import { z } from "zod";
import { type CallOptions, idPart } from "./cinder";
import { ApiError } from "./errors";
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
});
export type Server = z.infer<typeof Server>;

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
