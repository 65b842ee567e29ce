import type { V1PersistentVolume } from "@kubernetes/client-node";
import type { ClaimName } from "./claims";
import {
  asSentence,
  type Cluster,
  cinderDriver,
  hasDriver,
  labelOf,
  openCluster,
  statusOf,
  undefinedIfMissing,
  wordsOf,
} from "./cluster";
import { removed } from "./removal";
import { lackingRights, type Right } from "./rights";
import { bound, claimOf, persistentVolumeOf, type StaticVolume } from "./static-volume";

/** A claim by which pods of a cluster use a restored volume. */
export interface RestoredClaim extends ClaimName {
  /** storageClassName of volume and claim; without one they have none. */
  storageClass?: string | undefined;
  /** Default ReadWriteOnce. */
  accessModes?: string[] | undefined;
  /** Default: Block where the backup was of a raw device. */
  volumeMode?: "Filesystem" | "Block" | undefined;
  /** Default: that of the restored files, else the driver's own. */
  fsType?: string | undefined;
}

/** The volume that the claim is for. */
export interface ClaimedVolume {
  owner: string;
  volumeId: string;
  sizeGib: number;
  volumeMode: "Filesystem" | "Block";
  fsType?: string | undefined;
  signal?: AbortSignal | undefined;
}

const bindSeconds = 120;

/** Not the label of what a run makes and removes again: a restored claim stays. */
const label = "osbackup-restored-by";

const volumeNameOf = (volumeId: string): string => `osbackup-restored-${volumeId}`;

const needed: readonly Right[] = [
  { group: "", resource: "persistentvolumeclaims", verbs: ["get", "create", "delete"], there: true },
  { group: "", resource: "persistentvolumes", verbs: ["get", "create", "delete"], there: false },
];

const rights =
  "the verbs get, create and delete for persistentvolumeclaims there and for persistentvolumes in the cluster";

/** Opens the cluster of a claim and settles its namespace. */
async function opened(
  wanted: RestoredClaim,
): Promise<{ cluster: Cluster; namespace: string; where: string }> {
  const cluster = await openCluster(wanted);
  const namespace = wanted.namespace ?? cluster.namespace;
  return { cluster, namespace, where: `${namespace}/${wanted.name}` };
}

/** Why the claim cannot be made: the cluster, the account's rights, the namespace, or one of that name. Makes nothing. */
export async function claimObstacle(wanted: RestoredClaim): Promise<string | undefined> {
  try {
    const { cluster, namespace, where } = await opened(wanted);
    const lacking = await lackingRights(cluster, namespace, needed);
    if (lacking.length > 0) return `the account may not ${lacking.join(", ")}`;
    await hasDriver(cluster);
    await classOf(cluster, wanted);
    try {
      await cluster.core.createNamespacedPersistentVolumeClaim({
        namespace,
        dryRun: "All",
        body: {
          metadata: { name: wanted.name },
          spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
        },
      });
    } catch (error) {
      if (statusOf(error) === 409)
        return `claim ${where} exists, and a restore touches nothing that is there: give another name, or remove it`;
      return `claim ${where} cannot be made: ${wordsOf(error)}`;
    }
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** The Cinder volume type of the claim's storage class; undefined where it names none, or the account may not look. */
export async function volumeTypeOf(wanted: RestoredClaim): Promise<string | undefined> {
  const { cluster } = await opened(wanted);
  return classOf(cluster, wanted);
}

async function classOf({ storage }: Cluster, { storageClass }: RestoredClaim): Promise<string | undefined> {
  if (!storageClass) return undefined;
  try {
    const { provisioner, parameters } = await storage.readStorageClass({ name: storageClass });
    if (provisioner !== cinderDriver)
      throw new Error(`storage class ${storageClass} is of ${provisioner}, not of ${cinderDriver}`);
    return parameters?.type;
  } catch (error) {
    if (statusOf(error) === 403) return undefined;
    if (statusOf(error) === undefined) throw error;
    return asSentence(`reading storage class ${storageClass}`, {
      rights: "the verb get for storageclasses",
      look: "kubectl get storageclass",
    })(error);
  }
}

/**
 * Makes the claim and its persistent volume, and waits until they are bound; what is there of them stays as it is. The
 * claim's deletion never deletes Cinder's volume (`Retain`).
 *
 * @returns its namespace and name
 * @throws where the name is somebody else's
 */
export async function makeClaim(wanted: RestoredClaim, volume: ClaimedVolume): Promise<string> {
  const { cluster, namespace, where } = await opened(wanted);
  const { core } = cluster;
  const { owner, volumeId, sizeGib, signal } = volume;
  const mode = wanted.volumeMode ?? volume.volumeMode;
  const pair: StaticVolume = {
    volumeId,
    sizeGib,
    volumeName: volumeNameOf(volumeId),
    claimName: wanted.name,
    namespace,
    labels: { [label]: labelOf(owner, 32) },
    annotations: { [label]: owner },
    storageClass: wanted.storageClass ?? "",
    accessModes: wanted.accessModes,
    volumeMode: mode,
    fsType: mode === "Block" ? undefined : (wanted.fsType ?? volume.fsType),
  };
  const asking = asSentence(`making claim ${where}`, { rights, look: `kubectl get namespace ${namespace}` });
  const there = await core
    .readNamespacedPersistentVolumeClaim({ name: wanted.name, namespace })
    .catch(undefinedIfMissing(asking));
  if (there && !isOurs(there, owner))
    throw new Error(
      `making claim ${where}: one of that name exists, for ${there.spec?.volumeName ?? "no volume yet"}; give another name, or remove it`,
    );
  // a restore that is replaced lets its claim lead to the new volume
  const isOthers = there !== undefined && there.spec?.volumeName !== pair.volumeName;
  if (isOthers) {
    const old = there.spec?.volumeName?.replace(volumeNameOf(""), "") ?? "";
    await removeClaim(wanted, { owner, volumeId: old, signal });
  }
  const known = await core.readPersistentVolume({ name: pair.volumeName }).catch(undefinedIfMissing(asking));
  // bound to a claim that was deleted, it takes no other
  const isSpent = known !== undefined && (!there || isOthers || known.status?.phase === "Released");
  if (isSpent) await removeVolume(cluster, known, owner, signal);
  if (!known || isSpent) await core.createPersistentVolume({ body: persistentVolumeOf(pair) }).catch(asking);
  if (!there || isOthers)
    await core.createNamespacedPersistentVolumeClaim({ namespace, body: claimOf(pair) }).catch(asking);
  await bound(
    cluster,
    { name: wanted.name, namespace },
    { failing: "restored PVC failed to bind", timeoutSeconds: bindSeconds, signal },
  );
  return where;
}

/** Why the claim is not what the last run left; empty where it is. */
export async function claimDrift(wanted: RestoredClaim, volumeId: string): Promise<string[]> {
  const { cluster, namespace, where } = await opened(wanted);
  const found = await cluster.core
    .readNamespacedPersistentVolumeClaim({ name: wanted.name, namespace })
    .catch(undefinedIfMissing(asSentence(`reading claim ${where}`, { rights })));
  if (!found) return [`claim ${where} is gone`];
  return found.spec?.volumeName === volumeNameOf(volumeId) ? [] : [`claim ${where} has another volume`];
}

/** Removes claim and persistent volume where they are this owner's; Cinder's volume stays. */
export async function removeClaim(
  wanted: RestoredClaim,
  { owner, volumeId, signal }: Pick<ClaimedVolume, "owner" | "volumeId" | "signal">,
): Promise<void> {
  const { cluster, namespace, where } = await opened(wanted);
  const { core } = cluster;
  const asking = asSentence(`removing claim ${where}`, { rights });
  const there = await core
    .readNamespacedPersistentVolumeClaim({ name: wanted.name, namespace })
    .catch(undefinedIfMissing(asking));
  if (there && isOurs(there, owner) && there.spec?.volumeName === volumeNameOf(volumeId))
    await removed(
      {
        what: `claim ${where}`,
        remove: () => core.deleteNamespacedPersistentVolumeClaim({ name: wanted.name, namespace }),
        read: () => core.readNamespacedPersistentVolumeClaim({ name: wanted.name, namespace }),
      },
      rights,
      signal,
    );
  const volume = await core
    .readPersistentVolume({ name: volumeNameOf(volumeId) })
    .catch(undefinedIfMissing(asking));
  if (volume) await removeVolume(cluster, volume, owner, signal);
}

async function removeVolume(
  { core }: Cluster,
  volume: V1PersistentVolume,
  owner: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const name = volume.metadata?.name ?? "";
  if (!isOurs(volume, owner)) throw new Error(`persistent volume ${name} does not carry our label: it stays`);
  await removed(
    {
      what: `persistent volume ${name}`,
      remove: () => core.deletePersistentVolume({ name }),
      read: () => core.readPersistentVolume({ name }),
    },
    rights,
    signal,
  );
}

const isOurs = ({ metadata }: Pick<V1PersistentVolume, "metadata">, owner: string): boolean =>
  metadata?.labels?.[label] === labelOf(owner, 32);
