import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, makeExt4Image, startDevcloud } from "../../../devcloud";
import { Driver } from "../../../provider/driver/driver";
import { World } from "../../../provider/driver/world";
import { readiness } from "../../../provider/movers/local";
import { openRepository } from "../../../provider/restic";
import { skips } from "../../needs";

const password = "a-password-nobody-must-see";
const root = path.join(__dirname, "..", "..", "..");

describe("osbackup restore", function () {
  this.timeout(180_000);
  let cloud: Devcloud;
  let directory: string;
  let url: string;
  let content: Buffer;
  /** The points of one volume: in Cinder and in the repository. */
  let snapshotId: string;
  let resticId: string;
  let resticOfDevice: string;
  const inherited = process.env.OSBACKUP_MOUNT_DIRECTORY;

  before(async function () {
    const { ok, missing } = await readiness();
    if (!ok)
      skips(this, `this machine cannot read volumes: ${missing.map(({ remedy }) => remedy).join("; ")}`);
    directory = await mkdtemp(path.join(tmpdir(), "osbackup-restore-"));
    process.env.OSBACKUP_MOUNT_DIRECTORY = path.join(directory, "mnt");
    cloud = await startDevcloud({ statusDelayMs: 5 });
    url = path.join(directory, "repository");
    await openRepository({ url, password }).ensureInitialised();
    const files = path.join(directory, "files");
    await mkdir(path.join(files, "etc"), { recursive: true });
    content = randomBytes(100_000);
    await writeFile(path.join(files, "etc", "data"), content);
    await writeFile(path.join(files, "other"), "other\n");
    const image = path.join(directory, "files.img");
    await makeExt4Image(image, { fromDirectory: files, sizeMib: 32 });
    ({ snapshotId, resticId } = await backedUp("files", image));
    const device = path.join(directory, "device.img");
    await writeFile(device, Buffer.alloc(1 << 20, "not a file system "));
    resticOfDevice = (await backedUp("device", device)).resticId;
  });

  after(async () => {
    if (inherited === undefined) delete process.env.OSBACKUP_MOUNT_DIRECTORY;
    else process.env.OSBACKUP_MOUNT_DIRECTORY = inherited;
    await cloud?.stop();
    if (directory) await rm(directory, { recursive: true, force: true });
  });

  async function backedUp(name: string, imageFile: string) {
    const { id: volumeId } = await cloud.addVolume({ name, imageFile, attachedTo: true });
    const driver = new Driver(new World({}, () => {}, cloud.environment));
    const made = async (type: string, given: Record<string, unknown>) => {
      const { inputs, refusals } = await driver.check(type, undefined, given);
      assert.deepEqual(refusals, []);
      return (await driver.create(type, inputs)).outputs;
    };
    const { snapshotId } = await made("CinderSnapshot", { owner: `shop/prod/${name}`, volumeId });
    const { resticSnapshotId } = await made("ResticBackup", {
      owner: `shop/prod/${name}-backup`,
      snapshotId,
      temporaryVolume: { owner: `shop/prod/${name}-volume` },
      repository: { url, password },
    });
    return { snapshotId: String(snapshotId), resticId: String(resticSnapshotId) };
  }

  function osbackup(...words: string[]): Promise<{ code: number; out: string; err: string }> {
    const env = {
      PATH: process.env.PATH,
      HOME: directory,
      OSBACKUP_MOUNT_DIRECTORY: process.env.OSBACKUP_MOUNT_DIRECTORY,
      RESTIC_PASSWORD: password,
      ...cloud.environment,
    };
    return new Promise(resolve =>
      execFile(
        process.execPath,
        ["dist/provider/hosts/cli.js", ...words],
        { cwd: root, env },
        (error, out, err) => {
          assert.ok(!`${out}${err}`.includes(password));
          resolve({ code: Number(error?.code ?? 0), out, err });
        },
      ),
    );
  }

  const restored = () => cloud.volumes().filter(({ metadata }) => metadata["osbackup-role"] === "restored");
  const idIn = (out: string) => /^volume ([0-9a-f-]{36}): 1 GiB, data of /m.exec(out)?.[1] ?? "";

  it("makes a volume of a Cinder snapshot, and another one the next time", async () => {
    const first = await osbackup("restore", snapshotId, "--name", "back");
    assert.equal(first.code, 0, first.err);
    assert.match(first.out, /attach it with `openstack server add volume SERVER [0-9a-f-]{36}`/);
    const second = await osbackup("restore", snapshotId);
    assert.notEqual(idIn(first.out), idIn(second.out));
    assert.deepEqual(
      cloud
        .volumes()
        .filter(({ id }) => id === idIn(first.out))
        .map(({ name, size, status }) => [name, size, status]),
      [["back", 1, "available"]],
    );
  });

  it("leaves one volume where it was killed and is run again", async () => {
    const slow = await startDevcloud({ statusDelayMs: 2000 });
    const { id: volumeId } = await slow.addVolume({ name: "pg", sizeBytes: 4096 });
    const { id } = await slow.addSnapshot({ volumeId, status: "available" });
    const volumes = () => slow.volumes().filter(({ metadata }) => metadata["osbackup-role"] === "restored");
    const run = (seen: () => boolean) =>
      new Promise<number | null>(resolve => {
        const env = { PATH: process.env.PATH, HOME: directory, ...slow.environment };
        const child = spawn(process.execPath, ["dist/provider/hosts/cli.js", "restore", id], {
          cwd: root,
          env,
        });
        const watch = setInterval(() => seen() && child.kill("SIGKILL"), 20);
        child.once("close", code => {
          clearInterval(watch);
          resolve(code);
        });
      });
    assert.equal(await run(() => volumes().length > 0), null);
    assert.deepEqual(
      volumes().map(({ status }) => status),
      ["creating"],
    );
    assert.equal(await run(() => false), 0);
    assert.deepEqual(
      volumes().map(({ status }) => status),
      ["available"],
    );
    await slow.stop();
  });

  it("makes a volume of a point in a repository with the size that it needs, and compares it", async () => {
    const ended = await osbackup("restore", resticId.slice(0, 8), "--repository", url);
    assert.equal(ended.code, 0, ended.err);
    assert.match(ended.out, /compared: the contents of every file/);
    const image = cloud.imagePath(idIn(ended.out));
    const copy = path.join(directory, "copy");
    await new Promise(resolve =>
      execFile(
        "debugfs",
        ["-R", `dump /etc/data ${copy}`, image],
        { env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` } },
        resolve,
      ),
    );
    assert.deepEqual(await readFile(copy), content);
  });

  it("puts single files of a point into a folder", async () => {
    const target = path.join(directory, "here");
    const ended = await osbackup(
      "restore",
      resticId.slice(0, 8),
      "--repository",
      url,
      "--target",
      target,
      "--path",
      "/etc/data",
    );
    assert.equal(ended.code, 0, ended.err);
    assert.deepEqual(await readFile(path.join(target, "etc", "data")), content);
    await assert.rejects(readFile(path.join(target, "other")), /ENOENT/);
  });

  it("refuses what cannot be, before anything is made", async () => {
    const before = restored().length;
    const target = path.join(directory, "nothing");
    const empty = path.join(directory, "empty");
    await openRepository({ url: empty, password }).ensureInitialised();
    const single = path.join(directory, "single");
    await openRepository({ url: single, password }).ensureInitialised();
    await openRepository({ url: single, password }).backup({
      directory: path.join(directory, "files"),
      host: "h",
      tags: ["content=file"],
    });
    const nowhere = "rest:http://127.0.0.1:9/";
    for (const [words, said] of [
      [["restore", ""], /give the id of a point, .* not ''/],
      ...["", "e", "2026-13-40", "latest of yesterday", "latest"].map(
        word =>
          [
            ["restore", word, "--repository", single, "--target", target],
            word === ""
              ? /give the id of a point, .* not ''/
              : /give the id of a point, or a beginning of it of 4 digits or more, .* not '/,
          ] as const,
      ),
      ...["2026-13-40", "latest of yesterday"].map(
        word =>
          [
            ["restore", word, "--repository", single],
            /give the id of a point, or a beginning of it of 4 digits or more, .* not '/,
          ] as const,
      ),
      [
        ["restore", "ffffffff", "--repository", empty, "--target", target],
        /the repository has no point ffffffff/,
      ],
      [["restore", "ffffffff", "--repository", empty], /the repository holds no snapshot/],
      [["restore", "ffffffff", "--repository", nowhere, "--target", target], /connection refused/],
      [["restore", "ffffffff", "--repository", nowhere], /connection refused/],
      [["list", "--repository", nowhere], /connection refused/],
      [
        ["list", "--repository", empty, "--owner", "shop/prod/nobody"],
        /no recovery point of shop\/prod\/nobody/,
      ],
      [["list", "--repository", path.join(directory, "absent")], /absent/],
      [["verify", "", "--repository", single], /give the id of a point/],
      [["restore", "00000000-0000-4000-8000-00000000dead"], /snapshotId: snapshot .* does not exist/],
      [["restore", "ffffffff", "--repository", url], /no snapshots match 'ffffffff'/],
      [
        ["restore", "ffffffff", "--repository", url, "--target", target],
        /the repository has no point ffffffff, see `osbackup list/,
      ],
      [
        ["restore", snapshotId, "--target", target],
        /name it with --repository; a Cinder snapshot becomes a volume/,
      ],
      [["restore", snapshotId, "--path", "/etc"], /--path needs --target/],
      [
        ["restore", resticOfDevice, "--repository", url, "--target", target],
        /is of a raw device and has no files/,
      ],
    ] as const) {
      const ended = await osbackup(...words);
      assert.equal(ended.code, 1, `${words.join(" ")}: ${ended.out}`);
      assert.match(ended.err, said, words.join(" "));
    }
    assert.equal(restored().length, before);
    assert.equal(existsSync(target), false);
  });
});
