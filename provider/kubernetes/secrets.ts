import { asSentence, type ClusterAddress, openCluster } from "./cluster";

/** Which Secret, of which cluster. */
export interface SecretName extends ClusterAddress {
  name: string;
  namespace: string;
}

/**
 * The values of a Secret, decoded.
 *
 * @throws in the API server's words, with what the account lacks
 */
export async function valuesOfSecret({
  name,
  namespace,
  ...address
}: SecretName): Promise<Record<string, string>> {
  const { core } = await openCluster(address);
  const { data = {} } = await core.readNamespacedSecret({ name, namespace }).catch(
    asSentence(`reading Secret ${namespace}/${name}`, {
      rights: "the verb get for secrets there",
      look: `kubectl get secrets -n ${namespace}`,
    }),
  );
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value, "base64").toString()]),
  );
}
