import { z } from "zod";
import { type CallOptions, cinder, idPart, version } from "./cinder";
import { ConfigError, unlessStillThere } from "./errors";
import { compareVersions } from "./microversion";
import { everyPage } from "./paging";
import type { Session } from "./session";

/** Cinder's description of how a host reaches the volume; which keys there are depends on the driver. May hold secrets. */
export const ConnectionInfo = z.looseObject({ driver_volume_type: z.string().optional() });
export type ConnectionInfo = z.infer<typeof ConnectionInfo>;

/** An attachment as Cinder tells it; it says "reserved" until it is completed. */
export const Attachment = z.looseObject({
  id: z.string(),
  status: z.string(),
  volume_id: z.string(),
  /** Null when a host, not a server, has the volume. */
  instance: z.string().nullish(),
  attach_mode: z.string().nullish(),
  attached_at: z.string().nullish(),
  detached_at: z.string().nullish(),
  /** Empty until a connector is given. Its access_mode says "rw" even for a "ro" attachment. */
  connection_info: ConnectionInfo.nullish().transform(info => info ?? {}),
});
export type Attachment = z.infer<typeof Attachment>;

/** What Cinder must know of the host that will read the volume (os-brick's connector properties). */
export interface Connector {
  host: string;
  ip?: string;
  /** iSCSI qualified name. */
  initiator?: string;
  multipath?: boolean;
  os_type?: string;
  platform?: string;
  do_local_attach?: boolean;
  [key: string]: unknown;
}

export interface NewAttachment {
  volumeId: string;
  /** Without it the volume is only reserved. */
  connector?: Connector;
  /** Default is Cinder's, "rw". */
  mode?: "rw" | "ro";
}

const OneAttachment = z.looseObject({ attachment: Attachment });

/** Cinder asks the volume's backend before it answers, up to its own RPC timeout. */
const LONGEST_ANSWER_SECONDS = 180;

/**
 * Attaches a volume to this host, not to a server: with a connector the answer says how to reach it, and `complete` is
 * called when it is reached. Never repeated when its outcome is unknown. Throws ConfigError below microversion 3.27.
 */
export async function create(
  session: Session,
  { volumeId, connector, mode }: NewAttachment,
  { signal }: CallOptions = {},
): Promise<Attachment> {
  const microversion = await required(session, "3.27");
  // Before 3.54 the mode travelled in the connector.
  const hasMode = mode !== undefined && compareVersions(microversion, "3.54") >= 0;
  const { body } = await cinder(session, {
    method: "POST",
    path: "/attachments",
    body: {
      attachment: {
        volume_uuid: volumeId,
        ...(connector && { connector: { ...connector, ...(mode !== undefined && !hasMode && { mode }) } }),
        ...(hasMode && { mode }),
      },
    },
    schema: OneAttachment,
    doing: `attaching volume ${volumeId}`,
    timeoutSeconds: LONGEST_ANSWER_SECONDS,
    signal,
  });
  return body.attachment;
}

/** All attachments of the project, or of one volume. */
export async function list(
  session: Session,
  { volumeId }: { volumeId?: string } = {},
  { signal }: CallOptions = {},
): Promise<Attachment[]> {
  const attachments = await everyPage(session, {
    service: "block-storage",
    path: "/attachments/detail",
    query: { volume_id: volumeId },
    microversion: await required(session, "3.27"),
    key: "attachments",
    item: Attachment,
    doing: volumeId === undefined ? "listing attachments" : `listing attachments of volume ${volumeId}`,
    signal,
  });
  return attachments.filter(attachment => volumeId === undefined || attachment.volume_id === volumeId);
}

/** Says that the host has the volume: it becomes "in-use". Throws ConfigError below microversion 3.44. */
export async function complete(session: Session, id: string, { signal }: CallOptions = {}): Promise<void> {
  await required(session, "3.44");
  await cinder(session, {
    method: "POST",
    path: `/attachments/${idPart("attachment", id)}/action`,
    body: { "os-complete": null },
    doing: `completing attachment ${id}`,
    signal,
  });
}

/**
 * Detaches; the volume becomes "available" if nothing else has it. The host must have let go of it before. An attachment
 * that is gone is fine.
 */
export async function remove(session: Session, id: string, { signal }: CallOptions = {}): Promise<void> {
  await required(session, "3.27");
  const path = `/attachments/${idPart("attachment", id)}`;
  const look = () => cinder(session, { method: "GET", path, doing: `reading attachment ${id}`, signal });
  await cinder(session, {
    method: "DELETE",
    path,
    doing: `removing attachment ${id}`,
    timeoutSeconds: LONGEST_ANSWER_SECONDS,
    signal,
  }).catch(unlessStillThere(look));
}

async function required(session: Session, wanted: string): Promise<string> {
  const microversion = await version(session);
  if (compareVersions(microversion, wanted) >= 0) return microversion;
  throw new ConfigError(
    `attaching volumes to a host needs Cinder's microversion ${wanted}, and ${microversion} is the newest that the cloud and the configuration allow`,
  );
}
