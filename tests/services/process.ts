import { readFileSync } from "node:fs";

/** A process that cannot be confused with a later one of the same id: `startTicks` is its start in clock ticks since boot. */
export interface ProcessIdentity {
  pid: number;
  startTicks: string;
}

/** Fields of /proc/PID/stat from the state on; undefined when there is no such process. */
function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name before may contain blanks
  } catch {
    return undefined;
  }
}

/** The identity of a running process; throws when there is none. */
export function processIdentity(pid: number): ProcessIdentity {
  const startTicks = statOf(pid)?.[19];
  if (startTicks === undefined) throw new Error(`reading process ${pid}: not running`);
  return { pid, startTicks };
}

/** Whether that very process still runs; a zombie does not. */
export function isAlive(identity: ProcessIdentity): boolean {
  const stat = statOf(identity.pid);
  return stat !== undefined && stat[19] === identity.startTicks && stat[0] !== "Z";
}

/** Whether another process has the id by now. */
export function isTaken(identity: ProcessIdentity): boolean {
  const stat = statOf(identity.pid);
  return stat !== undefined && stat[19] !== identity.startTicks;
}
