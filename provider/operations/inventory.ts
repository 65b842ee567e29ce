import { fromMetadata, type Mark, ourMark, type Role } from "../base/marks";
import {
  images,
  parseTime,
  type Session,
  servers,
  snapshots,
  undefinedIfNotFound,
  volumes,
} from "../openstack";
import type { Image } from "../openstack/images";
import type { Server } from "../openstack/servers";
import type { Snapshot } from "../openstack/snapshots";
import type { AttachedTo, Volume } from "../openstack/volumes";

/** A Cinder object of ours with its mark read. */
export interface Marked<T> {
  row: T;
  mark: Mark;
}

/**
 * What this process knows of one project's objects: one listing of each kind, shared by every resource of the run,
 * kept true by the process's own creates and removals. The stack's lock keeps other runs of the stack away.
 */
export class Inventory {
  private snapshotRows: Promise<Known<Snapshot>> | undefined;
  private volumeRows: Promise<Known<Volume>> | undefined;
  private readonly stuckIds = new Set<string>();
  private readonly untouchedIds = new Set<string>();
  private imageRows: Promise<Known<Image>> | undefined;
  private backupRows: Promise<Map<string, Image>> | undefined;
  private everySnapshot: Promise<Map<string, Snapshot>> | undefined;
  private everyServer: Promise<Map<string, Server>> | undefined;
  private everyVolume: Promise<Map<string, Volume>> | undefined;

  constructor(private readonly session: Session) {}

  /** The snapshots that `owner` took, of one volume where it is given, newest first. */
  async snapshots(owner: string, volumeId?: string): Promise<Marked<Snapshot>[]> {
    const own = (await this.knownSnapshots()).of(owner);
    return own.filter(({ row }) => volumeId === undefined || row.volume_id === volumeId).sort(newestFirst);
  }

  /** The snapshots of ours whose mark passes the test, newest first. */
  async ownSnapshots(accepts: (mark: Mark) => boolean): Promise<Marked<Snapshot>[]> {
    const all = (await this.knownSnapshots()).all();
    return all.filter(({ mark }) => accepts(mark)).sort(newestFirst);
  }

  private knownSnapshots(): Promise<Known<Snapshot>> {
    this.snapshotRows ??= listing(
      snapshots.list(this.session, { metadata: ourMark }),
      () => (this.snapshotRows = undefined),
    );
    return this.snapshotRows;
  }

  /** The volumes that `owner` made for one purpose. */
  async volumes(owner: string, role: Role): Promise<Marked<Volume>[]> {
    return (await this.knownVolumes()).of(owner).filter(({ mark }) => mark.role === role);
  }

  /** The volumes of ours whose mark passes the test. */
  async ownVolumes(accepts: (mark: Mark) => boolean): Promise<Marked<Volume>[]> {
    return (await this.knownVolumes()).all().filter(({ mark }) => accepts(mark));
  }

  private knownVolumes(): Promise<Known<Volume>> {
    this.volumeRows ??= listing(
      volumes.list(this.session, { metadata: ourMark }),
      () => (this.volumeRows = undefined),
    );
    return this.volumeRows;
  }

  /** Any volume of the project, ours or not. One that is not listed may be younger than the listing: it is asked for. */
  async volume(id: string): Promise<Volume | undefined> {
    const known = await this.projectsVolumes();
    const listed = known.get(id);
    if (listed) return listed;
    const row = await volumes.get(this.session, id).catch(undefinedIfNotFound);
    if (row) known.set(id, row);
    return row;
  }

  /** The volumes that a server has now, in the order of their devices: the one it boots from comes first. */
  async volumesOf(serverId: string): Promise<AttachedTo[]> {
    return volumes.attachedTo([...(await this.projectsVolumes()).values()], serverId);
  }

  private projectsVolumes(): Promise<Map<string, Volume>> {
    this.everyVolume ??= byId(volumes.list(this.session, {}), () => (this.everyVolume = undefined));
    return this.everyVolume;
  }

  /** Any server of the project. One that is not listed may be younger than the listing: it is asked for. */
  async server(id: string): Promise<Server | undefined> {
    return (await this.projectsServers()).get(id) ?? servers.get(this.session, id).catch(undefinedIfNotFound);
  }

  /** The servers that `owner` restored. */
  async restoredServers(owner: string): Promise<Server[]> {
    return [...(await this.projectsServers()).values()].filter(row => {
      const mark = fromMetadata(row.metadata);
      return mark?.owner === owner && mark.role === "restored";
    });
  }

  private projectsServers(): Promise<Map<string, Server>> {
    this.everyServer ??= byId(servers.list(this.session), () => (this.everyServer = undefined));
    return this.everyServer;
  }

  /** A server that this process has made, and in what state. */
  async noteServer(row: Server): Promise<void> {
    (await this.everyServer)?.set(row.id, row);
  }

  /** The images that `owner` took of servers. */
  async images(owner: string): Promise<Marked<Image>[]> {
    return (await this.knownImages()).of(owner);
  }

  /** The images of ours whose mark passes the test. */
  async ownImages(accepts: (mark: Mark) => boolean): Promise<Marked<Image>[]> {
    return (await this.knownImages()).all().filter(({ mark }) => accepts(mark));
  }

  private knownImages(): Promise<Known<Image>> {
    this.imageRows ??= listing(images.list(this.session, ourMark), () => (this.imageRows = undefined));
    return this.imageRows;
  }

  /** Images that Nova's createBackup made, for whomever: those that nobody has marked. */
  async unmarkedBackups(): Promise<Image[]> {
    this.backupRows ??= byId(
      images.list(this.session, { image_type: "backup" }),
      () => (this.backupRows = undefined),
    );
    return [...(await this.backupRows).values()].filter(({ metadata }) => !fromMetadata(metadata));
  }

  /** An image that this process made or changed. */
  async noteImage(row: Image): Promise<void> {
    (await this.imageRows)?.note(row);
    (await this.backupRows)?.delete(row.id);
  }

  /** The snapshots of the project, ours or not, by id: those that Nova makes carry no mark. */
  projectsSnapshots(): Promise<ReadonlyMap<string, Snapshot>> {
    this.everySnapshot ??= byId(snapshots.list(this.session, {}), () => (this.everySnapshot = undefined));
    return this.everySnapshot;
  }

  /** A snapshot that this process made or changed. */
  async noteSnapshot(row: Snapshot): Promise<void> {
    (await this.snapshotRows)?.note(row);
    (await this.everySnapshot)?.set(row.id, row);
  }

  /** A volume that this process made or changed. */
  async noteVolume(row: Volume): Promise<void> {
    this.untouchedIds.delete(row.id);
    (await this.volumeRows)?.note(row);
  }

  /** A volume that this process has just made, and seen `available`. */
  async noteReady(row: Volume): Promise<void> {
    await this.noteVolume(row);
    this.untouchedIds.add(row.id);
  }

  /** Whether the volume is as this process made it: nothing has to be asked of it before its first use. */
  isUntouched(id: string): boolean {
    return this.untouchedIds.has(id);
  }

  /** A volume that was waited for in vain: only an administrator moves it, and no other wait of this process is for it. */
  noteStuck(id: string): void {
    this.stuckIds.add(id);
  }

  isStuck(id: string): boolean {
    return this.stuckIds.has(id);
  }

  /** An object that this process has seen gone. */
  async noteGone(id: string): Promise<void> {
    this.untouchedIds.delete(id);
    (await this.snapshotRows)?.noteGone(id);
    (await this.volumeRows)?.noteGone(id);
    (await this.imageRows)?.noteGone(id);
    (await this.everySnapshot)?.delete(id);
    (await this.everyServer)?.delete(id);
  }
}

type Markable = { id: string; metadata?: Record<string, string> | undefined };

/** Marked objects by id, and by owner: a set looks at its own among those of thousands. */
class Known<T extends Markable> {
  private readonly byId = new Map<string, Marked<T>>();
  private readonly byOwner = new Map<string, Map<string, Marked<T>>>();

  note(row: T): void {
    const mark = fromMetadata(row.metadata);
    if (!mark) return;
    this.noteGone(row.id);
    const object = { row, mark };
    this.byId.set(row.id, object);
    const own = this.byOwner.get(mark.owner) ?? new Map<string, Marked<T>>();
    this.byOwner.set(mark.owner, own.set(row.id, object));
  }

  noteGone(id: string): void {
    const owner = this.byId.get(id)?.mark.owner;
    if (owner !== undefined) this.byOwner.get(owner)?.delete(id);
    this.byId.delete(id);
  }

  of(owner: string): Marked<T>[] {
    return [...(this.byOwner.get(owner)?.values() ?? [])];
  }

  all(): Marked<T>[] {
    return [...this.byId.values()];
  }
}

/** A listing by id; one that failed is asked for again the next time. */
function byId<T extends { id: string }>(rows: Promise<T[]>, forget: () => void): Promise<Map<string, T>> {
  return rows.then(
    found => new Map(found.map(row => [row.id, row])),
    error => {
      forget();
      throw error;
    },
  );
}

/** A listing with its marks read; one that failed is asked for again the next time. */
async function listing<T extends Markable>(rows: Promise<T[]>, forget: () => void): Promise<Known<T>> {
  const known = new Known<T>();
  try {
    for (const row of await rows) known.note(row);
    return known;
  } catch (error) {
    forget();
    throw error;
  }
}

function newestFirst(a: Marked<Snapshot>, b: Marked<Snapshot>): number {
  return timeOf(b) - timeOf(a) || (a.row.id < b.row.id ? 1 : -1);
}

/** The one inventory of a session. */
export const inventoryOf = (session: Session): Inventory => session.companions.of(Inventory);

/** The instant retention counts with: what the mark says, else when Cinder made it (its times have no zone: UTC). */
export function timeOf(object: Marked<{ created_at: string }>): number {
  const { time, slot } = object.mark;
  const marked = Date.parse(time ?? slot ?? "");
  return Number.isNaN(marked) ? parseTime(object.row.created_at).getTime() : marked;
}
