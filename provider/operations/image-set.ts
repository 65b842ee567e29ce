import { z } from "zod";
import { fromMetadata, instant, type Mark, runKey, toMetadata } from "../base/marks";
import { pause } from "../base/pause";
import { UndoList, undoSignal } from "../base/undo-list";
import { removeUntilGone } from "../cinder/remove";
import { mayPass, snapshotKind, WaitError, waitForStatus } from "../cinder/watch";
import { images, isConflict, parseTime, type Session, servers, snapshots } from "../openstack";
import type { Image } from "../openstack/images";
import type { Snapshot } from "../openstack/snapshots";
import { inventoryOf, type Marked } from "./inventory";
import { consistencyOf, type Quiesce } from "./quiesce";
import type { Decision } from "./retention";
import { isOfServer } from "./server-set";
import { type SetPoint, supersededBy } from "./set-point";

/**
 * A recovery point that is an image of a whole server. Good means `active`; of a server that boots from a volume the
 * image is empty, and the point is the image with the snapshots that Nova made of all its volumes.
 */
export interface ImagePoint extends SetPoint {
  name: string;
  status: string;
  sizeBytes: number;
  snapshotIds: string[];
  /** "filesystem" or "crash"; "" of an image whose maker did not say */
  consistency: string;
  /** "2 of 3 snapshots are missing", where it is not good although its image is */
  ailment?: string | undefined;
}

/** Which images make up one set, and how long Nova and Glance may take with one. */
export interface ImageSet {
  session: Session;
  owner: string;
  serverId: string;
  timeoutSeconds: number;
  /** Whether a server that is busy with something else is waited for. */
  waitsWhileBusy: boolean;
  /** Whether the guest's file systems must be at rest. */
  quiesce: Quiesce;
  /** Images of the server that createBackup made with this `backup_type` are points of the set too. */
  adopts?: { backupType: string; set: string } | undefined;
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** The points of a set as Glance has them, newest first. */
export async function imagePoints(set: ImageSet): Promise<ImagePoint[]> {
  const inventory = inventoryOf(set.session);
  const found = [...(await inventory.images(set.owner)), ...(await foreignImages(set))].filter(
    ({ row, mark }) =>
      mark.role === "recovery-point" &&
      !["deleted", "pending_delete"].includes(row.status) &&
      isOfServer(originOf(row, mark), set.serverId),
  );
  const mapped = found.some(({ row }) => snapshotIdsOf(row).length > 0);
  const there = mapped ? await inventory.projectsSnapshots() : new Map<string, Snapshot>();
  return found
    .map(({ row, mark }) => asImagePoint(row, mark, there))
    .sort((a, b) => b.time.getTime() - a.time.getTime() || (a.id < b.id ? 1 : -1));
}

/** The server that an image is of, as its mark or Nova says. */
export const originOf = ({ metadata }: Image, { origin }: Mark): string | undefined =>
  origin ?? metadata.instance_uuid;

/** Images of the server and type that an earlier script left, with the mark that they get; none unless the set adopts. */
async function foreignImages(set: ImageSet): Promise<Marked<Image>[]> {
  const { adopts, owner, serverId } = set;
  if (!adopts) return [];
  const there = await inventoryOf(set.session).unmarkedBackups();
  return there
    .filter(({ metadata }) => isOf(metadata, serverId, adopts.backupType))
    .map(row => {
      const takenAt = instant(parseTime(row.created_at));
      return {
        row,
        mark: { owner, set: adopts.set, role: "recovery-point", time: takenAt, takenAt, origin: serverId },
      };
    });
}

const isOf = (image: Record<string, string>, serverId: string, backupType: string): boolean =>
  image.instance_uuid === serverId && image.backup_type === backupType;

/** How many images of that server and type an earlier script has left, for a set that does not adopt them. */
export async function countForeignImages(
  { session, serverId }: ImageSet,
  backupType: string,
): Promise<number> {
  const there = await inventoryOf(session).unmarkedBackups();
  return there.filter(({ metadata }) => isOf(metadata, serverId, backupType)).length;
}

/** Marks the images that an earlier script left: from here on they are the set's. */
export async function adoptImages(set: ImageSet): Promise<void> {
  for (const { row, mark } of await foreignImages(set)) {
    const marked = await images.setProperties(set.session, row.id, toMetadata(mark), { signal: set.signal });
    await inventoryOf(set.session).noteImage(marked);
    set.log(`adopting image ${row.id} ("${row.name ?? ""}"), which createBackup made ${mark.takenAt}`);
  }
}

function asImagePoint(row: Image, mark: Mark, there: ReadonlyMap<string, Snapshot>): ImagePoint {
  const snapshotIds = snapshotIdsOf(row);
  const parts = snapshotIds.map(id => there.get(id));
  const missing = parts.filter(part => part === undefined).length;
  const broken = parts.find(part => part && part.status !== "available");
  const ailment =
    missing > 0
      ? `${missing} of ${parts.length} snapshots ${missing === 1 ? "is" : "are"} missing`
      : broken && `snapshot ${broken.id} is '${broken.status}'`;
  return {
    id: row.id,
    time: new Date(mark.time ?? mark.slot ?? parseTime(row.created_at)),
    good: row.status === "active" && !ailment,
    name: row.name ?? "",
    status: row.status,
    sizeBytes: row.size ?? 0,
    snapshotIds,
    consistency: mark.consistency ?? "",
    ailment,
    slot: mark.slot,
    trigger: mark.trigger,
    takenAt: mark.takenAt ?? instant(parseTime(row.created_at)),
  };
}

/** A volume that an image of a server that boots from a volume stands for. */
export interface ImageDisk {
  snapshotId: string;
  /** where the server had it; empty where Nova does not say */
  device: string;
}

/** The volumes of such an image, the one that it boots from first; none for an image that has the disk itself. */
export function disksOf(row: Image): ImageDisk[] {
  const text = row.metadata.block_device_mapping;
  if (!text) return [];
  const mapping = blockDeviceMapping.safeParse(text);
  if (!mapping.success) return [];
  return mapping.data
    .sort((a, b) => Number(b.boot_index === 0) - Number(a.boot_index === 0))
    .flatMap(({ snapshot_id, device_name }) =>
      typeof snapshot_id === "string" ? [{ snapshotId: snapshot_id, device: device_name ?? "" }] : [],
    );
}

/** Nova's, as text in the image's property of that name. */
const blockDeviceMapping = z
  .string()
  .transform((text, context) => {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      context.addIssue("is not JSON");
      return z.NEVER;
    }
  })
  .pipe(
    z.array(
      z.looseObject({
        snapshot_id: z.string().nullish(),
        device_name: z.string().nullish(),
        boot_index: z.number().nullish(),
      }),
    ),
  );

const snapshotIdsOf = (row: Image): string[] => disksOf(row).map(({ snapshotId }) => snapshotId);

/** Property of an image of ours: id of the flavor that its server had, for the day when the server is gone. */
export const flavorProperty = "osbackup-flavor";

/** How to make the point of one run. */
export interface TakeImage {
  name: string;
  /** Further properties of the image. */
  metadata: Record<string, string>;
  mark: Mark;
}

/** What `takeImage` did. */
export interface TakenImage {
  point: ImagePoint;
  /** False when a point of this run existed already. */
  made: boolean;
  /** Unfinished points of the same run that were removed. */
  superseded: Decision<ImagePoint>[];
}

/**
 * The recovery point of one run. An image that an earlier run began is waited for while Nova works on the server, and
 * removed where nobody does any more. A failure leaves nothing: neither the image nor the snapshots of other volumes.
 */
export async function takeImage(set: ImageSet, take: TakeImage): Promise<TakenImage> {
  const superseded: Decision<ImagePoint>[] = [];
  for (const candidate of await imagePoints(set)) {
    if (runKey(candidate) !== runKey(take.mark)) continue;
    if (candidate.good) return { point: candidate, made: false, superseded };
    if (isUploading(candidate) && (await taskOf(set)) !== undefined) {
      set.log(`adopting image ${candidate.id}, which an earlier run began`);
      return { point: await settledOrUndone(set, take, candidate.id), made: false, superseded };
    }
    set.log(`removing image ${candidate.id}, which is ${candidate.ailment ?? `'${candidate.status}'`}`);
    await removeImagePoint(set, candidate);
    superseded.push(...supersededBy(take.mark, [candidate]).superseded);
  }
  const server = await servers.get(set.session, set.serverId, { signal: set.signal });
  const consistency = await consistencyOf(set, server, set.quiesce);
  if (server.image === "")
    await removeUnclaimed(set, take.name, (await inventoryOf(set.session).projectsSnapshots()).values());
  const flavor = server.flavor?.id;
  const id = await begun(set, {
    ...take,
    mark: { ...take.mark, consistency },
    metadata: { ...take.metadata, ...(flavor !== undefined && { [flavorProperty]: flavor }) },
  });
  return { point: await settledOrUndone(set, take, id), made: true, superseded };
}

/** Whether the upload may still be under way. */
export const isUploading = ({ status }: { status: string }): boolean =>
  ["queued", "saving", "uploading", "importing"].includes(status);

/** What Nova does with the server now; undefined when it is idle. */
async function taskOf({ session, serverId, signal }: ImageSet): Promise<string | undefined> {
  return (await servers.get(session, serverId, { signal }))["OS-EXT-STS:task_state"] ?? undefined;
}

/** A server whose task never ends must not hold every run of the stack for the time that an upload may take. */
const longestBusySeconds = 600;

/** Asks for the image, once the server is idle. */
async function begun(set: ImageSet, take: TakeImage): Promise<string> {
  const until = Date.now() + Math.min(set.timeoutSeconds, longestBusySeconds) * 1000;
  const metadata = { ...take.metadata, ...toMetadata(take.mark) };
  for (let wait = 500; ; wait = Math.min(2 * wait, 10_000)) {
    try {
      return await servers.createImage(
        set.session,
        set.serverId,
        { name: take.name, metadata },
        { signal: set.signal },
      );
    } catch (error) {
      if (isConflict(error) && set.waitsWhileBusy && Date.now() + wait < until) {
        await pause(wait, set.signal);
        continue;
      }
      // it may still be on its way: the next run finds it, or what is left of it
      if (mayPass(error)) throw error;
      // Nova leaves the snapshots that it had made when the one of a later volume was refused
      const undo = new UndoList();
      undo.add("the snapshots of the server's other volumes", () => removeJustMade(undoing(set), take.name));
      throw await undo.undo(error);
    }
  }
}

async function settledOrUndone(set: ImageSet, take: TakeImage, id: string): Promise<ImagePoint> {
  try {
    return await settled(set, id);
  } catch (error) {
    // one that only takes long stays for the next run
    if (!(error instanceof WaitError) || error.timedOut) throw error;
    const undo = new UndoList();
    undo.add(`image ${id}`, async () => {
      const point = (await imagePoints(undoing(set))).find(one => one.id === id);
      if (point) await removeImagePoint(undoing(set), point);
      await removeJustMade(undoing(set), take.name);
    });
    throw await undo.undo(error);
  }
}

/** Waits until the image is `active` and its snapshots are `available`. */
async function settled(set: ImageSet, id: string): Promise<ImagePoint> {
  const doing = `creating image ${id} of server ${set.serverId}`;
  const until = Date.now() + set.timeoutSeconds * 1000;
  const failed = (words: string, timedOut = false) => new WaitError(`${doing}: ${words}`, timedOut);
  for (let wait = 250; ; wait = Math.min(wait * 1.5, 10_000)) {
    const row = await images.get(set.session, id, { signal: set.signal }).catch(error => {
      if (mayPass(error) && Date.now() < until) return "unknown" as const;
      throw error;
    });
    if (row === "unknown") {
      await pause(wait, set.signal);
      continue;
    }
    if (!row) {
      await inventoryOf(set.session).noteGone(id);
      throw failed("it vanished, expected 'active'");
    }
    await inventoryOf(set.session).noteImage(row);
    const mark = fromMetadata(row.metadata);
    if (!mark) throw failed("it lost its mark");
    if (row.status === "active") return await whole(set, row, mark);
    if (!isUploading(row)) throw failed(`it went to '${row.status}', expected 'active'`);
    // Nova gives up without a word: the image stays "queued" while the server is idle again
    if (row.status === "queued" && wait > 2000 && (await taskOf(set)) === undefined)
      throw failed("it is still 'queued', and Nova does nothing with the server any more");
    if (Date.now() >= until)
      throw failed(`timed out after ${set.timeoutSeconds} s, it is '${row.status}'`, true);
    await pause(wait, set.signal);
  }
}

/** The point of an image that is `active`, once the snapshots that it stands for are there. */
async function whole(set: ImageSet, row: Image, mark: Mark): Promise<ImagePoint> {
  const { timeoutSeconds, signal } = set;
  const parts = await Promise.all(
    snapshotIdsOf(row).map(id =>
      waitForStatus(set.session, snapshotKind, id, "available", {
        doing: `creating image ${row.id} of server ${set.serverId}`,
        timeoutSeconds,
        signal,
      }),
    ),
  );
  await Promise.all(parts.map(part => inventoryOf(set.session).noteSnapshot(part)));
  return asImagePoint(row, mark, new Map(parts.map(part => [part.id, part])));
}

/** A renamed resource keeps its points: their mark follows the owner. */
export async function handOverImages(set: ImageSet, from: string): Promise<void> {
  const inventory = inventoryOf(set.session);
  const { signal } = set;
  for (const { row } of await inventory.images(from)) {
    const marked = { "osbackup-owner": set.owner };
    await inventory.noteImage(await images.setProperties(set.session, row.id, marked, { signal }));
    set.log(`image ${row.id} now belongs to ${set.owner}, before to ${from}`);
  }
}

/** Removes a point: its snapshots first, so that whatever happens the image still says what is left of it. */
export async function removeImagePoint(set: ImageSet, point: ImagePoint): Promise<void> {
  await Promise.all(point.snapshotIds.map(id => removeSnapshot(set, id)));
  await images.remove(set.session, point.id, { signal: set.signal });
  await inventoryOf(set.session).noteGone(point.id);
}

/**
 * Removes snapshots that Nova made for an image of this name which never came to be, among those that are there now. The
 * name has a digest of the set's owner and run in it, and nobody else's has.
 */
async function removeUnclaimed(set: ImageSet, name: string, there: Iterable<Snapshot>): Promise<void> {
  const named = [...there].filter(snapshot => snapshot.name === `snapshot for ${name}`);
  if (named.length === 0) return;
  const claimed = (await imagePoints(set)).flatMap(({ snapshotIds }) => snapshotIds);
  for (const { id } of named.filter(({ id }) => !claimed.includes(id))) {
    set.log(`removing snapshot ${id}, which Nova made for an image that is not there`);
    await removeSnapshot(set, id);
  }
}

/** The same after a failure: the snapshots are younger than what this process knows. */
const removeJustMade = async (set: ImageSet, name: string): Promise<void> =>
  removeUnclaimed(set, name, await snapshots.list(set.session, {}, { signal: set.signal }));

async function removeSnapshot({ session, timeoutSeconds, signal }: ImageSet, id: string): Promise<void> {
  await removeUntilGone(session, snapshotKind, id, { timeoutSeconds, signal });
  await inventoryOf(session).noteGone(id);
}

const undoing = (set: ImageSet): ImageSet => ({ ...set, signal: undoSignal(set.signal) });
