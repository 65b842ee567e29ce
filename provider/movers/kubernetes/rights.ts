import { wordsOf } from "../../kubernetes/cluster";
import { lackingRights, type Right } from "../../kubernetes/rights";
import type { Site } from "./site";

/** What the account must be allowed: what examples/kubernetes/rbac.yaml gives, and no run does without. */
const needed: readonly Right[] = [
  { group: "batch", resource: "jobs", verbs: ["get", "list", "watch", "create", "delete"], there: true },
  { group: "", resource: "pods", verbs: ["list", "watch"], there: true },
  { group: "", resource: "events", verbs: ["list", "watch"], there: true },
  { group: "", resource: "pods", subresource: "log", verbs: ["get"], there: true },
  {
    group: "",
    resource: "persistentvolumeclaims",
    verbs: ["get", "list", "create", "delete"],
    there: true,
  },
  { group: "", resource: "secrets", verbs: ["get", "list", "create", "delete"], there: true },
  { group: "", resource: "persistentvolumes", verbs: ["get", "list", "create", "delete"], there: false },
];

/** Why no Job can be made there: rights that the account lacks, or a namespace that is not there. Makes nothing. */
export async function obstacleAt({ cluster, namespace }: Site): Promise<string | undefined> {
  const lacking = await lackingRights(cluster, namespace, needed);
  if (lacking.length > 0)
    return `the account may not ${lacking.join(", ")}; examples/kubernetes/rbac.yaml has all that it needs`;
  try {
    await cluster.core.createNamespacedPersistentVolumeClaim({
      namespace,
      dryRun: "All",
      body: {
        metadata: { generateName: "osbackup-" },
        spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
      },
    });
    return undefined;
  } catch (error) {
    return `no claim can be made in namespace ${namespace}: ${wordsOf(error)}`;
  }
}
