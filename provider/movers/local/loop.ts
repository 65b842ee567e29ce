import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { run, waitUntil } from "./commands";
import { VolumeError } from "./errors";

/** A loop device as the kernel shows it in /sys/block. */
export interface LoopDevice {
  device: string;
  /** The file behind it, as the kernel names it. */
  file: string;
  offset: number;
  /** The kernel's count of attachments (diskseq, Linux 5.15): tells this use of the device from a later one. */
  sequence?: string;
  /** It goes by itself when its last user ends. */
  goesByItself: boolean;
}

/** The loop devices in use. */
export function loopDevices(): LoopDevice[] {
  const result: LoopDevice[] = [];
  for (const name of existsSync("/sys/block") ? readdirSync("/sys/block") : []) {
    if (!/^loop\d+$/.test(name)) continue;
    const loop = loopDevice(`/dev/${name}`);
    if (loop) result.push(loop);
  }
  return result;
}

function loopDevice(device: string): LoopDevice | undefined {
  const folder = join("/sys/block", device.slice("/dev/".length));
  const read = (attribute: string) => readFileSync(join(folder, "loop", attribute), "utf8").trim();
  try {
    return {
      device,
      file: read("backing_file").replace(/ \(deleted\)$/, ""),
      offset: Number(read("offset")),
      ...(existsSync(join(folder, "diskseq")) ? { sequence: read("../diskseq") } : {}),
      goesByItself: read("autoclear") === "1",
    };
  } catch {
    return undefined; // the folder exists only while the device is in use
  }
}

/**
 * Puts a loop device on a part of a file or device, writable: a journal can be replayed only through a writable one,
 * and `mount -o loop,ro` would make it read-only.
 */
export async function attachLoop(
  file: string,
  part: { offset: number; sizeBytes?: number | undefined },
  signal?: AbortSignal,
): Promise<{ device: string; sequence?: string }> {
  const args = ["--find", "--show"];
  if (part.offset) args.push("--offset", String(part.offset));
  if (part.sizeBytes) args.push("--sizelimit", String(part.sizeBytes));
  const { stdout } = await run("losetup", [...args, file], {
    doing: `attaching a loop device to ${file}`,
    signal,
  });
  const device = stdout.trim();
  const { sequence } = loopDevice(device) ?? {};
  return { device, ...(sequence ? { sequence } : {}) };
}

/** A loop device on a part of a file, and, once it is attached, which one. */
export interface LoopTrace {
  file: string;
  offset: number;
  device?: string;
  sequence?: string;
}

/** By its file, or by its number where the file's own mount has gone and the kernel shows no path any more. */
const isLoopOf = (trace: LoopTrace, loop: LoopDevice): boolean =>
  (loop.file === real(trace.file) && loop.offset === trace.offset) ||
  (loop.device === trace.device &&
    loop.sequence === trace.sequence &&
    (loop.sequence !== undefined || loop.file === "/"));

/**
 * Detaches the loop devices of a trace and waits until they are gone; with `lazy` those in use go when
 * their last user ends. Returns their names.
 */
export async function detachLoops(
  trace: LoopTrace,
  options: { patienceSeconds: number; lazy: boolean },
): Promise<string[]> {
  const { patienceSeconds, lazy } = options;
  const { file } = trace;
  const ours = () => loopDevices().filter(loop => isLoopOf(trace, loop));
  const found = ours();
  for (const loop of found) {
    if (loop.goesByItself) continue;
    try {
      await run("losetup", ["--detach", loop.device], { doing: `detaching ${loop.device} from ${file}` });
    } catch (error) {
      if (ours().some(({ device }) => device === loop.device)) throw error;
    }
  }
  const gone = () => ours().every(loop => lazy && loop.goesByItself);
  if (!(await waitUntil(gone, patienceSeconds))) {
    const left = ours()
      .map(loop => loop.device)
      .join(", ");
    throw new VolumeError(
      "failed",
      `detaching ${left} from ${file}: still in use after ${patienceSeconds} s`,
    );
  }
  return found.map(loop => loop.device);
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // the file is gone, the loop device may still be there
  }
}
