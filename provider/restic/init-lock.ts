import { randomUUID } from "node:crypto";
import { link, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { processStat } from "../base/process-stat";
import type { ResolvedAccess } from "./access";
import { ResticError } from "./errors";

interface Holder {
  token: string;
  pid: number;
  hostname: string;
  /** ticks since boot at which the process started, where the system tells; proof against a reused pid */
  started: string;
}

/** An init takes seconds; a lock of another machine this old was left behind. */
const abandonedMilliseconds = 30 * 60_000;

/** The file that says "this repository is being initialised": beside a local one, else where all processes look. */
export function initLockPath(access: ResolvedAccess): string {
  return access.localPath === undefined
    ? join(tmpdir(), `osbackup-init-${access.key}`)
    : join(dirname(access.localPath), `.${basename(access.localPath)}.osbackup-init`);
}

/**
 * Runs `task` while no other process on this machine (or, for a local repository, on its file system) does. Two restic
 * inits at once both succeed and leave a repository that nothing can open.
 */
export async function withInitLock<T>(
  access: ResolvedAccess,
  waitSeconds: number,
  signal: AbortSignal | undefined,
  task: () => Promise<T>,
): Promise<T> {
  const path = initLockPath(access);
  const holder: Holder = {
    token: randomUUID(),
    pid: process.pid,
    hostname: hostname(),
    started: startOf(process.pid),
  };
  const own = `${path}.${holder.token}`;
  const until = Date.now() + waitSeconds * 1000;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(own, JSON.stringify(holder), { flag: "wx" });
  } catch (error) {
    throw new ResticError("access-denied", `initialising ${access.shownUrl}: ${(error as Error).message}`);
  }
  try {
    for (;;) {
      if (await take(own, path)) {
        // whoever breaks an abandoned lock looks twice, too; see breakAbandoned
        await sleep(50);
        if ((await holderAt(path))?.token === holder.token) break;
      }
      const other = await holderAt(path);
      if (other && (await isAbandoned(other, path))) await breakAbandoned(path, other);
      if (Date.now() >= until)
        throw new ResticError(
          "locked",
          `initialising ${access.shownUrl}: another process does so (${path}, PID ${other?.pid} on ${other?.hostname}); waited ${waitSeconds} s`,
        );
      try {
        await sleep(100, undefined, { signal });
      } catch {
        throw new ResticError("cancelled", `initialising ${access.shownUrl}: cancelled`);
      }
    }
    try {
      return await task();
    } finally {
      if ((await holderAt(path))?.token === holder.token) await rm(path, { force: true });
    }
  } finally {
    await rm(own, { force: true });
  }
}

/** A link is made by one process only, and its content is whole from the start. */
async function take(own: string, path: string): Promise<boolean> {
  try {
    await link(own, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw new ResticError("access-denied", `taking ${path}: ${(error as Error).message}`);
  }
}

async function holderAt(path: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Holder;
  } catch {
    return undefined;
  }
}

async function isAbandoned(holder: Holder, path: string): Promise<boolean> {
  if (holder.hostname === hostname()) {
    if (!exists(holder.pid)) return true;
    const started = startOf(holder.pid);
    return started !== "" && holder.started !== "" && started !== holder.started;
  }
  const age = await stat(path).then(
    found => Date.now() - found.mtimeMs,
    () => 0,
  );
  return age > abandonedMilliseconds;
}

/** Moves the lock away first: if it was meanwhile taken by a live process, that one's is put back. */
async function breakAbandoned(path: string, holder: Holder): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  if ((await holderAt(aside))?.token !== holder.token) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function startOf(pid: number): string {
  return processStat(pid)?.[19] ?? "";
}
