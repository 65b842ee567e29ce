import { Places } from "../../base/places";
import { hasDriver, openCluster } from "../../kubernetes/cluster";
import { Feed } from "./feed";
import type { KubernetesOptions } from "./options";
import { obstacleAt } from "./rights";
import type { Site } from "./site";

/** How many Jobs there are at most at one time, where nobody says otherwise. */
const defaultMaxJobs = 10;

/** How long it is believed that a cluster cannot be used. */
const failureKeptMs = 30_000;

/** The clusters that this process uses, each opened once. */
export class Clusters {
  readonly #obstacles = new Map<Site, Promise<string | undefined>>();
  readonly #sites = new Map<string, Promise<Site>>();
  readonly #places = new Places();

  /** Why no Job can be made there; undefined where nothing speaks against it. Asked once. */
  async obstacle(options: KubernetesOptions): Promise<string | undefined> {
    try {
      const site = await this.site(options);
      const known = this.#obstacles.get(site) ?? obstacleAt(site);
      this.#obstacles.set(site, known);
      return await known;
    } catch (error) {
      return (error as Error).message;
    }
  }

  /** Opens a namespace of a cluster, which must have the driver. */
  site(options: KubernetesOptions): Promise<Site> {
    const { kubeconfig, context, namespace, maxJobs = defaultMaxJobs } = options;
    const key = JSON.stringify([kubeconfig, context, namespace]);
    let site = this.#sites.get(key);
    if (!site) {
      site = (async () => {
        const cluster = await openCluster({ kubeconfig, context });
        await hasDriver(cluster);
        const where = namespace ?? cluster.namespace;
        return {
          cluster,
          namespace: where,
          feed: new Feed(cluster, where),
          place: () => this.#places.take(key, maxJobs),
        };
      })();
      this.#sites.set(key, site);
      // a later set may find it open; many at once need not all wait for a cluster that does not answer
      site.catch(() => setTimeout(() => this.#sites.delete(key), failureKeptMs).unref());
    }
    return site;
  }
}
