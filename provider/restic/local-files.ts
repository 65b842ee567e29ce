import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { ResolvedAccess } from "./access";

/**
 * The names in one folder of a repository on this machine: a look that costs no second restic, which would take about
 * half a second for the key alone. Undefined where only restic can look.
 */
export async function localFiles(
  access: ResolvedAccess,
  folder: "snapshots" | "locks",
): Promise<string[] | undefined> {
  if (access.localPath === undefined) return undefined;
  const names = await readdir(join(access.localPath, folder)).catch(() => undefined);
  return names?.filter(name => /^[0-9a-f]{64}$/.test(name));
}

/** Whether a file of a repository on this machine is whole: restic names it by the SHA-256 of its content. */
export async function isWhole(
  access: ResolvedAccess,
  folder: "snapshots" | "locks",
  name: string,
): Promise<boolean> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(join(access.localPath ?? "", folder, name)), hash);
  return hash.digest("hex") === name;
}
