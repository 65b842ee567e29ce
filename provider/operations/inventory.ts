import { type Session } from "../openstack";
import type { Snapshot } from "../openstack/snapshots";
import type { Volume } from "../openstack/volumes";
import { volumes } from "../openstack";
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
  private snapshotRows: Promise<Map<string, Snapshot>> | undefined;
  private volumeRows: Promise<Map<string, Volume>> | undefined;
  private everyVolume: Promise<Map<string, Volume>> | undefined;

  constructor(private readonly session: Session) {}

  /** The snapshots of `owner`, newest first; of one volume where `volumeId` is given. */
  async snapshots(owner: string, volumeId?: string): Promise<Marked<Snapshot>[]> {
    this.snapshotRows ??= indexed(snapshotKind.ours(this.session), () => (this.snapshotRows = undefined));
    const rows = await this.snapshotRows;
    return marked(rows.values())
      .filter(({ row, mark }) => mark.owner === owner && (volumeId === undefined || row.volume_id === volumeId))
      .sort((a, b) => timeOf(b) - timeOf(a) || (a.row.id < b.row.id ? 1 : -1));
  }

  /** The volumes of ours whose owner passes the test. */
  async ownVolumes(accepts: (mark: Mark) => boolean): Promise<Marked<Volume>[]> {
    this.volumeRows ??= indexed(volumeKind.ours(this.session), () => (this.volumeRows = undefined));
    return marked((await this.volumeRows).values()).filter(({ mark }) => accepts(mark));
  }

  /** Any volume of the project, ours or not. A missing one is asked for by id before it counts as missing. */
  async volume(id: string): Promise<Volume | undefined> {
    this.everyVolume ??= indexed(volumes.list(this.session, {}), () => (this.everyVolume = undefined));
    return (await this.everyVolume).get(id);
  }

  noteSnapshot(row: Snapshot): Promise<unknown> | undefined {
    return this.snapshotRows?.then(rows => rows.set(row.id, row));
  }

  noteVolume(row: Volume): Promise<unknown> | undefined {
    return this.volumeRows?.then(rows => rows.set(row.id, row));
  }

  noteGone(id: string): void {
    void this.snapshotRows?.then(rows => rows.delete(id));
    void this.volumeRows?.then(rows => rows.delete(id));
  }
}

const inventories = new WeakMap<Session, Inventory>();

/** The one inventory of a session. */
export function inventoryOf(session: Session): Inventory {
  let inventory = inventories.get(session);
  if (!inventory) inventories.set(session, (inventory = new Inventory(session)));
  return inventory;
}

/** The instant retention counts with: what the mark says, else when Cinder made it (its times have no zone: UTC). */
export function timeOf(object: Marked<{ created_at?: string | null | undefined }>): number {
  const { time, slot } = object.mark;
  return Date.parse(time ?? slot ?? `${object.row.created_at ?? "1970-01-01T00:00:00"}Z`);
}

async function indexed<T extends { id: string }>(rows: Promise<T[]>, forget: () => void): Promise<Map<string, T>> {
  try {
    return new Map((await rows).map(row => [row.id, row]));
  } catch (error) {
    forget();
    throw error;
  }
}

function marked<T extends { metadata?: Record<string, string> | undefined }>(rows: Iterable<T>): Marked<T>[] {
  const found: Marked<T>[] = [];
  for (const row of rows) {
    const mark = fromMetadata(row.metadata);
    if (mark) found.push({ row, mark });
  }
  return found;
}
