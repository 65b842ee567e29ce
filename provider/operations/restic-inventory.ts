import type { Repository } from "../restic";
import { type ResticPoint, resticPoints } from "./restic-set";

/**
 * One look at a repository per process for drift: the points of every owner in it. A restic call costs about a second,
 * so a thousand sets in one repository share it.
 */
const looks = new WeakMap<Repository, Promise<Map<string, ResticPoint[]>>>();

/** The points of `owner` as this process first saw them. Only for drift: a run that acts lists anew. */
export async function glance(repository: Repository, owner: string): Promise<ResticPoint[]> {
  let look = looks.get(repository);
  if (!look) {
    look = resticPoints(repository).then(byOwner);
    looks.set(repository, look);
  }
  return (await look).get(owner) ?? [];
}

function byOwner(found: ResticPoint[]): Map<string, ResticPoint[]> {
  const owners = new Map<string, ResticPoint[]>();
  for (const point of found) owners.set(point.owner, [...(owners.get(point.owner) ?? []), point]);
  return owners;
}
