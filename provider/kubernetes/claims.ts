import type { CoreV1Api, V1PersistentVolume } from "@kubernetes/client-node";

/** Which cluster is asked, and for which claim. */
export interface ClaimName {
  /** Name of the PersistentVolumeClaim. */
  name: string;
  /** Default: that of the context, then "default". */
  namespace?: string;
  /** Path of a kubeconfig. Default: KUBECONFIG, then ~/.kube/config, then the pod's own service account. */
  kubeconfig?: string;
  /** Context in it. Default: its current one. */
  context?: string;
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

/** The driver of volumes that Cinder has, and its claims' volumes from before there were drivers. */
const cinderDriver = "cinder.csi.openstack.org";

/**
 * The Cinder volume behind a PersistentVolumeClaim: claim, volume, `spec.csi.volumeHandle`.
 * Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/persistent-volume-v1/
 *
 * @throws where there is none, with the object that says so and what helps
 */
export async function volumeOfClaim(wanted: ClaimName): Promise<ClaimVolume> {
  const { api, namespace: ofContext } = await cluster(wanted);
  const namespace = wanted.namespace ?? ofContext;
  const claim = `claim ${namespace}/${wanted.name}`;
  const found = await api
    .readNamespacedPersistentVolumeClaim({ name: wanted.name, namespace })
    .catch(asSentence(`reading ${claim}`, `kubectl get pvc -n ${namespace}`));
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
  const volume = await api
    .readPersistentVolume({ name: volumeName })
    .catch(asSentence(`reading persistent volume ${volumeName} of ${claim}`, `kubectl get pv ${volumeName}`));
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

/** The library is large, and only those who use Kubernetes have it. */
async function cluster({ kubeconfig, context }: ClaimName): Promise<{ api: CoreV1Api; namespace: string }> {
  const library = await import("@kubernetes/client-node").catch(() => {
    throw new Error("reading from Kubernetes needs a package more: npm install @kubernetes/client-node");
  });
  const config = new library.KubeConfig();
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (error) {
    throw new Error(`kubeconfig ${kubeconfig ?? "of the environment"}: ${(error as Error).message}`);
  }
  if (context !== undefined) {
    const names = config.getContexts().map(({ name }) => name);
    if (!names.includes(context))
      throw new Error(`the kubeconfig has no context '${context}', it has ${names.join(", ") || "none"}`);
    config.setCurrentContext(context);
  }
  const current = config.getContextObject(config.getCurrentContext());
  if (!config.getCurrentCluster())
    throw new Error("no cluster is configured: set KUBECONFIG, or give kubeconfig and context");
  return { api: config.makeApiClient(library.CoreV1Api), namespace: current?.namespace ?? "default" };
}

/** The API server's own words, without the headers that the library puts into its message. */
const asSentence =
  (doing: string, command: string) =>
  (error: unknown): never => {
    const { code, body, message } = error as { code?: number | string; body?: unknown; message: string };
    // of 401 the library gives no body
    const said = typeof body === "string" ? statusOf(body) : code === 401 ? "Unauthorized" : undefined;
    const why = said ?? (typeof code === "number" ? "the API server says no why" : message.split("\n")[0]);
    const remedy =
      code === 403
        ? "; the account needs the verb get for persistentvolumeclaims there and for persistentvolumes in the cluster"
        : code === 401
          ? "; the kubeconfig's login is not, or no longer, accepted"
          : code === 404
            ? `, see \`${command}\``
            : "";
    throw new Error(`${doing}: ${why}${typeof code === "number" ? ` (HTTP ${code})` : ""}${remedy}`);
  };

function statusOf(body: string): string | undefined {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    return typeof message === "string" ? message : undefined;
  } catch {
    return undefined;
  }
}
