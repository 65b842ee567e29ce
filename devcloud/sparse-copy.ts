import { spawn } from "node:child_process";
import { constants, promises as fs } from "node:fs";

const chunkBytes = 1 << 20;
const blockBytes = 1 << 16;
const zeros = Buffer.alloc(blockBytes);

/** Below this many bytes a copy in this process is faster than starting `cp`. */
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
        await writeNonZero(target, chunk.subarray(0, bytesRead), position);
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

async function writeNonZero(target: fs.FileHandle, bytes: Buffer, position: number): Promise<void> {
  let start = -1;
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const block = bytes.subarray(at, at + blockBytes);
    const empty = block.equals(block.length === blockBytes ? zeros : zeros.subarray(0, block.length));
    if (empty && start >= 0) {
      await writeFully(target, bytes.subarray(start, at), position + start);
      start = -1;
    }
    if (!empty && start < 0) start = at;
  }
  if (start >= 0) await writeFully(target, bytes.subarray(start), position + start);
}

/** Writes all bytes at the position; a short write is continued. */
export async function writeFully(target: fs.FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await target.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
