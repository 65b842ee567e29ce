import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, realpathSync, statSync } from "node:fs";
import { basename, delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { VolumeError } from "./errors";

/** An ordinary user's PATH often lacks the sbin folders, and losetup, blkid and e2fsck live there. */
const systemFolders = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"];

/** The Debian package of each program that is not in a package of its own name. */
const packages: Record<string, string> = {
  blkid: "util-linux",
  debugfs: "e2fsprogs",
  dumpe2fs: "e2fsprogs",
  e2fsck: "e2fsprogs",
  fusermount3: "fuse3",
  getfattr: "attr",
  losetup: "mount",
  mke2fs: "e2fsprogs",
  "mkfs.xfs": "xfsprogs",
  "qemu-storage-daemon": "qemu-system-common qemu-block-extra",
  rbd: "ceph-common",
  sfdisk: "fdisk",
  umount: "mount",
};

/** What to do when a program is missing, for people. */
export const remedyFor = (tool: string): string =>
  `\`npm run setup\` or \`apt-get install ${packages[tool] ?? tool}\``;

const searchPath = (): string[] => [
  ...new Set([...(process.env.PATH ?? "").split(delimiter).filter(Boolean), ...systemFolders]),
];

/** The full path of a program, looked for in PATH and then in the system's sbin and bin folders; not busybox's. */
export function findTool(name: string): string | undefined {
  for (const folder of searchPath()) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      // busybox's versions lack what is asked of them here (blkid --probe, losetup --sizelimit, setpriv --pdeathsig)
      if (statSync(path).isFile() && basename(realpathSync(path)) !== "busybox") return path;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}

/** The first of several programs that is installed. */
export const firstTool = (...names: string[]): string | undefined => names.find(name => findTool(name));

function requireTool(name: string, doing: string): string {
  const path = findTool(name);
  if (path) return path;
  throw new VolumeError("missing-tool", `${doing}: ${name} is not installed: ${remedyFor(name)}`);
}

/** Only what the programs need: the passwords in this process's environment are none of their business. */
function environment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const result: NodeJS.ProcessEnv = { PATH: searchPath().join(delimiter), LC_ALL: "C" };
  for (const name of ["HOME", "TMPDIR", "CEPH_CONF", "CEPH_ARGS", "CEPH_KEYRING", "LD_LIBRARY_PATH"]) {
    if (process.env[name] !== undefined) result[name] = process.env[name];
  }
  return { ...result, ...extra };
}

export interface CommandOptions {
  /** Begins every error message: "mounting /dev/loop0 at /x". */
  doing: string;
  signal?: AbortSignal | undefined;
  /** Exit codes that are no error; default only 0. */
  accept?: readonly number[];
  /** Takes each line of standard error instead of collecting it, for programs that may print one per file. */
  onErrorLine?: (line: string) => void;
  environment?: Record<string, string>;
}

export interface CommandOutput {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end; throws when its exit code is not accepted. Aborting ends it with SIGTERM, then SIGKILL. */
export async function run(
  tool: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandOutput> {
  const { doing, signal, accept = [0] } = options;
  const path = requireTool(tool, doing);
  throwIfAborted(signal, doing);
  const child = spawn(path, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: environment(options.environment),
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  if (options.onErrorLine) createInterface({ input: child.stderr }).on("line", options.onErrorLine);
  else
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });

  let killTimer: NodeJS.Timeout | undefined;
  const stop = () => {
    child.kill("SIGTERM");
    killTimer = setTimeout(() => child.kill("SIGKILL"), 5000);
  };
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const [code, killedBy] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (...exit) => resolve(exit));
    });
    throwIfAborted(signal, doing);
    const exitCode = code ?? -1;
    if (!accept.includes(exitCode)) {
      const how = killedBy ? `was ended by ${killedBy}` : `exited with ${exitCode}`;
      const said = firstLines(stderr.trim() || stdout.trim());
      throw new VolumeError("failed", `${doing}: ${tool} ${how}${said ? `: ${said}` : ""}`);
    }
    return { exitCode, stdout, stderr };
  } finally {
    clearTimeout(killTimer);
    signal?.removeEventListener("abort", stop);
  }
}

/** A program that keeps running beside this one. */
export interface Daemon {
  readonly tool: string;
  readonly pid: number;
  /** What it printed on standard error so far, shortened. */
  said(): string;
  exited(): boolean;
}

/**
 * Starts a program that serves a mount. It ends with this process (where setpriv is installed), so that a kill of
 * this process leaves no volume in use; it does not get the terminal's Ctrl-C, which is for an orderly close.
 */
export function startDaemon(tool: string, args: readonly string[], options: CommandOptions): Promise<Daemon> {
  const path = requireTool(tool, options.doing);
  throwIfAborted(options.signal, options.doing);
  const setpriv = findTool("setpriv");
  const [file, all] = setpriv ? [setpriv, ["--pdeathsig", "TERM", path, ...args]] : [path, [...args]];
  const child = spawn(file, all, {
    stdio: ["ignore", "ignore", "pipe"],
    env: environment(options.environment),
    detached: true,
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    if (stderr.length < 4000) stderr += text;
  });
  // a caller that forgets to close must still be able to exit
  child.unref();
  (child.stderr as unknown as { unref?: () => void }).unref?.();
  return new Promise((resolve, reject) => {
    child.once("error", cause =>
      reject(new VolumeError("failed", `${options.doing}: starting ${tool}: ${cause.message}`, { cause })),
    );
    child.once("spawn", () => resolve(daemonOf(tool, child, () => firstLines(stderr.trim()))));
  });
}

const daemonOf = (tool: string, child: ChildProcess, said: () => string): Daemon => ({
  tool,
  pid: child.pid ?? -1,
  said,
  exited: () => child.exitCode !== null || child.signalCode !== null,
});

/** Waits until `condition` holds; false after `seconds`. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  seconds: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const end = Date.now() + seconds * 1000;
  for (let pause = 5; ; pause = Math.min(pause * 2, 200)) {
    if (await condition()) return true;
    if (Date.now() >= end || signal?.aborted) return false;
    await new Promise(resolve => setTimeout(resolve, pause));
  }
}

export function throwIfAborted(signal: AbortSignal | undefined, doing: string): void {
  if (!signal?.aborted) return;
  const late = (signal.reason as { name?: string } | undefined)?.name === "TimeoutError";
  throw new VolumeError("cancelled", `${doing}: ${late ? "not done within timeoutSeconds" : "cancelled"}`, {
    cause: signal.reason,
  });
}

const firstLines = (text: string): string =>
  text
    .split("\n")
    .map(line => line.trim())
    .filter(Boolean)
    .slice(0, 4)
    .join("; ")
    .slice(0, 600);
