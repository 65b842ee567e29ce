import { randomBytes } from "node:crypto";
import { readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { type RepositoryAccess, resolveAccess, secondaryEnvironment } from "../access";
import { isNoRepository, ResticError } from "../errors";
import { withInitLock } from "../init-lock";
import type { Place } from "../place";
import { readSeconds } from "../restic";

/** The repository's own id; undefined only where the repository is provably absent. */
export async function identity(
  place: Place,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<string | undefined> {
  const doing = `opening ${place.url}`;
  try {
    const { stdout } = await place.restic.once({
      doing,
      arguments: ["cat", "config", "--no-lock"],
      signal: options.signal,
      timeoutSeconds: readSeconds,
    });
    const id = /"id":\s*"([0-9a-f]{64})"/.exec(stdout)?.[1];
    if (id === undefined) throw new ResticError("failed", `${doing}: its config has no id`);
    return id;
  } catch (error) {
    if (isNoRepository(error)) return undefined;
    throw error;
  }
}

async function exists(place: Place, signal: AbortSignal | undefined): Promise<boolean> {
  return (await identity(place, { signal })) !== undefined;
}

/** Makes the repository unless it is there, and proves that it opens. */
export async function ensureInitialised(
  place: Place,
  options: { signal?: AbortSignal | undefined; chunkerFrom?: RepositoryAccess | undefined } = {},
): Promise<"created" | "existing"> {
  const { signal } = options;
  if (await exists(place, signal)) return "existing";
  return place.queued("exclusive", `initialising ${place.url}`, signal, () =>
    withInitLock(place.access, place.lockWaitSeconds, signal, async () => {
      if (await exists(place, signal)) return "existing";
      return init(place, options.chunkerFrom, signal);
    }),
  );
}

async function init(
  place: Place,
  chunkerFrom: RepositoryAccess | undefined,
  signal: AbortSignal | undefined,
): Promise<"created" | "existing"> {
  const doing = `initialising ${place.url}`;
  if (place.access.localPath !== undefined) await setHalfMadeAside(place.access.localPath, doing);
  const source = chunkerFrom && resolveAccess(chunkerFrom);
  let outcome: "created" | "existing" = "created";
  try {
    // not to be cancelled: a key without a config is worse than two more seconds
    await place.restic.once({
      doing,
      arguments: ["init", ...(source ? ["--copy-chunker-params", ...source.arguments] : [])],
      ...(source ? { environment: secondaryEnvironment(place.access, source), source } : {}),
      timeoutSeconds: readSeconds,
    });
  } catch (error) {
    if (!/config file already exists|config already initialized/.test((error as Error).message)) throw error;
    outcome = "existing";
  }
  const keys = await place.restic.once({
    doing: `opening ${place.url} after its init`,
    arguments: ["list", "keys", "--no-lock"],
    signal,
    timeoutSeconds: readSeconds,
  });
  const count = keys.stdout.match(/^[0-9a-f]{64}$/gm)?.length ?? 0;
  if (outcome === "created" && count !== 1)
    throw new ResticError(
      "failed",
      `${doing}: it has ${count} keys; someone else initialised it at the same time, or was interrupted before`,
    );
  place.restic.log(`${outcome === "created" ? "created" : "found"} the repository ${place.url}`);
  return outcome;
}

/**
 * Looks at the place of a local repository that has no config. An init that was killed leaves a key, and with a second
 * key nothing would open: it is moved aside. If there is data, the config was lost and init would hide that.
 */
async function setHalfMadeAside(path: string, doing: string): Promise<void> {
  for (const folder of ["snapshots", "index", "data"]) {
    if (await hasFiles(join(path, folder)))
      throw new ResticError(
        "failed",
        `${doing}: ${path} has data in ${folder} but no config; its config file was lost`,
      );
  }
  const keys = join(path, "keys");
  if (await hasFiles(keys))
    await rename(keys, join(path, `keys.half-made-${randomBytes(4).toString("hex")}`));
}

async function hasFiles(directory: string): Promise<boolean> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    for (const entry of entries) {
      if (!entry.isDirectory() || (await hasFiles(join(directory, entry.name)))) return true;
    }
    return false;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return false;
    throw error;
  }
}
