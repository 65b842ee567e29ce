import { type Mark, toMetadata } from "../base/marks";
import { snapshots } from "../openstack";
import type { Snapshot } from "../openstack/snapshots";
import { inventoryOf } from "./inventory";
import type { SnapshotSet } from "./snapshot-set";

/** A renamed resource keeps its points: their mark follows the owner. */
export async function handOver(
  set: Pick<SnapshotSet, "session" | "owner" | "log"> & { volumeId?: string },
  from: string,
): Promise<void> {
  const inventory = inventoryOf(set.session);
  for (const { row } of await inventory.snapshots(from, set.volumeId)) {
    await snapshots.setMetadata(set.session, row.id, { "osbackup-owner": set.owner });
    await inventory.noteSnapshot({ ...row, metadata: { ...row.metadata, "osbackup-owner": set.owner } });
    set.log(`snapshot ${row.id} now belongs to ${set.owner}, before to ${from}`);
  }
}

/** Takes a snapshot that was made by other means into the set, by writing on it the mark that `markOf` gives it. */
export async function adopt(set: SnapshotSet, id: string, markOf: (row: Snapshot) => Mark): Promise<void> {
  const row = await snapshots.get(set.session, id);
  if (row.volume_id !== set.volumeId)
    throw new Error(`adopting snapshot ${id}: it is of volume ${row.volume_id}, not of ${set.volumeId}`);
  const mark = markOf(row);
  const metadata = toMetadata(mark);
  await snapshots.setMetadata(set.session, id, metadata);
  await inventoryOf(set.session).noteSnapshot({ ...row, metadata: { ...row.metadata, ...metadata } });
  set.log(`adopted snapshot ${id} of ${mark.takenAt}`);
}
