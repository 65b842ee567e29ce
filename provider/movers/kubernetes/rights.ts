import { asSentence, wordsOf } from "../../kubernetes/cluster";
import type { Site } from "./site";

interface Right {
  group: string;
  resource: string;
  subresource?: string;
  verbs: readonly string[];
  /** In the Jobs' namespace; else in the whole cluster. */
  there: boolean;
}

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

/**
 * Why no Job can be made there: rights that the account lacks, or a namespace that is not there. Makes nothing.
 * Source: https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/self-subject-access-review-v1/
 */
export async function obstacleAt(site: Site): Promise<string | undefined> {
  const { namespace } = site;
  const reviews = needed.flatMap(right => right.verbs.map(verb => isAllowed(site, right, verb)));
  const lacking = (await Promise.all(reviews)).filter(text => text !== undefined);
  if (lacking.length > 0)
    return `the account may not ${lacking.join(", ")}; examples/kubernetes/rbac.yaml has all that it needs`;
  try {
    await site.cluster.core.createNamespacedPersistentVolumeClaim({
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

/** What is not allowed, in words; undefined where it is. */
async function isAllowed(
  { cluster, namespace }: Site,
  { group, resource, subresource, there }: Right,
  verb: string,
): Promise<string | undefined> {
  const { status } = await cluster.authorization
    .createSelfSubjectAccessReview({
      body: {
        spec: {
          resourceAttributes: {
            group,
            resource,
            verb,
            ...(subresource === undefined ? {} : { subresource }),
            ...(there ? { namespace } : {}),
          },
        },
      },
    })
    .catch(asSentence("asking what the account may do", { rights: "to ask that, as every account may" }));
  const what = subresource === undefined ? resource : `${resource}/${subresource}`;
  return status?.allowed
    ? undefined
    : `${verb} ${what} in ${there ? `namespace ${namespace}` : "the cluster"}`;
}
