import type {
  V1Container,
  V1Job,
  V1ObjectMeta,
  V1PersistentVolume,
  V1PersistentVolumeClaim,
  V1ResourceRequirements,
  V1Secret,
} from "@kubernetes/client-node";
import { labelOf } from "../../kubernetes/cluster";
import { claimOf, persistentVolumeOf, type StaticVolume } from "../../kubernetes/static-volume";
import type { KubernetesOptions } from "./options";

/** How a volume comes into a pod. */
export type Shape = { mode: "Filesystem"; fsType: string; access: "read" | "write" } | { mode: "Block" };

/** What that is called, on the Job too, so that a killed run's is found whatever it takes the volume for. */
export const shapeName = (shape: Shape): string => (shape.mode === "Block" ? "raw device" : shape.fsType);

/** One Job and what it needs. */
export interface Task {
  owner: string;
  namespace: string;
  volumeId: string;
  sizeGib: number;
  shape: Shape;
  image: string;
  /** The shell script, and its arguments; none of them is secret. */
  script: string;
  arguments: readonly string[];
  /** Where a file system is mounted. */
  mountPath: string;
  /** What the run's own Secret holds, by variable: all that opens the repository, or what the user's Secret does not have. */
  secrets: Readonly<Record<string, string>>;
  /** Variables that are no secret. */
  environment: Readonly<Record<string, string>>;
  deadlineSeconds: number;
  options: KubernetesOptions;
}

/** The label by which one watch sees all objects of ours. */
export const managed = { "app.kubernetes.io/managed-by": "osbackup" };

/** The label of what belongs to an owner; the name itself, which a label cannot hold, is an annotation. */
export const ownerLabel = (owner: string): string => labelOf(owner, 32);

const ownerKey = "osbackup-owner";

/** What finds our objects: all, or those of an owner. */
export const selectorOf = (owner?: string): string =>
  Object.entries({ ...managed, ...(owner === undefined ? {} : { [ownerKey]: ownerLabel(owner) }) })
    .map(([key, value]) => `${key}=${value}`)
    .join(",");

/** The one name of all objects that bring a volume into a pod: the same in every run, so that a killed one's are found. */
export const nameOf = (owner: string, volumeId: string): string =>
  `osbackup-${labelOf(owner, 8)}-${volumeId.slice(0, 8)}`;

/** The path of the raw device in the pod. */
export const devicePath = "/dev/osbackup-volume";

/** Where the pod may write: restic's cache, and what the scripts keep for a moment. */
export const scratchPath = "/osbackup";

/** The certificates to trust, where the repository has its own. */
export const certificates = { key: "ca.crt", path: "/osbackup-certificates/ca.crt" };

function metadata(task: Task): V1ObjectMeta {
  return {
    name: nameOf(task.owner, task.volumeId),
    namespace: task.namespace,
    labels: { ...managed, [ownerKey]: ownerLabel(task.owner) },
    annotations: { [ownerKey]: task.owner, "osbackup-volume": task.volumeId },
  };
}

/** The volume as the cluster sees it. `ro` is the mount's, or the driver would make a file system where it knows none. */
function staticVolume(task: Task): StaticVolume {
  const { shape, owner, volumeId, sizeGib, namespace, options } = task;
  const { labels = {}, annotations = {} } = metadata(task);
  return {
    volumeId,
    sizeGib,
    volumeName: nameOf(owner, volumeId),
    claimName: nameOf(owner, volumeId),
    namespace,
    labels,
    annotations,
    storageClass: options.storageClass ?? "",
    volumeMode: shape.mode,
    ...(shape.mode === "Block" ? {} : { fsType: shape.fsType }),
    ...(shape.mode === "Filesystem" && shape.access === "read" ? { mountOptions: ["ro"] } : {}),
  };
}

/** The persistent volume of a task. */
export const persistentVolume = (task: Task): V1PersistentVolume => persistentVolumeOf(staticVolume(task));

/** The claim of a task. */
export const claim = (task: Task): V1PersistentVolumeClaim => claimOf(staticVolume(task));

const hasCertificates = ({ secrets }: Task): boolean => certificates.key in secrets;

/** The user's Secret, and the run's own where it has anything to hold. */
const secretsOf = ({ options, secrets, owner, volumeId }: Task): string[] => [
  ...(options.repositorySecret === undefined ? [] : [options.repositorySecret]),
  ...(Object.keys(secrets).length > 0 ? [nameOf(owner, volumeId)] : []),
];

/** The run's own Secret. */
export function secret(task: Task): V1Secret {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: metadata(task),
    type: "Opaque",
    immutable: true,
    stringData: { ...task.secrets },
  };
}

/** What root in the container may do beside what everybody may: enough to read all files, or to write them with their owners. */
const capabilities = {
  read: ["DAC_READ_SEARCH"],
  write: ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"],
};

/** How long restic gets to remove its lock when its pod is ended. */
const graceSeconds = 60;

/** A finished Job that nobody looked at goes by itself after so long. */
const keptSeconds = 7 * 86_400;

/**
 * The Job: one pod, never a second one. The deadline stands on the pod, for that of a Job deletes the pod and with it
 * what it said.
 */
export function job(task: Task): V1Job {
  const { options } = task;
  const common = metadata(task);
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      ...common,
      annotations: {
        ...common.annotations,
        "osbackup-command": digestOf(task),
        "osbackup-shape": shapeName(task.shape),
      },
    },
    spec: {
      backoffLimit: 0,
      completions: 1,
      parallelism: 1,
      ttlSecondsAfterFinished: keptSeconds,
      template: {
        metadata: { labels: { ...common.labels } },
        spec: {
          restartPolicy: "Never",
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          activeDeadlineSeconds: task.deadlineSeconds,
          terminationGracePeriodSeconds: graceSeconds,
          ...(options.serviceAccountName === undefined
            ? {}
            : { serviceAccountName: options.serviceAccountName }),
          ...(options.imagePullSecrets
            ? { imagePullSecrets: options.imagePullSecrets.map(name => ({ name })) }
            : {}),
          ...(options.nodeSelector ? { nodeSelector: options.nodeSelector } : {}),
          ...(options.tolerations ? { tolerations: options.tolerations as object[] } : {}),
          ...(options.affinity ? { affinity: options.affinity } : {}),
          containers: [container(task)],
          volumes: [
            { name: "volume", persistentVolumeClaim: { claimName: nameOf(task.owner, task.volumeId) } },
            { name: "scratch", emptyDir: {} },
            ...(hasCertificates(task)
              ? [
                  {
                    name: "certificates",
                    secret: {
                      secretName: nameOf(task.owner, task.volumeId),
                      items: [{ key: certificates.key, path: certificates.key }],
                    },
                  },
                ]
              : []),
          ],
        },
      },
    },
  };
}

/** The container's name, by which its log is read. */
export const containerName = "restic";

function container(task: Task): V1Container {
  const { shape, options } = task;
  const added = shape.mode === "Filesystem" ? capabilities[shape.access] : [];
  return {
    name: containerName,
    image: task.image,
    command: ["/bin/sh", "-c", task.script, "osbackup", ...task.arguments],
    envFrom: secretsOf(task).map(name => ({ secretRef: { name } })),
    env: Object.entries({
      HOME: scratchPath,
      TMPDIR: scratchPath,
      RESTIC_CACHE_DIR: `${scratchPath}/cache`,
      ...task.environment,
    }).map(([name, value]) => ({ name, value })),
    terminationMessagePolicy: "FallbackToLogsOnError",
    ...(options.resources ? { resources: options.resources as V1ResourceRequirements } : {}),
    securityContext: options.securityContext ?? {
      runAsUser: 0,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"], ...(added.length > 0 ? { add: added } : {}) },
      seccompProfile: { type: "RuntimeDefault" },
    },
    workingDir: shape.mode === "Filesystem" ? task.mountPath : scratchPath,
    volumeMounts: [
      { name: "scratch", mountPath: scratchPath },
      ...(shape.mode === "Filesystem"
        ? [{ name: "volume", mountPath: task.mountPath, readOnly: shape.access === "read" }]
        : []),
      ...(hasCertificates(task)
        ? [{ name: "certificates", mountPath: certificates.path.replace(/\/[^/]*$/, ""), readOnly: true }]
        : []),
    ],
    ...(shape.mode === "Block" ? { volumeDevices: [{ name: "volume", devicePath }] } : {}),
  };
}

/** Says whether a Job found there does what this run wants. */
export const digestOf = ({ shape, script, arguments: words, volumeId }: Task): string =>
  labelOf(JSON.stringify([shape, script, words, volumeId]), 32);
