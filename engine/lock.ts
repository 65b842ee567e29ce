import { randomUUID } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { dirname } from "node:path";

/** Who holds a stack. */
export interface LockHolder {
  pid: number;
  host: string;
  user: string;
  /** ISO 8601, UTC. */
  since: string;
}

/** Another run holds the stack. */
export class StackLockedError extends Error {
  constructor(
    stack: string,
    path: string,
    readonly holder: LockHolder,
  ) {
    super(
      `locking stack "${stack}": process ${holder.pid} of ${holder.user} on ${holder.host} holds it since ${holder.since}; ` +
        `if that process is gone, remove ${path}`,
    );
    this.name = "StackLockedError";
  }
}

/**
 * Takes the stack's lock file and returns the function that gives it back. Throws StackLockedError while another
 * run holds it; the lock of a dead process of this host is taken over, and `warn` is told.
 */
export function lockStack(path: string, stack: string, warn: (line: string) => void): () => void {
  mkdirSync(dirname(path), { recursive: true });
  const mine: LockHolder = {
    pid: process.pid,
    host: hostname(),
    user: userName(),
    since: new Date().toISOString(),
  };
  for (let attempt = 0; attempt < 3; attempt++) {
    if (create(path, mine)) {
      return () => {
        removeLock(path, mine);
      };
    }
    const holder = read(path);
    if (!holder) continue;
    if (holder.host !== mine.host || isAlive(holder.pid)) throw new StackLockedError(stack, path, holder);
    if (!removeLock(path, holder)) continue;
    warn(
      `taking over the lock of stack "${stack}": process ${holder.pid} of ${holder.user}, which held it since ${holder.since}, is gone`,
    );
  }
  throw new Error(`locking stack "${stack}": ${path} keeps changing`);
}

/** Makes the lock file, complete at once; false when there is one. */
function create(path: string, holder: LockHolder): boolean {
  const draft = `${path}.${randomUUID()}`;
  writeFileSync(draft, `${JSON.stringify(holder)}\n`, { mode: 0o600 });
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft);
  }
}

/** Removes the lock if it is still this holder's: another process may have taken it over in the meantime. */
function removeLock(path: string, holder: LockHolder): boolean {
  const aside = `${path}.${randomUUID()}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
  const removed = read(aside);
  const same = removed?.pid === holder.pid && removed.since === holder.since;
  if (!same) linkSync(aside, path);
  rmSync(aside);
  return same;
}

/** The holder that the file names; undefined when there is no file. A file that is no lock belongs to nobody. */
function read(path: string): LockHolder | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as LockHolder;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    if (error instanceof SyntaxError) return { pid: 0, host: hostname(), user: "unknown", since: "unknown" };
    throw error;
  }
}

function isAlive(pid: number): boolean {
  if (pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? "unknown");
  }
}
