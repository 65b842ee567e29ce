import { open } from "node:fs/promises";
import { run } from "./commands";
import { deviceSize } from "./device";
import { VolumeError } from "./errors";

/** A partition as sfdisk lists it; offset and size in bytes. */
export interface Partition {
  number: number;
  offset: number;
  sizeBytes: number;
  /** As blkid names it: "ext4", "vfat", "LVM2_member", …; absent when it has no signature. */
  fileSystem?: string;
  label?: string;
  uuid?: string;
}

/** What a device holds. */
export interface Probe {
  content: "file system" | "partitions" | "lvm" | "luks" | "empty" | "unknown";
  /** As blkid names it, whatever the content: "ext4", "crypto_LUKS", "swap", …. */
  fileSystem?: string;
  label?: string;
  uuid?: string;
  partitions?: Partition[];
}

/** A part of a device that holds a file system; without `sizeBytes` it reaches to the end. */
export interface Part {
  offset: number;
  sizeBytes?: number;
  fileSystem: string;
  label?: string | undefined;
  uuid?: string | undefined;
}

/** File systems read as files; anything else is read as a block device. */
const readable = new Set(["ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "exfat"]);

export const isExt = (fileSystem: string): boolean => /^ext[234]$/.test(fileSystem);

/** Looks what a file or block device holds. Reads only. */
export async function probe(device: string, signal?: AbortSignal): Promise<Probe> {
  const tags = await signature(device, undefined, signal);
  const common = described(tags);
  if (tags.TYPE === "LVM2_member") return { content: "lvm", ...common };
  if (tags.TYPE === "crypto_LUKS") return { content: "luks", ...common };
  if (tags.USAGE === "filesystem") return { content: "file system", ...common };
  if (tags.PTTYPE) return { content: "partitions", ...common, partitions: await partitions(device, signal) };
  if (tags.TYPE) return { content: "unknown", ...common };
  return { content: (await beginsAndEndsWithZeros(device)) ? "empty" : "unknown" };
}

function described(tags: Tags): Pick<Probe, "fileSystem" | "label" | "uuid"> {
  return {
    ...(tags.TYPE ? { fileSystem: tags.TYPE } : {}),
    ...(tags.LABEL ? { label: tags.LABEL } : {}),
    ...(tags.UUID ? { uuid: tags.UUID } : {}),
  };
}

type Tags = Partial<Record<"TYPE" | "USAGE" | "PTTYPE" | "LABEL" | "UUID", string>>;

async function signature(
  device: string,
  part: { offset: number; sizeBytes: number } | undefined,
  signal?: AbortSignal,
): Promise<Tags> {
  const where = part ? ["--offset", String(part.offset), "--size", String(part.sizeBytes)] : [];
  // 2: no signature; 8: several that contradict each other, which nobody should guess about
  const { stdout } = await run("blkid", ["--probe", "--output", "export", ...where, device], {
    doing: `probing ${device}`,
    accept: [0, 2, 8],
    signal,
  });
  const tags: Record<string, string> = {};
  for (const line of stdout.split("\n")) {
    const at = line.indexOf("=");
    // it escapes for a shell
    if (at > 0) tags[line.slice(0, at)] = line.slice(at + 1).replace(/\\(.)/g, "$1");
  }
  return tags;
}

interface SfdiskTable {
  partitiontable: {
    sectorsize?: number;
    partitions?: { node: string; start: number; size: number; type: string }[];
  };
}

async function partitions(device: string, signal?: AbortSignal): Promise<Partition[]> {
  const { stdout } = await run("sfdisk", ["--json", device], {
    doing: `reading the partitions of ${device}`,
    signal,
  });
  const table = (JSON.parse(stdout) as SfdiskTable).partitiontable;
  const sector = table.sectorsize ?? 512;
  const result: Partition[] = [];
  for (const { node, start, size, type } of table.partitions ?? []) {
    // an extended partition only contains the logical ones, which are listed too
    if (/^(5|f|85)$/i.test(type)) continue;
    const number = Number(/(\d+)$/.exec(node)?.[1]);
    const part = { offset: start * sector, sizeBytes: size * sector };
    result.push({ number, ...part, ...described(await signature(device, part, signal)) });
  }
  return result;
}

async function beginsAndEndsWithZeros(device: string): Promise<boolean> {
  const length = 1024 * 1024;
  const size = await deviceSize(device);
  const handle = await open(device, "r");
  try {
    const buffer = Buffer.alloc(length);
    for (const position of [0, Math.max(0, size - length)]) {
      const { bytesRead } = await handle.read(buffer, 0, length, position);
      if (buffer.subarray(0, bytesRead).some(byte => byte !== 0)) return false;
    }
    return true;
  } finally {
    await handle.close();
  }
}

/**
 * Chooses what to read as files. A string instead of a part says why the device has to be read as a block device.
 * In "auto" a disk with several file systems is read as a block device, because one of them alone would be a backup
 * with silent holes; in "file" the one that is no EFI or boot vfat is taken, and several are an error.
 */
export function choosePart(
  device: string,
  probed: Probe,
  content: "auto" | "file",
  partition?: number,
): Part | string {
  if (partition !== undefined) return chosenPartition(device, probed, partition);
  switch (probed.content) {
    case "file system": {
      const { fileSystem = "", label, uuid } = probed;
      return readable.has(fileSystem)
        ? { offset: 0, fileSystem, ...named(label, uuid) }
        : `it holds a ${fileSystem} file system`;
    }
    case "lvm":
      return "it is an LVM physical volume";
    case "luks":
      return "it is encrypted (LUKS)";
    case "empty":
      return "it holds no file system (only zeros)";
    case "unknown":
      return probed.fileSystem ? `it holds ${probed.fileSystem}` : "it holds no known file system";
    case "partitions": {
      const all = (probed.partitions ?? []).filter(({ fileSystem }) => fileSystem !== undefined);
      const found =
        content === "auto" ? all : all.filter(({ fileSystem }) => readable.has(fileSystem as string));
      const main =
        found.length > 1 && content === "file" ? found.filter(p => p.fileSystem !== "vfat") : found;
      const [one] = main;
      const list = all.map(describePartition).join(", ");
      if (!one) return `none of its partitions holds a known file system${list ? ` (${list})` : ""}`;
      if (main.length > 1) return `it has several partitions with data (${list})`;
      return readable.has(one.fileSystem as string) ? partOf(one) : `its partition holds ${one.fileSystem}`;
    }
  }
}

function chosenPartition(device: string, probed: Probe, number: number): Part {
  const found = probed.partitions?.find(partition => partition.number === number);
  if (found?.fileSystem && readable.has(found.fileSystem)) return partOf(found);
  const list = probed.partitions?.map(describePartition).join(", ");
  throw new VolumeError(
    "unsupported",
    `opening partition ${number} of ${device}: ${found ? "it holds no readable file system" : "there is no such partition"} (${list || "it has no partitions"})`,
  );
}

const partOf = ({ offset, sizeBytes, fileSystem, label, uuid }: Partition): Part => ({
  offset,
  sizeBytes,
  fileSystem: fileSystem as string,
  ...named(label, uuid),
});

const named = (label: string | undefined, uuid: string | undefined) => ({
  ...(label ? { label } : {}),
  ...(uuid ? { uuid } : {}),
});

const describePartition = ({ number, fileSystem, sizeBytes }: Partition): string =>
  `${number}: ${fileSystem ?? "nothing known"}, ${(sizeBytes / 1024 ** 3).toFixed(1)} GiB`;

/** The file systems that `makeFileSystem` makes. */
export type NewFileSystem = "ext4" | "xfs";

/** What a file system is known by, and was made with. */
export interface FileSystemIdentity {
  uuid?: string | undefined;
  label?: string | undefined;
  /** Bytes; ext only. */
  blockSize?: number | undefined;
  inodeSize?: number | undefined;
}

/**
 * Makes a file system on an empty file or block device; throws if the device holds anything, so that no data is
 * lost. Needs write access to the device, not root.
 */
export async function makeFileSystem(
  device: string,
  type: NewFileSystem,
  options: FileSystemIdentity & { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const doing = `making an ${type} file system on ${device}`;
  const { uuid, label, blockSize, inodeSize, signal } = options;
  const found = await probe(device, signal);
  if (found.content !== "empty") {
    throw new VolumeError("failed", `${doing}: it is not empty (${found.fileSystem ?? found.content})`);
  }
  const named = label ? ["-L", label] : [];
  if (type === "ext4") {
    const made = [
      ...(uuid ? ["-U", uuid] : []),
      ...(blockSize ? ["-b", String(blockSize)] : []),
      ...(inodeSize ? ["-I", String(inodeSize)] : []),
    ];
    await run("mke2fs", ["-q", "-F", "-t", "ext4", ...named, ...made, device], { doing, signal });
  } else {
    await run("mkfs.xfs", ["-q", ...named, ...(uuid ? ["-m", `uuid=${uuid}`] : []), device], {
      doing,
      signal,
    });
  }
}
