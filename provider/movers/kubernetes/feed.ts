import type {
  CoreV1Event,
  KubernetesListObject,
  KubernetesObject,
  ListWatch,
  V1Job,
  V1Pod,
} from "@kubernetes/client-node";
import { asSentence, type Cluster } from "../../kubernetes/cluster";
import { selectorOf } from "./objects";
import type { Seen } from "./verdict";

/** How long a watch that was cut, or refused later, is left alone. */
const againMs = 5_000;

interface Watches {
  jobs: ListWatch<V1Job>;
  pods: ListWatch<V1Pod>;
  /** Warnings of everything in the namespace. */
  events: ListWatch<CoreV1Event>;
}

interface Followed {
  listener: (seen: Seen) => void;
  /** The last state of the Job's pod, which outlives the pod. */
  pod: V1Pod | undefined;
}

/**
 * All Jobs of ours in a namespace, seen by three watches however many there are: what is asked of the API server grows
 * with what happens, not with time.
 */
export class Feed {
  readonly #followed = new Map<string, Followed>();
  #watches: Promise<Watches> | undefined;

  constructor(
    private readonly cluster: Cluster,
    private readonly namespace: string,
  ) {}

  /**
   * Calls back now and at each change of the Job with that uid; the returned function ends it. The watches end with the
   * last Job that is followed.
   *
   * @throws in words, where the account may not watch
   */
  async follow(uid: string, listener: (seen: Seen) => void): Promise<() => void> {
    this.#followed.set(uid, { listener, pod: undefined });
    const leave = () => {
      this.#followed.delete(uid);
      if (this.#followed.size === 0) void this.#stop();
    };
    try {
      this.#watches ??= this.#start();
      await this.#watches;
      await this.#tell(uid);
      return leave;
    } catch (error) {
      leave();
      throw error;
    }
  }

  async #tell(uid: string | undefined): Promise<void> {
    // that they are refused is told to those who follow
    const watches = await this.#watches?.catch(() => undefined);
    const followed = uid === undefined ? undefined : this.#followed.get(uid);
    if (!watches || !followed) return;
    const pod = watches.pods.list(this.namespace).find(one => controllerOf(one) === uid);
    followed.pod = pod ?? followed.pod;
    const about = new Set([uid, followed.pod?.metadata?.uid]);
    followed.listener({
      job: watches.jobs.list(this.namespace).find(({ metadata }) => metadata?.uid === uid),
      pod: followed.pod,
      podIsGone: pod === undefined && followed.pod !== undefined,
      warnings: watches.events
        .list(this.namespace)
        .filter(({ involvedObject }) => about.has(involvedObject.uid))
        .sort((a, b) => timeOf(a) - timeOf(b))
        .map(({ reason = "", message = "" }) => ({ reason, message })),
    });
  }

  async #start(): Promise<Watches> {
    const { batch, core } = this.cluster;
    const { namespace } = this;
    const watches: Watches = {
      jobs: this.#watch("batch/v1", "jobs", selector => batch.listNamespacedJob({ namespace, ...selector }), {
        labelSelector: selectorOf(),
      }),
      pods: this.#watch("v1", "pods", selector => core.listNamespacedPod({ namespace, ...selector }), {
        labelSelector: selectorOf(),
      }),
      events: this.#watch("v1", "events", selector => core.listNamespacedEvent({ namespace, ...selector }), {
        fieldSelector: "type!=Normal",
      }),
    };
    watches.jobs.on("change", job => void this.#tell(job.metadata?.uid));
    watches.pods.on("change", pod => void this.#tell(controllerOf(pod)));
    watches.events.on("change", ({ involvedObject }) => void this.#tell(this.#jobOf(involvedObject.uid)));
    const all = Object.values(watches) as ListWatch<KubernetesObject>[];
    try {
      await Promise.all(all.map(one => this.#begin(one)));
    } catch (error) {
      this.#watches = undefined;
      for (const one of all) await one.stop();
      throw error;
    }
    return watches;
  }

  #jobOf(uid: string | undefined): string | undefined {
    for (const [job, { pod }] of this.#followed) if (job === uid || pod?.metadata?.uid === uid) return job;
    return undefined;
  }

  #watch<T extends KubernetesObject>(
    group: string,
    kind: string,
    list: (selector: Selector) => Promise<KubernetesListObject<T>>,
    selector: Selector,
  ): ListWatch<T> {
    const { library, config } = this.cluster;
    return new library.ListWatch<T>(
      `/${group === "v1" ? "api" : "apis"}/${group}/namespaces/${this.namespace}/${kind}`,
      new library.Watch(config),
      () => list(selector),
      false,
      selector.labelSelector,
      selector.fieldSelector,
    );
  }

  /** What is refused at the start is an error; what breaks later begins again. */
  async #begin(watch: ListWatch<KubernetesObject>): Promise<void> {
    let refused: unknown;
    let begun = false;
    watch.on("error", error => {
      if (begun) setTimeout(() => void this.#again(watch), againMs).unref();
      else refused = error;
    });
    await watch.start();
    begun = true;
    if (refused !== undefined)
      asSentence(`watching the Jobs in namespace ${this.namespace}`, {
        rights: "the verbs list and watch for jobs, pods and events there",
      })(refused);
  }

  async #again(watch: ListWatch<KubernetesObject>): Promise<void> {
    const watches = await this.#watches;
    if (watches && Object.values(watches).includes(watch)) await watch.start();
  }

  async #stop(): Promise<void> {
    const watches = await this.#watches?.catch(() => undefined);
    if (this.#followed.size > 0 || !watches) return;
    this.#watches = undefined;
    for (const one of Object.values(watches)) await one.stop();
  }
}

interface Selector {
  labelSelector?: string;
  fieldSelector?: string;
}

const controllerOf = ({ metadata }: V1Pod): string | undefined =>
  metadata?.labels?.["batch.kubernetes.io/controller-uid"] ?? metadata?.labels?.["controller-uid"];

const timeOf = ({ lastTimestamp, eventTime, metadata }: CoreV1Event): number =>
  new Date(lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? 0).getTime();
