import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, makeExt4Image, startDevcloud } from "../../../../devcloud";
import { Driver, type Properties } from "../../../../provider/driver/driver";
import { World } from "../../../../provider/driver/world";
import { choiceOf } from "../../../../provider/movers/auto-mover";
import { deviceNames, deviceOf } from "../../../../provider/movers/server/device";
import { serverVolumes } from "../../../../provider/openstack";
import { openRepository } from "../../../../provider/restic";
import { skips } from "../../../needs";
import { isRoot } from "../local/lab";

/** The bytes of volumes that Nova attaches to the server that this machine is: devcloud makes devices of them. */
describe("the mover 'server'", function () {
  this.timeout(120_000);
  let cloud: Devcloud;
  let work: string;
  let serverId: string;
  let volumeId: string;
  let lines: string[];
  const inherited = { ...process.env };

  before(function () {
    if (!isRoot) skips(this, "this user may not make loop devices");
  });

  beforeEach(async () => {
    work = mkdtempSync(path.join(tmpdir(), "osbackup-server-mover-"));
    process.env.OSBACKUP_MOUNT_DIRECTORY = path.join(work, "mnt");
    process.env.OSBACKUP_DEVICE_DIRECTORY = path.join(work, "by-id");
    lines = [];
    await start({});
    const files = path.join(work, "files");
    await mkdir(files);
    await writeFile(path.join(files, "a.txt"), "what is on the volume\n");
    const imageFile = path.join(work, "volume.img");
    await makeExt4Image(imageFile, { fromDirectory: files, sizeMib: 16 });
    volumeId = (await cloud.addVolume({ name: "data", imageFile, attachedTo: true })).id;
    await openRepository({ url: url(), password }).ensureInitialised();
  });
  afterEach(async () => {
    await cloud.stop();
    assert.deepEqual(devices(), [], "no device is left");
    rmSync(work, { recursive: true, force: true });
    for (const name of ["OSBACKUP_MOUNT_DIRECTORY", "OSBACKUP_DEVICE_DIRECTORY"])
      if (inherited[name] === undefined) delete process.env[name];
      else process.env[name] = inherited[name];
  });

  const password = "a-password-nobody-must-see";
  const url = () => path.join(work, "repository");
  const devices = () => {
    try {
      return readdirSync(path.join(work, "by-id"));
    } catch {
      return [];
    }
  };
  async function start(options: Parameters<typeof startDevcloud>[0]): Promise<void> {
    await cloud?.stop();
    cloud = await startDevcloud({ statusDelayMs: 20, deviceDirectory: path.join(work, "by-id"), ...options });
    serverId = cloud.addServer({ name: "runner" }).id;
  }

  const world = () => new World({}, line => lines.push(line), cloud.environment);
  async function made(type: string, given: Properties): Promise<Properties> {
    const driver = new Driver(world());
    const { inputs, refusals } = await driver.check(type, undefined, given);
    assert.deepEqual(refusals, []);
    const { id, outputs } = await driver.create(type, inputs);
    return { ...inputs, ...outputs, id };
  }
  const repository = () => ({ url: url(), password });
  async function backup(name: string, moverOptions: Properties | undefined, more: Properties = {}) {
    const { snapshotId } = await made("CinderSnapshot", { owner: `shop/prod/${name}-snapshot`, volumeId });
    return made("ResticBackup", {
      owner: `shop/prod/${name}`,
      snapshotId,
      temporaryVolume: { owner: `shop/prod/${name}-volume` },
      repository: repository(),
      mover: "server",
      ...(moverOptions && { moverOptions }),
      ...more,
    });
  }
  const temporary = () => cloud.volumes().filter(({ metadata }) => metadata["osbackup-role"] === "temporary");
  const ofServer = () => cloud.attachments().filter(({ instance }) => instance === serverId);

  it("reads a volume that Nova attaches, and fills one, and leaves nothing attached", async () => {
    const { resticSnapshotId } = await backup("set", { serverId });
    assert.match(
      lines.join("\n"),
      /Succeeded: restic snapshot .* 1 files.* by local device, mount/,
      lines.join("\n"),
    );
    assert.deepEqual([ofServer(), temporary(), devices()], [[], [], []]);
    const posts = cloud.requests.filter(({ method, path }) => method === "POST" && /attachments/.test(path));
    assert.deepEqual(
      posts.map(({ path }) => path),
      [`/compute/v2.1/servers/${serverId}/os-volume_attachments`],
    );

    const restored = await made("VolumeRestore", {
      owner: "shop/prod/back",
      resticSnapshotId,
      repository: repository(),
      mover: "server",
      moverOptions: { serverId },
    });
    assert.deepEqual([restored.verified, ofServer()], [true, []]);
    const image = cloud.imagePath(String(restored.volumeId));
    assert.ok(readFileSync(image).includes("what is on the volume\n"));
  });

  it("streams a device too", async () => {
    await backup("block", { serverId }, { content: "block" });
    assert.match(lines.join("\n"), /Succeeded: .* by local device, block device/);
    assert.deepEqual([ofServer(), devices()], [[], []]);
  });

  it("has no more volumes attached than it is told to, and none more than the server takes", async () => {
    await start({ mostVolumesOfServer: 2 });
    const imageFile = path.join(work, "volume.img");
    volumeId = (await cloud.addVolume({ name: "data", imageFile, attachedTo: true })).id;
    let most = 0;
    const watch = setInterval(() => (most = Math.max(most, ofServer().length)), 5);
    const driver = new Driver(world());
    const all = [1, 2, 3, 4, 5].map(async index => {
      const snapshot = await made("CinderSnapshot", { owner: `shop/prod/${index}-snapshot`, volumeId });
      const { inputs } = await driver.check("ResticBackup", undefined, {
        owner: `shop/prod/${index}`,
        snapshotId: snapshot.snapshotId,
        temporaryVolume: { owner: `shop/prod/${index}-volume` },
        repository: repository(),
        mover: "server",
        // more than the server takes: what is beyond is waited for
        moverOptions: { serverId, maxAttached: 3 },
      });
      await driver.create("ResticBackup", inputs);
    });
    await Promise.all(all);
    clearInterval(watch);
    assert.ok(most <= 2, `${most} at once`);
    assert.match(lines.join("\n"), /waiting to attach volume .*maximum allowed number of disk devices/);
    assert.deepEqual([ofServer(), temporary()], [[], []]);
  });

  it("ends what a killed run has left attached", async () => {
    const { snapshotId } = await made("CinderSnapshot", { owner: "shop/prod/set-snapshot", volumeId });
    const left = await made("TemporaryVolume", { owner: "shop/prod/set-volume", snapshotId });
    await serverVolumes.attach(world().session({}), serverId, String(left.volumeId));
    await made("ResticBackup", {
      owner: "shop/prod/set",
      snapshotId,
      temporaryVolume: { owner: "shop/prod/set-volume" },
      repository: repository(),
      mover: "server",
      moverOptions: { serverId },
    });
    assert.deepEqual([ofServer(), temporary(), devices()], [[], [], []]);
  });

  it("converges whatever becomes of a call of Nova's, and leaves nothing attached", async function () {
    this.timeout(300_000);
    const attachments = /\/os-volume_attachments/;
    let runs = 0;
    for (const method of ["POST", "GET", "DELETE"])
      for (const harm of [
        { status: 500 },
        { status: 409 },
        { drop: "before" as const },
        { drop: "after" as const },
      ]) {
        const name = `set-${++runs}`;
        cloud.faults.add({ method, path: attachments, times: 1, ...harm });
        const where = `${method} ${JSON.stringify(harm)}`;
        const first = await backup(name, { serverId }).catch((error: Error) => error);
        const unmet = cloud.faults.unmet().length;
        cloud.faults.clear();
        // a GET is asked only where something is uncertain
        if (method !== "GET") assert.equal(unmet, 0, where);
        if (first instanceof Error) assert.deepEqual(temporary().length <= 1, true, where);
        await backup(name, { serverId });
        assert.deepEqual([ofServer(), temporary(), devices()], [[], [], []], `${where}: ${first}`);
      }
    const points = await openRepository({ url: url(), password }).snapshots();
    assert.equal(points.length, runs, "one point a set");
  });

  it("fails in Nova's words where the server is not there, and leaves nothing, ten times in a row", async () => {
    for (let run = 0; run < 10; run++)
      await assert.rejects(
        backup("set", { serverId: "00000000-0000-4000-8000-00000000dead" }),
        /attaching volume .* to server 00000000-.*: Instance 00000000-0000-4000-8000-00000000dead could not be found/,
      );
    assert.deepEqual(temporary(), []);
    assert.equal(cloud.attachments().length, 1, "only the user's own");
  });

  it("says what it looked for where this machine has no device of the volume, and detaches it", async () => {
    process.env.OSBACKUP_DEVICE_DIRECTORY = path.join(work, "elsewhere");
    await assert.rejects(
      deviceOf(volumeId, { timeoutSeconds: 0.1 }),
      new RegExp(
        `attached, and this machine shows no device of it: looked for virtio-${volumeId.slice(0, 20)}, .*is this the server in serverId`,
      ),
    );
    assert.deepEqual(deviceNames("e0b3f9d8-6c3f-4b0e-9a52-0123456789ab"), [
      "virtio-e0b3f9d8-6c3f-4b0e-9",
      "virtio-e0b3f9d8-6c3f-4b0e-9a52-0123456789ab",
      "scsi-0QEMU_QEMU_HARDDISK_e0b3f9d8-6c3f-4b0e-9",
      "scsi-0QEMU_QEMU_HARDDISK_e0b3f9d8-6c3f-4b0e-9a52-0123456789ab",
      "wwn-0xe0b3f9d86c3f4b0e9a520123456789ab",
    ]);
  });

  it("is what 'auto' comes to on a server of the project, and says so; elsewhere it is 'local', and says why", async () => {
    await backup("on-a-server", { serverId }, { mover: "auto" });
    assert.match(lines.join("\n"), new RegExp(`mover 'server': this is server ${serverId}`));
    lines = [];
    await backup("elsewhere", undefined, { mover: "auto" });
    assert.match(lines.join("\n"), /mover 'local': this machine (does not say|says)/);
    assert.match(lines.join("\n"), /Succeeded: .* by nfs file/);
  });

  it("is chosen for each set by its own options, whatever another set of the run has", async () => {
    const session = world().session({});
    assert.match((await choiceOf(session, undefined)).why, /^mover 'local': /);
    assert.match((await choiceOf(session, { serverId })).why, /^mover 'server': /);
    assert.match((await choiceOf(session, undefined)).why, /^mover 'local': /);
  });
});
