import type { Repository } from "../restic";
import { type ResticPoint, resticPoints } from "./restic-set";

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
 * Lets go of points, together with what other sets of this process let go in the repository: one restic call forgets it
 * when the last backup has ended. `forgetTogether` waits for that.
 */
export function letGo(
  repository: Repository,
  points: readonly ResticPoint[],
  signal: AbortSignal | undefined,
): void {
  if (points.length === 0) return;
  const joined = together.get(repository) ?? beginForgetting(repository, signal);
  joined.ids.push(...withOriginals(points));
}

/** What one restic call forgets for many sets. */
interface Together {
  ids: string[];
  done: Promise<void>;
}

const together = new WeakMap<Repository, Together>();

/**
 * Ends an announced backup. False while others run or are about to: they wait for all. True once nothing waits to be
 * forgotten any more; throws where something is still there, which the next slot of its set meets again.
 */
export async function forgetTogether(repository: Repository, isOver: () => void): Promise<boolean> {
  const waiting = together.get(repository);
  isOver();
  if (!waiting) return true;
  if (repository.awaitsBackup()) return false;
  await waiting.done;
  return true;
}

function beginForgetting(repository: Repository, signal: AbortSignal | undefined): Together {
  const begun: Together = { ids: [], done: Promise.resolve() };
  const close = () => {
    if (together.get(repository) === begun) together.delete(repository);
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
  // who ends last hears of it
  begun.done.catch(() => {});
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
