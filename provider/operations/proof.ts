import { createHash } from "node:crypto";
import { instant, metadataKeys } from "../base/marks";
import { type Session, volumes } from "../openstack";
import type { Volume } from "../openstack/volumes";
import { type Repository, ResticError } from "../restic";
import { inventoryOf } from "./inventory";
import type { Members, Proof } from "./members";
import { resticInventoryOf } from "./restic-inventory";
import { type ResticPoint, unprovenTag } from "./restic-set";
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
  members: Members;
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** The points of a run's set as the repository has them, newest first. */
export async function pointsOf(run: Pick<Proving, "repository" | "owners" | "members" | "signal">) {
  const marked = await resticInventoryOf(run.repository).marked(run.owners, run.signal);
  return run.members.among(marked);
}

/**
 * Marks the points whose run was killed before it knew the result, so that they never count as good, and returns the
 * points as they are then.
 */
export async function markUnproven(points: ResticPoint[], run: Proving): Promise<ResticPoint[]> {
  const open = await begunBackups(run.session, run.temporaryVolume.owner);
  const unproven = points.filter(point => point.good && open.has(point.takenAt));
  if (unproven.length === 0) return points;
  const tagged = await tagPoints(unproven, [unprovenTag], run);
  for (const point of unproven) {
    const now = tagged.get(point.id);
    run.log(
      `restic snapshot ${describePoint(point)} is not proven: its run was ended early` +
        `${now ? `; it is kept as ${now.id.slice(0, 8)}, marked '${unprovenTag}'` : ""}`,
    );
  }
  return pointsOf(run);
}

/** Whether an operation failed with a snapshot in the repository that is not proven, or should not be there. */
export function leavesSnapshot(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause)
    if (at instanceof ResticError && (at.made !== undefined || at.remaining.length > 0)) return true;
  return false;
}

/** Of what instants the backups are that a temporary volume speaks of; one that is being deleted was released. */
async function begunBackups(session: Session, owner: string): Promise<Set<string>> {
  const begun = await inventoryOf(session).volumes(owner, "temporary");
  return new Set(
    begun.flatMap(({ row }) => (row.status === "deleting" ? [] : (row.metadata?.[backingUpKey] ?? []))),
  );
}

/**
 * On a Cinder snapshot, for each set that has it in a repository: the restic snapshot that its data became. Who may only
 * write to the repository cannot write it, so it tells the point of a killed run from one that somebody else has put there.
 */
const copiedAsKey = (owner: string): string =>
  `osbackup-copied-as-${createHash("sha256").update(owner).digest("hex").slice(0, 12)}`;

/** What to write on the Cinder snapshot of a point that a run has made. */
export const copiedAs = (owner: string, id: string): Record<string, string> => ({ [copiedAsKey(owner)]: id });

/** What the cloud knows of the points of a set. */
export async function proofOf(
  session: Session,
  owners: readonly string[],
  temporaryVolume: { owner: string } | undefined,
): Promise<Proof> {
  const keys = owners.map(copiedAsKey);
  const snapshots = await inventoryOf(session).ownSnapshots(mark => mark.role === "recovery-point");
  return {
    ids: new Set(snapshots.flatMap(({ row }) => keys.flatMap(key => row.metadata?.[key] ?? []))),
    begun: temporaryVolume ? await begunBackups(session, temporaryVolume.owner) : new Set(),
  };
}

/**
 * Tags points; returns what each is now, by its id before: restic writes a snapshot anew to tag it. On an append-only
 * store restic fails after it has written the tagged ones, which is enough.
 */
export async function tagPoints(
  points: readonly Pick<ResticPoint, "id" | "writtenFor">[],
  tags: string[],
  { repository, owners, members, signal }: Pick<Proving, "repository" | "owners" | "members" | "signal">,
): Promise<Map<string, ResticPoint>> {
  const ids = points.map(({ id }) => id);
  const inventory = resticInventoryOf(repository);
  const before = new Set((await inventory.marked(owners, signal)).map(({ id }) => id));
  const failure = await repository.addTags(ids, tags, { signal }).then(
    () => undefined,
    (error: unknown) => error,
  );
  inventory.lookAgain();
  const written = (await inventory.marked(owners, signal)).filter(point => !before.has(point.id));
  const tagged = new Map<string, ResticPoint>();
  for (const { id, writtenFor } of points) {
    const now = written.find(
      other =>
        (other.writtenFor === id || (writtenFor !== undefined && other.writtenFor === writtenFor)) &&
        tags.every(tag => other.tags.includes(tag)),
    );
    if (!now) continue;
    members.note(now);
    tagged.set(id, now);
  }
  // restic 0.14 ends well even where it could write nothing
  const left = ids.filter(id => !tagged.has(id));
  if (left.length > 0)
    throw failure ?? new Error(`tagging ${left.join(", ")} as ${tags[0]}: it has no such tag`);
  return tagged;
}
