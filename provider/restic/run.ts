import { type ChildProcess, execFile, spawn } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { ResticError } from "./errors.js";
import { LineSplitter } from "./messages.js";

/** One run of the binary. */
export interface Command {
  /** absolute path */
  binary: string;
  arguments: string[];
  environment: Record<string, string>;
  cwd?: string | undefined;
  /** feeds standard input, which is closed otherwise */
  feed?: ((sink: Writable) => void) | undefined;
  /** takes standard output as it comes; without it and onLine the output is collected */
  drain?: ((source: Readable) => Promise<unknown>) | undefined;
  /** takes each line of standard output */
  onLine?: ((line: string) => void) | undefined;
  onErrorLine?: ((line: string) => void) | undefined;
  onStarted?: ((pid: number) => void) | undefined;
  signal?: AbortSignal | undefined;
  timeoutSeconds?: number | undefined;
}

/** How a run ended. */
export interface Finished {
  /** undefined when a signal ended it */
  exitCode: number | undefined;
  stdout: string;
  /** the lines of standard error; the middle of a long one is left out */
  stderr: string[];
  /** why this process stopped it */
  stopped: "cancelled" | "timeout" | undefined;
  /** it had to be killed and may have left its lock */
  killed: boolean;
  pid: number;
}

const clearLine = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, "g");

/** From SIGINT to SIGKILL; restic removes its lock in that time. Tests shorten it. */
export const grace = { seconds: 30 };

const mostErrorLines = { first: 100, last: 300 };

/** The pids of ended restic processes of ours: a lock that names one is certainly abandoned. */
export const endedChildren = new Set<number>();

/**
 * Runs a command to its end, whatever its exit code. It is stopped with SIGINT, never SIGTERM (restic below 0.17 leaves
 * its lock behind on that), and dies with this process. It has a session of its own, so that Ctrl+C in a terminal
 * reaches it only through this process.
 */
export async function run(command: Command): Promise<Finished> {
  if (command.signal?.aborted)
    return { exitCode: undefined, stdout: "", stderr: [], stopped: "cancelled", killed: false, pid: 0 };
  const wrapper = await parentDeathWrapper();
  const [file = command.binary, ...args] = [...wrapper, command.binary, ...command.arguments];
  const child = spawn(file, args, {
    cwd: command.cwd,
    env: command.environment,
    stdio: [command.feed ? "pipe" : "ignore", "pipe", "pipe"],
    detached: true,
  });
  return new Promise((resolvePromise, reject) => {
    child.once("error", error => {
      if (child.pid === undefined)
        reject(new ResticError("not-installed", `starting ${command.binary}: ${error.message}`));
    });
    if (child.pid !== undefined)
      follow(child, child.pid, command, wrapper.length > 0).then(resolvePromise, reject);
  });
}

async function follow(
  child: ChildProcess,
  pid: number,
  command: Command,
  diesWithUs: boolean,
): Promise<Finished> {
  const watchdog = diesWithUs ? undefined : watch(pid);
  let stopped: Finished["stopped"];
  let killed = false;
  let killTimer: NodeJS.Timeout | undefined;
  const stop = (reason: "cancelled" | "timeout") => {
    if (stopped || child.exitCode !== null || child.signalCode !== null) return;
    stopped = reason;
    child.kill("SIGINT");
    killTimer = setTimeout(() => {
      killed = true;
      killGroup(pid);
    }, grace.seconds * 1000);
  };
  const cancel = () => stop("cancelled");
  command.signal?.addEventListener("abort", cancel, { once: true });
  const { timeoutSeconds } = command;
  const deadline =
    timeoutSeconds === undefined
      ? undefined
      : setTimeout(() => stop("timeout"), Math.min(timeoutSeconds * 1000, 2 ** 31 - 1));

  const stdout: Buffer[] = [];
  const stderr: string[] = [];
  const [, out, err] = child.stdio as unknown as [Writable | null, Readable, Readable];
  const drained = command.drain?.(out);
  // a failed drain is reported by whoever gave it; the run must still end
  drained?.catch(cancel);
  if (command.onLine) splitLines(out, command.onLine);
  else if (!command.drain) out.on("data", (chunk: Buffer) => stdout.push(chunk));
  splitLines(err, raw => {
    // restic clears the terminal's line even where there is none
    const line = raw.replace(clearLine, "");
    command.onErrorLine?.(line);
    if (stderr.length >= mostErrorLines.first + mostErrorLines.last) stderr.splice(mostErrorLines.first, 1);
    stderr.push(line.length > 20_000 && !line.startsWith("{") ? line.slice(0, 20_000) : line);
  });
  if (child.stdin) {
    // restic may end before it has read everything; its exit code says why
    child.stdin.on("error", () => {});
    command.feed?.(child.stdin);
  }
  command.onStarted?.(pid);

  const exitCode = await ended(child, command.drain ? [err] : [out, err]);
  endedChildren.add(pid);
  clearTimeout(deadline);
  clearTimeout(killTimer);
  command.signal?.removeEventListener("abort", cancel);
  watchdog?.();
  await drained?.catch(() => {});
  return {
    exitCode,
    stdout: Buffer.concat(stdout).toString("utf8"),
    stderr,
    stopped,
    killed: killed || (exitCode === undefined && stopped === undefined),
    pid,
  };
}

/** Waits for the end of the process and its output; a grandchild (rclone, ssh) may keep the pipes open for ever. */
function ended(child: ChildProcess, pipes: Readable[]): Promise<number | undefined> {
  return new Promise(resolvePromise => {
    let late: NodeJS.Timeout | undefined;
    child.once("exit", () => {
      late = setTimeout(() => {
        for (const pipe of pipes) pipe.destroy();
      }, 10_000);
    });
    child.once("close", code => {
      clearTimeout(late);
      resolvePromise(code ?? undefined);
    });
  });
}

function splitLines(source: Readable, onLine: (line: string) => void): void {
  const splitter = new LineSplitter(onLine);
  source.on("data", (chunk: Buffer) => splitter.write(chunk));
  source.once("end", () => splitter.end());
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // it has just ended
  }
}

/**
 * Where setpriv cannot set the parent's-death signal, a shell that waits on a pipe does it: the pipe closes when this
 * process dies. Returns what calls the shell off.
 */
export function watch(pid: number): () => void {
  const script = 'read -r line || kill -INT "$0"';
  const shell = spawn("/bin/sh", ["-c", script, String(pid)], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  shell.on("error", () => {});
  shell.stdin.on("error", () => {});
  shell.unref();
  return () => shell.stdin.end("done\n");
}

let wrapping: Promise<string[]> | undefined;

/** The words before the binary that make the kernel send it SIGINT when this process dies; none where not possible. */
export function parentDeathWrapper(): Promise<string[]> {
  wrapping ??= (async () => {
    const setpriv = await findBinary("setpriv").catch(() => undefined);
    if (setpriv === undefined) return [];
    const words = [setpriv, "--pdeathsig", "INT", "--"];
    const works = await new Promise<boolean>(resolvePromise => {
      execFile(setpriv, [...words.slice(1), "true"], error => resolvePromise(error === null));
    });
    return works ? words : [];
  })();
  return wrapping;
}

/** The absolute path of a program; looks in PATH unless the name has a slash. Throws "not-installed". */
export async function findBinary(name: string): Promise<string> {
  const candidates = name.includes("/")
    ? [resolve(name)]
    : (process.env.PATH ?? "")
        .split(delimiter)
        .filter(Boolean)
        .map(directory => join(directory, name));
  for (const candidate of candidates) {
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // try the next
    }
  }
  throw new ResticError(
    "not-installed",
    `looking for ${name}: not found in PATH; install it or give its path`,
  );
}
