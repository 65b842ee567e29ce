import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { VolumeBackup } from "../../sdk";
import { FakeCluster } from "../provider/movers/kubernetes/fake-cluster";

const volumeId = "0a65e82a-0c49-424e-8369-364f49c97e92";

/** The full example of the operator's page. */
const page = `apiVersion: backups.k8s.bnerd.com/v1
kind: VolumeSnapshotBackup
metadata:
  name: orders
  namespace: shop
spec:
  volumeClaimRef:
    name: orders-data
  openstack:
    credentialsSecretRef:
      name: openstack
      namespace: shop
    autoDiscover: true
  snapshot:
    force: true
    timeout: 600
    namePrefix: backup
    retention:
      keepLast: 3
      keepForDays: 7
  temporaryVolume:
    storageClass: csi-cinder
    timeout: 300
  repository:
    type: s3
    url: s3:s3.amazonaws.com/bucket/path
    secretRef:
      name: restic
  host: orders
  paths: ["/"]
  exclude:
    - lost+found
    - "*.tmp"
  retention:
    keepLast: 10
    keepDaily: 7
    keepWeekly: 4
    keepMonthly: 6
    keepYearly: 2
  resources:
    requests: { memory: 256Mi, cpu: 100m }
    limits: { memory: 1Gi, cpu: 1 }
`;

describe("VolumeBackup.fromManifest", () => {
  let cluster: FakeCluster;
  let made: { name: string; type: string; inputs: Record<string, unknown> }[];

  beforeEach(async () => {
    made = [];
    pulumi.runtime.setMocks(
      {
        newResource({ name, type, inputs }) {
          made.push({ name, type, inputs });
          return { id: name, state: inputs };
        },
        call: () => ({}),
      },
      "shop",
      "prod",
    );
    cluster = await FakeCluster.start();
    cluster.put("persistentvolumeclaims", {
      metadata: { name: "orders-data", namespace: "shop" },
      spec: { volumeName: "pv", storageClassName: "csi-cinder" },
      status: { phase: "Bound" },
    });
    cluster.put("persistentvolumes", {
      metadata: { name: "pv" },
      spec: { csi: { driver: "cinder.csi.openstack.org", volumeHandle: volumeId } },
    });
    const encoded = (text: string) => Buffer.from(text).toString("base64");
    cluster.put("secrets", {
      metadata: { name: "restic", namespace: "shop" },
      data: { RESTIC_PASSWORD: encoded("a-repository-password"), AWS_ACCESS_KEY_ID: encoded("key") },
    });
  });
  afterEach(() => cluster.stop());

  /** Waits for a set's resources, and finds one of them. */
  async function inputsOf(set: VolumeBackup, name: string): Promise<Record<string, unknown>> {
    const urns = pulumi.output([set.snapshot.urn, set.temporaryVolume.urn, set.backup.urn]);
    await new Promise(resolve => urns.apply(resolve));
    const found = made.find(one => one.name === name);
    assert.ok(found, made.map(one => one.name).join());
    return found.inputs;
  }

  it("takes the page's full example as it is", async () => {
    const [set, ...others] = VolumeBackup.fromManifest(page, {
      kubeconfig: cluster.kubeconfig,
      schedule: "30 2 * * *",
    });
    assert.deepEqual(others, []);
    const snapshot = await inputsOf(set as VolumeBackup, "shop-orders-data-snapshot");
    assert.deepEqual(
      [snapshot.volumeId, snapshot.force, snapshot.timeoutSeconds, snapshot.namePrefix, snapshot.retention],
      [volumeId, true, 600, "backup", { keepLast: 3, keepForDays: 7 }],
    );
    const backup = await inputsOf(set as VolumeBackup, "shop-orders-data-backup");
    const { repository, mover, moverOptions, retention, host, paths, exclude } = backup as Record<
      string,
      never
    >;
    assert.deepEqual(
      { mover, moverOptions, retention, host, paths, exclude },
      {
        mover: "kubernetes",
        moverOptions: {
          kubernetes: {
            kubeconfig: cluster.kubeconfig,
            namespace: "shop",
            repositorySecret: "restic",
            storageClass: "csi-cinder",
            bindTimeoutSeconds: 300,
            resources: { requests: { memory: "256Mi", cpu: "100m" }, limits: { memory: "1Gi", cpu: "1" } },
          },
        },
        retention: { keepLast: 10, keepDaily: 7, keepWeekly: 4, keepMonthly: 6, keepYearly: 2 },
        host: "orders",
        paths: ["/"],
        exclude: ["lost+found", "*.tmp"],
      },
    );
    assert.match(JSON.stringify(repository), /s3:s3.amazonaws.com\/bucket\/path/);
  });

  it("makes one repository for all documents that name it, and takes objects too", async () => {
    const given = { kubeconfig: cluster.kubeconfig, volumeIds: { "shop/second": "v2" } };
    const second = page
      .replace("name: orders-data", "name: second")
      .replace("autoDiscover: true", "autoDiscover: false");
    const sets = VolumeBackup.fromManifest(`${page}---\n${second}`, given);
    assert.equal(sets.length, 2);
    assert.equal((await inputsOf(sets[1] as VolumeBackup, "shop-second-snapshot")).volumeId, "v2");
    await inputsOf(sets[0] as VolumeBackup, "shop-orders-data-backup");
    assert.equal(made.filter(({ name }) => name.startsWith("repository-")).length, 1);
    assert.throws(
      () => VolumeBackup.fromManifest(second, { kubeconfig: cluster.kubeconfig }),
      /autoDiscover: false: give volumeIds\['shop\/second'\]/,
    );
  });

  for (const [what, from, to, says] of [
    [
      "a field that nobody knows",
      "  host: orders",
      "  hots: orders",
      /line 29, column 3: spec.hots: the operator has no such field/,
    ],
    [
      "a deeper one",
      "    timeout: 600",
      "    timeOut: 600",
      /line 16, column 5: spec.snapshot.timeOut: the operator has no such field/,
    ],
    ["a wrong value", "keepLast: 10", "keepLast: -1", /line 35, column 5: spec.retention.keepLast/],
    ["another kind", "kind: VolumeSnapshotBackup", "kind: Backup", /a Backup, expected VolumeSnapshotBackup/],
  ] as const)
    it(`refuses ${what} with its place`, () =>
      assert.throws(() => VolumeBackup.fromManifest(page.replace(from, to)), says));
});
