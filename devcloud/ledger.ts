import { createHash } from "node:crypto";
import type { Devcloud } from "./devcloud";
import { blockBytes, type Extent, fileExtents, touchInImage } from "./images";
import type { SnapshotRow } from "./rows";
import type { Guest } from "./storage";

/** Bytes of one page; it holds one record. */
export const pageBytes = blockBytes;

const magic = Buffer.from("OSBLEDG1");
const headerBytes = magic.length + 4 + 8 + 4;
const checksumBytes = 32;
const payloadLimit = pageBytes - headerBytes - checksumBytes;

/** What a ledger's file turns out to hold. */
export interface LedgerReport {
  /** Pages with a record whose checksum is right. */
  intact: number;
  /** Pages that were never written to. */
  unused: number;
  /** Pages whose checksum is wrong, or that are no pages. */
  damaged: number;
  /** The sequence number of the newest intact record; 0 when there is none. */
  lastSequence: number;
  /** True when no page is damaged and the records are the newest ones without a gap. */
  unbroken: boolean;
}

/** The file of a new ledger. No page is all zeros, so that every page gets a block on disk. */
export function emptyLedger(pages: number): Buffer {
  return Buffer.concat(Array.from({ length: pages }, (_, page) => encodePage(page, 0, Buffer.alloc(0))));
}

/** Checks a ledger's file, for instance one that was restored. */
export function verifyLedger(file: Buffer): LedgerReport {
  const pages = Math.floor(file.length / pageBytes);
  const report: LedgerReport = { intact: 0, unused: 0, damaged: 0, lastSequence: 0, unbroken: false };
  const sequences: number[] = [];
  for (let page = 0; page < pages; page++) {
    const sequence = sequenceOf(file.subarray(page * pageBytes, (page + 1) * pageBytes), page);
    if (sequence === undefined) report.damaged++;
    else if (sequence === 0) report.unused++;
    else sequences.push(sequence);
  }
  report.intact = sequences.length;
  report.lastSequence = Math.max(0, ...sequences);
  // A ring: with the newest record n, the pages hold exactly the records n-pages+1 to n.
  const expected = Math.min(report.lastSequence, pages);
  const isNewest = sequences.every(sequence => sequence > report.lastSequence - pages);
  report.unbroken =
    report.damaged === 0 && file.length === pages * pageBytes && report.intact === expected && isNewest;
  return report;
}

/**
 * A small database in a preallocated file of a volume: records go round through its pages in order, each written in
 * place through the guest as a database in a server would. It knows independently of any disk what the file held at
 * the instant of each snapshot.
 */
export class Ledger {
  /** The newest record that is written. */
  lastSequence: number;
  private readonly guest: Guest;
  private readonly filePath: string;
  private readonly extents: Extent[];
  private readonly content: Buffer;
  private readonly atSnapshot = new Map<string, { sha256: string; lastSequence: number }>();
  private writing: Promise<void> | undefined;
  private tail: Promise<void> = Promise.resolve();
  private isStopped = false;
  private failure: unknown;

  private constructor(guest: Guest, filePath: string, extents: Extent[], content: Buffer) {
    this.guest = guest;
    this.filePath = filePath;
    this.extents = extents;
    this.content = content;
    this.lastSequence = verifyLedger(content).lastSequence;
  }

  /** Opens the ledger in a file (made with `emptyLedger`) of a volume with an ext4 file system. */
  static async open(devcloud: Devcloud, volumeId: string, filePath: string): Promise<Ledger> {
    const guest = devcloud.guest(volumeId);
    const extents = await fileExtents(devcloud.imagePath(volumeId), filePath);
    const parts = await Promise.all(
      extents.map(({ imageOffset, length }) => guest.read(imageOffset, length)),
    );
    const ledger = new Ledger(guest, filePath, extents, Buffer.concat(parts));
    const report = verifyLedger(ledger.content);
    if (report.intact + report.unused === 0 || !report.unbroken) {
      throw new Error(
        `opening the ledger ${filePath}: not a whole ledger (${report.damaged} pages are damaged)`,
      );
    }
    devcloud.onSnapshot(snapshot => {
      if (snapshot.volume_id === volumeId) ledger.remember(snapshot);
    });
    return ledger;
  }

  /** Writes a record every `intervalMs` (0: one after another) until `stop()`, and the file's times once a second. */
  start(intervalMs: number): void {
    if (this.writing) throw new Error("starting the ledger: it is running");
    this.isStopped = false;
    this.writing = (async () => {
      let touched = 0;
      while (!this.isStopped) {
        if (Date.now() - touched >= 1000) {
          touched = Date.now();
          await this.guest.alter(image => touchInImage(image, this.filePath, new Date()));
        }
        await this.append(Buffer.from(`record ${this.lastSequence + 1} of ${new Date().toISOString()}`));
        await new Promise<void>(resolve => {
          if (intervalMs > 0) setTimeout(resolve, intervalMs);
          else setImmediate(resolve);
        });
      }
    })().catch(error => {
      this.failure = error;
    });
  }

  /** Ends the writing; throws what ended it before. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await this.writing;
    this.writing = undefined;
    if (this.failure) throw this.failure;
  }

  /** Writes one record of up to 4040 bytes to the next page, after the records appended before. */
  append(payload: Buffer): Promise<void> {
    const appended = this.tail.then(() => this.write(payload));
    this.tail = appended.catch(() => undefined);
    return appended;
  }

  /** SHA-256 (hexadecimal) of the file as it is now. */
  sha256(): string {
    return createHash("sha256").update(this.content).digest("hex");
  }

  /** SHA-256 of the file at the instant of the snapshot; undefined when the ledger did not see it taken. */
  sha256AtSnapshot(snapshotId: string): string | undefined {
    return this.atSnapshot.get(snapshotId)?.sha256;
  }

  /** The newest record at the instant of the snapshot. */
  lastSequenceAtSnapshot(snapshotId: string): number | undefined {
    return this.atSnapshot.get(snapshotId)?.lastSequence;
  }

  private remember(snapshot: SnapshotRow): void {
    this.atSnapshot.set(snapshot.id, { sha256: this.sha256(), lastSequence: this.lastSequence });
  }

  private async write(payload: Buffer): Promise<void> {
    const sequence = this.lastSequence + 1;
    const page = (sequence - 1) % (this.content.length / pageBytes);
    const bytes = encodePage(page, sequence, payload);
    await this.guest.write(this.imageOffset(page), bytes, () => {
      bytes.copy(this.content, page * pageBytes);
      this.lastSequence = sequence;
    });
  }

  private imageOffset(page: number): number {
    const fileOffset = page * pageBytes;
    const extent = this.extents.find(
      extent =>
        fileOffset >= extent.fileOffset && fileOffset + pageBytes <= extent.fileOffset + extent.length,
    );
    if (!extent) throw new Error(`writing page ${page} of the ledger: it has no block on disk`);
    return extent.imageOffset + fileOffset - extent.fileOffset;
  }
}

function encodePage(page: number, sequence: number, payload: Buffer): Buffer {
  if (payload.length > payloadLimit) {
    throw new Error(
      `writing a record of ${payload.length} bytes to the ledger: a page holds ${payloadLimit}`,
    );
  }
  const bytes = Buffer.alloc(pageBytes);
  magic.copy(bytes);
  bytes.writeUInt32LE(page, magic.length);
  bytes.writeBigUInt64LE(BigInt(sequence), magic.length + 4);
  bytes.writeUInt32LE(payload.length, magic.length + 12);
  payload.copy(bytes, headerBytes);
  checksum(bytes).copy(bytes, pageBytes - checksumBytes);
  return bytes;
}

/** The record's number when the page is whole and at its place. */
function sequenceOf(bytes: Buffer, page: number): number | undefined {
  if (!bytes.subarray(0, magic.length).equals(magic) || bytes.readUInt32LE(magic.length) !== page)
    return undefined;
  if (!checksum(bytes).equals(bytes.subarray(pageBytes - checksumBytes))) return undefined;
  return Number(bytes.readBigUInt64LE(magic.length + 4));
}

function checksum(bytes: Buffer): Buffer {
  return createHash("sha256")
    .update(bytes.subarray(0, pageBytes - checksumBytes))
    .digest();
}
