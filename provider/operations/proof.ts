import { instant, metadataKeys } from "../base/marks";
import { type Session, volumes } from "../openstack";
import type { Volume } from "../openstack/volumes";
import { type Repository, ResticError } from "../restic";
import { inventoryOf } from "./inventory";
import { resticInventoryOf } from "./restic-inventory";
import { type ResticPoint, resticPoints, unprovenTag } from "./restic-set";
import { describePoint } from "./words";

/**
 * On the temporary volume from before restic begins: when the data of this backup was captured. The volume goes only
 * when the result is proven and marked, so while there is one, a point of that instant may be one that restic could not
 * read in full (it says so by its exit code, when the snapshot is there already).
 */
const backingUpKey = "osbackup-backing-up";

/** Whether a volume speaks of a backup whose result is not proven. */
export function isEvidence(volume: Volume): boolean {
  const begun = volume.metadata?.[backingUpKey];
  return begun !== undefined && begun !== proven;
}

/** What a volume says whose backup is proven. */
const proven = "proven";

/** How long a sweep leaves such a volume to the set's next run: as long as most schedules pause. */
const keptDays = 32;

/** Says on the temporary volume that its backup has begun. */
export async function noteBegun(
  session: Session,
  volume: Volume,
  begun: { takenAt: string; now: Date },
  signal: AbortSignal | undefined,
): Promise<void> {
  const metadata = {
    [backingUpKey]: begun.takenAt,
    [metadataKeys.expiresAt]: instant(new Date(begun.now.getTime() + keptDays * 86_400_000)),
  };
  await volumes.setMetadata(session, volume.id, metadata, { signal });
  await inventoryOf(session).noteVolume({ ...volume, metadata: { ...volume.metadata, ...metadata } });
}

/** Takes back what `noteBegun` said, of a volume that outlives its proven backup: the next sweep removes it. */
export async function noteProven(session: Session, volume: Volume, now: Date): Promise<void> {
  const metadata = { [backingUpKey]: proven, [metadataKeys.expiresAt]: instant(now) };
  await volumes.setMetadata(session, volume.id, metadata);
  await inventoryOf(session).noteVolume({ ...volume, metadata: { ...volume.metadata, ...metadata } });
}

/** A run whose set may hold points that were never proven. */
export interface Proving {
  session: Session;
  /** whose owner the volumes have that the runs read */
  temporaryVolume: { owner: string };
  repository: Repository;
  owners: readonly string[];
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/**
 * Marks the points whose run was killed before it knew the result, so that they never count as good, and returns the
 * points as they are then.
 */
export async function markUnproven(points: ResticPoint[], run: Proving): Promise<ResticPoint[]> {
  const begun = await inventoryOf(run.session).volumes(run.temporaryVolume.owner, "temporary");
  // one that is being deleted was released
  const open = new Set(
    begun.flatMap(({ row }) => (row.status === "deleting" ? [] : (row.metadata?.[backingUpKey] ?? []))),
  );
  const unproven = points.filter(point => point.good && open.has(point.takenAt));
  if (unproven.length === 0) return points;
  const marked = await tagPoints(
    run.repository,
    unproven.map(({ id }) => id),
    unprovenTag,
    run.owners,
    run.signal,
  );
  const isNew = ({ id }: ResticPoint) => !points.some(old => old.id === id);
  for (const point of unproven) {
    // restic writes a snapshot anew to tag it
    const now = marked.find(other => isNew(other) && other.takenAt === point.takenAt);
    run.log(
      `restic snapshot ${describePoint(point)} is not proven: its run was ended early` +
        `${now ? `; it is kept as ${now.id.slice(0, 8)}, marked '${unprovenTag}'` : ""}`,
    );
  }
  return marked;
}

/** Whether an operation failed with a snapshot in the repository that is not proven, or should not be there. */
export function leavesSnapshot(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause)
    if (at instanceof ResticError && (at.made !== undefined || at.remaining.length > 0)) return true;
  return false;
}

/**
 * Tags points and returns what is there then; the tagged ones have new ids. On an append-only store restic fails after
 * it has written the tagged ones, which is enough.
 */
export async function tagPoints(
  repository: Repository,
  ids: string[],
  tag: string,
  owners: readonly string[],
  signal: AbortSignal | undefined,
): Promise<ResticPoint[]> {
  const failure = await repository.addTags(ids, [tag], { signal }).then(
    () => undefined,
    (error: unknown) => error,
  );
  resticInventoryOf(repository).lookAgain();
  const points = await resticPoints(repository, owners, signal);
  // restic 0.14 ends well even where it could write nothing
  const left = points.filter(point => ids.includes(point.id)).map(({ id }) => id);
  if (left.length > 0) throw failure ?? new Error(`tagging ${left.join(", ")} as ${tag}: it has no such tag`);
  return points;
}
