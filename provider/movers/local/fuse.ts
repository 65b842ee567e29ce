import { accessSync, constants, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CommandOptions, firstTool, startDaemon, throwIfAborted, waitUntil } from "./commands";
import type { AttachContext } from "./connection";
import { VolumeError } from "./errors";
import { isFuse, mountAt } from "./mounts";
import { identify } from "./processes";
import type { Trace } from "./traces";

/** Why FUSE does not work for this user, or undefined if it looks as if it did. */
export function whyNoFuse(): string | undefined {
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
  } catch {
    return "/dev/fuse is missing or not open to this user";
  }
  return firstTool("fusermount3", "fusermount") ? undefined : "fusermount3 is not installed";
}

/**
 * Starts a program that serves a FUSE mount at `path` and waits until the mount is there. Both are noted in the
 * claim first. `patienceSeconds`: how long the program may take to end by itself after the unmount; libfuse takes its
 * signal handlers off before it writes back, so that a SIGTERM in this time would lose data.
 */
export async function serveMount(
  program: { tool: string; args: readonly string[]; patienceSeconds: number },
  path: string,
  context: AttachContext,
  options: CommandOptions,
): Promise<void> {
  const { tool, args, patienceSeconds } = program;
  const trace: Extract<Trace, { kind: "daemon" }> = { kind: "daemon", tool };
  context.claim.add(trace);
  context.claim.add({ kind: "mount", path });
  const daemon = await startDaemon(tool, args, { ...options, signal: context.signal });
  const identity = identify(daemon.pid);
  if (identity) trace.process = identity;
  context.claim.save();
  const mounted = () => {
    const mount = mountAt(path);
    return mount !== undefined && isFuse(mount);
  };
  await waitUntil(() => mounted() || daemon.exited(), 60, context.signal);
  throwIfAborted(context.signal, options.doing);
  if (!mounted() || daemon.exited()) {
    // its last words may still be on the way
    await waitUntil(() => daemon.said() !== "", 0.2);
    const said = daemon.said();
    const how = daemon.exited() ? "ended" : "mounted nothing within 60 s: is the storage reachable?";
    throw new VolumeError("failed", `${options.doing}: ${tool} ${how}${said ? `: ${said}` : ""}`);
  }
  // only now it has something to write when it ends
  trace.patienceSeconds = patienceSeconds;
  context.claim.save();
}

/** A folder of this user only, noted in the claim. */
export function privateFolder(context: AttachContext): string {
  const path = mkdtempSync(join(tmpdir(), "osbackup-volume-"));
  context.claim.add({ kind: "folder", path });
  return path;
}

/**
 * Serves an image as a raw, writable file by qemu-storage-daemon's FUSE export; returns the file. Writable, because a
 * journal can be replayed only on a writable device. `image` is a BlockdevOptions object of QEMU's QMP reference.
 */
export async function exportImage(
  image: Record<string, unknown>,
  name: string,
  context: AttachContext,
): Promise<string> {
  const doing = `exporting ${name}`;
  const reason = whyNoFuse();
  if (reason) throw new VolumeError("unsupported", `${doing}: ${reason}`);
  const file = join(privateFolder(context), "volume");
  writeFileSync(file, "", { mode: 0o600 });
  await serveMount(
    { tool: "qemu-storage-daemon", args: exportArguments(image, file), patienceSeconds: 0 },
    file,
    context,
    { doing },
  );
  return file;
}

/** JSON, so that no character of a name is taken for a separator. */
export function exportArguments(image: Record<string, unknown>, file: string): string[] {
  return [
    "--blockdev",
    JSON.stringify({ ...image, "node-name": "volume", "read-only": false }),
    "--export",
    JSON.stringify({
      type: "fuse",
      id: "volume",
      "node-name": "volume",
      mountpoint: file,
      writable: true,
      growable: false,
    }),
  ];
}
