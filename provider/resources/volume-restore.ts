import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { z } from "zod";
import { fromMetadata, instant } from "../base/marks";
import { removeUntilGone } from "../cinder/remove";
import { volumeKind } from "../cinder/watch";
import {
  claimDrift,
  claimObstacle,
  makeClaim,
  type RestoredClaim,
  removeClaim,
  volumeTypeOf,
} from "../kubernetes/restored-claim";
import { isNotFound, parseTime, snapshots, undefinedIfNotFound, volumes } from "../openstack";
import type { Volume } from "../openstack/volumes";
import { doubtsOf, Members } from "../operations/members";
import { proofOf } from "../operations/proof";
import { resticInventoryOf } from "../operations/restic-inventory";
import { markedOf, pointsAmong } from "../operations/restic-set";
import { keepRestored, restoreVolume } from "../operations/restore-volume";
import type { Repository, ResticSnapshot } from "../restic";
import { accessOf, accessRules, moverRefusals, moverRules, type repositoryAccess } from "./repository-access";
import { type Context, PartialFailure, type Refusal, resourceType } from "./resource";
import { type Inputs, inputs, type Outputs, outputs } from "./volume-restore-schema";

/** A new volume made from a Cinder snapshot (Karbor's restore) or filled from a restic snapshot. */
export const volumeRestore = resourceType({
  name: "VolumeRestore",
  description: "A new volume made from a Cinder snapshot or filled from a restic snapshot.",
  inputs,
  outputs,

  rules(given) {
    const refusals: Refusal[] = [];
    if (given.snapshotId !== undefined && given.resticSnapshotId !== undefined)
      refusals.push({ property: "snapshotId", reason: "give snapshotId or resticSnapshotId, not both" });
    if (given.resticSnapshotId === "latest" && given.backupOwner === undefined)
      refusals.push({ property: "backupOwner", reason: "'latest' needs the owner of the backup" });
    if (given.repository)
      refusals.push(...accessRules(given.repository, "repository."), ...moverRules(given));
    return refusals;
  },

  // A volume that is there keeps its file system, and is not replaced because the program says less. Nor does it follow
  // the points of its set, which come and go.
  settle: (given, olds) => ({
    ...given,
    fileSystem: given.fileSystem ?? olds?.fileSystem,
    backupPoints: olds === undefined ? given.backupPoints : olds.backupPoints,
  }),

  preflightKeys: [
    "snapshotId",
    "resticSnapshotId",
    "repository",
    "sizeGib",
    "mover",
    "moverOptions",
    "claim",
    "cloud",
    "region",
    "projectId",
  ],
  async preflight(given, context) {
    const claim = claimIn(given);
    const obstacle = claim && (await claimObstacle(claim));
    if (obstacle !== undefined) return [{ property: "claim", reason: obstacle }];
    if (given.snapshotId !== undefined) {
      try {
        await snapshots.get(context.session(given), given.snapshotId);
        return [];
      } catch (error) {
        if (!isNotFound(error)) throw error;
        return [{ property: "snapshotId", reason: `snapshot ${given.snapshotId} does not exist` }];
      }
    }
    if (given.resticSnapshotId === undefined)
      return [{ property: "snapshotId", reason: "one of snapshotId and resticSnapshotId is required" }];
    if (given.repository === undefined)
      return [{ property: "repository", reason: "is required with resticSnapshotId" }];
    return moverRefusals(given, context);
  },

  async create(given, context) {
    const begun = Date.now();
    const restored =
      given.snapshotId !== undefined
        ? await fromCinder(given, given.snapshotId, context)
        : await fromRestic(given, context);
    context.log(`restored volume ${restored.volumeId} from ${restored.source}`);
    const outputs = {
      ...restored,
      claimedBy: "",
      durationSeconds: (Date.now() - begun) / 1000,
      restoredAt: instant(context.now),
    };
    const fresh = { id: restored.volumeId, outputs };
    try {
      outputs.claimedBy = await claimed(fresh.id, restored, given, context);
    } catch (error) {
      // the volume is there, and only the claim is tried again
      throw new PartialFailure(`volume ${fresh.id} is restored, but ${(error as Error).message}`, fresh, {
        cause: error,
      });
    }
    return fresh;
  },

  drift: async (state, given) => {
    const claim = claimIn(given);
    return claim && state.claimedBy ? claimDrift(claim, state.volumeId) : [];
  },

  async read(id, state, context) {
    const row = await volumes.get(context.session(state), id).catch(undefinedIfNotFound);
    return row && { id, outputs: { ...state, restoredSizeGib: row.size } };
  },

  async update(id, state, given, context) {
    const session = context.session(given);
    if (nameOf(given) !== nameOf(state) || given.description !== state.description)
      await volumes.update(session, id, { name: nameOf(given), description: given.description ?? "" });
    // The mark follows a renamed resource: by its owner the volume is found, and allowed to be removed.
    if (given.owner !== state.owner || !isDeepStrictEqual(given.metadata, state.metadata))
      await volumes.setMetadata(session, id, { ...given.metadata, "osbackup-owner": given.owner });
    const old = claimIn(state);
    const isSame = isDeepStrictEqual(given.claim, state.claim) && given.owner === state.owner;
    if (old && state.claimedBy && !isSame)
      await removeClaim(old, { owner: state.owner, volumeId: id, signal: context.signal });
    return outputs.parse({ ...state, claimedBy: await claimed(id, state, given, context) });
  },

  async delete(id, state, context) {
    const claim = claimIn(state);
    if (claim && state.claimedBy && state.deletionPolicy === "delete")
      await removeClaim(claim, { owner: state.owner, volumeId: id, signal: context.signal });
    if (state.deletionPolicy === "retain") {
      context.log(`deletionPolicy is 'retain': restored volume ${id} stays`);
      await keepRestored(context.session(state), id, state.owner, context.signal).catch((error: Error) =>
        context.warn(`a later restore may take volume ${id} for its own: ${error.message}`),
      );
      return;
    }
    const session = context.session(state);
    const look = () => volumes.get(session, id).catch(undefinedIfNotFound);
    // a service that has lost its way says 404 of what is there too, and nothing looks for the volume later
    const row = (await look()) ?? (await look());
    if (!row) return;
    const mark = fromMetadata(row.metadata);
    if (mark?.role !== "restored" || mark.owner !== state.owner) {
      context.warn(
        `volume ${id} stays: ${mark ? `it belongs to ${mark.owner}` : "it does not carry our mark any more"}`,
      );
      return;
    }
    // a server may have it by now, whose attachment is not ours to end
    await removeUntilGone(session, volumeKind, id, {
      timeoutSeconds: Math.min(state.timeoutSeconds, 600),
      signal: context.signal,
    });
  },
});

/** What a restore says of its volume, before a claim is made for it. */
type Restored = Omit<Outputs, "durationSeconds" | "restoredAt" | "claimedBy">;

/** The claim that is wanted, in the cluster of the mover where it names no other. */
function claimIn({ claim, moverOptions }: Pick<Inputs, "claim" | "moverOptions">): RestoredClaim | undefined {
  const { kubeconfig, context, namespace } = moverOptions?.kubernetes ?? {};
  return claim && { kubeconfig, context, ...claim, namespace: claim.namespace ?? namespace };
}

/** Makes the claim that is wanted; empty where none is. */
async function claimed(
  volumeId: string,
  { restoredSizeGib, restoredAs }: Pick<Outputs, "restoredSizeGib" | "restoredAs">,
  given: Inputs,
  context: Context,
): Promise<string> {
  const claim = claimIn(given);
  if (!claim) return "";
  const isDevice = restoredAs === "device";
  const where = await makeClaim(claim, {
    owner: given.owner,
    volumeId,
    sizeGib: restoredSizeGib,
    volumeMode: isDevice ? "Block" : "Filesystem",
    fsType: isDevice || restoredAs === "" ? undefined : restoredAs,
    signal: context.signal,
  });
  context.log(`claim ${where} has volume ${volumeId}`);
  return where;
}

async function fromCinder(given: Inputs, snapshotId: string, context: Context): Promise<Restored> {
  const session = context.session(given);
  const snapshot = await snapshots.get(session, snapshotId);
  const source = `cinder:${snapshotId}`;
  const { volume } = await restoreVolume(
    { ...targetOf(given, context), sourceKey: source, snapshotId, sizeGib: given.sizeGib ?? snapshot.size },
    async made => {
      if (made.snapshot_id !== snapshotId || made.size < snapshot.size)
        throw new Error(
          `restoring volume ${made.id}: it is not made from snapshot ${snapshotId} in full size`,
        );
    },
  );
  return {
    volumeId: volume.id,
    restoredSizeGib: volume.size,
    source,
    capturedAt: snapshot.metadata?.["osbackup-taken-at"] ?? instant(parseTime(snapshot.created_at)),
    verified: false,
    restoredAs: "",
    compared: "nothing: the volume is Cinder's copy of the snapshot",
    writtenBy: "cinder",
  };
}

async function fromRestic(given: Inputs, context: Context): Promise<Restored> {
  const repository = context.repository(accessOf(given.repository as z.output<typeof repositoryAccess>));
  const wanted = given.resticSnapshotId as string;
  const { signal } = context;
  const [all] = await Promise.all([
    repository.snapshots({ signal }),
    // the lock of a dead run is in no restore's way, and a login that may only read cannot remove it
    resticInventoryOf(repository)
      .unlockOnce(signal)
      .catch(() => {}),
  ]);
  const found = wanted === "latest" ? await latestOf(given, all, context) : byId(wanted, all);
  const source = `restic:${found.id}`;
  const content = found.tags.includes("content=block") ? "block" : "file";
  const rewritten = Number(/^rewritten-links=(\d+)$/m.exec(found.tags.join("\n"))?.[1] ?? 0);
  const sizeGib = await sizeOf(given, found.id, content, repository, context);
  const fileSystem = given.fileSystem ?? fileSystemOf(found.tags);
  const claim = claimIn(given);
  const volumeType = given.volumeType ?? (claim && (await volumeTypeOf(claim)));
  const { volume, filled } = await restoreVolume(
    {
      ...targetOf({ ...given, volumeType }, context),
      sourceKey: source,
      sizeGib,
      letGo: () => context.mover(given).cleanup({ owner: given.owner, log: context.log }),
    },
    (made: Volume) =>
      context.mover(given).restore({
        session: context.session(given),
        volumeId: made.id,
        owner: given.owner,
        repository,
        resticSnapshotId: found.id,
        content,
        tags: found.tags,
        fileSystem,
        newUuid: given.newUuid ?? false,
        verify: given.verify,
        timeoutSeconds: given.timeoutSeconds,
        log: context.log,
        signal: context.signal,
      }),
  );
  return {
    volumeId: volume.id,
    restoredSizeGib: volume.size,
    source,
    capturedAt: instant(found.time),
    verified: given.verify && rewritten === 0,
    restoredAs: content === "block" ? "device" : fileSystem,
    compared: comparedWords(given.verify, content, rewritten),
    writtenBy: filled?.how ?? "an earlier run",
  };
}

/** The part of a new file system that files can take; the rest is its own. */
const usable = 0.93;

/**
 * The size of the new volume: as given, or the least that holds the data. One that is certainly too small is refused
 * before anything is made; restic from 0.15 on leaves the holes of sparse files, so there files may take less.
 */
async function sizeOf(
  given: Inputs,
  id: string,
  content: "file" | "block",
  repository: Repository,
  context: Context,
): Promise<number> {
  const leavesHoles = content === "file" && (await repository.supports("sparse"));
  if (given.sizeGib !== undefined && leavesHoles) return given.sizeGib;
  const bytes = await repository.restoreSize(id, { signal: context.signal });
  const least = Math.max(1, Math.ceil(bytes / (content === "file" ? usable : 1) / 2 ** 30));
  if (given.sizeGib === undefined || given.sizeGib >= least) return given.sizeGib ?? least;
  const what =
    content === "block"
      ? `its device has ${gib(bytes)} GiB`
      : `its files take ${gib(bytes)} GiB where the holes of sparse files are written too, as restic ${(await repository.version()).text} does`;
  const way = content === "block" ? "" : ", or use restic 0.15, which leaves the holes";
  throw new Error(
    `restoring snapshot ${id.slice(0, 8)} needs ${least} GiB: ${what}; give sizeGib ${least} or more${way}`,
  );
}

const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);

function comparedWords(verify: boolean, content: "file" | "block", rewritten: number): string {
  if (!verify) return "nothing: verify is false";
  if (content === "block") return "every byte of the device";
  const links = `${rewritten} symbolic links have other targets: they are not UTF-8, and the restic of the backup rewrote them`;
  return rewritten > 0 ? `the contents of every file; ${links}` : "the contents of every file";
}

/** The file system that the backup was of, where it is one that we make. */
function fileSystemOf(tags: readonly string[]): "ext4" | "xfs" {
  return tags.includes("filesystem=xfs") ? "xfs" : "ext4";
}

function byId(wanted: string, all: readonly ResticSnapshot[]): ResticSnapshot {
  const [found, another] = all.filter(snapshot => snapshot.id.startsWith(wanted));
  if (found && !another) return found;
  if (all.length === 0) throw new Error(nothingThere);
  throw new Error(
    `restoring from repository: ${found ? "several" : "no"} snapshots match '${wanted}', look it up with \`osbackup list\``,
  );
}

const nothingThere = "restoring from repository: the repository holds no snapshot; is it the right one?";

/**
 * The newest good point of the set: of those that its state knows or the cloud names, as anybody with the repository's
 * password can give a snapshot the set's mark. Where neither names one, the mark alone decides, and a line says so.
 */
async function latestOf(
  given: Inputs,
  all: readonly ResticSnapshot[],
  context: Context,
): Promise<ResticSnapshot> {
  const { backupOwner: owner = "", backupPoints } = given;
  const marked = markedOf(all, owner);
  const members = new Members({
    owners: [owner],
    remembered: backupPoints?.map(resticSnapshotId => ({ resticSnapshotId })),
    latest: context.now,
    // it only tells which point is meant: a cloud that does not answer fails the restore elsewhere
    proof: () =>
      proofOf(context.session(given), [owner], undefined).catch(() => ({ ids: new Set(), begun: new Set() })),
  });
  const points = await members.among(marked);
  const newest = points.find(({ good, adopted }) => good && !adopted) ?? points.find(({ good }) => good);
  const words = newest && doubtsOf(newest, points, members.strangers);
  if (words !== undefined) context.warn(words);
  const found = newest && all.find(({ id }) => id === newest.id);
  if (found) return found;
  if (all.length === 0) throw new Error(nothingThere);
  const owners = [...new Set(pointsAmong(all).map(point => point.owner))].sort();
  const there = owners.length > 0 ? `there are points of ${owners.join(", ")}` : "there are no points at all";
  throw new Error(`restoring from repository: it has no good point of ${owner}; ${there}`);
}

function targetOf(given: Inputs, context: Context) {
  const { sizeGib, volumeType, availabilityZone, fileSystem, newUuid } = given;
  const wishes = JSON.stringify({ sizeGib, volumeType, availabilityZone, fileSystem, newUuid });
  return {
    session: context.session(given),
    mark: { owner: given.owner, set: given.owner, role: "restored" as const, takenAt: instant(context.now) },
    wishes: createHash("sha256").update(wishes).digest("hex"),
    name: nameOf(given),
    description: given.description,
    volumeType,
    availabilityZone,
    metadata: given.metadata,
    timeoutSeconds: Math.min(given.timeoutSeconds, 3600),
    signal: context.signal,
  };
}

function nameOf(given: Pick<Inputs, "name" | "owner">): string {
  return given.name ?? `restore-${given.owner.split("/").slice(2).join("/")}`.slice(0, 255);
}
