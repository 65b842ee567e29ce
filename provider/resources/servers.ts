import { inventoryOf } from "../operations/inventory";
import type { Context, Place, Refusal } from "./resource";

/** The server that a resource is of. */
interface OfServer extends Place {
  serverId: string;
  serverName?: string | undefined;
}

/** "server web", as people know it. */
export const labelOf = ({ serverName, serverId }: OfServer): string => `server ${serverName ?? serverId}`;

/** Why a server is refused that Nova does not have. */
export async function missingServer(given: OfServer, context: Context): Promise<Refusal[]> {
  const session = context.session(given);
  if (await inventoryOf(session).server(given.serverId)) return [];
  const reason = `server ${given.serverId} does not exist in project ${await session.projectId()}, look it up with \`openstack server list\``;
  return [{ property: "serverId", reason }];
}
