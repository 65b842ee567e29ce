import { asSentence, type Cluster } from "./cluster";

/** Verbs that an account must be allowed. */
export interface Right {
  group: string;
  resource: string;
  subresource?: string;
  verbs: readonly string[];
  /** In the namespace that is asked of; else in the whole cluster. */
  there: boolean;
}

/**
 * What the account may not do, in words. Makes nothing.
 * Source: https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/self-subject-access-review-v1/
 */
export async function lackingRights(
  cluster: Cluster,
  namespace: string,
  needed: readonly Right[],
): Promise<string[]> {
  const reviews = needed.flatMap(right => right.verbs.map(verb => lacking(cluster, namespace, right, verb)));
  return (await Promise.all(reviews)).filter(text => text !== undefined);
}

/** What is not allowed, in words; undefined where it is. */
async function lacking(
  cluster: Cluster,
  namespace: string,
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
