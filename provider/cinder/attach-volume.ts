import { arch, hostname } from "node:os";
import { pause } from "../base/pause";
import { UndoList, undoSignal } from "../base/undo-list";
import {
  ApiError,
  attachments,
  ConfigError,
  isBadRequest,
  isConflict,
  type Session,
  serverVolumes,
} from "../openstack";
import { mayPass, volumeKind, WaitError, waitForStatus } from "./watch";

/** A volume that Cinder has exported to this machine. */
export interface AttachedVolume {
  connection: { driver_volume_type: string; [key: string]: unknown };
  /** Returns once the volume is `available` again. */
  detach(): Promise<void>;
  /** Detaches without waiting: for a volume that is removed next, which waits by itself. */
  release(): Promise<void>;
}

interface WaitLimits {
  timeoutSeconds: number;
  signal?: AbortSignal | undefined;
}

/** How often a call is tried whose backend fails in passing: Ceph's monitors do while they elect. */
const mostTries = 6;
const firstPauseMs = 500;

/**
 * Tries again, within the time, after HTTP 500 or another status that may pass; `cleanUp` undoes what the failed try may
 * have left.
 */
async function despitePassingTrouble<T>(
  attempt: () => Promise<T>,
  { timeoutSeconds, signal }: WaitLimits,
  {
    statuses = [500],
    cleanUp,
  }: { statuses?: number[]; cleanUp?: (remainingSeconds: number) => Promise<unknown> } = {},
): Promise<T> {
  const deadline = Date.now() + timeoutSeconds * 1000;
  let pauseMs = firstPauseMs;
  for (let tries = 1; ; tries++, pauseMs *= 2) {
    try {
      return await attempt();
    } catch (error) {
      const isPassing = error instanceof ApiError && statuses.includes(error.status);
      const isLast = tries === mostTries || Date.now() + pauseMs >= deadline;
      try {
        if (isPassing) await cleanUp?.(Math.max(1, Math.round((deadline - Date.now()) / 1000)));
      } catch (second) {
        throw await undoFailed(error, second);
      }
      if (!isPassing || isLast) throw error;
    }
    await pause(pauseMs, signal);
  }
}

/** The first error, which also says what its clean-up could not do. */
function undoFailed(first: unknown, second: unknown): Promise<unknown> {
  const undo = new UndoList();
  undo.add("the attachment", () => Promise.reject(second));
  return undo.undo(first);
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
  const { signal } = options;
  const connector = {
    host: hostname(),
    ip: "127.0.0.1",
    platform: arch() === "x64" ? "x86_64" : arch(),
    os_type: "linux",
    multipath: false,
  };
  const undoing = { ...options, signal: undoSignal(signal) };
  // a create that failed has left a reserved attachment, of which only a listing tells
  const attachment = await despitePassingTrouble(
    () => attachments.create(session, { volumeId, mode: "rw", connector }, { signal }),
    options,
    { cleanUp: timeoutSeconds => endAttachments(session, volumeId, { ...undoing, timeoutSeconds }) },
  );
  const detach = () => detachVolume(session, volumeId, attachment.id, undoing);
  const undo = new UndoList();
  undo.add("the attachment", detach);
  try {
    await despitePassingTrouble(() => attachments.complete(session, attachment.id, { signal }), options);
    const connection = attachment.connection_info;
    if (!connection?.driver_volume_type)
      throw new Error(`attaching volume ${volumeId} to this machine: cinder gave no connection for it`);
    const release = () => endAttachment(session, attachment.id, undoing);
    return { connection: connection as AttachedVolume["connection"], detach, release };
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
  await endAttachment(session, attachmentId, { timeoutSeconds, signal });
  await waitForStatus(session, volumeKind, volumeId, "available", {
    doing: `detaching volume ${volumeId} from this machine`,
    timeoutSeconds,
    signal,
  });
}

async function endAttachment(session: Session, id: string, limits: WaitLimits): Promise<void> {
  const { signal } = limits;
  // a 404 that comes up to here is not true
  const statuses = [404, 500];
  await despitePassingTrouble(() => attachments.remove(session, id, { signal }), limits, { statuses });
}

/**
 * Detaches a volume from a server; false where Nova knows neither. Returns once neither Nova nor Cinder has it attached: a
 * removal of the volume before that is refused.
 */
export async function detachedByNova(
  session: Session,
  serverId: string,
  volumeId: string,
  { timeoutSeconds, signal }: WaitLimits,
): Promise<boolean> {
  const until = Date.now() + timeoutSeconds * 1000;
  const doing = `detaching volume ${volumeId} from server ${serverId}`;
  for (let pauseMs = 250, known = false; ; pauseMs = Math.min(pauseMs * 1.5, 5_000)) {
    try {
      if (!(await serverVolumes.get(session, serverId, volumeId, { signal }))) {
        if (!known) return false;
        break;
      }
      known = true;
      await serverVolumes.detach(session, serverId, volumeId, { signal });
    } catch (error) {
      // a cloud without Nova has no servers
      if (error instanceof ConfigError && !known) return false;
      // it is on its way already, or Nova does something else with the server
      if (!isConflict(error) && !isBadRequest(error) && !mayPass(error)) throw error;
      if (Date.now() + pauseMs > until) throw error;
    }
    if (Date.now() + pauseMs > until)
      throw new WaitError(`${doing}: it is still there after ${timeoutSeconds} s`, true);
    await pause(pauseMs, signal);
  }
  await waitForStatus(session, volumeKind, volumeId, "available", { doing, timeoutSeconds, signal });
  return true;
}

/** Ends the attachments that a killed run left at one of our volumes; returns how many. */
export async function endAttachments(
  session: Session,
  volumeId: string,
  { timeoutSeconds = 60, signal }: Partial<WaitLimits>,
): Promise<number> {
  const left = await attachments.list(session, { volumeId }, { signal });
  // one of a server is Nova's to end: Cinder refuses it (CVE-2023-2088), but where Nova does not know it
  for (const { id, instance } of left)
    if (!instance || !(await detachedByNova(session, instance, volumeId, { timeoutSeconds, signal })))
      await detachVolume(session, volumeId, id, { timeoutSeconds, signal });
  return left.length;
}
