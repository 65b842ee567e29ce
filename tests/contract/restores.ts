import { strict as assert } from "node:assert";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { openRepository } from "../../provider/restic";
import { skips } from "../needs";
import type { CloudUnderTest } from "./clouds";
import { aRepository, aSnapshot, filesImage, rawImage, repositoryPassword, timeoutSeconds } from "./rows";
import { type Held, Scene } from "./stack-run";

const sources = path.join(__dirname, "../../provider/resources");

/** What backups and restores promise: the bytes that went in come out. */
export function describeRestores(
  getCloud: () => CloudUnderTest,
  { mover }: { mover: () => string | undefined },
): void {
  describe("backup and restore", () => {
    let scene: Scene;

    beforeEach(async () => {
      scene = await Scene.open(getCloud());
    });

    afterEach(() => scene.close());

    it("restores a snapshot into a larger volume", async () => {
      const set = await aSnapshot(scene);
      await scene.begin();
      const restored = await scene.run().create("VolumeRestore", {
        owner: scene.owner("restored"),
        snapshotId: set.state.snapshotId,
        sizeGib: 2,
        name: "twice as large",
        deletionPolicy: "delete",
        timeoutSeconds,
      });
      assert.equal(restored.state.restoredSizeGib, 2);
      assert.equal(restored.state.source, `cinder:${set.state.snapshotId}`);
      assert.equal(restored.state.capturedAt, set.state.takenAt);
      const { volume } = (await scene.cloud.demo.call("GET", "volumev3", `/volumes/${restored.id}`)).body;
      assert.deepEqual(
        { name: volume.name, size: volume.size, status: volume.status },
        { name: "twice as large", size: 2, status: "available" },
      );
      await scene.run().delete(restored);
      assert.deepEqual(await scene.made(), []);
    });

    it("leaves a restored volume that is no longer its own", async () => {
      const set = await aSnapshot(scene);
      await scene.begin();
      const restored = await scene.run().create("VolumeRestore", {
        owner: scene.owner("restored"),
        snapshotId: set.state.snapshotId,
        deletionPolicy: "delete",
        timeoutSeconds,
      });
      const metadata = { "osbackup-owner": "contract/production/restored" };
      await scene.cloud.demo.call("POST", "volumev3", `/volumes/${restored.id}/metadata`, { metadata });
      const cautious = scene.run();
      await cautious.delete(restored);
      assert.match(
        cautious.lines.join("\n"),
        /volume .* stays: it belongs to contract\/production\/restored/,
      );
      assert.equal((await scene.made()).length, 1);
      await scene.cloud.demo.call("POST", "volumev3", `/volumes/${restored.id}/metadata`, {
        metadata: { "osbackup-owner": scene.owner("restored") },
      });
      await scene.run().delete(restored);
      assert.deepEqual(await scene.made(), []);
    });

    it("makes another volume where an earlier one was kept for its user", async () => {
      const set = await aSnapshot(scene);
      await scene.begin();
      const given = { owner: scene.owner("restored"), snapshotId: set.state.snapshotId, timeoutSeconds };
      const kept = await scene.run().create("VolumeRestore", given);
      await scene.run().delete(kept);
      const second = await scene.run().create("VolumeRestore", { ...given, deletionPolicy: "delete" });
      assert.notEqual(second.id, kept.id);
      assert.equal((await scene.made()).length, 2);
      await scene.run().delete(second);
      assert.deepEqual(
        (await scene.made()).map(({ id }) => id),
        [kept.id],
      );
    });

    it("follows a renamed temporary volume and a renamed restore", async () => {
      const set = await aSnapshot(scene);
      await scene.begin();
      const source = { snapshotId: set.state.snapshotId, timeoutSeconds };
      for (const [type, more] of [
        ["TemporaryVolume", {}],
        ["VolumeRestore", { deletionPolicy: "delete" }],
      ] as const) {
        const given = { ...source, ...more, owner: scene.owner("old-name") };
        const held = await scene.run().create(type, given);
        const renamed = await scene.run().update(held, { ...given, owner: scene.owner("new-name") });
        await scene.run().delete(renamed);
        assert.deepEqual(await scene.made(), [], type);
      }
    });

    it("does not take back a snapshot that is not of the source set when a backup fails", async () => {
      const set = await aSnapshot(scene);
      const { demo } = scene.cloud;
      const body = { snapshot: { volume_id: set.state.volumeId, name: "of another program" } };
      const { snapshot } = (await demo.call("POST", "volumev3", "/snapshots", body)).body;
      scene.cloud.faults.inject({ harm: { status: 500 }, match: /^POST .*\/volumes$/ });
      await assert.rejects(
        scene.run().create("ResticBackup", {
          owner: scene.owner("backup"),
          snapshotId: snapshot.id,
          temporaryVolume: { owner: scene.owner("temporary"), timeoutSeconds },
          repository: await aRepository(scene),
          source: { owner: set.state.owner, volumeId: set.state.volumeId },
          onFailure: "cleanup",
        }),
        /HTTP 500, cinder/,
      );
      assert.equal((await demo.send("GET", "volumev3", `/snapshots/${snapshot.id}`)).status, 200);
    });

    it("brings files through restic into a new volume", async function () {
      this.timeout(240_000);
      const missing = mover();
      if (missing) skips(this, missing);
      const set = await aSnapshot(scene, await filesImage(), scene.cloud.snapshotsAttached);
      const repository = await aRepository(scene);
      await scene.begin();
      const owner = scene.owner("backup");
      const copy = { owner: scene.owner("temporary"), timeoutSeconds: 60 };
      const backup = await scene.run().create("ResticBackup", {
        owner,
        snapshotId: set.state.snapshotId,
        slot: set.state.slot,
        takenAt: set.state.takenAt,
        temporaryVolume: copy,
        repository,
        source: { owner: set.state.owner, volumeId: set.state.volumeId },
      });
      assert.equal(backup.state.phase, "Succeeded");
      assert.deepEqual(await scene.made(), [], "the temporary volume is released");
      assert.deepEqual(await filesIn(repository.url, backup), await sourceFiles());

      const restored = await scene.run().create("VolumeRestore", {
        owner: scene.owner("restored"),
        resticSnapshotId: "latest",
        backupOwner: owner,
        repository,
        sizeGib: 1,
        volumeType: scene.cloud.backend,
        deletionPolicy: "delete",
        timeoutSeconds: 120,
      });
      assert.equal(restored.state.verified, true);
      // Read back the way it was written: a backup of the restored volume holds the same files.
      const again = await scene.run().create("CinderSnapshot", {
        owner: scene.owner("set-of-the-restored"),
        volumeId: restored.state.volumeId,
        timeoutSeconds,
      });
      const second = await scene.run().create("ResticBackup", {
        owner: scene.owner("second-backup"),
        snapshotId: again.state.snapshotId,
        temporaryVolume: copy,
        repository,
      });
      assert.deepEqual(await filesIn(repository.url, second), await sourceFiles());
      await scene.run().delete(again);
      await scene.run().delete(restored);
      assert.deepEqual(await scene.made(), []);
    });

    it("brings a raw device through restic into a new volume", async function () {
      this.timeout(600_000);
      const missing = mover();
      if (missing) skips(this, missing);
      const image = await rawImage();
      const set = await aSnapshot(scene, image);
      const repository = await aRepository(scene);
      await scene.begin();
      const owner = scene.owner("backup");
      const given = { temporaryVolume: { owner: scene.owner("temporary"), timeoutSeconds: 60 }, repository };
      const { snapshotId, slot, takenAt } = set.state;
      const backup = await scene.run().create("ResticBackup", { owner, snapshotId, slot, takenAt, ...given });
      assert.equal(backup.state.filesTotal, 1);
      assert.deepEqual(await scene.made(), [], "the temporary volume is released");

      const restored = await scene.run().create("VolumeRestore", {
        owner: scene.owner("restored"),
        resticSnapshotId: String(backup.state.resticSnapshotId),
        repository,
        sizeGib: 1,
        volumeType: scene.cloud.backend,
        deletionPolicy: "delete",
        // a GiB by FUSE, on a machine that has more to do
        timeoutSeconds: 600,
      });
      const again = await scene.run().create("CinderSnapshot", {
        owner: scene.owner("set-of-the-restored"),
        volumeId: restored.state.volumeId,
        timeoutSeconds,
      });
      const second = await scene.run().create("ResticBackup", {
        owner: scene.owner("second-backup"),
        snapshotId: again.state.snapshotId,
        ...given,
      });
      const device = await deviceIn(repository.url, second);
      const original = await readFile(image);
      assert.equal(device.length, 2 ** 30);
      assert.ok(device.subarray(0, original.length).equals(original), "the bytes that went in");
      assert.ok(device.subarray(original.length).equals(Buffer.alloc(device.length - original.length)));
      await scene.run().delete(again);
      await scene.run().delete(restored);
      assert.deepEqual(await scene.made(), []);
    });
  });
}

/** The bytes of a device in a backup of one. */
async function deviceIn(url: string, backup: Held): Promise<Buffer> {
  const file = `${url}-device`;
  const repository = openRepository({ url, password: repositoryPassword });
  await repository.dumpTo(String(backup.state.resticSnapshotId), "/volume.raw", file);
  return readFile(file);
}

/** The files below `/resources` of a backup, by name with their text. */
async function filesIn(url: string, backup: Held): Promise<Record<string, string>> {
  const id = String(backup.state.resticSnapshotId);
  const target = `${url}-restored-${id.slice(0, 8)}`;
  await openRepository({ url, password: repositoryPassword }).restore(id, { target });
  return textsOf(path.join(target, "resources"));
}

const sourceFiles = () => textsOf(sources);

async function textsOf(directory: string): Promise<Record<string, string>> {
  const names = (await readdir(directory)).sort();
  const texts = names.map(async name => [name, await readFile(path.join(directory, name), "utf8")]);
  return Object.fromEntries(await Promise.all(texts));
}
