import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { makeExt4Image } from "../../devcloud";
import { Driver, type Properties } from "../../provider/driver/driver";
import { World } from "../../provider/driver/world";
import { openRepository } from "../../provider/restic";
import { type RestHandle, start as startRest } from "../services/rclone-rest";
import { type NodeCloud, nodeAddress, startNodeCloud } from "./cloud";
import { images } from "./install";

const password = "a-password-nobody-must-see";

describe("the mover 'kubernetes' on a real node with the real driver", () => {
  let node: NodeCloud;
  let rest: RestHandle;
  let work: string;
  let lines: string[];
  let repositories = 0;
  let repository: { url: string; password: string };

  before(async function () {
    this.timeout(240_000);
    work = await mkdtemp(path.join(tmpdir(), "osbackup-node-"));
    node = await startNodeCloud();
    rest = await startRest({ address: nodeAddress });
  });
  after(async () => {
    await rest?.stop();
    await node?.stop();
    await rm(work, { recursive: true, force: true });
  });
  beforeEach(async () => {
    lines = [];
    repository = { url: rest.repository(`repository-${repositories++}`), password };
    await openRepository(repository).ensureInitialised();
  });

  const world = () => new World({}, line => lines.push(line), node.devcloud.environment);
  const kubernetes = { image: images.restic };

  async function volumeWith(files: Record<string, string>): Promise<string> {
    const folder = await mkdtemp(path.join(work, "files-"));
    for (const [name, text] of Object.entries(files)) {
      await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
      await writeFile(path.join(folder, name), text);
    }
    const imageFile = `${folder}.img`;
    await makeExt4Image(imageFile, { fromDirectory: folder, sizeMib: 32 });
    return (await node.devcloud.addVolume({ name: "data", imageFile, attachedTo: true })).id;
  }

  async function made(type: string, given: Properties): Promise<Properties> {
    const driver = new Driver(world());
    const { inputs, refusals } = await driver.check(type, undefined, given);
    assert.deepEqual(refusals, []);
    const { id, outputs } = await driver.create(type, inputs);
    return { ...inputs, ...outputs, id };
  }
  async function backup(name: string, volumeId: string, more: Properties = {}): Promise<Properties> {
    const { snapshotId } = await made("CinderSnapshot", { owner: `shop/prod/${name}-snapshot`, volumeId });
    return made("ResticBackup", {
      owner: `shop/prod/${name}`,
      snapshotId,
      temporaryVolume: { owner: `shop/prod/${name}-volume` },
      repository,
      mover: "kubernetes",
      moverOptions: { kubernetes },
      ...more,
    });
  }
  async function nothingLeft(): Promise<void> {
    const { core, batch, storage } = node.cluster;
    const namespace = "default";
    const found = await Promise.all([
      batch.listNamespacedJob({ namespace }),
      core.listNamespacedPod({ namespace }),
      core.listNamespacedPersistentVolumeClaim({ namespace }),
      core.listPersistentVolume(),
      core.listNamespacedSecret({ namespace }),
      storage.listVolumeAttachment(),
    ]);
    assert.deepEqual(
      found.flatMap(({ items }) => items.map(({ metadata }) => metadata?.name)),
      [],
    );
    const temporary = node.devcloud
      .volumes()
      .filter(({ metadata }) => metadata["osbackup-role"] === "temporary");
    assert.deepEqual(temporary, []);
  }

  it("backs up a volume by a Job, and leaves nothing in the cluster", async () => {
    const volumeId = await volumeWith({ "a.txt": "what is on the volume\n", "var/b.txt": "more\n" });
    const { resticSnapshotId } = await backup("set", volumeId);
    assert.match(
      lines.join("\n"),
      /Succeeded: restic snapshot .* by Job in namespace default, ext4/,
      lines.join("\n"),
    );
    const [snapshot] = await openRepository(repository).snapshots();
    assert.equal(snapshot?.id, resticSnapshotId);
    assert.ok(snapshot?.tags.includes("root=755:0:0"), snapshot?.tags.join(" "));
    await nothingLeft();
  });
});
