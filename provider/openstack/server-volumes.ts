import { z } from "zod";
import { type CallOptions, idPart } from "./cinder";
import { undefinedIfNotFound } from "./errors";
import type { Session } from "./session";

const ServerVolume = z.looseObject({
  volumeId: z.string(),
  /** What Nova calls it, such as "/dev/vdb"; the guest may call it otherwise. */
  device: z.string().nullish(),
});
export type ServerVolume = z.infer<typeof ServerVolume>;

const path = (serverId: string, volumeId = ""): string =>
  `/servers/${idPart("server", serverId)}/os-volume_attachments${volumeId && `/${idPart("volume", volumeId)}`}`;

/**
 * Begins to attach a volume to a server: it is there when Cinder says "in-use". Never repeated when its outcome is
 * unknown. Source: https://docs.openstack.org/api-ref/compute/#attach-a-volume-to-an-instance
 */
export async function attach(
  session: Session,
  serverId: string,
  volumeId: string,
  { signal }: CallOptions = {},
): Promise<void> {
  await session.request({
    service: "compute",
    method: "POST",
    path: path(serverId),
    body: { volumeAttachment: { volumeId } },
    doing: `attaching volume ${volumeId} to server ${serverId}`,
    signal,
  });
}

/** The attachment, or undefined where the server does not have the volume, or is gone itself. */
export async function get(
  session: Session,
  serverId: string,
  volumeId: string,
  { signal }: CallOptions = {},
): Promise<ServerVolume | undefined> {
  const answer = await session
    .request({
      service: "compute",
      method: "GET",
      path: path(serverId, volumeId),
      schema: z.looseObject({ volumeAttachment: ServerVolume }),
      doing: `asking whether server ${serverId} has volume ${volumeId}`,
      signal,
    })
    .catch(undefinedIfNotFound);
  return answer?.body.volumeAttachment;
}

/** Begins to detach a volume; false where the server does not have it. */
export async function detach(
  session: Session,
  serverId: string,
  volumeId: string,
  { signal }: CallOptions = {},
): Promise<boolean> {
  const doing = `detaching volume ${volumeId} from server ${serverId}`;
  const answer = await session
    .request({ service: "compute", method: "DELETE", path: path(serverId, volumeId), doing, signal })
    .catch(undefinedIfNotFound);
  return answer !== undefined;
}
