import { images, type Session } from "../openstack";
import type { Server } from "../openstack/servers";
import { inventoryOf } from "./inventory";

/** How sure an image must be that the guest's file systems are at rest: Nova can have them frozen by the guest's agent. */
export type Quiesce = "require" | "try" | "off";

/** Whom to ask. */
interface Asked {
  session: Session;
  signal?: AbortSignal | undefined;
}

/** What an image holds: file systems at rest, or what a power cut leaves. */
export type Consistency = "filesystem" | "crash";

/**
 * What an image that is taken now will be worth. Nova freezes by itself where the server's image says that it has a guest
 * agent; that a freeze failed stands in its log alone, unless the image says that it must not. So it is known of a
 * server that is off, and of one whose image has both properties.
 * Source: nova/compute/api.py, snapshot_volume_backed; nova/virt/libvirt/driver.py, _live_snapshot
 *
 * @throws where it is required and not known
 */
export async function consistencyOf(set: Asked, server: Server, quiesce: Quiesce): Promise<Consistency> {
  if (server.status === "SHUTOFF") return "filesystem";
  if (quiesce === "off") return "crash";
  const properties = await propertiesOf(set, server);
  const lacking = ["hw_qemu_guest_agent", "os_require_quiesce"].filter(name => !isYes(properties[name]));
  if (lacking.length === 0) return "filesystem";
  if (quiesce === "try") return "crash";
  throw new Error(
    `quiesce is 'require', and the image of server ${server.name} lacks ${lacking.map(name => `${name}=yes`).join(" and ")}: Nova says of a failed freeze nothing then; set it on the image and make the server anew, shut the server off, or set quiesce to 'try'`,
  );
}

/** The properties of the image that the server was made of, where that is still known. */
async function propertiesOf(
  { session, signal }: Asked,
  server: Server,
): Promise<Readonly<Record<string, unknown>>> {
  if (typeof server.image === "object" && server.image)
    return (await images.get(session, server.image.id, { signal }))?.metadata ?? {};
  const [root] = await inventoryOf(session).volumesOf(server.id);
  return root?.volume.volume_image_metadata ?? {};
}

const isYes = (value: unknown): boolean => ["yes", "true", "1", "on"].includes(String(value).toLowerCase());
