import { setTimeout as pause } from "node:timers/promises";
import { type Repository, ResticError } from "../restic";
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
  const ids = withOriginals(points);
  await repository.forget(ids, { signal }).catch(error => {
    lookAgain(repository);
    throw error;
  });
  await noteForgotten(repository, ids);
}

/** One that a mark was written for would count again without it. */
function withOriginals(points: readonly ResticPoint[]): string[] {
  return points.flatMap(({ id, original }) => (original ? [original, id] : [id]));
}

async function noteForgotten(repository: Repository, ids: readonly string[]): Promise<void> {
  const gone = new Set(ids);
  const known = await looks.get(repository);
  known?.splice(0, known.length, ...known.filter(point => !gone.has(point.id)));
}

/**
 * Forgets what the policy no longer keeps, together with what other sets of this process forget in the repository; the
 * repository proves that it is gone. `left` is what waits for a backup that takes long: it goes when that has ended, or
 * in the next run.
 */
export async function forgetByRetention(
  repository: Repository,
  points: readonly ResticPoint[],
  retention: Retention,
  options: { asOf: Date; timeZone: string } & ForgetOptions,
): Promise<{
  kept: Decision<ResticPoint>[];
  removed: Decision<ResticPoint>[];
  left: Decision<ResticPoint>[];
}> {
  const { keep, remove } = applyRetention([...points], retention, options);
  const isGone = await forgetTogether(repository, withOriginals(remove.map(({ point }) => point)), options);
  return isGone ? { kept: keep, removed: remove, left: [] } : { kept: keep, removed: [], left: remove };
}

/** What one restic call forgets for many sets. */
interface Together {
  ids: string[];
  since: number;
  done: Promise<void>;
}

const together = new WeakMap<Repository, Together>();

interface ForgetOptions {
  warn: (line: string) => void;
  signal?: AbortSignal | undefined;
  /** How long a set waits for the backups of others to end, before it leaves its points to them; default 30. */
  patienceSeconds?: number | undefined;
}

/** True once these are gone; false when a backup of this process still runs: they go when it has ended. */
async function forgetTogether(
  repository: Repository,
  ids: string[],
  { warn, signal, patienceSeconds = 30 }: ForgetOptions,
): Promise<boolean> {
  if (ids.length === 0) return true;
  const joined = together.get(repository) ?? beginForgetting(repository, signal);
  joined.ids.push(...ids);
  const patience = new AbortController();
  const isTooLong = pause(joined.since + patienceSeconds * 1000 - Date.now(), false, {
    signal: patience.signal,
  });
  try {
    const isGone = await Promise.race([joined.done.then(() => true), isTooLong]);
    if (!isGone) joined.done.catch(error => warn(`old points stay until the next run: ${error.message}`));
    return isGone;
  } catch (error) {
    // only what is still there of one's own is one's own failure
    const others = error instanceof ResticError ? error.remaining : [];
    if (others.length > 0 && !others.some(left => ids.some(id => left.startsWith(id)))) return true;
    throw error;
  } finally {
    patience.abort();
    isTooLong.catch(() => {});
  }
}

function beginForgetting(repository: Repository, signal: AbortSignal | undefined): Together {
  const begun: Together = { ids: [], since: Date.now(), done: Promise.resolve() };
  const close = () => {
    together.delete(repository);
    return begun.ids;
  };
  begun.done = repository.forgetLater(close, { signal }).then(
    () => noteForgotten(repository, begun.ids),
    error => {
      close();
      lookAgain(repository);
      throw error;
    },
  );
  together.set(repository, begun);
  return begun;
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
