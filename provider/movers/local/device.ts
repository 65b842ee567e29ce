import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { Readable, Writable } from "node:stream";
import { VolumeError } from "./errors";

/** The size of a file or block device in bytes. */
export async function deviceSize(path: string): Promise<number> {
  const found = await stat(path);
  if (!found.isBlockDevice()) return found.size;
  // the kernel's numbering of devices: https://man7.org/linux/man-pages/man3/makedev.3.html
  const device = BigInt(found.rdev);
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  // always in units of 512 bytes, whatever the device's sectors are
  return Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, "utf8")) * 512;
}

/** Throws if this process may not write to the device: a journal is replayed only on a writable one. */
export async function requireWritable(path: string, remedy: string): Promise<void> {
  try {
    await (await open(path, "r+")).close();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    throw new VolumeError("unsupported", `opening ${path} for writing: ${code}: ${remedy}`, { cause });
  }
}

/** Makes sure that what was written to the device has left this machine's memory. */
export async function syncDevice(path: string): Promise<void> {
  const handle = await open(path, "r+");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const chunkBytes = 1024 * 1024;

/** The device's bytes, exactly `sizeBytes` of them: the stream fails if there are fewer. */
export function readDevice(path: string, sizeBytes: number): Readable {
  async function* chunks(): AsyncGenerator<Buffer> {
    const handle = await open(path, "r");
    try {
      for (let position = 0; position < sizeBytes; ) {
        const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, sizeBytes - position));
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
        if (bytesRead === 0) {
          throw new VolumeError("failed", `reading ${path}: it ended at byte ${position} of ${sizeBytes}`);
        }
        position += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await handle.close();
    }
  }
  return Readable.from(chunks(), { objectMode: false, highWaterMark: 2 * chunkBytes });
}

/**
 * Overwrites the device from its beginning, in place; ending it waits for the data to leave this machine's memory. More
 * than `sizeBytes` are refused: a raw file would grow, and the volume is not larger than Cinder says.
 */
export function overwriteDevice(path: string, sizeBytes: number): Writable {
  let handle: FileHandle | undefined;
  let position = 0;
  const settle = (work: Promise<unknown>, done: (error?: Error | null) => void) =>
    void work.then(() => done(), done);
  return new Writable({
    construct: done =>
      settle(
        open(path, "r+").then(opened => (handle = opened)),
        done,
      ),
    write(chunk: Buffer, _encoding, done) {
      const write = async () => {
        if (position + chunk.length > sizeBytes)
          throw new VolumeError("failed", `writing ${path}: the data goes beyond its ${sizeBytes} bytes`);
        for (let from = 0; from < chunk.length; ) {
          const { bytesWritten } = await (handle as FileHandle).write(chunk, from, undefined, position);
          from += bytesWritten;
          position += bytesWritten;
        }
      };
      settle(write(), done);
    },
    final: done => settle((handle as FileHandle).sync(), done),
    destroy: (error, done) =>
      settle(handle?.close() ?? Promise.resolve(), failure => done(error ?? failure ?? null)),
  });
}

/** SHA-256 of the device's first bytes. */
export async function hashDevice(path: string, bytes: number, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of readDevice(path, bytes)) {
    signal?.throwIfAborted();
    hash.update(chunk as Buffer);
  }
  return hash.digest("hex");
}
