import type { CoreV1Event, V1Job, V1Pod } from "@kubernetes/client-node";

/** What is seen of a Job. */
export interface Seen {
  job: V1Job | undefined;
  /** Of this Job's one pod the newest state, also after it has been deleted. */
  pod: V1Pod | undefined;
  podIsGone: boolean;
  /** Warnings of the Job and of its pod, oldest first. */
  warnings: readonly Pick<CoreV1Event, "reason" | "message">[];
}

/** What that means. */
export type Verdict =
  /** Nothing runs yet. `patienceSeconds` is how long that may last, where it is shorter than the start of a pod may take. */
  | { state: "starting"; why: string; patienceSeconds?: number; unreadable?: boolean }
  | { state: "running" }
  | { state: "ended"; exitCode: number; message: string }
  /** `afterSeconds`: unless something else is seen in that time. */
  | { state: "failed"; why: string; afterSeconds?: number };

/** An image that is not there now may be there in a moment, and so may a Secret. */
const shortPatienceSeconds = 60;

/** How long a pod may take to end whose Job is given up. */
const endingSeconds = 90;

/**
 * Tells apart how a Job goes. One pod, never started again; most of what keeps it from starting never fails by itself,
 * and some is said by events alone.
 * Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
 */
export function verdictOf(seen: Seen): Verdict {
  const { pod, podIsGone, job } = seen;
  return (pod && endOf(pod, podIsGone)) ?? brokenOff(seen) ?? startOf(job, pod, seen.warnings);
}

function endOf(pod: V1Pod, isGone: boolean): Verdict | undefined {
  const { status } = pod;
  const name = nameOf(pod);
  const ended = status?.containerStatuses?.[0]?.state?.terminated;
  if (status?.reason === "Evicted")
    return { state: "failed", why: `${name} was evicted: ${status.message?.trim() ?? "no reason given"}` };
  if (status?.reason === "DeadlineExceeded")
    return { state: "failed", why: `${name} was not done within its deadline and was ended` };
  if (!ended) return undefined;
  if (ended.reason === "OOMKilled")
    return {
      state: "failed",
      why: `${name} ran out of memory (limit ${limitOf(pod)}): give more in moverOptions.kubernetes.resources.limits.memory`,
    };
  if (ended.reason === "StartError" || ended.reason === "ContainerCannotRun")
    return { state: "failed", why: `${name} cannot start its container: ${ended.message ?? ended.reason}` };
  const disruption = disruptionOf(pod);
  if (ended.exitCode !== 0 && disruption) return { state: "failed", why: `${name} ${disruption}` };
  if (ended.exitCode !== 0 && (isGone || pod.metadata?.deletionTimestamp !== undefined))
    return { state: "failed", why: `${name} was deleted before its end` };
  // why the kernel or the kubelet has ended it is told a moment later
  if (ended.exitCode >= 128 && !isGone && status?.phase !== "Failed") return { state: "running" };
  return { state: "ended", exitCode: ended.exitCode, message: ended.message ?? "" };
}

const nameOf = ({ metadata, spec }: V1Pod): string =>
  `pod ${metadata?.name}${spec?.nodeName ? ` on node ${spec.nodeName}` : ""}`;

const limitOf = ({ spec }: V1Pod): string => spec?.containers[0]?.resources?.limits?.memory ?? "the node's";

/** That the cluster, not the pod, wants its end. */
function disruptionOf({ status }: V1Pod): string | undefined {
  const found = status?.conditions?.find(
    ({ type, status }) => type === "DisruptionTarget" && status === "True",
  );
  if (!found) return undefined;
  if (found.reason === "DeletionByTaintManager")
    return `is lost with its node: ${found.message ?? ""}`.trimEnd();
  return `was ended by the cluster: ${found.message ?? found.reason ?? "DisruptionTarget"}`;
}

/** A pod that came to no end of its own: deleted, or on a node that is gone. */
function brokenOff({ job, pod, podIsGone }: Seen): Verdict | undefined {
  const failed = job?.status?.conditions?.find(
    ({ type, status }) => (type === "Failed" || type === "FailureTarget") && status === "True",
  );
  const disruption = pod && disruptionOf(pod);
  if (pod && podIsGone)
    return { state: "failed", why: `${nameOf(pod)} ${disruption ?? "was deleted before its end"}` };
  if (pod && disruption && pod.metadata?.deletionTimestamp !== undefined && /lost/.test(disruption))
    return { state: "failed", why: `${nameOf(pod)} ${disruption}` };
  if (failed) {
    const what = `${failed.reason ?? "Failed"}: ${failed.message ?? ""}`.trimEnd();
    if (!pod) return { state: "failed", why: what };
    // the Job is given up, and its pod about to say why; or whoever could end it does not answer
    const why = `${what}; ${nameOf(pod)} has not ended, its node may be lost`;
    return { state: "failed", why, afterSeconds: endingSeconds };
  }
  if (job?.metadata?.deletionTimestamp !== undefined)
    return { state: "failed", why: `Job ${job.metadata.name} is being deleted by somebody else` };
  return undefined;
}

function startOf(job: V1Job | undefined, pod: V1Pod | undefined, warnings: Seen["warnings"]): Verdict {
  const said = (reason: string) => warnings.filter(one => one.reason === reason).at(-1)?.message;
  if (!pod) {
    const refused = said("FailedCreate");
    if (refused !== undefined) {
      const remedy = /violates PodSecurity/.test(refused)
        ? "; give a moverOptions.kubernetes.securityContext that the namespace allows, or another namespace"
        : "";
      return {
        state: "starting",
        why: `the Job's pod is refused: ${refused}${remedy}`,
        patienceSeconds: shortPatienceSeconds,
      };
    }
    const suspended = job?.status?.conditions?.some(
      ({ type, status }) => type === "Suspended" && status === "True",
    );
    return { state: "starting", why: suspended ? "the Job is suspended" : "the Job has no pod yet" };
  }
  const container = pod.status?.containerStatuses?.[0];
  const state = container?.state;
  if (state?.running) return { state: "running" };
  const name = nameOf(pod);
  const unschedulable = pod.status?.conditions?.find(
    ({ type, status, reason }) => type === "PodScheduled" && status === "False" && reason === "Unschedulable",
  );
  if (unschedulable)
    return { state: "starting", why: `${name} finds no node: ${unschedulable.message ?? "Unschedulable"}` };
  const { reason, message } = state?.waiting ?? {};
  const why = `${name} does not start: ${reason}: ${message ?? container?.image ?? "no reason given"}`;
  if (reason === "InvalidImageName" || reason === "ErrImageNeverPull")
    return { state: "starting", why, patienceSeconds: 0 };
  if (
    reason?.startsWith("ErrImage") ||
    reason === "ImagePullBackOff" ||
    /Config(?:uration)?Error$/.test(reason ?? "")
  )
    return { state: "starting", why, patienceSeconds: shortPatienceSeconds };
  const mounting = said("FailedMount") ?? said("FailedMapVolume");
  if (mounting !== undefined) {
    const words = `${name} cannot mount its volume: ${mounting}`;
    return isUnreadable(mounting)
      ? { state: "starting", why: words, patienceSeconds: 0, unreadable: true }
      : { state: "starting", why: words };
  }
  const attaching = said("FailedAttachVolume");
  if (attaching !== undefined)
    return { state: "starting", why: `${name} does not get its volume: ${attaching}` };
  return { state: "starting", why: `${name} waits: ${reason ?? pod.status?.phase ?? "Pending"}` };
}

/** The driver's and mount's words for a volume that has no file system, or another one. */
const isUnreadable = (text: string): boolean =>
  /cannot mount unformatted disk|wrong fs type|bad superblock|unknown filesystem type|Structure needs cleaning/i.test(
    text,
  );
