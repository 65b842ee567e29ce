import type { V1Job } from "@kubernetes/client-node";
import { asSentence, isMissing, isThere } from "../../kubernetes/cluster";
import { bound } from "../../kubernetes/static-volume";
import { claim, digestOf, job, nameOf, persistentVolume, secret, type Task } from "./objects";
import { PodLog } from "./pod-log";
import { removeObjects } from "./remove-objects";
import type { Site } from "./site";
import { type Verdict, verdictOf } from "./verdict";

const defaultBindSeconds = 300;
const defaultStartSeconds = 600;

/** How long a pod may wait before it is said why. */
const saidAfterMs = 15_000;

/** How long the pod of a Job may outlive its deadline, until it is given up. */
const overdueSeconds = 120;

/** How a Job goes on that is begun. */
export interface Watching {
  onLine: (line: string) => void;
  /** Whether the log has come to its last line. */
  isComplete: () => boolean;
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** The driver cannot mount the volume as that file system. */
export class UnreadableVolume extends Error {
  /** It has none at all that the driver knows. */
  readonly isBlank: boolean;

  constructor(message: string) {
    super(message);
    this.isBlank = /unformatted/.test(message);
  }
}

/** How long a pod of this task may run, from its beginning on its node. */
export const deadlineOf = (timeoutSeconds: number, startTimeoutSeconds = defaultStartSeconds): number =>
  timeoutSeconds + startTimeoutSeconds;

/** The Job of that name, where it is there and has not failed. */
async function begunJob({ cluster, namespace }: Site, name: string): Promise<V1Job | undefined> {
  const found = await cluster.batch
    .readNamespacedJob({ name, namespace })
    .catch((error: unknown) =>
      isMissing(error)
        ? undefined
        : asSentence(`looking for Job ${name}`, { rights: "the verb get for jobs there" })(error),
    );
  const hasFailed = found?.status?.conditions?.some(
    ({ type }) => type === "Failed" || type === "FailureTarget",
  );
  return hasFailed || found?.metadata?.deletionTimestamp !== undefined ? undefined : found;
}

/** As what a Job that a killed run has begun reads the volume. */
export const shapeOfJob = async (site: Site, name: string): Promise<string | undefined> =>
  (await begunJob(site, name))?.metadata?.annotations?.["osbackup-shape"];

/** The uid of a Job that a killed run has begun with the same command and that has not failed; undefined without one. */
export async function adoptableJob(site: Site, task: Task): Promise<string | undefined> {
  const metadata = (await begunJob(site, nameOf(task.owner, task.volumeId)))?.metadata;
  return metadata?.annotations?.["osbackup-command"] === digestOf(task) ? metadata.uid : undefined;
}

/** Makes the Job and all that it needs, in place of whatever has its name; returns its uid. */
export async function beginJob(site: Site, task: Task, signal: AbortSignal | undefined): Promise<string> {
  const { core, batch } = site.cluster;
  const { namespace } = site;
  const name = nameOf(task.owner, task.volumeId);
  await removeObjects(site, name, signal);
  const making = async <T>(what: string, kinds: string, make: () => Promise<T>): Promise<T> =>
    make().catch((error: unknown) => {
      if (isThere(error))
        throw new Error(`making ${what} ${name}: another run of ${task.owner} has just made it`);
      return asSentence(`making ${what} ${name} in namespace ${namespace}`, {
        rights: `the verb create for ${kinds}`,
        look: `kubectl get namespace ${namespace}`,
      })(error);
    });
  if (Object.keys(task.secrets).length > 0)
    await making("Secret", "secrets there", () =>
      core.createNamespacedSecret({ namespace, body: secret(task) }),
    );
  await making("persistent volume", "persistentvolumes in the cluster", () =>
    core.createPersistentVolume({ body: persistentVolume(task) }),
  );
  await making("claim", "persistentvolumeclaims there", () =>
    core.createNamespacedPersistentVolumeClaim({ namespace, body: claim(task) }),
  );
  await bound(
    site.cluster,
    { name, namespace },
    {
      failing: "temporary PVC failed to bind",
      timeoutSeconds: task.options.bindTimeoutSeconds ?? defaultBindSeconds,
      signal,
    },
  );
  const made = await making("Job", "jobs there", () =>
    batch.createNamespacedJob({ namespace, body: job(task) }),
  );
  return made.metadata?.uid ?? "";
}

/**
 * Watches a Job to its end. Returns the exit code of its one pod, once its log is read.
 *
 * @throws UnreadableVolume, or an Error that says what kept it from its end
 */
export async function watchJob(site: Site, task: Task, uid: string, watching: Watching): Promise<number> {
  let log: PodLog | undefined;
  let lines = 0;
  const onLine = (line: string) => {
    lines++;
    watching.onLine(line);
  };
  const logOf = (pod: string) => (log ??= new PodLog(site, pod, onLine));
  try {
    const { exitCode, message, pod } = await endOf(site, task, uid, watching, pod => logOf(pod).follow());
    const unread = await logOf(pod).finish(() => exitCode !== 0 || watching.isComplete());
    if (exitCode === 0 && unread !== undefined)
      throw new Error(`pod ${pod} has ended well, but its log cannot be read: ${unread}`);
    // the last lines stand in the pod's state too
    if (lines === 0) for (const line of message.split("\n")) if (line !== "") onLine(line);
    return exitCode;
  } finally {
    log?.close();
  }
}

interface Ended {
  exitCode: number;
  message: string;
  pod: string;
}

function endOf(
  site: Site,
  task: Task,
  uid: string,
  { log, signal }: Watching,
  onRunning: (pod: string) => void,
): Promise<Ended> {
  const startSeconds = task.options.startTimeoutSeconds ?? defaultStartSeconds;
  const begun = Date.now();
  return new Promise((resolve, reject) => {
    let leave: (() => void) | undefined;
    let overdue: NodeJS.Timeout | undefined;
    let patience: NodeJS.Timeout | undefined;
    let impatientSince: number | undefined;
    let saying: NodeJS.Timeout | undefined;
    let ending: NodeJS.Timeout | undefined;
    let last: string | undefined;
    const done = (finish: () => void) => {
      for (const timer of [overdue, patience, saying, ending]) clearTimeout(timer);
      signal?.removeEventListener("abort", cancelled);
      leave?.();
      leave = () => {};
      finish();
    };
    const fail = (error: unknown) => done(() => reject(error));
    const cancelled = () => fail(signal?.reason);
    const waits = (verdict: Verdict & { state: "starting" }) => {
      if (verdict.patienceSeconds === undefined) impatientSince = undefined;
      else impatientSince ??= Date.now();
      const until = Math.min(
        begun + startSeconds * 1000,
        (impatientSince ?? Number.POSITIVE_INFINITY) + (verdict.patienceSeconds ?? 0) * 1000,
      );
      clearTimeout(patience);
      const Kind = verdict.unreadable ? UnreadableVolume : Error;
      const seconds = () => Math.round((Date.now() - begun) / 1000);
      const giveUp = () => fail(new Kind(`${verdict.why} (given up after ${seconds()} s)`));
      if (until <= Date.now()) return giveUp();
      patience = setTimeout(giveUp, until - Date.now());
      if (verdict.why === last) return;
      last = verdict.why;
      clearTimeout(saying);
      saying = setTimeout(() => log(`waiting: ${verdict.why}`), saidAfterMs);
    };
    overdue = setTimeout(
      () =>
        fail(
          new Error(
            `Job ${nameOf(task.owner, task.volumeId)} has not ended ${overdueSeconds} s after its deadline, its node may be lost`,
          ),
        ),
      Math.min((task.deadlineSeconds + startSeconds + overdueSeconds) * 1000, 2 ** 31 - 1),
    );
    if (signal?.aborted) return cancelled();
    signal?.addEventListener("abort", cancelled, { once: true });
    site.feed
      .follow(uid, seen => {
        const verdict = verdictOf(seen);
        if (verdict.state === "failed") {
          if (verdict.afterSeconds === undefined) return fail(new Error(verdict.why));
          ending ??= setTimeout(() => fail(new Error(verdict.why)), verdict.afterSeconds * 1000);
          return;
        }
        if (verdict.state === "starting") return waits(verdict);
        for (const timer of [patience, saying]) clearTimeout(timer);
        const pod = seen.pod?.metadata?.name ?? "";
        if (verdict.state === "running") return onRunning(pod);
        done(() => resolve({ exitCode: verdict.exitCode, message: verdict.message, pod }));
      })
      .then(
        stop => {
          if (leave) stop();
          else leave = stop;
        },
        (error: unknown) => fail(error),
      );
  });
}
