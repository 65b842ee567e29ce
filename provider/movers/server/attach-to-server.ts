import { pause } from "../../base/pause";
import { Places } from "../../base/places";
import { UndoList, undoSignal } from "../../base/undo-list";
import { type AttachedVolume, detachedByNova } from "../../cinder/attach-volume";
import { mayPass, volumeKind, waitForStatus } from "../../cinder/watch";
import { isBadRequest, isConflict, isForbidden, type Session, serverVolumes } from "../../openstack";
import { deviceOf } from "./device";

/** How many volumes of ours a server has at most at one time, where nobody says otherwise: virtio takes 26 or so. */
const defaultMaxAttached = 16;

interface Limits {
  timeoutSeconds: number;
  maxAttached?: number | undefined;
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/**
 * Attaches a volume to the server that this is, and waits for its device. A server that takes no more volumes is waited
 * for; all else that Nova refuses (another availability zone, a volume that is in use) fails in its words.
 */
export async function attachToServer(
  session: Session,
  serverId: string,
  volumeId: string,
  { maxAttached = defaultMaxAttached, ...limits }: Limits,
): Promise<AttachedVolume> {
  const release = await session.companions.of(Places).take(serverId, maxAttached);
  const undoing = { ...limits, signal: undoSignal(limits.signal) };
  const detachIt = async (): Promise<boolean> => {
    try {
      return await detachedByNova(session, serverId, volumeId, undoing);
    } finally {
      release();
    }
  };
  const detach = async () => void (await detachIt());
  const undo = new UndoList();
  undo.add("the attachment", detachIt);
  try {
    await begun(session, serverId, volumeId, limits);
    const doing = `attaching volume ${volumeId} to server ${serverId}`;
    await waitForStatus(session, volumeKind, volumeId, "in-use", { doing, ...limits });
    const device = await deviceOf(volumeId, limits);
    return {
      connection: { driver_volume_type: "local", device_path: device },
      detach,
      async release() {
        try {
          await serverVolumes.detach(session, serverId, volumeId, undoing);
        } finally {
          release();
        }
      },
    };
  } catch (error) {
    throw await undo.undo(error);
  }
}

async function begun(session: Session, serverId: string, volumeId: string, limits: Limits): Promise<void> {
  const until = Date.now() + limits.timeoutSeconds * 1000;
  let said = false;
  for (let wait = 1_000; ; wait = Math.min(2 * wait, 15_000)) {
    try {
      return await serverVolumes.attach(session, serverId, volumeId, limits);
    } catch (error) {
      // an earlier answer was lost: Nova has it by now
      const maybe = mayPass(error) || isBadRequest(error);
      if (maybe && (await serverVolumes.get(session, serverId, volumeId, limits))) return;
      const waits = mayPass(error) || isFull(error) || isConflict(error);
      if (!waits || Date.now() + wait > until) throw error;
      if (!said) limits.log(`waiting to attach volume ${volumeId}: ${(error as Error).message}`);
      said = true;
    }
    await pause(wait, limits.signal);
  }
}

/** Nova's words for a server that has as many volumes as it can. */
const isFull = (error: unknown): boolean =>
  (isForbidden(error) || isBadRequest(error)) &&
  /maximum allowed|maximum number of|no free disk device|too many disk/i.test(error.message);
