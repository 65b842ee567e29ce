import { z } from "zod";
import { type CallOptions, idPart } from "./cinder";
import { everyPage } from "./paging";
import type { Session } from "./session";

/** A server as Nova tells it. Source: https://docs.openstack.org/api-ref/compute/#servers-servers */
export const Server = z.looseObject({
  id: z.string(),
  name: z.string(),
  /** "ACTIVE", "SHUTOFF", "BUILD", "ERROR", … */
  status: z.string(),
  tenant_id: z.string().optional(),
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

/** The servers of the project; of all projects where `allProjects` is set, which only an administrator may. */
export function list(
  session: Session,
  { allProjects = false }: { allProjects?: boolean } = {},
  { signal }: CallOptions = {},
): Promise<Server[]> {
  return everyPage(session, {
    service: "compute",
    path: "/servers/detail",
    query: allProjects ? { all_tenants: 1 } : {},
    key: "servers",
    item: Server,
    doing: "listing servers",
    signal,
  });
}
