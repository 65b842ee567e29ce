import { createHash } from "node:crypto";
import type {
  AuthorizationV1Api,
  BatchV1Api,
  CoreV1Api,
  KubeConfig,
  StorageV1Api,
} from "@kubernetes/client-node";

/** The driver of volumes that Cinder has. */
export const cinderDriver = "cinder.csi.openstack.org";

/** Which cluster is asked. */
export interface ClusterAddress {
  /** Path of a kubeconfig. Default: KUBECONFIG, then ~/.kube/config, then the pod's own service account. */
  kubeconfig?: string | undefined;
  /** Context in it. Default: its current one. */
  context?: string | undefined;
}

type Library = typeof import("@kubernetes/client-node");

/** A cluster as its kubeconfig opens it. */
export interface Cluster {
  library: Library;
  config: KubeConfig;
  core: CoreV1Api;
  batch: BatchV1Api;
  storage: StorageV1Api;
  authorization: AuthorizationV1Api;
  /** That of the context, else "default". */
  namespace: string;
}

/** Opens a cluster; asks it nothing. The library is large, and only those who use Kubernetes have it. */
export async function openCluster({ kubeconfig, context }: ClusterAddress): Promise<Cluster> {
  const library = await import("@kubernetes/client-node").catch(() => {
    throw new Error("using Kubernetes needs a package more: npm install @kubernetes/client-node");
  });
  const config = new library.KubeConfig();
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (error) {
    throw new Error(`kubeconfig ${kubeconfig ?? "of the environment"}: ${(error as Error).message}`);
  }
  if (context !== undefined) {
    const names = config.getContexts().map(({ name }) => name);
    if (!names.includes(context))
      throw new Error(`the kubeconfig has no context '${context}', it has ${names.join(", ") || "none"}`);
    config.setCurrentContext(context);
  }
  if (!config.getCurrentCluster())
    throw new Error("no cluster is configured: set KUBECONFIG, or give kubeconfig and context");
  return {
    library,
    config,
    core: config.makeApiClient(library.CoreV1Api),
    batch: config.makeApiClient(library.BatchV1Api),
    storage: config.makeApiClient(library.StorageV1Api),
    authorization: config.makeApiClient(library.AuthorizationV1Api),
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? "default",
  };
}

/** The HTTP status that the API server answered with; undefined where it did not. */
export function statusOf(error: unknown): number | undefined {
  // a watch says it by another name
  const { code, statusCode } = error as { code?: unknown; statusCode?: unknown };
  return [code, statusCode].find(one => typeof one === "number");
}

export const isMissing = (error: unknown): boolean => statusOf(error) === 404;
export const isThere = (error: unknown): boolean => statusOf(error) === 409;

/** Undefined for what is not there; other errors go on to `otherwise`. */
export const undefinedIfMissing =
  (otherwise: (error: unknown) => never) =>
  (error: unknown): undefined =>
    isMissing(error) ? undefined : otherwise(error);

/** A digest of a text as a label can hold it. */
export const labelOf = (text: string, length: number): string =>
  createHash("sha256").update(text).digest("hex").slice(0, length);

/** What helps against two of the refusals. */
export interface Remedies {
  /** What the account needs, against 403. */
  rights: string;
  /** A command that shows what there is, against 404. */
  look?: string;
}

/** Throws the API server's own words, without the headers that the library puts into its message. */
export const asSentence =
  (doing: string, { rights, look }: Remedies) =>
  (error: unknown): never => {
    const status = statusOf(error);
    const said = wordsOf(error);
    const remedy =
      status === 403 && !/exceeded quota|being terminated/.test(said)
        ? `; the account needs ${rights}`
        : status === 401
          ? "; the kubeconfig's login is not, or no longer, accepted"
          : status === 404 && look
            ? `, see \`${look}\``
            : "";
    throw new Error(`${doing}: ${said}${status === undefined ? "" : ` (HTTP ${status})`}${remedy}`);
  };

/** What the API server, or the way to it, said. */
export function wordsOf(error: unknown): string {
  const { body, message } = error as { body?: unknown; message: string };
  const status = statusOf(error);
  const said =
    typeof body === "string" ? messageOf(body) : (body as { message?: string } | undefined)?.message;
  // of 401 the library gives no body
  if (said !== undefined) return said;
  if (status === 401) return "Unauthorized";
  if (status !== undefined)
    return (error as { statusCode?: number }).statusCode ? message : "the API server says no why";
  return message.split("\n")[0] ?? message;
}

function messageOf(body: string): string | undefined {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    return typeof message === "string" ? message : undefined;
  } catch {
    return undefined;
  }
}

/** Without the driver a pod waits for its volume for ever, and not one event says why. Who may not look is believed. */
export async function hasDriver({ storage }: Cluster): Promise<void> {
  const doing = `looking for the driver ${cinderDriver}`;
  const rights = "the verbs get for csidrivers and list for csinodes";
  try {
    await storage.readCSIDriver({ name: cinderDriver });
    const { items } = await storage.listCSINode();
    if (items.some(({ spec }) => (spec.drivers ?? []).some(({ name }) => name === cinderDriver))) return;
  } catch (error) {
    if (statusOf(error) === 403) return;
    if (!isMissing(error)) asSentence(doing, { rights })(error);
  }
  throw new Error(`${doing}: no node of the cluster has it; install cinder-csi-plugin, or use another mover`);
}
