import { isNotFound, type Session, volumes } from "../openstack";
import type { Snapshot } from "../openstack/snapshots";
import type { Volume } from "../openstack/volumes";
import { fromMetadata, type Mark } from "./marks";
import { snapshotKind, volumeKind } from "./watch";

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
  private snapshotRows: Listing<Snapshot> | undefined;
  private volumeRows: Listing<Volume> | undefined;
  private everyVolume: Promise<Map<string, Volume>> | undefined;

  constructor(private readonly session: Session) {}

  /** The snapshots that `owner` took of one volume, newest first. */
  async snapshots(owner: string, volumeId: string): Promise<Marked<Snapshot>[]> {
    return this.ownSnapshots(mark => mark.owner === owner, volumeId);
  }

  /** The snapshots of ours whose mark passes the test, newest first. */
  async ownSnapshots(accepts: (mark: Mark) => boolean, volumeId?: string): Promise<Marked<Snapshot>[]> {
    this.snapshotRows ??= listing(snapshotKind.ours(this.session), () => (this.snapshotRows = undefined));
    const found: Marked<Snapshot>[] = [];
    for (const object of (await this.snapshotRows).values())
      if (accepts(object.mark) && (volumeId === undefined || object.row.volume_id === volumeId))
        found.push(object);
    return found.sort((a, b) => timeOf(b) - timeOf(a) || (a.row.id < b.row.id ? 1 : -1));
  }

  /** The volumes of ours whose mark passes the test. */
  async ownVolumes(accepts: (mark: Mark) => boolean): Promise<Marked<Volume>[]> {
    this.volumeRows ??= listing(volumeKind.ours(this.session), () => (this.volumeRows = undefined));
    return [...(await this.volumeRows).values()].filter(({ mark }) => accepts(mark));
  }

  /** Any volume of the project, ours or not; one that the listing lacks may have been made since, by the same program. */
  async volume(id: string): Promise<Volume | undefined> {
    this.everyVolume ??= volumes.list(this.session, {}).then(
      rows => new Map(rows.map(row => [row.id, row])),
      error => {
        this.everyVolume = undefined;
        throw error;
      },
    );
    const known = await this.everyVolume;
    const found =
      known.get(id) ??
      (await volumes.get(this.session, id).catch(error => {
        if (!isNotFound(error)) throw error;
        return undefined;
      }));
    if (found) known.set(id, found);
    return found;
  }

  /** A snapshot that this process made or changed. */
  async noteSnapshot(row: Snapshot): Promise<void> {
    note(await this.snapshotRows, row);
  }

  /** A volume that this process made or changed. */
  async noteVolume(row: Volume): Promise<void> {
    note(await this.volumeRows, row);
  }

  /** An object that this process has seen gone. */
  async noteGone(id: string): Promise<void> {
    (await this.snapshotRows)?.delete(id);
    (await this.volumeRows)?.delete(id);
  }
}

type Listing<T> = Promise<Map<string, Marked<T>>>;
type Markable = { id: string; metadata?: Record<string, string> | undefined };

/** A listing with its marks read; one that failed is asked for again the next time. */
async function listing<T extends Markable>(rows: Promise<T[]>, forget: () => void): Listing<T> {
  const known = new Map<string, Marked<T>>();
  try {
    for (const row of await rows) note(known, row);
    return known;
  } catch (error) {
    forget();
    throw error;
  }
}

function note<T extends Markable>(known: Map<string, Marked<T>> | undefined, row: T): void {
  const mark = fromMetadata(row.metadata);
  if (mark) known?.set(row.id, { row, mark });
}

const inventories = new WeakMap<Session, Inventory>();

/** The one inventory of a session. */
export function inventoryOf(session: Session): Inventory {
  let inventory = inventories.get(session);
  if (!inventory) {
    inventory = new Inventory(session);
    inventories.set(session, inventory);
  }
  return inventory;
}

/** The instant retention counts with: what the mark says, else when Cinder made it (its times have no zone: UTC). */
export function timeOf(object: Marked<{ created_at?: string | null | undefined }>): number {
  const { time, slot } = object.mark;
  return Date.parse(time ?? slot ?? `${object.row.created_at ?? "1970-01-01T00:00:00"}Z`);
}
