import { run } from "./commands";

/** How many symbolic links below these paths have a target that is not UTF-8; restic below 0.16 rewrites such a one. */
export async function rewrittenLinks(
  directory: string,
  paths: readonly string[],
  signal: AbortSignal | undefined,
): Promise<number> {
  const script =
    'find "$@" -xdev -type l -printf "%l\\0" 2>/dev/null | LC_ALL=C.UTF-8 grep -zcavx ".*" || true';
  const { stdout } = await run("sh", ["-c", script, "sh", directory, ...paths.map(path => `./${path}`)], {
    doing: `looking at the symbolic links of ${directory}`,
    signal,
  });
  return Number.parseInt(stdout, 10) || 0;
}

/** Says on a snapshot how many links are not as they were. */
export function rewrittenLinksTag(count: number): string {
  return `rewritten-links=${count}`;
}
