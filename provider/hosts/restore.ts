import { Driver } from "../driver/driver";
import { World } from "../driver/world";
import { keepRestored } from "../operations/restore-volume";
import type { ResticSnapshot } from "../restic";
import { accessFromEnvironment } from "./list";

/** How a point is restored without a stack. */
export interface RestoreOptions {
  /** URL of the restic repository; without it the point is a Cinder snapshot. */
  repository?: string;
  cloud?: string;
  /** The new volume: its name, its size in GiB (default: what the point needs) and its type. */
  name?: string;
  size?: number;
  volumeType?: string;
  /** Folder of this machine to restore files into, in place of a new volume. */
  target?: string;
  /** Only these files and folders of the point. */
  path?: string[];
}

/**
 * Restores one recovery point into a new volume, or files of it into a folder of this machine. Needs no state of a
 * stack: the point's id is all, as `osbackup list` shows it. Nothing that exists is overwritten but files in `target`.
 */
export async function restore(id: string, options: RestoreOptions): Promise<void> {
  const world = new World({}, line => console.log(line));
  const cancel = () => world.abort.abort(new Error("cancelled"));
  process.once("SIGINT", cancel);
  process.once("SIGTERM", cancel);
  try {
    await (options.target === undefined
      ? restoreVolume(world, id, options)
      : restoreFiles(world, id, options.target, options));
  } finally {
    process.off("SIGINT", cancel);
    process.off("SIGTERM", cancel);
  }
}

async function restoreFiles(
  world: World,
  id: string,
  target: string,
  options: RestoreOptions,
): Promise<void> {
  if (options.repository === undefined)
    throw new Error(
      "--target restores files out of a restic repository, name it with --repository; a Cinder snapshot becomes a volume",
    );
  const repository = world.repository(accessFromEnvironment(options.repository));
  const { signal } = world.abort;
  const found = pointOf(id, await repository.snapshots({ signal }), options.repository);
  if (found.tags.includes("content=block"))
    throw new Error(
      `point ${id} is of a raw device and has no files; restore it into a volume, without --target`,
    );
  await repository.restore(found.id, { target, include: options.path, verify: true, signal });
  console.log(
    `restored ${options.path ? options.path.join(", ") : "all files"} of point ${found.id.slice(0, 8)} into ${target}, and compared them with the repository`,
  );
}

/** The one snapshot that an id, or the beginning of one, stands for. */
function pointOf(id: string, all: readonly ResticSnapshot[], url: string): ResticSnapshot {
  const [found, another] = all.filter(snapshot => snapshot.id.startsWith(id));
  const list = `\`osbackup list --repository ${url}\``;
  if (!found) throw new Error(`the repository has no point ${id}, see ${list}`);
  if (another) throw new Error(`several points begin with ${id}, give more of the id, see ${list}`);
  return found;
}

async function restoreVolume(world: World, id: string, options: RestoreOptions): Promise<void> {
  if (options.path) throw new Error("--path needs --target: a new volume gets everything");
  const type = "VolumeRestore";
  const driver = new Driver(world);
  const given = {
    owner: `osbackup/restore/${id.slice(0, 8)}`,
    ...(options.repository === undefined
      ? { snapshotId: id }
      : { resticSnapshotId: id, repository: accessFromEnvironment(options.repository) }),
    ...(options.cloud !== undefined && { cloud: options.cloud }),
    ...(options.name !== undefined && { name: options.name }),
    ...(options.size !== undefined && { sizeGib: options.size }),
    ...(options.volumeType !== undefined && { volumeType: options.volumeType }),
  };
  const { inputs, refusals } = await driver.check(type, undefined, given);
  if (refusals.length > 0)
    throw new Error(refusals.map(({ property, reason }) => `${property}: ${reason}`).join("; "));
  const made = await driver.create(type, inputs);
  // what a killed restore began is made anew; from here on the volume is its user's, and the next restore makes another
  await keepRestored(world.session(options), made.id, given.owner, world.abort.signal).catch((error: Error) =>
    console.error(`warning: a later restore may take volume ${made.id} for its own: ${error.message}`),
  );
  const { restoredSizeGib, capturedAt, compared } = made.outputs;
  console.log(`volume ${made.id}: ${restoredSizeGib} GiB, data of ${capturedAt}; compared: ${compared}`);
  console.log(`attach it with \`openstack server add volume SERVER ${made.id}\``);
}
