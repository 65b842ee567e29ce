import { Writable } from "node:stream";
import { instant } from "../base/marks";
import { World } from "../driver/world";
import { resticPoints } from "../operations/restic-set";
import { accessFromEnvironment } from "./list";
import { pointOf } from "./restore";

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
  const world = new World({}, line => console.error(line));
  const cancel = () => world.abort.abort(new Error("cancelled"));
  process.once("SIGINT", cancel);
  process.once("SIGTERM", cancel);
  try {
    const { signal } = world.abort;
    const repository = world.repository(accessFromEnvironment(options.repository));
    const begun = Date.now();
    const found = id ?? (await newestOf(options.owner ?? "", options.repository, world));
    const { id: whole, time } = pointOf(found, await repository.snapshots({ signal }), options.repository);
    const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
    const bytes = await repository.dumpTo(whole, "/", nowhere, { signal });
    const seconds = Math.round((Date.now() - begun) / 100) / 10;
    const said = { id: whole, takenAt: instant(time), bytesRead: bytes, seconds };
    console.log(
      options.json
        ? JSON.stringify(said, null, 2)
        : `point ${whole.slice(0, 8)} is whole: ${(bytes / 2 ** 20).toFixed(1)} MiB read in ${seconds} s, each piece as its digest says`,
    );
  } finally {
    process.off("SIGINT", cancel);
    process.off("SIGTERM", cancel);
  }
}

async function newestOf(owner: string, url: string, world: World): Promise<string> {
  const points = await resticPoints(world.repository(accessFromEnvironment(url)), [owner]);
  const newest = points.find(({ good }) => good);
  if (!newest)
    throw new Error(
      `the repository has no good point of ${owner}, see \`osbackup list --repository ${url}\``,
    );
  return newest.id;
}
