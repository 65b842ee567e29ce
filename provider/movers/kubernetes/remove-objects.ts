import { asSentence, statusOf } from "../../kubernetes/cluster";
import { type Removal, removed, untilGone } from "../../kubernetes/removal";
import { selectorOf } from "./objects";
import type { Site } from "./site";

const rights =
  "the verbs get and delete for jobs, persistentvolumeclaims and secrets there, and for persistentvolumes in the cluster";

/**
 * Removes all objects of that name, and waits until they are gone and the volume is detached: pods with their Job, the
 * Secret, the claim, then the volume. The Cinder volume is not touched.
 */
export async function removeObjects(site: Site, name: string, signal?: AbortSignal): Promise<void> {
  const { core, batch } = site.cluster;
  const readVolume = () => core.readPersistentVolume({ name });
  // a run of the set in another namespace may have made them, and the volume stays as long as its claim
  const elsewhere = await readVolume().then(
    ({ spec }) => spec?.claimRef?.namespace,
    () => undefined,
  );
  const namespaces = new Set([site.namespace, elsewhere ?? site.namespace]);
  const steps: Removal[] = [...namespaces].flatMap(namespace => {
    const there = { name, namespace };
    return [
      {
        what: `Job ${namespace}/${name}`,
        // without a policy the API lets the pods go on running
        remove: () => batch.deleteNamespacedJob({ ...there, propagationPolicy: "Foreground" }),
        read: () => batch.readNamespacedJob(there),
      },
      {
        what: `Secret ${namespace}/${name}`,
        remove: () => core.deleteNamespacedSecret(there),
        read: () => core.readNamespacedSecret(there),
      },
      {
        what: `claim ${namespace}/${name}`,
        remove: () => core.deleteNamespacedPersistentVolumeClaim(there),
        read: () => core.readNamespacedPersistentVolumeClaim(there),
      },
    ];
  });
  steps.push({
    what: `persistent volume ${name}`,
    remove: () => core.deletePersistentVolume({ name }),
    read: readVolume,
  });
  for (const step of steps) await removed(step, rights, signal);
  await detached(site, name, signal);
}

/** The driver detaches after the volume is gone from the cluster. Who may not look relies on Cinder's own words. */
async function detached({ cluster }: Site, name: string, signal: AbortSignal | undefined): Promise<void> {
  const isAttached = async () => {
    try {
      const { items } = await cluster.storage.listVolumeAttachment();
      return items.some(({ spec }) => spec.source.persistentVolumeName === name);
    } catch (error) {
      if (statusOf(error) === 403) return false;
      throw error;
    }
  };
  await untilGone(`detaching persistent volume ${name}`, isAttached, signal);
}

/** The names of everything that runs of an owner have left, whatever of it is still there. */
export async function leftOf(site: Site, owner: string): Promise<string[]> {
  const { core, batch } = site.cluster;
  const { namespace } = site;
  const labelSelector = selectorOf(owner);
  const found = await Promise.all([
    batch.listNamespacedJob({ namespace, labelSelector }),
    core.listNamespacedPersistentVolumeClaim({ namespace, labelSelector }),
    core.listPersistentVolume({ labelSelector }),
    core.listNamespacedSecret({ namespace, labelSelector }),
  ]).catch(
    asSentence(`looking for what earlier runs left in namespace ${namespace}`, {
      rights:
        "the verb list for jobs, persistentvolumeclaims and secrets there, and for persistentvolumes in the cluster",
    }),
  );
  const names = found.flatMap(({ items }) => items.map(({ metadata }) => metadata?.name ?? ""));
  return [...new Set(names)].sort();
}
