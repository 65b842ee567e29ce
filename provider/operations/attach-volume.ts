import { arch, hostname } from "node:os";
import { attachments, type Session, undefinedIfNotFound } from "../openstack";
import { UndoList, undoSignal } from "./undo-list";
import { volumeKind, waitForStatus } from "./watch";

/** A volume that Cinder has exported to this machine. */
export interface AttachedVolume {
  connection: { driver_volume_type: string; [key: string]: unknown };
  detach(): Promise<void>;
}

interface WaitLimits {
  timeoutSeconds: number;
  signal?: AbortSignal | undefined;
}

/**
 * Attaches a volume to this machine by Cinder's attachment API (microversion 3.27): no server takes part, so no
 * `instance_uuid` is given, which a plain user could not delete again while Nova is away.
 * @see https://docs.openstack.org/api-ref/block-storage/v3/#attachments
 */
export async function attachVolume(
  session: Session,
  volumeId: string,
  options: WaitLimits,
): Promise<AttachedVolume> {
  const call = { signal: options.signal };
  const attachment = await attachments.create(
    session,
    {
      volumeId,
      mode: "rw",
      connector: {
        host: hostname(),
        ip: "127.0.0.1",
        platform: arch() === "x64" ? "x86_64" : arch(),
        os_type: "linux",
        multipath: false,
      },
    },
    call,
  );
  const detach = () =>
    detachVolume(session, volumeId, attachment.id, { ...options, signal: undoSignal(options.signal) });
  const undo = new UndoList();
  undo.add("the attachment", detach);
  try {
    await attachments.complete(session, attachment.id, call);
    const connection = attachment.connection_info;
    if (!connection?.driver_volume_type)
      throw new Error(`attaching volume ${volumeId} to this machine: cinder gave no connection for it`);
    return { connection: connection as AttachedVolume["connection"], detach };
  } catch (error) {
    throw await undo.undo(error);
  }
}

async function detachVolume(
  session: Session,
  volumeId: string,
  attachmentId: string,
  { timeoutSeconds, signal }: WaitLimits,
): Promise<void> {
  await attachments.remove(session, attachmentId, { signal }).catch(undefinedIfNotFound);
  await waitForStatus(session, volumeKind, volumeId, "available", {
    doing: `detaching volume ${volumeId} from this machine`,
    timeoutSeconds,
    signal,
  });
}

/** Ends the attachments that a killed run left at one of our volumes; returns how many. */
export async function endAttachments(
  session: Session,
  volumeId: string,
  { timeoutSeconds = 60, signal }: Partial<WaitLimits>,
): Promise<number> {
  const left = await attachments.list(session, { volumeId }, { signal });
  for (const attachment of left)
    await detachVolume(session, volumeId, attachment.id, { timeoutSeconds, signal });
  return left.length;
}
