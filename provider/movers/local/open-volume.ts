import type { Readable } from "node:stream";
import { attach } from "./attach";
import { type Claim, claimMountPath, makeMountFolder } from "./claim";
import { cleanUp } from "./clean-up";
import { throwIfAborted } from "./commands";
import type { AttachContext, Connection, Device } from "./connection";
import { deviceSize, readDevice, requireWritable, syncDevice } from "./device";
import { messageOf, VolumeError } from "./errors";
import {
  choosePart,
  type FileSystemIdentity,
  isExt,
  makeFileSystem,
  type NewFileSystem,
  type Part,
  probe,
} from "./file-system";
import { type Presented, present, superblock } from "./present";

export interface OpenVolume {
  connection: Connection;
  /** An absolute path, the same in every run of a backup set: restic finds its parent snapshot by it. */
  mountPath: string;
  /** "write" is for restores: files may be created, and `close` throws unless they have reached the device. */
  access: "read" | "write";
  /**
   * "file" shows files or throws; "block" only the device; "auto" (default) files where there is exactly one file
   * system that can be read here, else the device.
   */
  content?: "auto" | "file" | "block";
  /** The partition to read, by its number in the partition table. */
  partition?: number;
  /** With access "write": the file system to make first, on an empty volume. */
  makeFileSystem?: { type: NewFileSystem } & FileSystemIdentity;
  log?: (line: string) => void;
  signal?: AbortSignal | undefined;
  /** For opening, in seconds; default 1800, because a journal replay or a copy of a large volume takes its time. */
  timeoutSeconds?: number;
}

/** A volume whose files, or whose bytes, can be read and written here. */
export type OpenedVolume = Opened & (FileSource | DeviceSource);

/** The files of one file system. */
export interface FileSource {
  kind: "fileSystem";
  /** where they are: the mount path */
  directory: string;
  /** as blkid names it */
  fileSystem: string;
  /** of a file system that is read; what could not be found out is absent */
  identity?: FileSystemIdentity | undefined;
  /** whether the files there show, and take, the owners that they have in the volume */
  ownersPreserved: boolean;
  /** false for a copy, whose files have new inodes and times of change in every run */
  inodesLast: boolean;
}

/** The bytes of the device, whatever is in them. */
export interface DeviceSource {
  kind: "block";
  directory?: undefined;
  fileSystem?: undefined;
  ownersPreserved: true;
}

interface Opened {
  /** For people: "nfs file, loop mount". */
  how: string;
  device: {
    path: string;
    sizeBytes: number;
    /** All bytes of the device; the stream fails if there are fewer than `sizeBytes`. */
    open(): Readable;
  };
  /**
   * Undoes everything in the right order and waits until it is gone; with access "write" it also makes sure that
   * all data has reached the device. Throws what is left or lost; calling it again tries to remove what is left.
   */
  close(): Promise<void>;
}

/**
 * Shows the files (or the bytes) of an attached volume on this machine. The volume must be a disposable copy and
 * attached read-write: its journal is replayed. What a killed run left at the mount path is undone first. A failure
 * leaves nothing behind. Throws VolumeError.
 */
export async function openVolume(request: OpenVolume): Promise<OpenedVolume> {
  const log = request.log ?? (() => {});
  const signal = deadline(request);
  throwIfAborted(signal, `opening a volume at ${request.mountPath}`);
  const { claim, cleaned } = await claimMountPath(request.mountPath);
  for (const line of cleaned) log(`left by an earlier run: ${line}`);
  try {
    makeMountFolder(claim.mountPath);
    const context: AttachContext = { claim, access: request.access, log, signal };
    const device = await attach(request.connection, context);
    const attached = claim.traces.length;
    const part = await choose(request, device, context);
    if (part === "block") return await opened(request, claim, device, attached);
    const presented = await presentOrBlock(request, device, part, context);
    return await opened(request, claim, device, attached, part, presented);
  } catch (error) {
    try {
      await claim.undo();
    } catch (second) {
      log(`left for the next run to clean up: ${messageOf(second)}`);
    }
    claim.release();
    throw error;
  }
}

function deadline({ signal, timeoutSeconds = 1800 }: OpenVolume): AbortSignal {
  const timeout = AbortSignal.timeout(timeoutSeconds * 1000);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}

async function choose(request: OpenVolume, device: Device, context: AttachContext): Promise<Part | "block"> {
  const { content = "auto", access } = request;
  const { signal } = context;
  if (content === "block") {
    if (access === "write") await requireWritable(device.path, "attach the volume read-write");
    return "block";
  }
  if (access === "write" && request.makeFileSystem) {
    const { type, ...identity } = request.makeFileSystem;
    await makeFileSystem(device.path, type, { ...identity, signal });
  }
  const chosen = await lookInside(device.path, request, content, signal);
  if (typeof chosen === "string") {
    if (content === "auto" && access === "read") {
      context.log(`${device.path} is read as a block device: ${chosen}`);
      return "block";
    }
    const remedy = access === "write" ? "give makeFileSystem" : 'set content to "block"';
    throw new VolumeError("unsupported", `opening the files of ${device.path}: ${chosen}: ${remedy}`);
  }
  await requireWritable(
    device.path,
    'its journal must be replayed: attach the temporary volume read-write, or set content to "block"',
  );
  return chosen;
}

/** In "auto" a missing program is a reason to read the device; only a partition asked for must be found. */
async function lookInside(
  device: string,
  { partition }: OpenVolume,
  content: "auto" | "file",
  signal: AbortSignal | undefined,
): Promise<Part | string> {
  try {
    return choosePart(device, await probe(device, signal), content, partition);
  } catch (error) {
    const tolerable = content === "auto" && partition === undefined;
    if (!(error instanceof VolumeError && error.kind === "missing-tool" && tolerable)) throw error;
    return error.message;
  }
}

async function identityOf(device: Device, part: Part, { signal }: OpenVolume): Promise<FileSystemIdentity> {
  const { uuid, label } = part;
  if (!isExt(part.fileSystem)) return { uuid, label };
  const header = await superblock(device.path, part, signal).catch(() => undefined);
  return { uuid, label, blockSize: header?.["Block size"], inodeSize: header?.["Inode size"] };
}

async function presentOrBlock(
  request: OpenVolume,
  device: Device,
  part: Part,
  context: AttachContext,
): Promise<Presented | undefined> {
  const attached = context.claim.traces.length;
  try {
    return await present(device.path, part, context);
  } catch (error) {
    const { content = "auto", access, partition } = request;
    const mayFallBack = content === "auto" && access === "read" && partition === undefined;
    if (!(error instanceof VolumeError && error.kind === "unsupported" && mayFallBack)) throw error;
    context.log(`${device.path} is read as a block device: ${error.message}`);
    await context.claim.undo({ keep: attached });
    return undefined;
  }
}

/** `attached` is the number of traces that attaching made: the device is there until they are undone. */
async function opened(
  request: OpenVolume,
  claim: Claim,
  device: Device,
  attached: number,
  part?: Part,
  presented?: Presented,
): Promise<OpenedVolume> {
  const sizeBytes = await deviceSize(device.path);
  let state: "open" | "failed" | "closed" = "open";

  async function close(): Promise<void> {
    if (state === "closed") return;
    if (state === "failed") {
      await cleanUp(claim.mountPath);
      state = "closed";
      return;
    }
    state = "failed";
    const failures: unknown[] = [];
    const attempt = async (step: () => Promise<unknown> | undefined) => {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    };
    await attempt(() => presented?.finish?.());
    await attempt(() => claim.undo({ keep: attached }));
    if (failures.length === 0) await attempt(() => presented?.afterwards?.());
    if (request.access === "write") await attempt(() => syncDevice(device.path));
    if (claim.traces.length <= attached) await attempt(() => claim.undo());
    claim.release();
    if (claim.traces.length === 0) state = "closed";
    for (const also of failures.slice(1)) request.log?.(messageOf(also));
    if (failures.length > 0) throw failures[0];
  }

  const source: FileSource | DeviceSource =
    presented && part
      ? {
          kind: "fileSystem",
          directory: claim.mountPath,
          fileSystem: part.fileSystem,
          ownersPreserved: presented.ownersPreserved,
          inodesLast: presented.inodesLast,
          ...(request.access === "read" ? { identity: await identityOf(device, part, request) } : {}),
        }
      : { kind: "block", ownersPreserved: true };
  return {
    ...source,
    how: [device.how, presented?.how ?? "block device"].join(", "),
    device: { path: device.path, sizeBytes, open: () => readDevice(device.path, sizeBytes) },
    close,
  };
}
