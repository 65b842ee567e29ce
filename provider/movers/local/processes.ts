import { readFileSync } from "node:fs";
import { processStat } from "../../base/process-stat";
import { waitUntil } from "./commands";
import { VolumeError } from "./errors";

/** Names one process for ever: a pid alone is given to another process later. */
export interface ProcessIdentity {
  pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks since the machine started. */
  startTime: string;
  /** Of the machine's run: after a restart pids and start times begin anew. */
  bootId: string;
}

const bootId = (): string => {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
};

/** State (R, S, Z, …) and start time. */
function stat(pid: number): { state: string; startTime: string } | undefined {
  const fields = processStat(pid);
  return fields && { state: fields[0] ?? "", startTime: fields[19] ?? "" };
}

/** Undefined when the process has ended. */
export function identify(pid: number): ProcessIdentity | undefined {
  const found = stat(pid);
  return found && { pid, startTime: found.startTime, bootId: bootId() };
}

/** Whether exactly this process still runs (a zombie does not). */
export function isAlive(process: ProcessIdentity): boolean {
  if (process.bootId !== bootId()) return false;
  const found = stat(process.pid);
  return found !== undefined && found.state !== "Z" && found.startTime === process.startTime;
}

/**
 * Ends a process: waits `patienceSeconds` for it to go by itself, then SIGTERM, after `killAfterSeconds` SIGKILL.
 * Returns whether it was running.
 */
export async function endProcess(
  identity: ProcessIdentity,
  tool: string,
  { patienceSeconds, killAfterSeconds }: { patienceSeconds: number; killAfterSeconds: number },
): Promise<boolean> {
  if (!isAlive(identity)) return false;
  const gone = (seconds: number) => waitUntil(() => !isAlive(identity), seconds);
  if (await gone(patienceSeconds)) return true;
  if (isAlive(identity)) process.kill(identity.pid, "SIGTERM");
  if (await gone(killAfterSeconds)) return true;
  if (isAlive(identity)) process.kill(identity.pid, "SIGKILL");
  if (await gone(10)) return true;
  throw new VolumeError("failed", `ending ${tool} (process ${identity.pid}): still running after SIGKILL`);
}
