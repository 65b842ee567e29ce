import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  unlinkSync,
} from "node:fs";
import { basename, join } from "node:path";
import { run, waitUntil } from "./commands";
import { VolumeError } from "./errors";
import { detachLoops, type LoopTrace, loopDevices } from "./loop";
import { mountAt, unmount } from "./mounts";
import { endProcess, type ProcessIdentity } from "./processes";

/** One thing that opening a volume leaves on this machine until it is undone. */
export type Trace =
  /** A mount of the kernel or of FUSE at exactly this path. */
  | { kind: "mount"; path: string }
  | ({ kind: "loop" } & LoopTrace)
  /** A loop device of which only the name is known. */
  | { kind: "loopDevice"; device: string }
  /**
   * A process that serves a mount. `patienceSeconds`: how long it may take to end by itself once unmounted; absent
   * until it has mounted.
   */
  | { kind: "daemon"; tool: string; process?: ProcessIdentity; patienceSeconds?: number }
  /** Files copied out of a volume, or to be copied into one, in this folder; the folder itself stays. */
  | { kind: "copy"; path: string }
  /** A private temporary folder. */
  | { kind: "folder"; path: string }
  /** An RBD image mapped by the kernel. `spec` is pool/[namespace/]image. */
  | { kind: "rbd"; spec: string };

/** How long something in use is waited for before it is given up. */
const patienceSeconds = 10;

/** The same for what a dead owner left, which is then detached although in use. */
const lazyPatienceSeconds = 1;

/**
 * Undoes one trace and waits until it is gone. Does nothing where nothing is left. Returns what it did, for the log;
 * throws if it is still there.
 */
export async function undo(trace: Trace, options: { lazy: boolean }): Promise<string | undefined> {
  switch (trace.kind) {
    case "mount":
      return (await unmount(trace.path, {
        patienceSeconds: options.lazy ? lazyPatienceSeconds : patienceSeconds,
        lazy: options.lazy,
      }))
        ? `unmounted ${trace.path}`
        : undefined;
    case "loop": {
      const devices = await detachLoops(trace, { patienceSeconds, lazy: options.lazy });
      return devices.length > 0 ? `detached ${devices.join(", ")} from ${trace.file}` : undefined;
    }
    case "loopDevice": {
      const loop = loopDevices().find(({ device }) => device === trace.device);
      return loop && undo({ kind: "loop", ...loop }, options);
    }
    case "daemon":
      if (!trace.process) return undefined;
      return (await endProcess(trace.process, trace.tool, {
        patienceSeconds: trace.patienceSeconds ?? 0,
        // without a mount it has nothing to write, and may be deaf while it connects
        killAfterSeconds: trace.patienceSeconds === undefined ? 1 : 30,
      }))
        ? `ended ${trace.tool} (process ${trace.process.pid})`
        : undefined;
    case "copy":
      return empty(trace.path) ? `removed the copied files in ${trace.path}` : undefined;
    case "folder": {
      const there = existsSync(trace.path);
      rmSync(trace.path, { recursive: true, force: true });
      return there ? `removed ${trace.path}` : undefined;
    }
    case "rbd":
      return unmapRbd(trace.spec);
  }
}

/** Deletes what is in a folder. Folders copied out of a volume may be write-protected even for their owner. */
function empty(folder: string): boolean {
  if (mountAt(folder)) {
    throw new VolumeError("failed", `removing the copied files in ${folder}: something is mounted there`);
  }
  if (!existsSync(folder)) return false;
  // names may be no UTF-8: kept as bytes
  const names = readdirSync(folder, { encoding: "buffer" });
  for (const name of names) removeTree(below(Buffer.from(folder), name));
  return names.length > 0;
}

function removeTree(path: Buffer): void {
  if (!lstatSync(path).isDirectory()) {
    unlinkSync(path);
    return;
  }
  chmodSync(path, 0o700);
  for (const name of readdirSync(path, { encoding: "buffer" })) removeTree(below(path, name));
  rmdirSync(path);
}

const below = (folder: Buffer, name: Buffer): Buffer => Buffer.concat([folder, Buffer.from("/"), name]);

/** The kernel's device of an RBD image, if it is mapped (the kernel's sysfs-bus-rbd). */
export function mappedRbd(spec: string): string | undefined {
  const folder = "/sys/bus/rbd/devices";
  if (!existsSync(folder)) return undefined;
  for (const id of readdirSync(folder)) {
    const read = (name: string) => {
      const path = join(folder, id, name);
      return existsSync(path) ? readFileSync(path, "utf8").trim() : "";
    };
    const parts = [read("pool"), read("pool_ns"), read("name")].filter(Boolean);
    if (parts.join("/") === spec && ["-", ""].includes(read("current_snap")))
      return `/dev/rbd${basename(id)}`;
  }
  return undefined;
}

async function unmapRbd(spec: string): Promise<string | undefined> {
  const device = mappedRbd(spec);
  if (!device) return undefined;
  await run("rbd", ["unmap", device], { doing: `unmapping ${device} (${spec})` });
  if (!(await waitUntil(() => mappedRbd(spec) === undefined, patienceSeconds))) {
    throw new VolumeError("failed", `unmapping ${device} (${spec}): still mapped after ${patienceSeconds} s`);
  }
  return `unmapped ${device} (${spec})`;
}
