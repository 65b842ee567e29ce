import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readFile } from "node:fs/promises";
import path from "node:path";

const recordBytes = 4096;

/** The content of record `number`, which no other record has a byte range of. */
function record(number: number): Buffer {
  const line = `${number} ${createHash("sha256").update(String(number)).digest("hex")}\n`;
  return Buffer.alloc(recordBytes, line);
}

/** Where records go: each call returns when the record is safe from a power cut. */
export interface RecordStore {
  write(number: number): Promise<void>;
  close(): Promise<void>;
}

/** What a medium holds of record `number`. */
export type Found = "whole" | "torn" | "absent";

/** What reads records back. `latest` is the number that was written over and over in one place; -1 for none. */
export interface RecordReader {
  find(number: number): Promise<Found>;
  latest(): Promise<number>;
}

/** Each record is a new file; the latest number is also written over and over in one. */
export async function recordFiles(directory: string): Promise<RecordStore> {
  const folder = path.join(directory, "records");
  await mkdir(folder, { recursive: true });
  const parent = await open(folder, "r");
  const latest = await open(path.join(directory, "latest"), constants.O_RDWR | constants.O_CREAT);
  return {
    async write(number) {
      const file = await open(path.join(folder, String(number)), "wx");
      await file.write(record(number));
      await file.sync();
      await file.close();
      await parent.sync();
      await overwrite(latest, 0, number);
    },
    async close() {
      await parent.close();
      await latest.close();
    },
  };
}

export function readRecordFiles(directory: string): RecordReader {
  return {
    find: async number =>
      judge(await readFile(path.join(directory, "records", String(number))).catch(absent), number),
    latest: async () => numberIn(await readFile(path.join(directory, "latest"))),
  };
}

/** Each record has a place of its own on a disk without a file system; the latest number is written before them. */
export async function recordBlocks(file: string, offset: number): Promise<RecordStore> {
  const disk = await open(file, "r+");
  return {
    async write(number) {
      await disk.write(record(number), 0, recordBytes, offset + (number + 1) * recordBytes);
      await disk.sync();
      await overwrite(disk, offset, number);
    },
    close: () => disk.close(),
  };
}

export function readRecordBlocks(disk: FileHandle, offset: number): RecordReader {
  const at = async (position: number) =>
    (await disk.read(Buffer.alloc(recordBytes), 0, recordBytes, position)).buffer;
  return {
    find: async number => judge(await at(offset + (number + 1) * recordBytes), number),
    latest: async () => numberIn(await at(offset)),
  };
}

async function overwrite(file: FileHandle, position: number, number: number): Promise<void> {
  await file.write(record(number), 0, recordBytes, position);
  await file.sync();
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

function judge(bytes: Buffer | undefined, number: number): Found {
  if (bytes === undefined || (bytes.length === recordBytes && bytes.every(byte => byte === 0)))
    return "absent";
  return bytes.equals(record(number)) ? "whole" : "torn";
}

function numberIn(bytes: Buffer): number {
  if (bytes.every(byte => byte === 0)) return -1;
  const number = Number.parseInt(bytes.toString("latin1"), 10);
  return bytes.equals(record(number)) ? number : Number.NaN;
}

/** Writes record after record, and knows when each was begun and when it was acknowledged. */
export class Writer {
  readonly begun: number[];
  readonly acknowledged: number[];
  private stopped = false;
  private readonly end: Promise<void>;

  /** Goes on where `previous` stopped. */
  constructor(
    private readonly store: RecordStore,
    pauseMs: number,
    previous?: Writer,
  ) {
    this.begun = [...(previous?.begun ?? [])];
    this.acknowledged = [...(previous?.acknowledged ?? [])];
    this.end = this.run(pauseMs);
    this.end.catch(() => {}); // told by `stop` and `more`
  }

  private async run(pauseMs: number): Promise<void> {
    for (let number = this.begun.length; !this.stopped; number++) {
      this.begun[number] = performance.now();
      await this.store.write(number);
      this.acknowledged[number] = performance.now();
      await new Promise(resolve => setTimeout(resolve, pauseMs));
    }
  }

  /** Waits for that many more acknowledged records. */
  async more(count: number): Promise<void> {
    const wanted = this.acknowledged.length + count;
    while (this.acknowledged.length < wanted) {
      await Promise.race([this.end, new Promise(resolve => setTimeout(resolve, 20))]);
      assert.ok(!this.stopped, "the writer was stopped");
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.end;
    await this.store.close();
  }
}

/**
 * Asserts that `reader` shows one moment between `from` and `to` (performance.now): everything acknowledged before, and
 * nothing begun after.
 */
export async function assertPointInTime(
  reader: RecordReader,
  writer: Pick<Writer, "begun" | "acknowledged">,
  from: number,
  to: number,
): Promise<void> {
  const acknowledged = writer.acknowledged.filter(time => time < from).length - 1;
  const begun = writer.begun.filter(time => time < to).length - 1;
  assert.ok(acknowledged > 0 && begun < writer.begun.length - 1, "records lie on both sides of the moment");
  for (let number = 0; number < writer.begun.length; number++) {
    const found = await reader.find(number);
    if (number <= acknowledged) assert.equal(found, "whole", `record ${number}, acknowledged before`);
    if (number > begun) assert.equal(found, "absent", `record ${number}, begun afterwards`);
  }
  const latest = await reader.latest();
  assert.ok(
    latest >= acknowledged && latest <= begun,
    `latest is ${latest}, not ${acknowledged} to ${begun}`,
  );
}
