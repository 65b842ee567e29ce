import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { KubernetesObjectApi } from "@kubernetes/client-node";
import { parseAllDocuments } from "yaml";
import { until } from "../until";
import { Lab } from "./lab";

const namespace = "backups";

/** The parts of rbac.yaml that this reads. */
interface Manifest {
  kind: string;
  metadata: { name: string; namespace?: string };
  rules?: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
}

describe("the rights of examples/kubernetes/rbac.yaml, on a real API server", () => {
  let lab: Lab;
  let kubeconfig: string;
  let volumeId: string;
  const manifests = parseAllDocuments(readFileSync("examples/kubernetes/rbac.yaml", "utf8")).map(
    document => document.toJS() as Manifest,
  );

  before(async function () {
    this.timeout(240_000);
    lab = await Lab.start();
    const { config, core } = lab.node.cluster;
    const api = KubernetesObjectApi.makeApiClient(config);
    for (const manifest of manifests) await api.create(manifest);
    const { status } = await core.createNamespacedServiceAccountToken({
      name: "osbackup",
      namespace,
      body: { spec: { audiences: [], expirationSeconds: 3600 } },
    });
    const cluster = config.getCurrentCluster();
    kubeconfig = path.join(lab.work, "osbackup.kubeconfig");
    await writeFile(
      kubeconfig,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        clusters: [
          { name: "c", cluster: { server: cluster?.server, "certificate-authority": cluster?.caFile } },
        ],
        users: [{ name: "u", user: { token: status?.token } }],
        contexts: [{ name: "x", context: { cluster: "c", user: "u", namespace } }],
        "current-context": "x",
      }),
      { mode: 0o600 },
    );
    volumeId = await lab.volumeWith({ "a.txt": "what is on the volume\n" });
  });
  beforeEach(() => lab.fresh());
  afterEach(() => lab.nothingLeft(namespace));

  const isRole = ({ kind }: Manifest) => kind === "Role" || kind === "ClusterRole";
  const put = (manifest: Manifest) =>
    KubernetesObjectApi.makeApiClient(lab.node.cluster.config).replace(manifest);

  it("are enough for a backup, and for its restore into a claim", async () => {
    const { resticSnapshotId } = await lab.backup("set", volumeId, { kubernetes: { kubeconfig } });
    assert.match(lab.said, /by Job in namespace backups/);
    const restored = await lab.made("VolumeRestore", {
      owner: "shop/prod/claimed",
      resticSnapshotId,
      ...lab.moving({ kubeconfig }),
      claim: { name: "orders" },
      deletionPolicy: "delete",
    });
    assert.equal(restored.claimedBy, "backups/orders");
    await lab.removed("VolumeRestore", restored);
  });

  it("are each missed in the preview, by name, where a run needs them", async function () {
    this.timeout(120_000);
    for (const role of manifests.filter(isRole))
      for (const [place, rule] of (role.rules ?? []).entries())
        for (const resource of rule.resources)
          for (const verb of rule.verbs) {
            // asked where it is allowed, and believed where it is not; given in the whole cluster, too
            if (
              rule.apiGroups[0] === "storage.k8s.io" ||
              (verb === "get" && resource === "persistentvolumeclaims")
            )
              continue;
            const rules = (role.rules ?? []).flatMap((one, at) =>
              at === place
                ? [
                    { ...one, resources: one.resources.filter(other => other !== resource) },
                    { ...one, resources: [resource], verbs: one.verbs.filter(other => other !== verb) },
                  ].filter(({ resources, verbs }) => resources.length > 0 && verbs.length > 0)
                : [one],
            );
            await put({ ...role, rules });
            const where = role.kind === "Role" ? "in namespace backups" : "in the cluster";
            const refusal = `mover: 'kubernetes': the account may not ${verb} ${resource} ${where}; examples/kubernetes/rbac.yaml has all that it needs`;
            await until(refusal, async () => (await lab.refusals({ kubeconfig })).join() === refusal, {
              seconds: 10,
              every: 200,
            });
            await put(role);
          }
  });
});
