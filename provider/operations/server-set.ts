import { instant, type Mark, runKey } from "../base/marks";
import { UndoList, undoSignal } from "../base/undo-list";
import { parseTime, type Session } from "../openstack";
import type { Snapshot } from "../openstack/snapshots";
import type { AttachedTo } from "../openstack/volumes";
import { inventoryOf, type Marked, timeOf } from "./inventory";
import type { Decision } from "./retention";
import { type SetPoint, supersededBy } from "./set-point";
import { beginSnapshot, isBroken, removePoint, type SnapshotSet, settled } from "./snapshot-set";

/** One volume in a server's point. */
export interface Part {
  snapshotId: string;
  volumeId: string;
  /** where the server had it, such as "/dev/vdb"; empty where Cinder does not say */
  device: string;
  sizeGib: number;
  status: string;
}

/** A recovery point that is the Cinder snapshots of all volumes that a server had. Good means that each is `available`. */
export interface ServerPoint extends SetPoint {
  name: string;
  /** in the order of the devices */
  parts: Part[];
  /** how many there must be */
  expected: number;
}

/** Which snapshots make up the points of one server, and how long Cinder may take with one. */
export interface ServerSet {
  session: Session;
  owner: string;
  serverId: string;
  timeoutSeconds: number;
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** The points of a set as Cinder has them, newest first. */
export async function serverPoints(set: ServerSet): Promise<ServerPoint[]> {
  const found = await inventoryOf(set.session).snapshots(set.owner);
  const parts = found.filter(
    ({ mark, row }) =>
      mark.role === "recovery-point" && row.status !== "deleting" && isOfServer(mark.origin, set.serverId),
  );
  const groups = new Map<string, Marked<Snapshot>[]>();
  for (const part of parts) {
    const key = `${runKey(part.mark)} ${part.mark.takenAt}`;
    groups.set(key, [...(groups.get(key) ?? []), part]);
  }
  return [...groups.values()].map(asServerPoint);
}

/** Whether a point is of that server, or whoever asks wants those of any (""); older points do not say of which. */
export const isOfServer = (origin: string | undefined, serverId: string): boolean =>
  serverId === "" || origin === undefined || origin === serverId;

function asServerPoint(found: Marked<Snapshot>[]): ServerPoint {
  const places = found.map(one => ({ ...one, ...placeOf(one.mark) })).sort((a, b) => a.place - b.place);
  const [first] = places;
  if (!first) throw new Error("a point of a server has at least one snapshot");
  const { mark, row } = first;
  const parts = places.map(({ row, device }) => partOf(row, device));
  return {
    id: row.id,
    time: new Date(timeOf(first)),
    good: parts.length === first.expected && parts.every(({ status }) => status === "available"),
    name: row.name ?? "",
    slot: mark.slot,
    trigger: mark.trigger,
    takenAt: mark.takenAt ?? instant(parseTime(row.created_at)),
    parts,
    expected: first.expected,
  };
}

const partOf = (row: Snapshot, device: string): Part => ({
  snapshotId: row.id,
  volumeId: row.volume_id,
  device,
  sizeGib: row.size,
  status: row.status,
});

/** Reads "1/2 /dev/vda". */
function placeOf(mark: Mark): { place: number; expected: number; device: string } {
  const [, place, expected, device] = /^(\d+)\/(\d+) ?(.*)$/.exec(mark.part ?? "") ?? [];
  return { place: Number(place ?? 1), expected: Number(expected ?? 1), device: device ?? "" };
}

/** How to make the point of one run. */
export interface TakeServerPoint {
  name: string;
  description?: string | undefined;
  metadata: Record<string, string>;
  mark: Mark;
}

/** What `takeServerPoint` did. */
export interface TakenServerPoint {
  point: ServerPoint;
  /** False when a point of this run existed already. */
  made: boolean;
  /** Unfinished points of the same run that were removed. */
  superseded: Decision<ServerPoint>[];
  /** No two of its snapshots are further apart than this; absent where they were not made now. */
  skewSeconds?: number;
}

/**
 * The recovery point of one run: snapshots of all volumes that the server has now, asked for at once and waited for.
 * A point of the same run is adopted where all of its snapshots exist; what a dead run left half made is removed and
 * made anew, for its parts would be far apart. Where one snapshot fails, none stays.
 */
export async function takeServerPoint(set: ServerSet, take: TakeServerPoint): Promise<TakenServerPoint> {
  const superseded: Decision<ServerPoint>[] = [];
  for (const candidate of await serverPoints(set)) {
    if (runKey(candidate) !== runKey(take.mark)) continue;
    if (candidate.good) return { point: candidate, made: false, superseded };
    if (isStillComing(candidate)) {
      set.log(`adopting ${candidate.expected} snapshots, which an earlier run began`);
      return { point: await allSettled(set, candidate.parts), made: false, superseded };
    }
    set.log(`removing what an earlier run left of the point of ${take.mark.slot ?? take.mark.takenAt}`);
    await removeServerPoint(set, candidate);
    superseded.push(...supersededBy(take.mark, [candidate]).superseded);
  }
  const attached = await inventoryOf(set.session).volumesOf(set.serverId);
  if (attached.length === 0) throw noVolumes(set.serverId);
  const begun = performance.now();
  const parts = await beginAll(set, take, attached);
  const point = await allSettled(set, parts);
  return { point, made: true, superseded, skewSeconds: Math.ceil((performance.now() - begun) / 100) / 10 };
}

export const noVolumes = (serverId: string): Error =>
  new Error(
    `server ${serverId} has no volumes, so there is nothing to take: attach one, or use a ServerBackup, which keeps its image`,
  );

/** Whether all of its snapshots exist, and those that are not `available` may become so. */
export const isStillComing = ({ parts, expected }: ServerPoint): boolean =>
  parts.length === expected && parts.every(({ status }) => status === "available" || status === "creating");

/** Asks for all snapshots at once. Where Cinder refuses one, for quota or a broken volume, those it took are removed. */
async function beginAll(set: ServerSet, take: TakeServerPoint, attached: AttachedTo[]): Promise<Part[]> {
  const asked = await Promise.allSettled(
    attached.map(async ({ volume, device }, index): Promise<Part> => {
      const part = `${index + 1}/${attached.length} ${device}`.trimEnd();
      const mark = { ...take.mark, part };
      const snapshotId = await beginSnapshot(ofVolume(set, volume.id), { ...take, force: true, mark });
      return { snapshotId, volumeId: volume.id, device, sizeGib: volume.size, status: "creating" };
    }),
  );
  const parts = asked.flatMap(one => (one.status === "fulfilled" ? [one.value] : []));
  const refused = asked.find(one => one.status === "rejected");
  if (refused) throw await undone(set, parts, refused.reason);
  return parts;
}

/** Waits for every part. One that is broken takes the others along; one that only takes long stays for the next run. */
async function allSettled(set: ServerSet, parts: readonly Part[]): Promise<ServerPoint> {
  const waited = await Promise.allSettled(
    parts.map(({ volumeId, snapshotId }) => settled(ofVolume(set, volumeId), snapshotId)),
  );
  const failures = waited.flatMap(one => (one.status === "rejected" ? [one.reason as unknown] : []));
  const broken = failures.find(isBroken);
  if (broken) throw await undone(set, parts, broken);
  if (failures.length > 0) throw failures[0];
  return asServerPoint(waited.flatMap(one => (one.status === "fulfilled" ? [one.value] : [])));
}

async function undone(set: ServerSet, parts: readonly Part[], failure: unknown): Promise<unknown> {
  const undo = new UndoList();
  for (const { snapshotId, volumeId } of parts)
    undo.add(`snapshot ${snapshotId}`, () =>
      removePoint(ofVolume({ ...set, signal: undoSignal(set.signal) }, volumeId), snapshotId),
    );
  return undo.undo(failure);
}

const ofVolume = ({ serverId: _, ...set }: ServerSet, volumeId: string): SnapshotSet => ({
  ...set,
  volumeId,
});

/** Removes a point and returns once all of its snapshots are really gone. */
export async function removeServerPoint(set: ServerSet, point: ServerPoint): Promise<void> {
  const asked = await Promise.allSettled(
    point.parts.map(({ snapshotId, volumeId }) => removePoint(ofVolume(set, volumeId), snapshotId)),
  );
  const failures = asked.flatMap(one => (one.status === "rejected" ? [messageOf(one.reason)] : []));
  if (failures.length > 0) throw new Error(failures.join("; "));
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
