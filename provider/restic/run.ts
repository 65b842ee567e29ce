import { type ChildProcess, type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { ResticError } from "./errors";
import { OutputFile } from "./output-file";
import { Stillness } from "./stillness";

/** One run of the binary. */
export interface Command {
  /** absolute path */
  binary: string;
  arguments: string[];
  environment: Record<string, string>;
  cwd?: string | undefined;
  /** feeds standard input, which is closed otherwise */
  feed?: ((sink: Writable) => void) | undefined;
  /** takes standard output through a pipe as it comes; without it and onLine the output is collected */
  drain?: ((source: Readable) => Promise<unknown>) | undefined;
  /** takes each line of standard output */
  onLine?: ((line: string) => void) | undefined;
  onErrorLine?: ((line: string) => void) | undefined;
  onStarted?: ((pid: number) => void) | undefined;
  signal?: AbortSignal | undefined;
  timeoutSeconds?: number | undefined;
  /** ends it when it has done nothing for so long; without it only the deadline does */
  stillSeconds?: number | undefined;
}

/** Why a run was ended from here; "still": it did nothing any more. */
export type Stopped = "cancelled" | "timeout" | "still";

/** How a run ended. */
export interface Finished {
  /** undefined when a signal ended it */
  exitCode: number | undefined;
  stdout: string;
  /** the lines of standard error; the middle of a long one is left out */
  stderr: string[];
  /** why this process stopped it */
  stopped: Stopped | undefined;
  /** it had to be killed and may have left its lock */
  killed: boolean;
  pid: number;
}

const clearLine = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, "g");

/** A line as it reads, without what makes a terminal clear it. */
export const withoutControls = (line: string): string => line.replace(clearLine, "");

/**
 * From SIGINT to SIGKILL, in seconds; restic removes its lock in that time, but first writes what is on its way, however
 * slow the repository is. `orphanedSeconds` where nobody is left who waits: the lock of a dead process of this machine
 * is removed by the next run. Tests shorten them.
 */
export const grace = { seconds: 30, orphanedSeconds: 3 };

/** A reason to abort that leaves little time: who wanted the work is gone. */
export class NobodyWaits extends Error {
  override name = "NobodyWaits";
}

const mostErrorLines = { first: 100, last: 300 };

/**
 * Runs a command to its end, whatever its exit code. It is stopped with SIGINT, never SIGTERM (restic below 0.17 leaves
 * its lock behind on that), and is interrupted when this process dies. It has a session of its own, so that Ctrl+C in a
 * terminal reaches it only through this process.
 *
 * Its output goes to nameless files: were it a pipe, a restic that outlives this process would be ended by SIGPIPE when
 * it reports the interrupt, before it has removed its lock.
 */
export async function run(command: Command): Promise<Finished> {
  if (command.signal?.aborted)
    return { exitCode: undefined, stdout: "", stderr: [], stopped: "cancelled", killed: false, pid: 0 };
  const wrapper = await parentDeathWrapper();
  const errors = await OutputFile.open();
  const output = command.drain ? undefined : await OutputFile.open();
  try {
    const [file = command.binary, ...args] = [...wrapper, command.binary, ...command.arguments];
    const child = spawn(file, args, {
      cwd: command.cwd,
      env: command.environment,
      stdio: [command.feed ? "pipe" : "ignore", output ? output.descriptor : "pipe", errors.descriptor],
      detached: true,
    });
    const { pid } = child;
    if (pid === undefined) {
      const [error] = (await once(child, "error")) as [Error];
      throw new ResticError("not-installed", `starting ${command.binary}: ${error.message}`);
    }
    return await follow(child, pid, command, { output, errors });
  } finally {
    await errors.close();
    await output?.close();
  }
}

async function follow(
  child: ChildProcess,
  pid: number,
  command: Command,
  { output, errors }: { output: OutputFile | undefined; errors: OutputFile },
): Promise<Finished> {
  const exited = once(child, "exit") as Promise<[number | null]>;
  child.on("error", () => {});
  const callOff = watch(pid, child.stdin);
  let stopped: Finished["stopped"];
  let killed = false;
  let killTimer: NodeJS.Timeout | undefined;
  const stop = (reason: Stopped) => {
    if (stopped || child.exitCode !== null || child.signalCode !== null) return;
    stopped = reason;
    child.kill("SIGINT");
    const isHurried = command.signal?.reason instanceof NobodyWaits;
    killTimer = setTimeout(
      () => {
        killed = true;
        killGroup(pid);
      },
      (isHurried ? Math.min(grace.orphanedSeconds, grace.seconds) : grace.seconds) * 1000,
    );
  };
  const cancel = () => stop("cancelled");
  command.signal?.addEventListener("abort", cancel, { once: true });
  const { timeoutSeconds } = command;
  const deadline =
    timeoutSeconds === undefined
      ? undefined
      : setTimeout(() => stop("timeout"), Math.min(timeoutSeconds * 1000, 2 ** 31 - 1));

  const stillness = new Stillness(pid, {
    seconds: command.stillSeconds,
    outputBytes: async () => (await errors.size()) + ((await output?.size()) ?? 0),
    waitsForUs: () => {
      if (child.stdin && !child.stdin.writableEnded && child.stdin.writableLength === 0) return true;
      return child.stdout !== null && child.stdout.readableLength > 0;
    },
    onStill: () => stop("still"),
  });

  const stderr: string[] = [];
  errors.onLine(raw => {
    // restic clears the terminal's line even where there is none
    const line = withoutControls(raw);
    command.onErrorLine?.(line);
    stillness.says(line);
    if (stderr.length >= mostErrorLines.first + mostErrorLines.last) stderr.splice(mostErrorLines.first, 1);
    stderr.push(line.length > 20_000 && !line.startsWith("{") ? line.slice(0, 20_000) : line);
  });
  const { onLine } = command;
  if (onLine)
    output?.onLine(line => {
      stillness.says(line);
      onLine(line);
    });
  const drained = child.stdout ? command.drain?.(child.stdout) : undefined;
  // a failed drain is reported by whoever gave it; the run must still end
  drained?.catch(cancel);
  if (child.stdin) {
    // restic may end before it has read everything; its exit code says why
    child.stdin.on("error", () => {});
    command.feed?.(child.stdin);
  }
  command.onStarted?.(pid);

  const [code] = await exited;
  clearTimeout(deadline);
  clearTimeout(killTimer);
  stillness.end();
  command.signal?.removeEventListener("abort", cancel);
  callOff();
  await drained?.catch(() => {});
  const exitCode = code ?? undefined;
  await errors.rest();
  if (command.onLine) await output?.rest();
  return {
    exitCode,
    stdout: command.onLine || !output ? "" : await output.whole(),
    stderr,
    stopped,
    killed: killed || (exitCode === undefined && stopped === undefined),
    pid,
  };
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // it has just ended
  }
}

/**
 * A shell that waits on a pipe, which closes when this process dies, and then ends restic: by SIGINT first, as the kernel
 * does where it can, then by SIGKILL. `input`, restic's standard input, it keeps open.
 * Otherwise our death would look to restic like the end of the stream, and it would save what it has got as a whole.
 * Returns what calls the shell off.
 */
export function watch(pid: number, input: Writable | null): () => void {
  const script = `read -r line || {
    kill -INT "$0"; n=0
    while [ $n -lt ${Math.min(grace.orphanedSeconds, grace.seconds)} ] && kill -0 "$0"; do sleep 1; n=$((n+1)); done
    kill -KILL "$0"
  }`;
  const shell = spawn("/bin/sh", ["-c", script, String(pid)], {
    // an end() of ours shuts the socket down and reaches restic, whoever else holds it
    stdio: ["pipe", "ignore", "ignore", ...(input ? [input] : [])],
    detached: true,
  }) as ChildProcessByStdio<Writable, null, null>;
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
