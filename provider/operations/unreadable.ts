import picomatch from "picomatch";
import type { BackupResult } from "../restic";

/**
 * Files that a backup may miss and still be good: how many, or which, as patterns of their paths from the volume's root.
 * A pattern without a slash is one of names in any folder; `**` stands for any folders; a folder stands for all in it.
 */
export type AllowUnreadable = number | readonly string[];

/** Whether a backup lacks only what it may lack. What is not known by name is matched by no pattern. */
export function isAllowed(
  result: Pick<BackupResult, "unreadable" | "unreadableCount">,
  allowed: AllowUnreadable | undefined,
): boolean {
  const { unreadable, unreadableCount } = result;
  if (allowed === undefined || unreadableCount === 0) return false;
  if (typeof allowed === "number") return unreadableCount <= allowed;
  if (unreadable.length < unreadableCount) return false;
  const matchers = allowed.map(matcherOf);
  return unreadable.every(({ path }) =>
    withFolders(path).some(part => matchers.some(matches => matches(part))),
  );
}

/** `a/b/c`, `a/b` and `a`. */
function withFolders(path: string): string[] {
  const parts = path.split("/");
  return parts.map((_, index) => parts.slice(0, parts.length - index).join("/"));
}

function matcherOf(pattern: string): (path: string) => boolean {
  const fromRoot = pattern.replace(/^\/+/, "");
  return picomatch(fromRoot, { dot: true, basename: !pattern.includes("/") });
}
