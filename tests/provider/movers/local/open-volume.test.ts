import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { cleanUp, type OpenVolume, openVolume, VolumeError } from "../../../../provider/movers/local";
import { needs, skips } from "../../../needs";
import {
  cleanLab,
  expectedWay,
  ext4Image,
  imageWithPendingJournal,
  isRoot,
  leftovers,
  local,
  needsMount,
  occupy,
  openElsewhere,
  partitionedImage,
  sh,
  temporaryFolder,
} from "./lab";

describe(`openVolume by ${expectedWay}`, () => {
  let folder: string;
  let mountPath: string;
  let image: string;
  let lines: string[];

  beforeEach(() => {
    folder = temporaryFolder();
    mountPath = join(folder, "mnt");
    image = join(folder, "volume.img");
    lines = [];
  });
  afterEach(cleanLab);

  const open = (more: Partial<OpenVolume> = {}) =>
    openVolume({
      connection: local(image),
      mountPath,
      access: "read",
      log: line => lines.push(line),
      ...more,
    });

  const assertNothingLeft = () => {
    assert.deepEqual(leftovers(folder), []);
    assert.equal(existsSync(`${mountPath}.state.json`), false);
    assert.deepEqual(existsSync(mountPath) ? readdirSync(mountPath) : [], []);
  };

  function content(): string {
    const source = join(folder, "content");
    if (existsSync(source)) return source;
    mkdirSync(join(source, "sub"), { recursive: true });
    writeFileSync(join(source, "a.txt"), "first\n");
    writeFileSync(join(source, "sub", "b.txt"), "second\n");
    symlinkSync("sub/b.txt", join(source, "link"));
    return source;
  }

  it("gives back all 50 files that are only in the journal of an ext4 image", async () => {
    imageWithPendingJournal(image);
    const volume = await open();
    assert.equal(volume.kind, "fileSystem");
    assert.equal(volume.directory, mountPath);
    assert.equal(volume.fileSystem, "ext4");
    assert.equal(volume.how, `local device, ${expectedWay}`);
    const names = readdirSync(join(mountPath, "db"));
    assert.equal(names.length, 50);
    for (const name of names)
      assert.equal(readFileSync(join(mountPath, "db", name), "latin1"), "x\n".repeat(100));
    await volume.close();
    assertNothingLeft();
  });

  it("shows the owners of the files, or says that it does not", async () => {
    imageWithPendingJournal(image);
    const volume = await open();
    const { uid, gid, mode } = statSync(join(mountPath, "db", "7"));
    assert.equal(volume.ownersPreserved, expectedWay !== "debugfs copy");
    const kept = { uid: 1007, gid: 2000, mode: 0o100600 };
    const ours = { ...kept, uid: process.geteuid?.(), gid: process.getegid?.() };
    assert.deepEqual({ uid, gid, mode }, volume.ownersPreserved ? kept : ours);
    await volume.close();
  });

  for (const type of ["xfs", "btrfs"]) {
    it(`gives back all 50 synced files of a ${type} image copied while mounted`, async function () {
      needsMount(this);
      needs(this, `mkfs.${type}`);
      const original = join(folder, "original.img");
      sh("truncate", "-s", type === "xfs" ? "320M" : "128M", original);
      sh(`mkfs.${type}`, "-q", original);
      const there = join(folder, "there");
      mkdirSync(there);
      sh("mount", "-o", "loop", original, there);
      mkdirSync(join(there, "db"));
      sh("sync", "-f", there);
      sh("sh", "-c", `cd ${there}/db && for i in $(seq 50); do echo x > $i && sync $i; done && sync .`);
      sh("cp", "--sparse=always", original, image);

      // with the original still mounted: the copy has the same UUID
      const volume = await open();
      assert.equal(volume.fileSystem, type);
      assert.equal(readdirSync(join(mountPath, "db")).length, 50);
      await volume.close();
      sh("umount", there);
      assertNothingLeft();
    });
  }

  it("does not let the files of a volume opened for reading be changed", async function () {
    if (expectedWay === "debugfs copy") skips(this, "files are copied here, nothing is mounted");
    ext4Image(image, { content: content() });
    const volume = await open();
    assert.throws(() => writeFileSync(join(mountPath, "a.txt"), "changed"), { code: "EROFS" });
    await volume.close();
  });

  it("uses the same mount path in every run", async () => {
    ext4Image(image, { content: content() });
    for (let run = 0; run < 2; run++) {
      const volume = await open({ content: "file" });
      assert.equal(volume.directory, mountPath);
      assert.equal(readFileSync(join(mountPath, "link"), "utf8"), "second\n");
      await volume.close();
      assertNothingLeft();
    }
  });

  it("reads the only partition of a disk", async () => {
    const [part] = partitionedImage(image, 1);
    ext4Image(image, { content: content(), mib: 20, offset: part?.offset ?? 0 });
    const volume = await open({ content: "file" });
    assert.equal(volume.how, `local device, ${expectedWay}`);
    assert.equal(readFileSync(join(mountPath, "a.txt"), "utf8"), "first\n");
    await volume.close();
    assertNothingLeft();
  });

  it("reads a disk with several file systems as a block device, and the partition that is asked for as files", async () => {
    const parts = partitionedImage(image, 2);
    for (const { offset } of parts) ext4Image(image, { content: content(), mib: 20, offset });

    const block = await open();
    assert.equal(block.kind, "block");
    assert.equal(block.directory, undefined);
    assert.deepEqual(lines, [
      `${image} is read as a block device: it has several partitions with data (1: ext4, 0.0 GiB, 2: ext4, 0.0 GiB)`,
    ]);
    await block.close();

    await assert.rejects(open({ content: "file" }), {
      name: "VolumeError",
      kind: "unsupported",
      message: `opening the files of ${image}: it has several partitions with data (1: ext4, 0.0 GiB, 2: ext4, 0.0 GiB): set content to "block"`,
    });
    await assert.rejects(open({ partition: 3 }), /opening partition 3 of .*: there is no such partition/);

    const second = await open({ partition: 2 });
    assert.equal(second.kind, "fileSystem");
    assert.equal(readFileSync(join(mountPath, "sub", "b.txt"), "utf8"), "second\n");
    await second.close();
    assertNothingLeft();
  });

  it("streams all bytes of a device that holds no file system", async () => {
    const bytes = Buffer.alloc(3 * 1024 ** 2 + 512, "some content that no one knows ");
    writeFileSync(image, bytes);
    const volume = await open();
    assert.equal(volume.kind, "block");
    assert.equal(volume.how, "local device, block device");
    assert.equal(volume.device.sizeBytes, bytes.length);
    const hash = createHash("sha256");
    for await (const chunk of volume.device.open()) hash.update(chunk as Buffer);
    assert.equal(hash.digest("hex"), createHash("sha256").update(bytes).digest("hex"));
    await volume.close();
    assertNothingLeft();
  });

  it("fails the stream when the device ends too early", async () => {
    writeFileSync(image, Buffer.alloc(2 * 1024 ** 2, 1));
    const volume = await open({ content: "block" });
    truncateSync(image, 1024 ** 2);
    await assert.rejects(volume.device.open().toArray(), /reading .*: it ended at byte 1048576 of 2097152/);
    await volume.close();
  });

  it("reads an ext4 volume as a block device without touching it when asked to", async () => {
    imageWithPendingJournal(image);
    const before = readFileSync(image);
    const volume = await open({ content: "block" });
    assert.equal(volume.kind, "block");
    await volume.close();
    assert.ok(readFileSync(image).equals(before));
  });

  it("refuses files where there is no file system", async () => {
    writeFileSync(image, Buffer.alloc(1024 ** 2));
    await assert.rejects(
      open({ content: "file" }),
      new VolumeError(
        "unsupported",
        `opening the files of ${image}: it holds no file system (only zeros): set content to "block"`,
      ),
    );
    assertNothingLeft();
  });

  it("refuses a device that it may not write", async function () {
    if (isRoot) skips(this, "root may write to everything");
    imageWithPendingJournal(image);
    chmodSync(image, 0o400);
    await assert.rejects(open(), { kind: "unsupported", message: /attach the temporary volume read-write/ });
    assertNothingLeft();
  });

  it("leaves nothing behind when the file system is damaged", async () => {
    ext4Image(image, { content: content() });
    const file = openSync(image, "r+");
    writeSync(file, Buffer.alloc(1024 * 200, 0xa5), 0, 1024 * 200, 2048);
    closeSync(file);
    await assert.rejects(open({ content: "file" }), VolumeError);
    assertNothingLeft();
  });

  it("keeps what is restored into a new file system", async () => {
    sh("truncate", "-s", "32M", image);
    const volume = await open({ access: "write", makeFileSystem: { type: "ext4", label: "restored" } });
    assert.equal(volume.kind, "fileSystem");
    assert.equal(volume.how, `local device, ${expectedWay === "debugfs copy" ? "mke2fs -d" : expectedWay}`);
    cpSync(content(), mountPath, { recursive: true, verbatimSymlinks: true });
    if (volume.ownersPreserved) sh("chown", "1234:2345", join(mountPath, "a.txt"));
    await volume.close();
    assertNothingLeft();

    assert.match(sh("e2fsck", "-fn", image), /restored: \d+\/\d+ files/);
    const again = await open();
    assert.equal(readFileSync(join(mountPath, "a.txt"), "utf8"), "first\n");
    assert.equal(readFileSync(join(mountPath, "link"), "utf8"), "second\n");
    if (again.ownersPreserved) assert.equal(lstatSync(join(mountPath, "a.txt")).uid, 1234);
    await again.close();
  });

  it("makes no file system on a volume that holds one", async () => {
    ext4Image(image, { content: content() });
    await assert.rejects(
      open({ access: "write", makeFileSystem: { type: "ext4" } }),
      new VolumeError("failed", `making an ext4 file system on ${image}: it is not empty (ext4)`),
    );
    assertNothingLeft();
  });

  it("refuses a mount path that is not an empty folder of this user", async () => {
    ext4Image(image);
    const refused = (reason: RegExp) => assert.rejects(open(), reason);

    symlinkSync(temporaryFolder(), mountPath);
    await refused(/it is a symbolic link/);
    sh("rm", mountPath);

    writeFileSync(mountPath, "");
    await refused(/it is not a folder|EEXIST/);
    sh("rm", mountPath);

    mkdirSync(mountPath);
    writeFileSync(join(mountPath, "mine"), "");
    await refused(/it is not empty \(mine\)/);
    sh("rm", join(mountPath, "mine"));

    await assert.rejects(open({ mountPath: join(image, "mnt") }), {
      message: `using the mount path ${image}/mnt: EEXIST at ${image}: give a path where this user may write`,
    });
    await assert.rejects(open({ mountPath: "mnt" }), /using the mount path mnt: it must be absolute/);
    if (isRoot) {
      chownSync(mountPath, 65534, 65534);
      await refused(/it belongs to user 65534, this is user 0/);
    }
  });

  it("makes the mount path for this user only", async () => {
    ext4Image(image);
    const volume = await open();
    await volume.close();
    assert.equal(statSync(mountPath).mode & 0o777, 0o700);
  });

  it("refuses a mount path that this process has open, and leaves that volume alone", async () => {
    ext4Image(image, { content: content() });
    const volume = await open();
    await assert.rejects(open(), { kind: "in-use" });
    await assert.rejects(cleanUp(mountPath), { kind: "in-use" });
    assert.equal(readFileSync(join(mountPath, "a.txt"), "utf8"), "first\n");
    await volume.close();
    assertNothingLeft();
  });

  it("refuses a mount path that another live process has open, and leaves that volume alone", async () => {
    ext4Image(image, { content: content() });
    const other = await openElsewhere({ connection: local(image), mountPath, access: "read" });
    await assert.rejects(open(), {
      kind: "in-use",
      message: new RegExp(`process ${other.pid} has a volume open there`),
    });
    assert.equal(readFileSync(join(mountPath, "a.txt"), "utf8"), "first\n");
  });

  it("waits in close for a process that still uses the files", async function () {
    if (expectedWay === "debugfs copy") skips(this, "files are copied here, nothing is mounted");
    ext4Image(image, { content: content() });
    const volume = await open();
    const user = await occupy(join(mountPath, "sub"));
    setTimeout(() => user.kill("SIGKILL"), 100);
    await volume.close();
    assertNothingLeft();
    await volume.close();
  });

  it("stops when it is cancelled or late, and leaves nothing behind", async () => {
    imageWithPendingJournal(image);
    await assert.rejects(open({ signal: AbortSignal.abort() }), {
      kind: "cancelled",
      message: /: cancelled$/,
    });
    await assert.rejects(open({ timeoutSeconds: 0.001 }), {
      kind: "cancelled",
      message: /: not done within timeoutSeconds$/,
    });
    assertNothingLeft();
  });
});
