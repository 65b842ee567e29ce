import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

/** The files below these directories that loop devices of this machine have open. */
export function loopsOn(...directories: string[]): string[] {
  return readdirSync("/sys/block")
    .flatMap(name => backingFile(path.join("/sys/block", name, "loop/backing_file")) ?? [])
    .filter(file => directories.some(directory => file.startsWith(directory)));
}

/** Undefined of another device, and of one that is let go of at this moment. */
function backingFile(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return undefined;
  }
}
