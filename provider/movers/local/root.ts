import { statSync } from "node:fs";
import { chmod, chown } from "node:fs/promises";

/**
 * The tag with mode (octal), user and group of a volume's root folder. restic keeps what is below the folder that it
 * runs in, not the folder itself; a database refuses to start on a root that is not its own.
 */
export function rootTag(directory: string): string {
  const { mode, uid, gid } = statSync(directory);
  return `root=${(mode & 0o7777).toString(8)}:${uid}:${gid}`;
}

/** Gives a restored volume's root folder what the tag says; without one it stays as it was made. */
export async function restoreRoot(directory: string, tags: readonly string[]): Promise<void> {
  const found = tags.map(tag => /^root=([0-7]{1,4}):(\d+):(\d+)$/.exec(tag)).find(match => match !== null);
  if (!found) return;
  const [, mode = "", uid, gid] = found;
  // first the owner: a change of it takes setuid and setgid bits away
  await chown(directory, Number(uid), Number(gid));
  await chmod(directory, Number.parseInt(mode, 8));
}
