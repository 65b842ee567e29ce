import { execFileSync } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/** Who holds a lock of a repository. */
export interface LockOwner {
  /** full or short id of the lock */
  id: string;
  hostname: string;
  pid: number;
  username: string;
  exclusive: boolean;
  /** when it was made or last refreshed; restic refreshes every 5 minutes */
  time: Date;
}

/** restic itself holds a lock for abandoned at this age. */
const staleSeconds = 30 * 60;

/** A live owner refreshes its lock every 5 minutes; this allows for a slow repository. */
const refreshedSeconds = 7 * 60;

/** Reads the owner out of "repository is already locked [exclusively] by PID 1 on host by user (UID 0, GID 0)". */
export function ownerInText(text: string): LockOwner | undefined {
  const who = /already locked( exclusively)? by PID (\d+) on (\S*) by (.*?) \(UID/.exec(text);
  const when = /lock was created at (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)/.exec(text);
  if (!who || !when) return undefined;
  return {
    id: /storage ID ([0-9a-f]+)/.exec(text)?.[1] ?? "",
    exclusive: who[1] !== undefined,
    pid: Number(who[2]),
    hostname: who[3] ?? "",
    username: who[4] ?? "",
    time: new Date(`${when[1]}T${when[2]}Z`),
  };
}

/** Reads the answer of `restic cat lock`. */
export function ownerInJson(id: string, json: string): LockOwner {
  const lock = JSON.parse(json) as Record<string, unknown>;
  return {
    id,
    hostname: String(lock.hostname ?? ""),
    pid: Number(lock.pid ?? 0),
    username: String(lock.username ?? ""),
    exclusive: lock.exclusive === true,
    time: new Date(String(lock.time)),
  };
}

/** "PID 12 on node-1 by root, exclusive, 5 min old" */
export function describeOwner(owner: LockOwner, now = Date.now()): string {
  const seconds = Math.max(0, Math.round(ageSeconds(owner, now)));
  const age = seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  return `PID ${owner.pid} on ${owner.hostname} by ${owner.username}${owner.exclusive ? ", exclusive" : ""}, ${age} old`;
}

function ageSeconds(owner: LockOwner, now: number): number {
  return (now - owner.time.getTime()) / 1000;
}

/** What is known of a process id on this machine. */
export type ProcessState = "absent" | "restic" | "other";

/**
 * Whether `restic unlock` would remove this lock: it is older than 30 minutes, or of this host with no such process.
 */
export function isStale(owner: LockOwner, state: ProcessState, now = Date.now()): boolean {
  if (ageSeconds(owner, now) > staleSeconds) return true;
  return owner.hostname === hostname() && state === "absent";
}

/**
 * Whether the owner is gone beyond doubt, so that a lock may be removed without being asked. The same host name and no
 * such process prove nothing inside a container: the owner may live in another one of the same name. There the lock
 * must also have gone without a refresh, or name a process that this one has started and seen end.
 */
export function isCertainlyStale(
  owner: LockOwner,
  state: ProcessState,
  ended: ReadonlySet<number>,
  now = Date.now(),
): boolean {
  if (!isStale(owner, state, now)) return false;
  const age = ageSeconds(owner, now);
  return age > refreshedSeconds || ended.has(owner.pid) || seesAllProcesses();
}

/**
 * Whether `restic unlock` would harm someone: it tests a process by sending it SIGHUP, in all versions, which ends most
 * programs. A stranger may have got the pid of the lock's owner.
 */
export function unlockWouldHitStranger(owner: LockOwner, state: ProcessState, now = Date.now()): boolean {
  return owner.hostname === hostname() && state === "other" && ageSeconds(owner, now) <= staleSeconds;
}

/** Looks a process up, without touching it. What cannot be told apart counts as a stranger. */
export function processState(pid: number): ProcessState {
  if (!Number.isInteger(pid) || pid <= 0) return "other";
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return "absent";
  }
  const name = processName(pid);
  return name?.startsWith("restic") ? "restic" : "other";
}

function processName(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    try {
      const name = execFileSync("ps", ["-o", "comm=", "-p", String(pid)], {
        encoding: "utf8",
        timeout: 5000,
      });
      return name.trim().split("/").pop();
    } catch {
      return undefined;
    }
  }
}

/** The number of the first process namespace in Linux (PROC_PID_INIT_INO in include/linux/proc_ns.h). */
const firstNamespace = "pid:[4026531836]";

/** Whether this process sees every process of the machine, which it does not in a container. */
export function seesAllProcesses(): boolean {
  if (process.platform !== "linux") return true;
  try {
    return readlinkSync("/proc/self/ns/pid") === firstNamespace;
  } catch {
    return false;
  }
}
