import { chmodSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { findTool, remedyFor, run } from "./commands";
import type { AttachContext } from "./connection";
import { messageOf, VolumeError } from "./errors";
import { isExt, type Part } from "./file-system";
import { serveMount, whyNoFuse } from "./fuse";
import { attachLoop } from "./loop";
import { mayMount } from "./mounts";
import type { Trace } from "./traces";

/** A volume's files at the mount path. */
export interface Presented {
  how: string;
  ownersPreserved: boolean;
  inodesLast: boolean;
  /** Before the mount or copy is undone. */
  finish?: () => Promise<void>;
  /** After it. */
  afterwards?: () => Promise<void>;
}

/** A way to show a file system at the mount path. */
interface Way {
  how: string;
  /** Why it cannot work here, or undefined. */
  unable: () => string | undefined;
  present: () => Promise<Presented>;
}

/**
 * Shows the files of a part of a device at the claim's mount path by the first way that works here: the kernel
 * (root), for ext2/3/4 also fuse2fs or a copy by debugfs. An "unsupported" VolumeError names why none works.
 */
export async function present(device: string, part: Part, context: AttachContext): Promise<Presented> {
  const { mountPath } = context.claim;
  const doing = `showing the ${part.fileSystem} file system of ${device} at ${mountPath}`;
  const ways = [
    kernelMount(device, part, context),
    fuse2fs(device, part, context),
    debugfs(device, part, context),
  ];
  const reasons: string[] = [];
  for (const way of ways) {
    const reason = way.unable();
    if (reason) {
      reasons.push(`${way.how}: ${reason}`);
      continue;
    }
    const before = context.claim.traces.length;
    try {
      return await way.present();
    } catch (error) {
      if (context.signal?.aborted || !(error instanceof NotHere)) throw error;
      reasons.push(`${way.how}: ${error.message}`);
      context.log(`${way.how} does not work here: ${error.message}`);
      await context.claim.undo({ keep: before });
    }
  }
  throw new VolumeError("unsupported", `${doing}: ${reasons.join("; ")}`);
}

/** This way does not work on this machine; another may. Any other error speaks of the volume and is final. */
class NotHere extends Error {}

/** `mount -o ro` on a writable device lets the kernel replay the journal; without the replay fsynced files would be missing. */
export function mountOptions(fileSystem: string, access: "read" | "write"): string {
  const options = [access === "read" ? "ro" : "rw,noatime", "nodev", "nosuid", "noexec"];
  // the original may be mounted on this machine with the same UUID
  if (fileSystem === "xfs") options.push("nouuid");
  // the top of the tree: the default subvolume may show only a part of it
  if (fileSystem === "btrfs") options.push("subvolid=5");
  return options.join(",");
}

const kernelMount = (device: string, part: Part, context: AttachContext): Way => ({
  how: "loop mount",
  unable: () => (mayMount() ? undefined : "mounting needs root"),
  present: async () => {
    const { claim, access, signal } = context;
    const wholeBlockDevice = part.offset === 0 && statSync(device).isBlockDevice();
    let source = device;
    if (!wholeBlockDevice) {
      const trace: Extract<Trace, { kind: "loop" }> = { kind: "loop", file: device, offset: part.offset };
      claim.add(trace);
      try {
        const loop = await attachLoop(device, part, signal);
        Object.assign(trace, loop);
        claim.save();
        source = loop.device;
      } catch (error) {
        if (signal?.aborted) throw error;
        throw new NotHere(messageOf(error));
      }
    }
    claim.add({ kind: "mount", path: claim.mountPath });
    const args = [
      "-i",
      "-t",
      part.fileSystem,
      "-o",
      mountOptions(part.fileSystem, access),
      source,
      claim.mountPath,
    ];
    try {
      await run("mount", args, { doing: `mounting ${source} (${part.fileSystem})`, signal });
    } catch (error) {
      if (/unknown filesystem type|permission denied|must be superuser/i.test(messageOf(error))) {
        throw new NotHere(messageOf(error));
      }
      throw error;
    }
    if (openToAll(dirname(claim.mountPath))) {
      context.log(
        `other users of this machine can reach the files at ${claim.mountPath}: put the mount path into a folder of mode 0700`,
      );
    }
    return { how: wholeBlockDevice ? "mount" : "loop mount", ownersPreserved: true, inodesLast: true };
  },
});

/** A mount shows its own root's mode, so that only a folder above it can keep other users out. */
const openToAll = (folder: string): boolean =>
  (statSync(folder).mode & 0o001) !== 0 && (folder === "/" || openToAll(dirname(folder)));

/** libext2fs takes the offset of a partition behind a question mark. */
const extDevice = (device: string, part: Part): string =>
  part.offset ? `${device}?offset=${part.offset}` : device;

const onlyExt = (part: Part): string | undefined =>
  isExt(part.fileSystem) ? undefined : `it reads ext2, ext3 and ext4, not ${part.fileSystem}`;

const missing = (...tools: string[]): string | undefined => {
  const tool = tools.find(name => !findTool(name));
  return tool && `${tool} is not installed (${remedyFor(tool)})`;
};

/**
 * Replays the journal and repairs what is safe to repair (e2fsck -p). Neither fuse2fs nor debugfs replays it, and
 * `e2fsck -n` calls an image with a pending journal clean.
 */
async function replayJournal(device: string, part: Part, signal?: AbortSignal): Promise<void> {
  const doing = `replaying the journal of ${device}`;
  const target = extDevice(device, part);
  // 1: repaired, 2: repaired and a restart advised, which is for mounted file systems
  const { exitCode, stdout } = await run("e2fsck", ["-p", target], {
    doing,
    accept: [0, 1, 2, 4, 12],
    signal,
  });
  if (exitCode >= 4) {
    const said = stdout.trim().split("\n").slice(-3).join("; ").slice(0, 400);
    throw new VolumeError(
      "damaged",
      `${doing}: e2fsck exited with ${exitCode}: ${said}: content "block" reads the volume as it is`,
    );
  }
}

const fuse2fs = (device: string, part: Part, context: AttachContext): Way => ({
  how: "fuse2fs",
  unable: () => onlyExt(part) ?? missing("fuse2fs", "e2fsck") ?? whyNoFuse(),
  present: async () => {
    const { claim, access, signal } = context;
    await replayJournal(device, part, signal);
    // fakeroot: the owners of the files are shown and set as if this user were root
    const options = [access === "read" ? "ro" : "rw", "fakeroot"];
    if (part.offset) options.push(`offset=${part.offset}`);
    const args = ["-f", "-o", options.join(","), device, claim.mountPath];
    try {
      await serveMount({ tool: "fuse2fs", args, patienceSeconds: 60 }, claim.mountPath, context, {
        doing: `mounting ${device}`,
      });
    } catch (error) {
      throw new NotHere(messageOf(error));
    }
    return {
      how: "fuse2fs",
      ownersPreserved: true,
      inodesLast: true,
      ...(access === "write" ? { afterwards: () => replayJournal(device, part) } : {}),
    };
  },
});

const debugfs = (device: string, part: Part, context: AttachContext): Way => ({
  how: "debugfs copy",
  unable: () => onlyExt(part) ?? missing("debugfs", "dumpe2fs", "e2fsck", "mke2fs"),
  present: async () => {
    await replayJournal(device, part, context.signal);
    return context.access === "read" ? copyOut(device, part, context) : copyInOnClose(device, part, context);
  },
});

async function copyOut(device: string, part: Part, context: AttachContext): Promise<Presented> {
  const { claim, signal, log } = context;
  const doing = `copying the files of ${device} to ${claim.mountPath}`;
  if (/["\n]/.test(claim.mountPath)) {
    throw new VolumeError("unsupported", `${doing}: debugfs takes no path with a quote`);
  }
  const header = await superblock(device, part, signal);
  const needed = (header["Block count"] - header["Free blocks"]) * header["Block size"];
  const { bavail, bsize } = statfsSync(claim.mountPath);
  if (needed > bavail * bsize) {
    const mib = (bytes: number) => `${Math.ceil(bytes / 1024 ** 2)} MiB`;
    throw new VolumeError(
      "unsupported",
      `${doing}: it needs up to ${mib(needed)}, ${mib(bavail * bsize)} are free there: ${remedyFor("fuse2fs")}, or use content "block"`,
    );
  }
  claim.add({ kind: "copy", path: claim.mountPath });
  // debugfs exits with 0 whatever happens: any other complaint than the expected one is a file that is not there
  const complaints: string[] = [];
  await run("debugfs", ["-R", `rdump / "${claim.mountPath}"`, extDevice(device, part)], {
    doing,
    signal,
    onErrorLine: line => {
      if (/^debugfs \d/.test(line) || /Operation not permitted while changing ownership/.test(line)) return;
      if (complaints.length < 5) complaints.push(line.trim());
    },
  });
  // debugfs gave it the mode of the volume's root
  chmodSync(claim.mountPath, 0o700);
  if (complaints.length > 0) throw new VolumeError("failed", `${doing}: ${complaints.join("; ")}`);
  log(
    "debugfs copied the files: owners, setuid bits, hard links, extended attributes, devices and fifos are not kept",
  );
  return { how: "debugfs copy", ownersPreserved: false, inodesLast: false };
}

/** Restores into a plain folder, and builds the file system from it when the volume is closed. */
async function copyInOnClose(device: string, part: Part, context: AttachContext): Promise<Presented> {
  const { claim, signal, log } = context;
  const doing = `filling the file system of ${device} from ${claim.mountPath}`;
  const listed = await run("debugfs", ["-R", "ls -p /", extDevice(device, part)], { doing, signal });
  const names = [...listed.stdout.matchAll(/^\/\d+\/\d+\/\d+\/\d+\/(.*)\/\d*\/$/gm)].map(
    match => match[1] as string,
  );
  const others = names.filter(name => ![".", "..", "lost+found"].includes(name));
  if (others.length > 0) {
    throw new VolumeError(
      "unsupported",
      `${doing}: it already holds files (${others.slice(0, 3).join(", ")}), and without root and FUSE it can only be built anew`,
    );
  }
  const header = await superblock(device, part, signal);
  claim.add({ kind: "copy", path: claim.mountPath });
  log("files are restored into a folder first: they will belong to root in the volume");
  return {
    how: "mke2fs -d",
    ownersPreserved: false,
    inodesLast: false,
    finish: async () => {
      const label = header.label ? ["-L", header.label] : [];
      const options = ["root_owner=0:0", ...(part.offset ? [`offset=${part.offset}`] : [])].join(",");
      const blocks = part.offset ? [String(header["Block count"])] : [];
      const args = ["-q", "-F", "-t", part.fileSystem, "-b", String(header["Block size"])];
      if (header["Inode size"]) args.push("-I", String(header["Inode size"]));
      args.push("-U", header.uuid, ...label, "-E", options, "-d", claim.mountPath, device, ...blocks);
      await run("mke2fs", args, { doing });
    },
  };
}

interface Superblock {
  "Block count": number;
  "Free blocks": number;
  "Block size": number;
  "Inode size": number;
  uuid: string;
  label: string;
}

/** What an ext file system says of itself. */
export async function superblock(device: string, part: Part, signal?: AbortSignal): Promise<Superblock> {
  const doing = `reading the superblock of ${device}`;
  const { stdout } = await run("dumpe2fs", ["-h", extDevice(device, part)], { doing, signal });
  const text = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(stdout)?.[1]?.trim() ?? "";
  const label = text("Filesystem volume name");
  return {
    "Block count": Number(text("Block count")),
    "Free blocks": Number(text("Free blocks")),
    "Block size": Number(text("Block size")),
    "Inode size": Number(text("Inode size")),
    uuid: text("Filesystem UUID"),
    label: label === "<none>" ? "" : label,
  };
}
