import { leftoversOf } from "./attach";
import { claimMountPath } from "./claim";
import type { Connection } from "./connection";

/**
 * Undoes what an earlier, killed run left at the mount path: mounts (lazily if they are in use), loop devices, FUSE
 * daemons, mapped images, copied files. With the connection it also finds a loop device or a mapped image of that
 * volume when the run's list was lost. Returns what it did, one sentence each; empty when nothing was there. Throws
 * an "in-use" VolumeError if a live process has a volume open there.
 */
export async function cleanUp(mountPath: string, connection?: Connection): Promise<string[]> {
  const { claim, cleaned } = await claimMountPath(mountPath);
  try {
    if (connection) {
      for (const trace of leftoversOf(connection)) claim.add(trace);
      cleaned.push(...(await claim.undo({ lazy: true })));
    }
    return cleaned;
  } finally {
    claim.release();
  }
}
