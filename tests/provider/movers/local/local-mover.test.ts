import assert from "node:assert/strict";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Devcloud, startDevcloud } from "../../../../devcloud";
import { localMover } from "../../../../provider/movers/local/local-mover";
import { mountPathOf } from "../../../../provider/movers/local/mount-path";
import { resolveCloud, type Session, Sessions } from "../../../../provider/openstack";
import { openRepository } from "../../../../provider/restic";
import { cleanLab, ext4Image, leftovers, temporaryFolder } from "./lab";

const owner = "shop/prod/pg-backup";

describe("localMover when the volume does not close", () => {
  let cloud: Devcloud;
  let session: Session;
  let folder: string;
  let lines: string[];
  const mountDirectory = process.env.OSBACKUP_MOUNT_DIRECTORY;

  beforeEach(async () => {
    folder = temporaryFolder();
    process.env.OSBACKUP_MOUNT_DIRECTORY = join(folder, "mnt");
    lines = [];
    cloud = await startDevcloud();
    session = new Sessions().open(
      resolveCloud({ directory: "/" }, { HOME: "/nonexistent", ...cloud.environment }),
    );
  });
  afterEach(async () => {
    assert.deepEqual(cloud.faults.unmet(), []);
    await cloud.stop();
    if (mountDirectory === undefined) delete process.env.OSBACKUP_MOUNT_DIRECTORY;
    else process.env.OSBACKUP_MOUNT_DIRECTORY = mountDirectory;
    cleanLab();
  });

  const access = () => ({ url: join(folder, "repository"), password: "right-password" });
  const stateFile = () => `${mountPathOf(owner)}.state.json`;

  async function volumeWithFiles(): Promise<string> {
    const content = join(folder, "content");
    mkdirSync(content);
    writeFileSync(join(content, "a.txt"), "a");
    const imageFile = ext4Image(join(folder, "volume.img"), { content });
    return (await cloud.addVolume({ name: "temporary", imageFile })).id;
  }

  /** Calls `whenReading` once the volume is open. */
  const backUp = (volumeId: string, whenReading: () => void) => {
    let isOpen = false;
    return localMover.synchronize({
      session,
      volumeId,
      owner,
      repository: openRepository(access()),
      content: "auto",
      // asked for when the files are there to be read
      get paths() {
        if (!isOpen) whenReading();
        isOpen = true;
        return ["/"];
      },
      exclude: [],
      host: "pg",
      tags: [],
      time: new Date("2026-11-22T10:00:00Z"),
      timeoutSeconds: 60,
      log: line => lines.push(line),
    });
  };

  /** Nothing more can be noted: the list is put aside, and a folder is in its way. */
  const blockList = () => {
    renameSync(stateFile(), `${stateFile()}.aside`);
    mkdirSync(join(stateFile(), "in-the-way"), { recursive: true });
  };
  const unblockList = () => {
    rmSync(stateFile(), { recursive: true });
    renameSync(`${stateFile()}.aside`, stateFile());
  };

  const status = (volumeId: string) => cloud.volumes().find(({ id }) => id === volumeId)?.status;

  it("counts the backup, warns, and lets the next run end what stays", async () => {
    await openRepository(access(), { log: () => {} }).ensureInitialised({});
    const volumeId = await volumeWithFiles();
    const moved = await backUp(volumeId, blockList);
    assert.equal(moved.content, "file");
    assert.match(lines.join("\n"), /^warning: .*; the next run ends it$/m);
    assert.deepEqual([status(volumeId), cloud.attachments().length], ["available", 0]);

    unblockList();
    await localMover.cleanup({ owner, log: line => lines.push(line) });
    assert.deepEqual(leftovers(folder), []);
    assert.equal(existsSync(stateFile()), false);
  }).timeout(60_000);

  it("counts the backup and warns where the attachment stays", async () => {
    await openRepository(access(), { log: () => {} }).ensureInitialised({});
    const volumeId = await volumeWithFiles();
    await backUp(volumeId, () => {
      cloud.faults.add({ method: "DELETE", path: /\/attachments\//, status: 409 });
    });
    assert.match(lines.join("\n"), /^warning: .*HTTP 409.*; the next run ends it$/m);
    cloud.faults.clear();
    await backUp(volumeId, () => {});
    assert.deepEqual([status(volumeId), cloud.attachments().length], ["available", 0]);
  }).timeout(60_000);

  it("fails a restore whose volume does not close", async () => {
    await openRepository(access(), { log: () => {} }).ensureInitialised({});
    const { snapshotId, content } = await backUp(await volumeWithFiles(), () => {});
    const target = await cloud.addVolume({ name: "restored", sizeBytes: 2 ** 26 });
    const restored = localMover.restore({
      session,
      volumeId: target.id,
      owner,
      repository: openRepository(access()),
      resticSnapshotId: snapshotId,
      content,
      tags: [],
      fileSystem: "ext4",
      newUuid: false,
      verify: false,
      timeoutSeconds: 60,
      log: line => {
        lines.push(line);
        if (line.startsWith("restoring ")) blockList();
      },
    });
    await assert.rejects(restored);
    unblockList();
    await localMover.cleanup({ owner, log: () => {} });
  }).timeout(60_000);
});
