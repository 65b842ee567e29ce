import { fromMetadata, type Mark, toMetadata } from "../base/marks";
import { type Session, undefinedIfNotFound, volumes } from "../openstack";
import type { NewVolume, Volume } from "../openstack/volumes";
import { inventoryOf } from "./inventory";
import { makeVolume, removeVolume } from "./volume";

/** The volume to restore into: a new one, marked with its owner and what it is made from. */
export interface RestoreTarget {
  session: Session;
  mark: Mark;
  /** What the volume is made from, `cinder:<snapshot id>` or `restic:<snapshot id>`: an existing one is adopted. */
  sourceKey: string;
  /** What else is asked of the volume, at most 255 characters: one that was made for other wishes is not adopted. */
  wishes: string;
  name: string;
  description?: string | undefined;
  snapshotId?: string | undefined;
  sizeGib?: number | undefined;
  volumeType?: string | undefined;
  availabilityZone?: string | undefined;
  metadata: Record<string, string>;
  /** Lets go of a volume that a killed run was filling, before it is removed. */
  letGo?: (() => Promise<unknown>) | undefined;
  timeoutSeconds: number;
  signal?: AbortSignal | undefined;
}

/** What a restored volume or server says of itself, besides its mark. */
export const sourceMetadata = "osbackup-restored-from";
/** "filling", then "complete"; "kept" where it outlives its resource */
export const stateMetadata = "osbackup-restore-state";
export const wishesMetadata = "osbackup-restore-wishes";

/**
 * Makes the volume and fills it by `fill` (a Cinder snapshot needs none). Nothing is left of a failed restore; a volume
 * that a killed run left unfinished is removed and made again, a finished one is adopted.
 */
export async function restoreVolume<T>(
  target: RestoreTarget,
  fill: (volume: Volume) => Promise<T>,
): Promise<{ volume: Volume; filled: T | undefined; made: boolean }> {
  const { session } = target;
  const inventory = inventoryOf(session);
  const options = { signal: target.signal };
  const limits = { timeoutSeconds: target.timeoutSeconds, signal: target.signal };
  for (const { row } of await inventory.volumes(target.mark.owner, "restored")) {
    if (row.metadata?.[sourceMetadata] !== target.sourceKey) continue;
    const live = await volumes.get(session, row.id, options).catch(undefinedIfNotFound);
    const state = live?.metadata?.[stateMetadata];
    // A replacement is made beside the volume that it replaces; what was handed to the user is nobody's any more.
    if (state === "kept" || (state === "complete" && live?.metadata?.[wishesMetadata] !== target.wishes))
      continue;
    if (live && state === "complete") return { volume: live, filled: undefined, made: false };
    if (live) {
      await target.letGo?.();
      await removeVolume(session, row.id, limits);
    } else await inventory.noteGone(row.id);
  }
  const wanted: NewVolume = {
    name: target.name,
    metadata: {
      ...target.metadata,
      ...toMetadata(target.mark),
      [sourceMetadata]: target.sourceKey,
      [wishesMetadata]: target.wishes,
      [stateMetadata]: "filling",
    },
    ...(target.description === undefined ? {} : { description: target.description }),
    ...(target.snapshotId === undefined ? {} : { snapshotId: target.snapshotId }),
    ...(target.sizeGib === undefined ? {} : { sizeGib: target.sizeGib }),
    ...(target.volumeType === undefined ? {} : { volumeType: target.volumeType }),
    ...(target.availabilityZone === undefined ? {} : { availabilityZone: target.availabilityZone }),
  };
  const making = { what: "volume", from: target.sourceKey, ...limits };
  return makeVolume(session, wanted, making, async volume => {
    const filled = await fill(volume);
    await volumes.setMetadata(session, volume.id, { [stateMetadata]: "complete" });
    await inventory.noteVolume(volume);
    return { volume, filled, made: true };
  });
}

/** Says on a restored volume of this owner that it outlives its resource: no later restore takes it for its own. */
export async function keepRestored(
  session: Session,
  id: string,
  owner: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const row = await volumes.get(session, id, { signal }).catch(undefinedIfNotFound);
  if (fromMetadata(row?.metadata)?.owner !== owner) return;
  await volumes.setMetadata(session, id, { [stateMetadata]: "kept" }, { signal });
}
