import { z } from "zod";
import { type CallOptions, idPart } from "./cinder";
import { undefinedIfNotFound } from "./errors";
import { everyPage } from "./paging";
import type { Session } from "./session";

/** Whether Neutron has a network or a port of this id for us. */
export async function exists(
  session: Session,
  what: "network" | "port",
  id: string,
  { signal }: CallOptions = {},
): Promise<boolean> {
  const answer = await session
    .request({
      service: "network",
      method: "GET",
      path: `/${what}s/${idPart(what, id)}`,
      doing: `reading ${what} ${id}`,
      signal,
    })
    .catch(undefinedIfNotFound);
  return answer !== undefined;
}

const FloatingIp = z.looseObject({
  id: z.string(),
  floating_ip_address: z.string(),
  /** Where it leads now; null: nowhere. */
  port_id: z.string().nullish(),
});
export type FloatingIp = z.infer<typeof FloatingIp>;

/** The floating IP of that address, where the project has it. */
export async function floatingIp(
  session: Session,
  address: string,
  { signal }: CallOptions = {},
): Promise<FloatingIp | undefined> {
  const found = await everyPage(session, {
    service: "network",
    path: "/floatingips",
    query: { floating_ip_address: address },
    key: "floatingips",
    item: FloatingIp,
    doing: `looking for floating IP ${address}`,
    signal,
  });
  return found.find(({ floating_ip_address }) => floating_ip_address === address);
}

/** Ids of the ports that a server has. */
export async function portsOf(
  session: Session,
  serverId: string,
  { signal }: CallOptions = {},
): Promise<string[]> {
  const found = await everyPage(session, {
    service: "network",
    path: "/ports",
    query: { device_id: serverId },
    key: "ports",
    item: z.looseObject({ id: z.string() }),
    doing: `listing the ports of server ${serverId}`,
    signal,
  });
  return found.map(({ id }) => id);
}

/**
 * Lets a floating IP lead to this port, wherever it led before.
 * Source: https://docs.openstack.org/api-ref/network/v2/#update-floating-ip
 */
export async function moveFloatingIp(
  session: Session,
  { id, floating_ip_address }: FloatingIp,
  portId: string,
  { signal }: CallOptions = {},
): Promise<void> {
  await session.request({
    service: "network",
    method: "PUT",
    path: `/floatingips/${idPart("floating IP", id)}`,
    body: { floatingip: { port_id: portId } },
    doing: `moving floating IP ${floating_ip_address} to port ${portId}`,
    isRepeatable: true,
    signal,
  });
}
