import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { Driver, type Properties } from "../../../provider/driver/driver";
import { World } from "../../../provider/driver/world";
import { FakeCluster, type Row } from "../movers/kubernetes/fake-cluster";

const type = "VolumeRestore";

describe("A volume restored into a claim", function () {
  this.timeout(30_000);
  let cluster: FakeCluster;
  let cloud: Devcloud;
  let snapshotId: string;
  let lines: string[];

  beforeEach(async () => {
    lines = [];
    [cluster, cloud] = await Promise.all([FakeCluster.start(), startDevcloud({ statusDelayMs: 10 })]);
    const { id } = await cloud.addVolume({ name: "data", sizeGib: 2 });
    const { outputs } = await create("CinderSnapshot", { owner: "shop/prod/data", volumeId: id });
    snapshotId = String(outputs.snapshotId);
  });
  afterEach(() => Promise.all([cluster.stop(), cloud.stop()]));

  const driver = () => new Driver(new World({}, line => lines.push(line), cloud.environment));

  async function create(what: string, given: Properties) {
    const { inputs, refusals } = await driver().check(what, undefined, given);
    assert.deepEqual(refusals, []);
    const { id, outputs } = await driver().create(what, inputs);
    return { id, state: { ...inputs, ...outputs }, outputs };
  }

  const given = (claim: Properties = {}, more: Properties = {}): Properties => ({
    owner: "shop/prod/back",
    snapshotId,
    claim: { name: "orders", namespace: "shop", kubeconfig: cluster.kubeconfig, ...claim },
    ...more,
  });

  async function refusals(inputs: Properties): Promise<string[]> {
    const checked = await driver().check(type, undefined, inputs);
    return checked.refusals.map(({ property, reason }) => `${property}: ${reason}`);
  }

  const only = (kind: string): Row => {
    const rows = cluster.rows(kind);
    assert.equal(rows.length, 1, `${rows.length} ${kind}`);
    return rows[0] as Row;
  };

  it("has a persistent volume that is its alone, and that the cluster never deletes", async () => {
    const { id, outputs } = await create(type, given());
    assert.equal(outputs.claimedBy, "shop/orders");
    const volume = only("persistentvolumes");
    assert.equal(volume.spec.csi.volumeHandle, id);
    assert.equal(volume.spec.csi.fsType, undefined);
    assert.equal(volume.spec.persistentVolumeReclaimPolicy, "Retain");
    assert.equal(volume.spec.mountOptions, undefined);
    assert.deepEqual([volume.spec.claimRef.namespace, volume.spec.claimRef.name], ["shop", "orders"]);
    const claim = only("persistentvolumeclaims");
    assert.equal(claim.spec.volumeName, volume.metadata.name);
    assert.deepEqual(claim.spec.resources.requests, { storage: "2Gi" });
    assert.deepEqual([claim.spec.volumeMode, claim.spec.accessModes], ["Filesystem", ["ReadWriteOnce"]]);
  });

  it("is of the class, size and modes that are wanted, and of the snapshot's volume type", async () => {
    cluster.put("storageclasses", {
      metadata: { name: "fast" },
      provisioner: "cinder.csi.openstack.org",
      parameters: { type: "ssd" },
    });
    const { id } = await create(
      type,
      given({ storageClass: "fast", accessModes: ["ReadWriteMany"], volumeMode: "Block" }, { sizeGib: 3 }),
    );
    const volume = cloud.volumes().find(row => row.id === id);
    assert.deepEqual([volume?.volume_type, volume?.size], ["nfs", 3]);
    const { spec } = only("persistentvolumeclaims");
    assert.deepEqual(
      [spec.storageClassName, spec.accessModes, spec.volumeMode, spec.resources.requests.storage],
      ["fast", ["ReadWriteMany"], "Block", "3Gi"],
    );
    assert.equal(only("persistentvolumes").spec.storageClassName, "fast");
  });

  it("is refused in the preview: the name, the class, the rights, the cluster, a misspelt property", async () => {
    cluster.put("persistentvolumeclaims", { metadata: { name: "orders", namespace: "shop" }, spec: {} });
    assert.deepEqual(await refusals(given()), [
      "claim: claim shop/orders exists, and a restore touches nothing that is there: give another name, or remove it",
    ]);
    cluster.put("storageclasses", { metadata: { name: "other" }, provisioner: "ebs.csi.aws.com" });
    assert.deepEqual(await refusals(given({ name: "new", storageClass: "other" })), [
      "claim: storage class other is of ebs.csi.aws.com, not of cinder.csi.openstack.org",
    ]);
    assert.match(
      (await refusals(given({ name: "new", storageClass: "none" })))[0] ?? "",
      /^claim: reading storage class none: .*not found \(HTTP 404\), see `kubectl get storageclass`/,
    );
    cluster.denied.add("create persistentvolumes");
    assert.deepEqual(await refusals(given({ name: "new" })), [
      "claim: the account may not create persistentvolumes in the cluster",
    ]);
    assert.match(
      (await refusals(given({ kubeconfig: "/not/there" })))[0] ?? "",
      /^claim: kubeconfig \/not\/there: /,
    );
    assert.match(
      (await refusals(given({ storageclass: "fast" })))[0] ?? "",
      /^claim: has no property 'storageclass', did you mean 'storageClass'/,
    );
    assert.deepEqual(cloud.volumes().length, 1);
  });

  it("is tried again by itself where the volume is restored and the claim could not be made", async () => {
    cluster.refusals.set("POST persistentvolumeclaims", {
      code: 403,
      reason: "Forbidden",
      message: "exceeded quota: claims",
    });
    const { inputs } = await driver().check(type, undefined, given());
    let fresh: { id: string; outputs: Properties } | undefined;
    await assert.rejects(driver().create(type, inputs), (error: Error & { fresh: typeof fresh }) => {
      fresh = error.fresh;
      assert.match(
        error.message,
        /^volume .* is restored, but making claim shop\/orders: exceeded quota: claims/,
      );
      return true;
    });
    const { id, outputs } = fresh as unknown as { id: string; outputs: Properties };
    assert.equal(outputs.claimedBy, "");
    cluster.refusals.clear();
    const updated = await driver().update(type, id, { ...inputs, ...outputs }, inputs);
    assert.equal(updated.claimedBy, "shop/orders");
    assert.equal(only("persistentvolumes").spec.csi.volumeHandle, id);
    assert.equal(cloud.volumes().length, 2);
  });

  it("is made again where somebody has deleted it, and leads to the new volume of a replaced restore", async () => {
    const { id, state } = await create(type, given());
    cluster.remove("persistentvolumeclaims", "orders");
    const { inputs } = await driver().check(type, state, given());
    const { drift } = await driver().diff(type, state, inputs);
    assert.deepEqual(drift, ["claim shop/orders is gone"]);
    const volume = only("persistentvolumes");
    cluster.put("persistentvolumes", { ...volume, status: { phase: "Released" } });
    await driver().update(type, id, state, inputs);
    assert.notEqual(only("persistentvolumes").metadata.uid, volume.metadata.uid);
    only("persistentvolumeclaims");

    const replaced = await driver().check(type, state, given({}, { sizeGib: 4 }));
    const second = await driver().create(type, replaced.inputs);
    assert.equal(only("persistentvolumes").spec.csi.volumeHandle, second.id);
    await driver().delete(type, id, { ...state, deletionPolicy: "delete" });
    assert.equal(only("persistentvolumeclaims").spec.volumeName, `osbackup-restored-${second.id}`);
    assert.deepEqual(
      cloud.volumes().map(row => row.id === id),
      [false, false],
    );
  });

  it("moves with a changed name, and goes with its resource only where the volume does", async () => {
    const { id, state } = await create(type, given());
    const { inputs } = await driver().check(type, state, given({ name: "other" }));
    const moved = { ...inputs, ...(await driver().update(type, id, state, inputs)) };
    assert.equal(only("persistentvolumeclaims").metadata.name, "other");
    assert.equal(only("persistentvolumes").spec.claimRef.name, "other");
    await driver().delete(type, id, moved);
    only("persistentvolumeclaims");
    await driver().delete(type, id, { ...moved, deletionPolicy: "delete" });
    assert.deepEqual([...cluster.rows("persistentvolumeclaims"), ...cluster.rows("persistentvolumes")], []);
    assert.equal(cloud.volumes().length, 1);
  });

  it("of another owner is never touched", async () => {
    const { id, state } = await create(type, given());
    const claim = only("persistentvolumeclaims");
    cluster.put("persistentvolumeclaims", {
      ...claim,
      metadata: { ...claim.metadata, labels: { "osbackup-restored-by": "somebody" } },
    });
    await driver().delete(type, id, { ...state, deletionPolicy: "delete" });
    only("persistentvolumeclaims");
  });
});
