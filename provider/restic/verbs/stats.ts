import { numberOf, parseJson } from "../messages";
import { checkId, type Place, type Stoppable } from "../place";
import { wholeSeconds } from "../restic";

/** The size of the repository's data as stored, and how many snapshots it has. */
export async function stats(
  place: Place,
  options: Stoppable = {},
): Promise<{ bytesStored: number; snapshots: number }> {
  const doing = `measuring ${place.url}`;
  const finished = await place.restic.once({
    doing,
    arguments: ["stats", "--json", "--mode=raw-data", "--no-lock"],
    signal: options.signal,
    timeoutSeconds: options.timeoutSeconds ?? wholeSeconds,
  });
  const answer = parseJson(finished.stdout, doing) as Record<string, unknown>;
  return {
    bytesStored: numberOf(answer.total_size) ?? 0,
    snapshots: numberOf(answer.snapshots_count) ?? 0,
  };
}

/** The bytes of a snapshot's files as they read, holes included. Reads the snapshot's trees. */
export async function restoreSize(place: Place, id: string, options: Stoppable = {}): Promise<number> {
  checkId(id);
  const doing = `measuring snapshot ${id} of ${place.url}`;
  const finished = await place.restic.once({
    doing,
    arguments: ["stats", "--json", "--mode=restore-size", "--no-lock", "--", id],
    signal: options.signal,
    timeoutSeconds: options.timeoutSeconds ?? wholeSeconds,
  });
  return numberOf((parseJson(finished.stdout, doing) as Record<string, unknown>).total_size) ?? 0;
}
