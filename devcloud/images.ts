import { spawn } from "node:child_process";
import { promises as fs } from "node:fs";

/** The block size of the images made here; a ledger's page fills one block. */
export const blockBytes = 4096;

/** Where a run of a file's bytes lies in the image. */
export interface Extent {
  /** Offset in the file. */
  fileOffset: number;
  /** Offset in the image. */
  imageOffset: number;
  length: number;
}

export interface Ext4Image {
  sizeMib: number;
  /** Copied into the root of the file system with owners, modes, times, links and extended attributes. */
  fromDirectory?: string;
  label?: string;
}

/** Makes a sparse file with an ext4 file system; needs no root. An existing file is replaced. */
export async function makeExt4Image(
  path: string,
  { sizeMib, fromDirectory, label }: Ext4Image,
): Promise<void> {
  const file = await fs.open(path, "w");
  try {
    await file.truncate(sizeMib * 1024 * 1024);
  } finally {
    await file.close();
  }
  await runE2fs("mke2fs", [
    ...["-q", "-F", "-t", "ext4", "-b", String(blockBytes), "-m", "0"],
    // Tables that the first mount would fill in are left out: the image stays sparse.
    ...["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"],
    ...(label === undefined ? [] : ["-L", label]),
    ...(fromDirectory === undefined ? [] : ["-d", fromDirectory]),
    path,
  ]);
}

/**
 * Finds where a file's bytes lie in an ext4 image, in the order of the file; holes are left out. `filePath` begins at
 * the file system's root.
 */
export async function fileExtents(image: string, filePath: string): Promise<Extent[]> {
  const { blockSize, output } = await statInImage(image, filePath);
  const listed = /^(?:EXTENTS|BLOCKS):\n(.*)$/m.exec(output)?.[1] ?? "";
  const extents: Extent[] = [];
  for (const [, first, last, from, to] of listed.matchAll(/\((\d+)(?:-(\d+))?\):(\d+)(?:-(\d+))?/g)) {
    const blocks = Number(last ?? first) - Number(first) + 1;
    if (Number(to ?? from) - Number(from) + 1 !== blocks) {
      throw new Error(
        `finding the blocks of ${filePath} in ${image}: debugfs lists an extent of two lengths`,
      );
    }
    extents.push({
      fileOffset: Number(first) * blockSize,
      imageOffset: Number(from) * blockSize,
      length: blocks * blockSize,
    });
  }
  return extents;
}

/** Size, owner and mode of a file in an ext4 image. */
export async function fileInImage(
  image: string,
  filePath: string,
): Promise<{ size: number; uid: number; gid: number; mode: number }> {
  const { output } = await statInImage(image, filePath);
  const number = (pattern: RegExp, radix = 10) => Number.parseInt(pattern.exec(output)?.[1] ?? "", radix);
  return {
    size: number(/\bSize:\s*(\d+)/),
    uid: number(/\bUser:\s*(\d+)/),
    gid: number(/\bGroup:\s*(\d+)/),
    mode: number(/\bMode:\s*(\d+)/, 8),
  };
}

/**
 * Sets a file's modification and change time in an ext4 image, as a kernel does some time after the file was written in
 * place. restic takes a file with unchanged times for unchanged.
 */
export async function touchInImage(image: string, filePath: string, time: Date): Promise<void> {
  const at = `@${Math.floor(time.getTime() / 1000)}`;
  for (const field of ["mtime", "ctime"])
    await runE2fs("debugfs", ["-w", "-R", `set_inode_field "${filePath}" ${field} ${at}`, image]);
}

async function statInImage(image: string, filePath: string): Promise<{ blockSize: number; output: string }> {
  if (/["\n]/.test(filePath))
    throw new Error(`finding ${JSON.stringify(filePath)} in ${image}: no such name is possible`);
  const output = await runE2fs("debugfs", ["-R", `stat "${filePath}"`, image]);
  if (!output.startsWith("Inode:")) throw new Error(`finding ${filePath} in ${image}: no such file`);
  return { blockSize: await blockSizeOf(image), output };
}

const superblockOffset = 1024;

/** Read from the superblock: s_magic and s_log_block_size. */
async function blockSizeOf(image: string): Promise<number> {
  const file = await fs.open(image, "r");
  try {
    const superblock = Buffer.alloc(1024);
    await file.read(superblock, 0, superblock.length, superblockOffset);
    if (superblock.readUInt16LE(56) !== 0xef53) throw new Error(`reading ${image}: no ext file system in it`);
    return 1024 << superblock.readUInt32LE(24);
  } finally {
    await file.close();
  }
}

/** Runs a tool of e2fsprogs and gives back what it prints. */
export async function runE2fs(tool: string, args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(tool, args, {
      stdio: ["ignore", "pipe", "pipe"],
      // On Debian the tools are where only root's PATH looks.
      env: { ...process.env, PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin`, LC_ALL: "C" },
    });
    let output = "";
    let complaints = "";
    child.stdout.on("data", chunk => {
      output += chunk;
    });
    child.stderr.on("data", chunk => {
      complaints += chunk;
    });
    child.on("error", error => {
      const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
      reject(
        new Error(
          isMissing
            ? `running ${tool}: not found; install the package e2fsprogs`
            : `running ${tool}: ${error.message}`,
        ),
      );
    });
    child.on("close", code => {
      if (code === 0) resolve(output);
      else reject(new Error(`running ${tool}: it ended with ${code}: ${complaints.trim()}`));
    });
  });
}
