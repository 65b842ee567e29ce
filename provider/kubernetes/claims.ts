import type { V1PersistentVolume } from "@kubernetes/client-node";
import { asSentence, type ClusterAddress, cinderDriver, openCluster } from "./cluster";

/** Which cluster is asked, and for which claim. */
export interface ClaimName extends ClusterAddress {
  /** Name of the PersistentVolumeClaim. */
  name: string;
  /** Default: that of the context, then "default". */
  namespace?: string | undefined;
}

/** What Kubernetes knows of the Cinder volume behind a claim. */
export interface ClaimVolume {
  /** Cinder's id. */
  volumeId: string;
  namespace: string;
  claim: string;
  persistentVolume: string;
  /** "" where the claim has none. */
  storageClass: string;
  /** "Filesystem" or "Block". */
  volumeMode: string;
}

const readingRights =
  "the verb get for persistentvolumeclaims there and for persistentvolumes in the cluster";

/**
 * The Cinder volume behind a PersistentVolumeClaim: claim, volume, `spec.csi.volumeHandle`.
 * Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/persistent-volume-v1/
 *
 * @throws where there is none, with the object that says so and what helps
 */
export async function volumeOfClaim(wanted: ClaimName): Promise<ClaimVolume> {
  const { core: api, namespace: ofContext } = await openCluster(wanted);
  const namespace = wanted.namespace ?? ofContext;
  const claim = `claim ${namespace}/${wanted.name}`;
  const found = await api
    .readNamespacedPersistentVolumeClaim({ name: wanted.name, namespace })
    .catch(
      asSentence(`reading ${claim}`, { rights: readingRights, look: `kubectl get pvc -n ${namespace}` }),
    );
  const { volumeName, storageClassName = "", volumeMode = "Filesystem" } = found.spec ?? {};
  const phase = found.status?.phase ?? "unknown";
  if (found.metadata?.deletionTimestamp !== undefined)
    throw new Error(`${claim} is being deleted: its volume goes with it where the reclaim policy says so`);
  if (phase === "Lost")
    throw new Error(
      `${claim} is Lost: its volume ${volumeName ?? ""} is gone from the cluster; give the Cinder volume's id`,
    );
  if (phase !== "Bound" || !volumeName)
    throw new Error(
      `${claim} is ${phase}, it has no volume yet: \`kubectl describe pvc ${wanted.name} -n ${namespace}\` says why`,
    );
  const volume = await api.readPersistentVolume({ name: volumeName }).catch(
    asSentence(`reading persistent volume ${volumeName} of ${claim}`, {
      rights: readingRights,
      look: `kubectl get pv ${volumeName}`,
    }),
  );
  return {
    volumeId: handleOf(volume, volumeName, claim),
    namespace,
    claim: wanted.name,
    persistentVolume: volumeName,
    storageClass: storageClassName,
    volumeMode,
  };
}

function handleOf({ spec }: V1PersistentVolume, name: string, claim: string): string {
  if (spec?.cinder) return spec.cinder.volumeID;
  if (spec?.csi?.driver === cinderDriver) return spec.csi.volumeHandle;
  const kinds = ["nfs", "hostPath", "local", "iscsi", "fc", "rbd", "cephfs"] as const;
  const kind = spec?.csi
    ? `the driver ${spec.csi.driver}`
    : (kinds.find(one => spec?.[one]) ?? "another kind");
  throw new Error(
    `persistent volume ${name} of ${claim} is of ${kind}, not of ${cinderDriver}: only volumes of Cinder are backed up here`,
  );
}
