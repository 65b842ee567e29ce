import { pause } from "../../base/pause";
import { asSentence, isMissing, statusOf, wordsOf } from "../../kubernetes/cluster";
import { managed, ownerLabel } from "./objects";
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
 * Removes all objects of that name, and waits until they are gone and the volume is detached: pods with their Job, then
 * the claim, the volume, the Secret. The Cinder volume is not touched.
 */
export async function removeObjects(site: Site, name: string, signal?: AbortSignal): Promise<void> {
  const { core, batch } = site.cluster;
  const { namespace } = site;
  const here = { name, namespace };
  const steps: Step[] = [
    {
      what: "Job",
      // without a policy the API lets the pods go on running
      remove: () => batch.deleteNamespacedJob({ ...here, propagationPolicy: "Foreground" }),
      read: () => batch.readNamespacedJob(here),
    },
    {
      what: "claim",
      remove: () => core.deleteNamespacedPersistentVolumeClaim(here),
      read: () => core.readNamespacedPersistentVolumeClaim(here),
    },
    {
      what: "persistent volume",
      remove: () => core.deletePersistentVolume({ name }),
      read: () => core.readPersistentVolume({ name }),
    },
    {
      what: "Secret",
      remove: () => core.deleteNamespacedSecret(here),
      read: () => core.readNamespacedSecret(here),
    },
  ];
  for (const step of steps) await removed(step, name, signal);
  await detached(site, name, signal);
}

async function removed(
  { what, remove, read }: Step,
  name: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const doing = `removing ${what} ${name}`;
  try {
    await remove();
  } catch (error) {
    if (isMissing(error)) return;
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
  const labelSelector = Object.entries({ ...managed, "osbackup-owner": ownerLabel(owner) })
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
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
