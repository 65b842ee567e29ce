import { fromMetadata, instant } from "../base/marks";
import { images, parseTime, type Session, snapshots, undefinedIfNotFound } from "../openstack";
import type { Image } from "../openstack/images";
import type { Snapshot } from "../openstack/snapshots";
import { disksOf, imagePoints } from "../operations/image-set";
import { inventoryOf } from "../operations/inventory";
import type { ServerSource } from "../operations/restore-server";
import { serverPoints } from "../operations/server-set";
import type { Context, Refusal } from "./resource";
import type { Inputs } from "./server-restore-schema";

/** What is restored, looked up. */
export interface FoundPoint {
  source: ServerSource;
  /** ISO 8601 in UTC */
  capturedAt: string;
  image?: Image | undefined;
}

/** The point that the inputs mean, or which of them means nothing. */
export async function pointOf(given: Inputs, context: Context): Promise<FoundPoint | { refusal: Refusal }> {
  const session = context.session(given);
  const refusal = (property: string, reason: string) => ({ refusal: { property, reason } });
  let { imageId, snapshotIds } = given;
  if (given.backupOwner !== undefined) {
    const newest = await newestOf(given, given.backupOwner, context);
    if (!newest)
      return refusal(
        "backupOwner",
        `${given.backupOwner} has no good point of a server, see \`osbackup list\``,
      );
    ({ imageId, snapshotIds } = newest);
  }
  const rows: Snapshot[] = [];
  for (const snapshotId of snapshotIds ?? []) {
    const row = await snapshots.get(session, snapshotId).catch(undefinedIfNotFound);
    if (row?.status !== "available")
      return refusal(
        "snapshotIds",
        `snapshot ${snapshotId} ${row ? `is '${row.status}', expected 'available'` : "does not exist"}`,
      );
    rows.push(row);
  }
  const further: ServerSource["disks"] = rows.map(({ id }) => ({ snapshotId: id, device: "" }));
  const [row] = rows;
  if (imageId === undefined) {
    if (!row) return refusal("imageId", noPoint);
    if (!(await boots(session, row)))
      return refusal(
        "imageId",
        `is required: snapshot ${row.id} is of ${fromMetadata(row.metadata)?.part?.split(" ")[1] ?? "a volume"} that no server boots from; give the image that the server booted from, and the volumes of the point come with it`,
      );
    const capturedAt = row.metadata["osbackup-taken-at"] ?? instant(parseTime(row.created_at));
    return { source: { key: `cinder:${row.id}`, disks: further }, capturedAt };
  }
  const image = await images.get(session, imageId);
  if (image?.status !== "active")
    return refusal(
      "imageId",
      `image ${imageId} ${image ? `is '${image.status}', expected 'active'` : "does not exist"}`,
    );
  const own = disksOf(image);
  if (own.length > 0 && further.length > 0)
    return refusal("snapshotIds", `image ${imageId} has snapshots of all volumes itself`);
  for (const { snapshotId } of own)
    if (!(await snapshots.get(session, snapshotId).catch(undefinedIfNotFound)))
      return refusal(
        "imageId",
        `image ${imageId} needs snapshot ${snapshotId}, which does not exist any more`,
      );
  return {
    source: {
      key: `image:${imageId}`,
      // that of a server which boots from a volume has no disk of its own
      imageId: own.length > 0 ? undefined : imageId,
      disks: own.length > 0 ? own : further,
    },
    capturedAt: image.metadata["osbackup-taken-at"] ?? instant(parseTime(image.created_at)),
    image,
  };
}

const noPoint = "one of imageId, snapshotIds and backupOwner is required";

/** The same, or its refusal as an error. */
export async function foundPoint(given: Inputs, context: Context): Promise<FoundPoint> {
  const point = await pointOf(given, context);
  if ("refusal" in point) throw new Error(`${point.refusal.property}: ${point.refusal.reason}`);
  return point;
}

/** Whether a server can boot from a snapshot's volume: Cinder says it of the volume, and where that is gone its device does. */
async function boots(session: Session, { volume_id, metadata }: Snapshot): Promise<boolean> {
  const source = await inventoryOf(session).volume(volume_id);
  if (source?.bootable !== undefined) return source.bootable === "true";
  const device = fromMetadata(metadata)?.part?.split(" ")[1] ?? "";
  return device === "" || device.endsWith("a");
}

async function newestOf(
  given: Inputs,
  owner: string,
  context: Context,
): Promise<Pick<Inputs, "imageId" | "snapshotIds"> | undefined> {
  const { timeoutSeconds } = given;
  const common = { session: context.session(given), owner, serverId: "", timeoutSeconds, log: context.log };
  const image = (await imagePoints({ ...common, waitsWhileBusy: false, quiesce: "off" })).find(
    ({ good }) => good,
  );
  if (image) return { imageId: image.id, snapshotIds: undefined };
  const point = (await serverPoints(common)).find(({ good }) => good);
  return point && { imageId: undefined, snapshotIds: point.parts.map(({ snapshotId }) => snapshotId) };
}
