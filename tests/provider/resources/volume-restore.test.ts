import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { probe, readiness } from "../../../provider/movers/local";
import { type Held, Lifecycle } from "../../lifecycle";
import { needs, skips } from "../../needs";
import { newRepository, password, restic, tidyUp } from "../restic/fixture";

describe("VolumeRestore of files", function () {
  this.timeout(60_000);
  let cloud: Devcloud;
  let work: string;
  let url: string;
  const mountDirectory = process.env.OSBACKUP_MOUNT_DIRECTORY;

  before(async function () {
    needs(this, "mkfs.xfs");
    if (!(await readiness()).how.includes("xfs")) {
      return skips(this, "this machine cannot mount an xfs file system");
    }
    work = mkdtempSync(path.join(tmpdir(), "osbackup-restore-"));
    process.env.OSBACKUP_MOUNT_DIRECTORY = path.join(work, "mnt");
    cloud = await startDevcloud();
    url = (await newRepository()).path;
    mkdirSync(path.join(work, "files"));
    writeFileSync(path.join(work, "files", "a.txt"), "a");
  });
  after(async () => {
    await cloud?.stop();
    if (mountDirectory === undefined) delete process.env.OSBACKUP_MOUNT_DIRECTORY;
    else process.env.OSBACKUP_MOUNT_DIRECTORY = mountDirectory;
    if (work) rmSync(work, { recursive: true, force: true });
    await tidyUp();
  });

  /** Restores a backup of that file system and returns what was made on the new volume. */
  async function restored(tag: string, more: object = {}): Promise<string | undefined> {
    restic(url, "backup", "--tag", `content=file,filesystem=${tag}`, path.join(work, "files"));
    const snapshots = JSON.parse(restic(url, "snapshots", "--json")) as { id: string }[];
    const run = new Lifecycle(cloud.environment);
    const { volumeId }: Held = await run.up("VolumeRestore", {
      owner: `shop/prod/restore-${snapshots.length}`,
      resticSnapshotId: snapshots.at(-1)?.id,
      repository: { url, password },
      sizeGib: 1,
      ...more,
    });
    const image = execFileSync("find", [cloud.directory, "-name", `volume-${volumeId}`], {
      encoding: "utf8",
    });
    return (await probe(image.trim())).fileSystem;
  }

  it("makes the file system of the backup", async () => assert.equal(await restored("xfs"), "xfs"));

  it("makes ext4 where the backup was of what cannot be made", async () =>
    assert.equal(await restored("vfat"), "ext4"));

  it("makes the one that is asked for", async () =>
    assert.equal(await restored("xfs", { fileSystem: "ext4" }), "ext4"));
});

describe("A VolumeRestore that is removed", () => {
  it("removes its volume where Cinder says once that it is not there", async () => {
    const cloud = await startDevcloud();
    try {
      const { id: volumeId } = await cloud.addVolume({ sizeGib: 1, sizeBytes: 4096 });
      const { id: snapshotId } = await cloud.addSnapshot({ volumeId });
      const run = new Lifecycle(cloud.environment);
      const restored: Held = await run.up("VolumeRestore", {
        owner: "shop/prod/back",
        snapshotId,
        deletionPolicy: "delete",
      });
      const path = new RegExp(`/volumes/${restored.volumeId}$`);
      const fault = cloud.faults.add({ method: "GET", path, status: 404, times: 1 });
      await run.down();
      assert.equal(fault.hits, 1);
      assert.deepEqual(
        cloud.volumes().map(({ id }) => id),
        [volumeId],
      );
    } finally {
      await cloud.stop();
    }
  });
});
