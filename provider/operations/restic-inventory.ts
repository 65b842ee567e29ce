import type { Repository } from "../restic";
import { type ResticPoint, resticPoints } from "./restic-set";
import { applyRetention, type Decision, type Retention } from "./retention";

/**
 * What this process knows of the points in a repository, of every owner: one listing, kept true by the process's own
 * backups and forgets, as Inventory is for Cinder. A restic call costs about a second, so a thousand sets share it.
 */
const looks = new WeakMap<Repository, Promise<ResticPoint[]>>();
const unlocked = new WeakMap<Repository, Promise<unknown>>();

/** The points of these owners, newest first. */
export async function knownPoints(
  repository: Repository,
  owners: readonly string[],
  signal?: AbortSignal,
): Promise<ResticPoint[]> {
  const look = looks.get(repository) ?? resticPoints(repository, undefined, signal);
  looks.set(repository, look);
  // one that failed is made again the next time
  look.catch(() => looks.get(repository) === look && lookAgain(repository));
  return (await look).filter(point => owners.includes(point.owner));
}

/** A point that this process made. */
export async function noteMade(repository: Repository, point: ResticPoint): Promise<void> {
  const known = await looks.get(repository);
  if (known?.some(({ id }) => id === point.id)) return;
  known?.push(point);
  known?.sort((a, b) => b.time.getTime() - a.time.getTime());
}

/** Forgets points; the repository proves that they are gone. */
export async function forgetPoints(
  repository: Repository,
  points: readonly ResticPoint[],
  signal: AbortSignal | undefined,
): Promise<void> {
  if (points.length === 0) return;
  // one that a mark was written for would count again without it
  const ids = points.flatMap(({ id, original }) => (original ? [original, id] : [id]));
  await repository.forget(ids, { signal }).catch(error => {
    lookAgain(repository);
    throw error;
  });
  const known = await looks.get(repository);
  known?.splice(0, known.length, ...known.filter(point => !ids.includes(point.id)));
}

/** Forgets what the policy no longer keeps; the repository proves that it is gone. */
export async function forgetByRetention(
  repository: Repository,
  points: readonly ResticPoint[],
  retention: Retention,
  options: { asOf: Date; timeZone: string; log: (line: string) => void; signal?: AbortSignal | undefined },
): Promise<{ kept: Decision<ResticPoint>[]; removed: Decision<ResticPoint>[] }> {
  const decided = applyRetention([...points], retention, options);
  await forgetPoints(
    repository,
    decided.remove.map(decision => decision.point),
    options.signal,
  );
  for (const { point, reasons } of decided.remove)
    options.log(`forgot ${point.id.slice(0, 8)} of ${point.slot ?? point.takenAt}: ${reasons.join(", ")}`);
  return { kept: decided.keep, removed: decided.remove };
}

/** To be called when the repository may have changed otherwise. */
export function lookAgain(repository: Repository): void {
  looks.delete(repository);
}

/** Removes what dead runs locked, once per process: its own children's locks are removed as they end. */
export function unlockOnce(repository: Repository, signal?: AbortSignal): Promise<unknown> {
  const begun = unlocked.get(repository) ?? repository.unlockStale({ signal });
  unlocked.set(repository, begun);
  begun.catch(() => unlocked.delete(repository));
  return begun;
}
