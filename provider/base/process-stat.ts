import { readFileSync } from "node:fs";

/**
 * What Linux says of a process, from its state on: field 3 of `/proc/<pid>/stat` is the first. The name before it may
 * hold blanks and parentheses. Undefined when there is no such process, or the machine does not say.
 */
export function processStat(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}
