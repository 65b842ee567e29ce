import type { V1ObjectMeta, V1PersistentVolume, V1PersistentVolumeClaim } from "@kubernetes/client-node";
import { pause } from "../base/pause";
import { asSentence, type Cluster, cinderDriver } from "./cluster";

/** A Cinder volume as a cluster sees it: a persistent volume, and the one claim that may have it. */
export interface StaticVolume {
  volumeId: string;
  sizeGib: number;
  volumeName: string;
  claimName: string;
  namespace: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** "" for none. */
  storageClass: string;
  accessModes?: string[] | undefined;
  volumeMode: "Filesystem" | "Block";
  /** Default: the driver's own. */
  fsType?: string | undefined;
  mountOptions?: string[] | undefined;
}

const metadataOf = (
  { labels, annotations }: StaticVolume,
  name: string,
  namespace?: string,
): V1ObjectMeta => ({
  name,
  ...(namespace === undefined ? {} : { namespace }),
  labels: { ...labels },
  annotations: { ...annotations },
});

/** `claimRef` keeps other claims of that size away; and with `Retain` the cluster deletes nothing of Cinder's. */
export function persistentVolumeOf(volume: StaticVolume): V1PersistentVolume {
  const { accessModes = ["ReadWriteOnce"], volumeMode, fsType, mountOptions, namespace, claimName } = volume;
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: metadataOf(volume, volume.volumeName),
    spec: {
      capacity: { storage: `${volume.sizeGib}Gi` },
      accessModes,
      volumeMode,
      persistentVolumeReclaimPolicy: "Retain",
      storageClassName: volume.storageClass,
      ...(mountOptions ? { mountOptions } : {}),
      claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name: claimName },
      csi: {
        driver: cinderDriver,
        volumeHandle: volume.volumeId,
        ...(fsType === undefined ? {} : { fsType }),
      },
    },
  };
}

/** The claim on that volume, and on no other. */
export function claimOf(volume: StaticVolume): V1PersistentVolumeClaim {
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: metadataOf(volume, volume.claimName, volume.namespace),
    spec: {
      accessModes: volume.accessModes ?? ["ReadWriteOnce"],
      volumeMode: volume.volumeMode,
      storageClassName: volume.storageClass,
      volumeName: volume.volumeName,
      resources: { requests: { storage: `${volume.sizeGib}Gi` } },
    },
  };
}

/** Waits until a claim is bound; the error of one that is not begins with `failing` and has its events. */
export async function bound(
  { core }: Cluster,
  { name, namespace }: { name: string; namespace: string },
  {
    failing,
    timeoutSeconds,
    signal,
  }: { failing: string; timeoutSeconds: number; signal: AbortSignal | undefined },
): Promise<void> {
  const until = Date.now() + timeoutSeconds * 1000;
  for (let wait = 100; ; wait = Math.min(2 * wait, 5_000)) {
    const found = await core
      .readNamespacedPersistentVolumeClaim({ name, namespace })
      .catch(
        asSentence(`reading claim ${name}`, { rights: "the verb get for persistentvolumeclaims there" }),
      );
    const phase = found.status?.phase;
    if (phase === "Bound") return;
    if (Date.now() > until) {
      const { items } = await core
        .listNamespacedEvent({ namespace, fieldSelector: `involvedObject.uid=${found.metadata?.uid}` })
        .catch(() => ({ items: [] }));
      const events = [...new Set(items.map(({ reason, message }) => `${reason}: ${message}`))];
      throw new Error(
        `${failing}: claim ${namespace}/${name} is ${phase} after ${timeoutSeconds} s; ${events.join("; ") || "the cluster says no why"}`,
      );
    }
    await pause(wait, signal);
  }
}
