import { spawn } from "node:child_process";
import { closeSync, constants, promises as fs, ftruncateSync, openSync, readSync, writeSync } from "node:fs";

const chunkBytes = 1 << 20;
const blockBytes = 1 << 16;
const zeros = Buffer.alloc(blockBytes);

/** Up to this many bytes the calls without the thread pool take a fraction of a millisecond. */
const tinyBytes = 1 << 20;

/** Up to this many bytes a copy in this process is faster than starting `cp`. */
const smallBytes = 8 << 20;

let reflinkWorks = true;

/**
 * Copies a file so that its holes stay holes: a reflink where the file system has them, else GNU `cp`, else block by
 * block. The target is replaced.
 */
export async function sparseCopy(from: string, to: string): Promise<void> {
  if (reflinkWorks) {
    try {
      await fs.copyFile(from, to, constants.COPYFILE_FICLONE_FORCE);
      return;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? "";
      if (!["ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EXDEV", "EINVAL", "ENOTTY"].includes(code)) throw error;
      reflinkWorks = false;
    }
  }
  const { size } = await fs.stat(from);
  if (size <= tinyBytes) return copyTiny(from, to, size);
  if (size > smallBytes && (await copyWithCp(from, to))) return;
  await copyBlocks(from, to);
}

async function copyWithCp(from: string, to: string): Promise<boolean> {
  return new Promise(resolve => {
    const child = spawn("cp", ["--reflink=auto", "--sparse=always", "--", from, to], { stdio: "ignore" });
    child.on("error", () => resolve(false));
    child.on("close", code => resolve(code === 0));
  });
}

/** The copy without any tool; exported so that a test can hold it to the same answer as `cp`. */
export async function copyBlocks(from: string, to: string): Promise<void> {
  const source = await fs.open(from, "r");
  try {
    const target = await fs.open(to, "w");
    try {
      const { size } = await source.stat();
      const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, Math.max(size, 1)));
      for (let position = 0; position < size; ) {
        const { bytesRead } = await source.read(chunk, 0, chunk.length, position);
        if (bytesRead === 0) break;
        const bytes = chunk.subarray(0, bytesRead);
        for (const [start, end] of nonZeroRuns(bytes)) {
          await writeFully(target, bytes.subarray(start, end), position + start);
        }
        position += bytesRead;
      }
      await target.truncate(size);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

let tinyBuffer: Buffer | undefined;

/** All calls are synchronous, so one buffer serves all copies. */
function copyTiny(from: string, to: string, size: number): void {
  tinyBuffer ??= Buffer.alloc(tinyBytes);
  const bytes = tinyBuffer.subarray(0, size);
  const source = openSync(from, "r");
  try {
    for (let at = 0; at < size; ) {
      const read = readSync(source, bytes, at, size - at, at);
      if (read === 0) throw new Error(`copying ${from}: it became shorter meanwhile`);
      at += read;
    }
  } finally {
    closeSync(source);
  }
  const target = openSync(to, "w");
  try {
    for (const [start, end] of nonZeroRuns(bytes)) {
      for (let at = start; at < end; ) at += writeSync(target, bytes, at, end - at, at);
    }
    ftruncateSync(target, size);
  } finally {
    closeSync(target);
  }
}

/** Start and end of each run of blocks that are not all zeros. */
function* nonZeroRuns(bytes: Buffer): Generator<[start: number, end: number]> {
  let start = -1;
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const block = bytes.subarray(at, at + blockBytes);
    const isEmpty = block.equals(block.length === blockBytes ? zeros : zeros.subarray(0, block.length));
    if (isEmpty && start >= 0) {
      yield [start, at];
      start = -1;
    }
    if (!isEmpty && start < 0) start = at;
  }
  if (start >= 0) yield [start, bytes.length];
}

/** Writes all bytes at the position; a short write is continued. */
export async function writeFully(target: fs.FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await target.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
