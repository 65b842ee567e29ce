import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { ResticError } from "../../../provider/restic/errors.js";
import type { Repository } from "../../../provider/restic/repository.js";
import { locksOf, newRepository, password, restic, temporaryDirectory, tidyUp, volume } from "./fixture.js";

const points = async (repository: Repository, count: number) => {
  const directory = await volume({ a: "1" });
  const ids: string[] = [];
  for (let day = 1; day <= count; day += 1) {
    const time = new Date(Date.UTC(2026, 0, day));
    ids.push((await repository.backup({ directory, host: "h", tags: ["t"], time })).snapshotId);
  }
  return ids as [string, string, string];
};
const idsOf = async (repository: Repository) => (await repository.snapshots()).map(snapshot => snapshot.id);

describe("Repository.forget", function () {
  this.timeout(40_000);
  after(tidyUp);

  it("forgets exactly the given ids, full or short, and ids that are gone already are no error", async () => {
    const { repository } = await newRepository();
    const [first, second, third] = await points(repository, 3);
    await repository.forget([first, third.slice(0, 8)]);
    assert.deepEqual(await idsOf(repository), [second]);
    await repository.forget([first]);
    assert.deepEqual(await idsOf(repository), [second]);
  });

  it("runs nothing without ids, and refuses what is none", async () => {
    const { repository } = await newRepository();
    const [only] = await points(repository, 1);
    await repository.forget([]);
    for (const id of ["latest", "", "zz", "--keep-last=1", "abcdef1", only.toUpperCase()])
      await assert.rejects(repository.forget([only, id]), {
        kind: "failed",
        message: `using snapshot ${JSON.stringify(id)}: not an id of 8 to 64 hexadecimal digits`,
      });
    assert.deepEqual(await idsOf(repository), [only]);
  });
});

describe("Repository.check", function () {
  this.timeout(40_000);
  after(tidyUp);

  it("passes on a sound repository and finds a damaged pack only when it reads the data", async () => {
    const { repository, path } = await newRepository();
    const directory = await volume({ a: randomBytes(100_000) });
    await repository.backup({ directory, host: "h", tags: [] });
    await repository.check();
    await repository.check({ readDataSubset: "1/1" });
    const packs = (await readdir(join(path, "data"), { recursive: true, withFileTypes: true })).filter(
      entry => entry.isFile(),
    );
    for (const pack of packs) {
      const file = join(pack.parentPath, pack.name);
      const content = await readFile(file);
      if (content.length < 90_000) continue;
      content[50_000] = (content[50_000] ?? 0) ^ 0xff;
      await chmod(file, 0o600);
      await writeFile(file, content);
    }
    await repository.check();
    await assert.rejects(repository.check({ readDataSubset: "100%" }), (error: ResticError) => {
      assert.ok(error.damaged);
      assert.equal(error.kind, "failed");
      assert.match(error.message, /Pack ID does not match.*repository contains errors/);
      return true;
    });
  });

  it("refuses a subset that restic would not understand", async () => {
    const { repository } = await newRepository();
    for (const readDataSubset of ["", "half", "--read-data", "5"])
      await assert.rejects(repository.check({ readDataSubset }), { kind: "failed" });
  });
});

describe("Repository.restore", function () {
  this.timeout(40_000);
  after(tidyUp);

  const made = async () => {
    const { repository } = await newRepository();
    const directory = await volume({ "etc/hosts": "1", "etc/sub/x": "2", "var[1]/log": "3" });
    await symlink("hosts", join(directory, "etc/link"));
    const { snapshotId } = await repository.backup({ directory, host: "h", tags: [] });
    return { repository, snapshotId, target: join(await temporaryDirectory(), "out") };
  };
  const tree = async (directory: string) => (await readdir(directory, { recursive: true })).sort();

  it("restores everything and verifies it", async () => {
    const { repository, snapshotId, target } = await made();
    await repository.restore(snapshotId, { target, verify: true });
    assert.deepEqual(await tree(target), [
      "etc",
      "etc/hosts",
      "etc/link",
      "etc/sub",
      "etc/sub/x",
      "var[1]",
      "var[1]/log",
    ]);
    assert.equal(await readFile(join(target, "etc/hosts"), "utf8"), "1");
  });

  it("restores what is included", async () => {
    const { repository, snapshotId, target } = await made();
    await repository.restore(snapshotId, { target, include: ["/etc/hosts"] });
    assert.deepEqual(await tree(target), ["etc", "etc/hosts"]);
  });

  it("puts the content of a folder right into the target, over what is there", async () => {
    const { repository, snapshotId, target } = await made();
    await mkdir(join(target, "sub"), { recursive: true });
    await writeFile(join(target, "hosts"), "old");
    await writeFile(join(target, "sub/own"), "stays");
    await repository.restore(snapshotId, { target, sub: "etc" });
    assert.deepEqual(await tree(target), ["hosts", "link", "sub", "sub/own", "sub/x"]);
    assert.equal(await readFile(join(target, "hosts"), "utf8"), "1");
    const other = join(target, "other");
    await repository.restore(snapshotId, { target: other, sub: "/var[1]/" });
    assert.deepEqual(await tree(other), ["log"]);
  });

  it("fails when nothing matches, which restic takes for a success", async () => {
    const { repository, snapshotId, target } = await made();
    await assert.rejects(repository.restore(snapshotId, { target, include: ["/etc/nothing"] }), {
      kind: "failed",
      message: `restoring snapshot ${snapshotId} of ${repository.url} to ${target}: /etc/nothing is not in the snapshot`,
    });
    await assert.rejects(repository.restore(snapshotId, { target, include: ["*.none"] }), {
      message: `restoring snapshot ${snapshotId} of ${repository.url} to ${target}: nothing in the snapshot matches *.none`,
    });
    await assert.rejects(repository.restore(snapshotId, { target, sub: "nowhere" }), {
      message: `restoring /nowhere of snapshot ${snapshotId} of ${repository.url} to ${target}: there is no such folder in the snapshot`,
    });
    assert.deepEqual(await readdir(target), []);
  });

  it("fails when there is no such snapshot", async () => {
    const { repository } = await newRepository();
    const id = "0".repeat(64);
    await assert.rejects(
      repository.restore(id, { target: await temporaryDirectory() }),
      (error: ResticError) => {
        assert.equal(error.kind, "failed");
        assert.match(error.message, /no matching ID found/);
        return true;
      },
    );
  });
});

describe("Repository.dumpTo", function () {
  this.timeout(40_000);
  after(tidyUp);

  const content = randomBytes(3_000_000);
  const made = async () => {
    const { repository, path } = await newRepository();
    const directory = await volume({ "vol.raw": content });
    const { snapshotId } = await repository.backup({ directory, host: "h", tags: [] });
    return { repository, snapshotId, path, target: join(await temporaryDirectory(), "out.raw") };
  };

  it("writes a file, and only when it is whole", async () => {
    const { repository, snapshotId, target } = await made();
    assert.equal(await repository.dumpTo(snapshotId, "/vol.raw", target), 3_000_000);
    assert.ok((await readFile(target)).equals(content));
    await assert.rejects(repository.dumpTo(snapshotId, "/none", `${target}.2`), (error: ResticError) => {
      assert.equal(error.kind, "failed");
      assert.match(error.message, /path "\/none": not found|cannot dump file/);
      return true;
    });
    assert.deepEqual(await readdir(join(target, "..")), ["out.raw"]);
  });

  it("writes to a stream at the stream's pace", async () => {
    const { repository, snapshotId } = await made();
    const stream = new PassThrough({ highWaterMark: 1000 });
    const [bytes, got] = await Promise.all([
      repository.dumpTo(snapshotId, "vol.raw", stream),
      buffer(stream),
    ]);
    assert.equal(bytes, 3_000_000);
    assert.ok(got.equals(content));
  });

  it("fails, and leaves no lock, when the stream fails", async () => {
    const { repository, snapshotId, path } = await made();
    const full = new Writable({ write: (_chunk, _encoding, done) => done(new Error("device is full")) });
    await assert.rejects(repository.dumpTo(snapshotId, "/vol.raw", full), {
      kind: "failed",
      message: `dumping /vol.raw of snapshot ${snapshotId} of ${path}: writing it: device is full`,
    });
    assert.equal(full.destroyed, true);
    assert.deepEqual(await locksOf(path), []);
  });
});

describe("Repository.copyFrom", function () {
  this.timeout(60_000);
  after(tidyUp);

  it("copies snapshots once and tells the ids of the copies", async () => {
    const source = await newRepository();
    const target = await newRepository();
    const [first, second] = await points(source.repository, 2);
    const access = { url: source.path, password };
    const [copied] = await target.repository.copyFrom(access, [first]);
    assert.equal(copied?.sourceId, first);
    assert.deepEqual(await idsOf(target.repository), [copied?.id]);
    const again = await target.repository.copyFrom(access, [first, second.slice(0, 8)]);
    assert.deepEqual(again[0], copied);
    assert.equal((await idsOf(target.repository)).length, 2);
    assert.equal(restic(target.path, "ls", again[1]?.id as string).includes("/a"), true);
  });

  it("fails when a snapshot is not there to copy, which restic takes for a success", async () => {
    const source = await newRepository();
    const target = await newRepository();
    await assert.rejects(target.repository.copyFrom({ url: source.path, password }, ["0".repeat(64)]), {
      kind: "failed",
      message: `copying 1 snapshots from ${source.path} to ${target.path}: ${"0".repeat(64)} did not arrive`,
    });
  });
});

describe("Repository.stats", () => {
  after(tidyUp);

  it("tells the stored bytes and the number of snapshots", async function () {
    this.timeout(20_000);
    const { repository } = await newRepository();
    const directory = await volume({ a: randomBytes(100_000) });
    await repository.backup({ directory, host: "h", tags: [] });
    const { bytesStored, snapshots } = await repository.stats();
    assert.equal(snapshots, 1);
    assert.ok(bytesStored > 100_000 && bytesStored < 110_000, `${bytesStored} bytes`);
  });
});
