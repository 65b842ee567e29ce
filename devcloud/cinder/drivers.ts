import type { Cloud } from "../cloud";
import type { SnapshotRow, VolumeRow } from "../rows";

/** The driver behind a volume type: Ceph's for "rbd", NFS for every other. Where the bytes are is told apart from it. */
function driverOf(volume: VolumeRow | undefined): "rbd" | "nfs" {
  return volume?.volume_type === "rbd" ? "rbd" : "nfs";
}

/** The NFS driver has Nova copy the disk of a server that runs; it cannot for a host that attached the volume by itself. */
export function canSnapshot(cloud: Cloud, volume: VolumeRow): boolean {
  return driverOf(volume) === "rbd" || cloud.attachmentsOf(volume.id).every(({ instance }) => instance);
}

/** Ceph cannot flatten a clone that has a snapshot with a clone of its own (EINVAL), so the snapshot below it stays. */
export function canRemove(cloud: Cloud, snapshot: SnapshotRow): boolean {
  if (driverOf(cloud.volumes.get(snapshot.volume_id)) !== "rbd") return true;
  const clonesOf = (id: string) => [...cloud.volumes.values()].filter(volume => volume.snapshot_id === id);
  const hasClone = (row: SnapshotRow) => clonesOf(row.id).length > 0;
  return !clonesOf(snapshot.id).some(clone => cloud.snapshotsOf(clone.id).some(hasClone));
}
