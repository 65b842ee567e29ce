import { pause } from "../../base/pause";
import { asSentence, isMissing, statusOf, wordsOf } from "../../kubernetes/cluster";
import { selectorOf } from "./objects";
import type { Site } from "./site";

/** How long what was deleted may take to go: a pod gets a minute to end, a volume to be detached. */
const goneSeconds = 180;

const rights =
  "the verbs get and delete for jobs, persistentvolumeclaims and secrets there, and for persistentvolumes in the cluster";

interface Step {
  what: string;
  remove: () => Promise<unknown>;
  read: () => Promise<unknown>;
}

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
  const steps: Step[] = [...namespaces].flatMap(namespace => {
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
  for (const step of steps) await removed(step, signal);
  await detached(site, name, signal);
}

async function removed({ what, remove, read }: Step, signal: AbortSignal | undefined): Promise<void> {
  const doing = `removing ${what}`;
  try {
    await remove();
  } catch (error) {
    if (isMissing(error)) return;
    // who may not delete what is not there misses nothing
    if (statusOf(error) === 403 && (await read().then(() => false, isMissing))) return;
    asSentence(doing, { rights })(error);
  }
  await untilGone(doing, () => read().then(() => true, missingIsFalse), signal);
}

function missingIsFalse(error: unknown): boolean {
  if (isMissing(error)) return false;
  throw error;
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

async function untilGone(
  doing: string,
  isThere: () => Promise<boolean>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const until = Date.now() + goneSeconds * 1000;
  let trouble: string | undefined;
  for (let wait = 200; ; wait = Math.min(2 * wait, 5_000)) {
    try {
      if (!(await isThere())) return;
      trouble = undefined;
    } catch (error) {
      trouble = wordsOf(error);
    }
    if (Date.now() > until)
      throw new Error(
        `${doing}: ${trouble ?? "it is still there"} after ${goneSeconds} s; is its node lost, or something else using it?`,
      );
    await pause(wait, signal);
  }
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
