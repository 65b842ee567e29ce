import { ResticError } from "../errors";
import { localFiles } from "../local-files";
import { checkId, type Place, type Stoppable } from "../place";
import { writeSeconds } from "../restic";
import { snapshots } from "./snapshots";

/** Forgets these snapshots and proves that they are gone; ids that are not there are no error. */
export async function forget(place: Place, ids: string[], options: Stoppable = {}): Promise<void> {
  for (const id of ids) checkId(id);
  if (ids.length === 0) return;
  await place.queued("exclusive", `forgetting of ${place.url}`, options.signal, () =>
    forgetNow(place, ids, options),
  );
}

/**
 * Forgets as `forget` does, once no backup of this process runs on the repository or is announced; which snapshots is
 * asked only then.
 */
export async function forgetLater(place: Place, ids: () => string[], options: Stoppable = {}): Promise<void> {
  await place.queued("patient", `forgetting of ${place.url}`, options.signal, async () => {
    const given = ids();
    for (const id of given) checkId(id);
    if (given.length > 0) await forgetNow(place, given, options);
  });
}

async function forgetNow(place: Place, ids: string[], options: Stoppable): Promise<void> {
  const doing = `forgetting ${ids.length === 1 ? `snapshot ${ids[0]}` : `${ids.length} snapshots`} of ${place.url}`;
  let failure: ResticError | undefined;
  try {
    for (let from = 0; from < ids.length; from += 500)
      await place.restic.call({
        doing,
        arguments: ["forget", "--", ...ids.slice(from, from + 500)],
        signal: options.signal,
        timeoutSeconds: options.timeoutSeconds ?? writeSeconds,
      });
  } catch (error) {
    if (!(error instanceof ResticError)) throw error;
    failure = error;
  }
  const left = await present(place, ids).catch(error => {
    throw failure ?? error;
  });
  if (left.length === 0) return;
  throw new ResticError(
    failure?.kind ?? "failed",
    `${failure?.message ?? `${doing}: restic ended well`}; still there: ${left.join(", ")}`,
    { ...failure, remaining: left },
  );
}

/** The full ids of those of these snapshots that the repository has. */
async function present(place: Place, ids: string[]): Promise<string[]> {
  const names =
    (await localFiles(place.access, "snapshots")) ?? (await snapshots(place)).map(snapshot => snapshot.id);
  return names.filter(name => ids.some(id => name.startsWith(id)));
}
