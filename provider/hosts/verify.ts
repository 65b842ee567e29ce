import { Writable } from "node:stream";
import { instant } from "../base/marks";
import { World } from "../driver/world";
import { newestGood } from "../operations/restic-set";
import type { ResticSnapshot } from "../restic";
import { accessFromEnvironment } from "./list";
import { pointOf, refuseNoId } from "./restore";
import { cancellable } from "./without-stack";

/** Which point is read. */
export interface VerifyOptions {
  repository: string;
  /** The newest good point of this owner, in place of an id. */
  owner?: string;
  json?: boolean;
}

/**
 * Reads one point of a repository from its first byte to its last, as a restore would, and writes it nowhere: restic
 * compares each piece with its digest. It is what can be known of a point without a volume to restore into.
 *
 * @throws where anything is missing or damaged
 */
export async function verify(id: string | undefined, options: VerifyOptions): Promise<void> {
  if ((id === undefined) === (options.owner === undefined))
    throw new Error("give the id of a point, or --owner for the newest good one of a set");
  if (id !== undefined) refuseNoId(id);
  const world = new World({}, line => console.error(line));
  await cancellable(world, async () => {
    const { signal } = world.abort;
    const repository = world.repository(accessFromEnvironment(options.repository));
    const begun = Date.now();
    const all = await repository.snapshots({ signal });
    const found = id ?? newestOf(options.owner ?? "", all, options.repository, world.now);
    const { id: whole, time } = pointOf(found, all, options.repository);
    const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
    const bytes = await repository.dumpTo(whole, "/", nowhere, { signal });
    const seconds = Math.round((Date.now() - begun) / 100) / 10;
    const said = { id: whole, takenAt: instant(time), bytesRead: bytes, seconds };
    console.log(
      options.json
        ? JSON.stringify(said, null, 2)
        : `point ${whole.slice(0, 8)} is whole: ${(bytes / 2 ** 20).toFixed(1)} MiB read in ${seconds} s, each piece as its digest says`,
    );
  });
}

function newestOf(owner: string, all: readonly ResticSnapshot[], url: string, now: Date): string {
  const newest = newestGood(all, owner, now);
  if (!newest)
    throw new Error(
      `the repository has no good point of ${owner}, see \`osbackup list --repository ${url}\``,
    );
  return newest.id;
}
