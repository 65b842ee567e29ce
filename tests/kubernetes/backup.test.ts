import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { open, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import type { V1Job } from "@kubernetes/client-node";
import { cinderDriver } from "../../provider/kubernetes/cluster";
import { until } from "../until";
import { images } from "./install";
import { Lab } from "./lab";

const namespace = "default";

/** A Job that reads a file of a claim, and writes another. */
const readerOf = (claimName: string): V1Job => ({
  metadata: { name: "reader" },
  spec: {
    backoffLimit: 0,
    template: {
      spec: {
        restartPolicy: "Never",
        volumes: [{ name: "data", persistentVolumeClaim: { claimName } }],
        containers: [
          {
            name: "reader",
            image: images.restic,
            command: ["/bin/sh", "-c", "echo more > /data/b.txt && cat /data/a.txt"],
            volumeMounts: [{ name: "data", mountPath: "/data" }],
          },
        ],
      },
    },
  },
});

describe("the mover 'kubernetes' on a real node with the real driver", () => {
  let lab: Lab;

  before(async function () {
    this.timeout(240_000);
    lab = await Lab.start();
  });
  beforeEach(() => lab.fresh());

  it("backs up a volume by a Job, and leaves nothing in the cluster", async () => {
    const volumeId = await lab.volumeWith({ "a.txt": "what is on the volume\n", "var/b.txt": "more\n" });
    const { resticSnapshotId } = await lab.backup("set", volumeId);
    assert.match(lab.said, /Succeeded: restic snapshot .* by Job in namespace default, ext4/, lab.said);
    const [snapshot] = await lab.open().snapshots();
    assert.equal(snapshot?.id, resticSnapshotId);
    assert.ok(snapshot?.tags.includes("root=755:0:0"), snapshot?.tags.join(" "));
    await lab.nothingLeft();
  });

  it("restores files into a new volume, with the root folder's mode and owner", async () => {
    const volumeId = await lab.volumeWith({ "a.txt": "what is on the volume\n" });
    const { resticSnapshotId } = await lab.backup("set", volumeId);
    for (const fileSystem of ["ext4", "xfs"] as const) {
      const restored = await lab.made("VolumeRestore", {
        owner: `shop/prod/back-${fileSystem}`,
        resticSnapshotId,
        ...lab.moving(),
        fileSystem,
        verify: true,
      });
      assert.equal(await lab.read(String(restored.volumeId), "a.txt"), "what is on the volume\n");
      assert.equal(restored.verified, true);
    }
    await lab.nothingLeft();
  });

  it("restores into a claim of the class that is wanted, which a pod mounts and writes to", async () => {
    const { core, storage, batch } = lab.node.cluster;
    await storage.createStorageClass({
      body: { metadata: { name: "fast" }, provisioner: cinderDriver, parameters: { type: "__DEFAULT__" } },
    });
    const volumeId = await lab.volumeWith({ "a.txt": "what is on the volume\n" }, { fileSystem: "xfs" });
    const { resticSnapshotId } = await lab.backup("set", volumeId);
    const claim = { name: "orders", namespace, storageClass: "fast" };
    const given = {
      owner: "shop/prod/claimed",
      resticSnapshotId,
      ...lab.moving(),
      claim,
      deletionPolicy: "delete",
    };
    const restored = await lab.made("VolumeRestore", given);
    assert.equal(restored.claimedBy, "default/orders");
    const id = String(restored.volumeId);
    assert.equal(lab.node.devcloud.volumes().find(row => row.id === id)?.volume_type, "__DEFAULT__");
    await batch.createNamespacedJob({ namespace, body: readerOf("orders") });
    await until("the pod that uses it", async () => {
      const { status } = await batch.readNamespacedJob({ name: "reader", namespace });
      return status?.succeeded === 1 || status?.failed === 1;
    });
    const [pod] = (await core.listNamespacedPod({ namespace, labelSelector: "job-name=reader" })).items;
    const name = String(pod?.metadata?.name);
    assert.equal(await core.readNamespacedPodLog({ name, namespace }), "what is on the volume\n");
    await batch.deleteNamespacedJob({ name: "reader", namespace, propagationPolicy: "Foreground" });
    await lab.removed("VolumeRestore", restored);
    await storage.deleteStorageClass({ name: "fast" });
    assert.equal(
      lab.node.devcloud.volumes().some(row => row.id === id),
      false,
    );
    await lab.nothingLeft();
  });

  it("takes an xfs volume for what it is", async () => {
    const volumeId = await lab.volumeWith({ "a.txt": "on xfs\n" }, { fileSystem: "xfs" });
    await lab.backup("set", volumeId);
    assert.match(lab.said, /is not ext4 to the driver, trying xfs[\s\S]*by Job in namespace default, xfs/);
    await lab.nothingLeft();
  });

  it("never formats what it does not know: such a volume is read, and restored, as a device", async () => {
    const image = path.join(lab.work, "raw.img");
    const bytes = randomBytes(3 << 20);
    await writeFile(image, bytes);
    const volumeId = await lab.volumeOf(image);
    const { resticSnapshotId } = await lab.backup("set", volumeId);
    assert.match(lab.said, /is not ext4 to the driver, trying raw device[\s\S]*the raw device/);
    const { volumeId: restored } = await lab.made("VolumeRestore", {
      owner: "shop/prod/back",
      resticSnapshotId,
      ...lab.moving(),
      verify: true,
    });
    const file = await open(await lab.imageOf(String(restored)));
    const { buffer } = await file.read(Buffer.alloc(bytes.length), 0, bytes.length, 0);
    await file.close();
    assert.ok(buffer.equals(bytes));
    assert.ok((await readFile(await lab.imageOf(volumeId))).subarray(0, bytes.length).equals(bytes));
    await lab.nothingLeft();
  });

  it("says which paths are not there, and that there is nothing at all", async () => {
    const volumeId = await lab.volumeWith({ "a.txt": "1\n" });
    await assert.rejects(
      lab.backup("some", volumeId, { paths: ["/a.txt", "/not/there"] }),
      /could not read not\/there \(does not exist\); snapshot .* is kept, marked 'partial'/,
    );
    await assert.rejects(
      lab.backup("none", volumeId, { paths: ["/not/there"] }),
      /none of the paths is a file or folder of it/,
    );
    const empty = await lab.volumeWith({});
    await assert.rejects(lab.backup("empty", empty), /no file was backed up|there are no files/);
    await lab.nothingLeft();
  });
});
