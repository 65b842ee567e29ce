import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { inspect } from "node:util";
import { backupArguments, checkTag, escapePattern, resticTime } from "../../../provider/restic/backup.js";
import type { ResticError } from "../../../provider/restic/errors.js";
import type { Progress } from "../../../provider/restic/messages.js";
import { openRepository } from "../../../provider/restic/repository.js";
import { grace } from "../../../provider/restic/run.js";
import { mostStill } from "../../../provider/restic/stillness.js";
import { needsRoot, skips } from "../../needs.js";
import { until } from "../../until.js";
import {
  fakeRestic,
  holdExclusiveLock,
  isAlive,
  isRoot,
  locksOf,
  newRepository,
  password,
  restic,
  temporaryDirectory,
  tidyUp,
  volume,
} from "./fixture.js";

const files = (path: string, id: string) =>
  restic(path, "ls", "--json", id)
    .trim()
    .split("\n")
    .slice(1)
    .map(line => (JSON.parse(line) as { path: string }).path);

const endless: Readable[] = [];

/** A stream that gives some bytes and then nothing until it is destroyed. */
function stalled(bytes: number): Readable {
  const stream = new Readable({ read() {} });
  endless.push(stream);
  stream.push(Buffer.alloc(bytes, "x"));
  return stream;
}

describe("backupArguments", () => {
  const common = { host: "vm-1", tags: ["osb:set=a", "run=1"] };

  it("gives each tag, the host and a path by itself", () => {
    const args = backupArguments({
      ...common,
      directory: "/mnt/v[1]/",
      excludes: ["*.tmp", "/var/cache", "!/var/cache/keep"],
      time: new Date("2026-11-20T03:00:00.789+02:00"),
    });
    assert.deepEqual(args, [
      "backup",
      "--json",
      "--host=vm-1",
      "--tag=osb:set=a",
      "--tag=run=1",
      "--time=2026-11-20 01:00:00",
      "--exclude=*.tmp",
      "--exclude=/mnt/v\\[1\\]/var/cache",
      "--exclude=!/mnt/v\\[1\\]/var/cache/keep",
      "--",
      ".",
    ]);
  });

  it("names a stream's file", () => {
    const job = { ...common, stdin: { stream: Readable.from([]), fileName: "vols/a.raw" } };
    assert.deepEqual(backupArguments(job).slice(-2), ["--stdin", "--stdin-filename=vols/a.raw"]);
  });

  it("refuses tags that restic would change", () => {
    for (const tag of ["", "a,b", " a", "a ", "a\nb"]) assert.throws(() => checkTag(tag), { kind: "failed" });
    assert.throws(() => checkTag("a,b"), {
      message:
        'tagging a snapshot with "a,b": a tag must not be empty, contain a comma or begin or end with a space',
    });
  });

  it("writes times and patterns as restic reads them", () => {
    assert.equal(resticTime(new Date("2026-01-02T03:04:05.999Z")), "2026-01-02 03:04:05");
    assert.equal(escapePattern("/a*b?[c]\\"), "/a\\*b\\?\\[c\\]\\\\");
  });
});

describe("Repository.backup", function () {
  this.timeout(60_000);
  afterEach(() => {
    for (const stream of endless.splice(0)) stream.destroy();
  });
  after(tidyUp);

  it("puts the volume's root at the root of the snapshot and returns the full id", async () => {
    const { repository, path } = await newRepository();
    const directory = await volume({ "etc/hosts": "127.0.0.1", "var/log/a": "a", "-odd name\n": "b" });
    const time = new Date("2026-11-20T03:00:00Z");
    const result = await repository.backup({ directory, host: "vm-1", tags: ["set=a", "slot=1"], time });
    assert.match(result.snapshotId, /^[0-9a-f]{64}$/);
    const { snapshotId, durationSeconds, bytesAdded, ...counts } = result;
    assert.ok(durationSeconds > 0 && bytesAdded > 11);
    assert.deepEqual(counts, {
      tags: ["set=a", "slot=1"],
      partial: false,
      unreadable: [],
      unreadableCount: 0,
      filesNew: 3,
      filesChanged: 0,
      filesUnmodified: 0,
      filesTotal: 3,
      bytesTotal: 11,
    });
    assert.deepEqual(files(path, snapshotId).sort(), [
      "/-odd name\n",
      "/etc",
      "/etc/hosts",
      "/var",
      "/var/log",
      "/var/log/a",
    ]);
    const [snapshot] = await repository.snapshots({ ids: [snapshotId.slice(0, 8)] });
    assert.ok(snapshot);
    const { tree, ...rest } = snapshot;
    assert.match(tree, /^[0-9a-f]{64}$/);
    assert.deepEqual(rest, {
      id: snapshotId,
      shortId: snapshotId.slice(0, 8),
      time,
      hostname: "vm-1",
      paths: [directory],
      tags: ["set=a", "slot=1"],
    });
  });

  it("does not believe in a snapshot whose file is not there, or is damaged", async () => {
    const { path } = await newRepository();
    const id = "5b".repeat(32);
    const binary = await fakeRestic(
      "0.17.3",
      `out({ message_type: "summary", total_files_processed: 1, snapshot_id: ${JSON.stringify(id)} });`,
    );
    const backup = openRepository({ url: path, password }, { binary });
    const directory = await volume({ a: "1" });
    const job = { directory, host: "h", tags: ["t"] };
    const doing = `backing up ${directory} to ${path}`;
    await assert.rejects(backup.backup(job), {
      message: `${doing}: snapshot ${id} is not in the repository`,
      made: id,
    });
    await writeFile(join(path, "snapshots", id), "half of it");
    await assert.rejects(backup.backup(job), { message: `${doing}: snapshot ${id} is damaged`, made: id });
  });

  it("reads nothing again when host and directory are the same", async () => {
    const { repository } = await newRepository();
    const directory = await volume({ a: "1", b: "2", "c/d": "3" });
    const job = { directory, host: "vm-1", tags: ["t"] };
    const first = await repository.backup(job);
    const second = await repository.backup(job);
    assert.deepEqual([second.filesUnmodified, second.filesNew, second.bytesAdded], [3, 0, 0]);
    const parents = (await repository.snapshots()).map(({ id, parent }) => [id, parent]);
    assert.deepEqual(Object.fromEntries(parents), {
      [first.snapshotId]: undefined,
      [second.snapshotId]: first.snapshotId,
    });
  });

  it("keeps the path that the caller wrote when it leads through a symbolic link", async () => {
    const { repository } = await newRepository();
    const directory = await volume({ a: "1" });
    const link = join(await temporaryDirectory(), "stable");
    await symlink(directory, link);
    await repository.backup({ directory: link, host: "h", tags: ["t"] });
    assert.deepEqual((await repository.snapshots())[0]?.paths, [link]);
  });

  it("leaves out what is excluded, anchored at the volume", async () => {
    const { repository, path } = await newRepository();
    const directory = await volume({ "cache/x": "1", "data/cache/y": "2", "data/z.tmp": "3" });
    const result = await repository.backup({
      directory,
      host: "h",
      tags: ["t"],
      excludes: ["/cache", "*.tmp"],
    });
    assert.deepEqual(files(path, result.snapshotId).sort(), ["/data", "/data/cache", "/data/cache/y"]);
  });

  it("finds snapshots that carry all of the tags", async () => {
    const { repository } = await newRepository();
    const directory = await volume({ a: "1" });
    await repository.backup({ directory, host: "h1", tags: ["x", "y"] });
    await repository.backup({ directory, host: "h2", tags: ["x"] });
    const found = async (filter: object) =>
      (await repository.snapshots(filter)).map(snapshot => snapshot.hostname);
    assert.deepEqual(await found({ tags: ["x"] }), ["h1", "h2"]);
    assert.deepEqual(await found({ tags: ["x", "y"] }), ["h1"]);
    assert.deepEqual(await found({ tags: ["x"], host: "h2" }), ["h2"]);
    assert.deepEqual(await found({ tags: ["z"] }), []);
    assert.deepEqual(await found({ ids: [] }), []);
  });

  it("is partial and names the path when one of several does not exist", async () => {
    const { repository, path } = await newRepository();
    const directory = await volume({ "etc/hosts": "1", "home/u": "2" });
    const result = await repository.backup({ directory, paths: ["etc/", "srv"], host: "h", tags: ["t"] });
    assert.equal(result.partial, true);
    assert.deepEqual(result.unreadable, [{ path: "srv", reason: "does not exist" }]);
    assert.deepEqual(files(path, result.snapshotId), ["/etc", "/etc/hosts"]);
  });

  it("is partial where a path is a symbolic link, which restic keeps in place of what it leads to", async () => {
    const { repository } = await newRepository();
    const directory = await volume({ "srv/data": "1", "etc/hosts": "2" });
    await symlink("srv", join(directory, "data"));
    const result = await repository.backup({ directory, paths: ["data", "etc"], host: "h", tags: ["t"] });
    assert.equal(result.partial, true);
    assert.deepEqual(result.unreadable, [
      { path: "data", reason: "is a symbolic link to srv: name that, a link alone is no backup" },
    ]);
    await assert.rejects(repository.backup({ directory, paths: ["data"], host: "h", tags: [] }), {
      kind: "empty-source",
      message: `backing up ${directory}: data is a symbolic link to srv: name that, a link alone is no backup`,
    });
  });

  it("reads nothing of this machine where a link of the volume leads out of it", async () => {
    const { repository, path } = await newRepository();
    const directory = await volume({ "etc/hosts": "2" });
    const outside = await volume({ secret: "of this machine" });
    await symlink(outside, join(directory, "var"));
    const result = await repository.backup({
      directory,
      paths: ["var/secret", "etc"],
      host: "h",
      tags: ["t"],
    });
    assert.deepEqual(result.unreadable, [
      { path: "var/secret", reason: "leads out of the volume by a symbolic link" },
    ]);
    assert.deepEqual(files(path, result.snapshotId), ["/etc", "/etc/hosts"]);
  });

  it("refuses paths that lead out of the volume", async () => {
    const { repository } = await newRepository();
    const directory = await volume({ a: "1" });
    for (const path of ["..", "../x", "a/../../x", "/etc", ""])
      await assert.rejects(repository.backup({ directory, paths: [path], host: "h", tags: [] }), {
        kind: "failed",
        message: `backing up ${JSON.stringify(path)}: paths must be inside the directory and relative to it`,
      });
  });

  for (const [name, make, words] of [
    ["is empty", {}, "there are no files in it"],
    ["holds only lost+found", { "lost+found/": "" }, "there are no files in it"],
  ] as const)
    it(`fails with empty-source and leaves no snapshot when the volume ${name}`, async () => {
      const { repository } = await newRepository();
      const directory = await volume({});
      for (const entry of Object.keys(make)) await mkdir(join(directory, entry));
      await assert.rejects(repository.backup({ directory, host: "h", tags: [] }), {
        kind: "empty-source",
        message: `backing up ${directory}: ${words}`,
      });
      assert.deepEqual(await repository.snapshots(), []);
    });

  it("fails with empty-source when none of the paths exists, or the directory does not", async () => {
    const { repository } = await newRepository();
    const directory = await volume({ a: "1" });
    await assert.rejects(repository.backup({ directory, paths: ["x", "y"], host: "h", tags: [] }), {
      kind: "empty-source",
      message: `backing up ${directory}: x, y does not exist`,
    });
    await assert.rejects(repository.backup({ directory: `${directory}/none`, host: "h", tags: [] }), {
      kind: "empty-source",
    });
  });

  it("forgets the snapshot when it turned out to hold no file", async () => {
    const { repository } = await newRepository();
    const directory = await volume({});
    await mkdir(join(directory, "a/b"), { recursive: true });
    await assert.rejects(repository.backup({ directory, host: "h", tags: [] }), {
      kind: "empty-source",
      message: `backing up ${directory} to ${repository.url}: no file was backed up`,
    });
    assert.deepEqual(await repository.snapshots(), []);
  });

  it("fails with empty-source when everything is excluded", async () => {
    const { repository } = await newRepository();
    const directory = await volume({ "a.tmp": "1" });
    await assert.rejects(repository.backup({ directory, host: "h", tags: [], excludes: ["*.tmp"] }), {
      kind: "empty-source",
    });
    assert.deepEqual(await repository.snapshots(), []);
  });

  it("is partial when a file cannot be read, and says which and why", async () => {
    const wrapper = isRoot ? await asNobody() : undefined;
    const { repository, path, directory: top } = await newRepository(wrapper ? { binary: wrapper } : {});
    const directory = await volume({ "data/f1": "1", "data/f2": "2", "locked/x": "3" });
    await chmod(join(directory, "data/f2"), 0);
    await chmod(join(directory, "locked"), 0o700);
    if (wrapper) execFileSync("chown", ["-R", "65534:65534", path, top]);
    else await chmod(join(directory, "locked"), 0);
    await chmod(join(directory, ".."), 0o755);
    const result = await repository.backup({ directory, host: "h", tags: ["t"] });
    if (!wrapper) await chmod(join(directory, "locked"), 0o700);
    assert.equal(result.partial, true);
    assert.equal(result.unreadableCount, 2);
    assert.deepEqual(
      result.unreadable.sort((a, b) => a.path.localeCompare(b.path)),
      [
        { path: "data/f2", reason: "open: EACCES" },
        { path: "locked", reason: "could not be read" },
      ],
    );
    assert.equal(result.filesNew, 1);
  });

  it("reports progress at most about once a second", async () => {
    const { repository } = await newRepository();
    const directory = await volume({ a: randomBytes(60_000_000) });
    const seen: Progress[] = [];
    const started = Date.now();
    const result = await repository.backup({ directory, host: "h", tags: [], onProgress: p => seen.push(p) });
    const seconds = (Date.now() - started) / 1000;
    assert.equal(result.bytesTotal, 60_000_000);
    assert.ok(seen.length <= seconds + 2, `${seen.length} reports in ${seconds} s`);
    for (const progress of seen)
      assert.ok(progress.bytesDone <= 60_000_000 && (progress.percent ?? 0) <= 100);
  });

  it("shows no secret in arguments, errors, log and inspect", async () => {
    const url = "rest:http://keeper:hunter22@127.0.0.1:9/repo";
    const log: string[] = [];
    const environment = { AWS_SECRET_ACCESS_KEY: "wJalrXUtnFEMI" };
    const binary = await fakeRestic(
      "0.17.3",
      `err(JSON.stringify(args) + " env " + Object.values(process.env).join(" ")); exit(1);`,
    );
    const repository = openRepository(
      { url, password, environment },
      { binary, log: line => log.push(line) },
    );
    const error = await repository.prune().catch((failure: unknown) => failure);
    const everything = `${inspect(error, { depth: 9, showHidden: true })} ${String(error)} ${JSON.stringify(error)} ${log.join("\n")}`;
    assert.match(everything, /prune/);
    for (const secret of [password, "hunter22", "wJalrXUtnFEMI"])
      assert.equal(everything.includes(secret), false, secret);
    const shown = JSON.parse(/\[.*?\]/.exec((error as Error).message)?.[0] ?? "[]");
    assert.deepEqual(shown, ["prune"]);
  });

  describe("of a stream", () => {
    it("saves it under its name", async () => {
      const { repository, path } = await newRepository();
      const stream = Readable.from([Buffer.alloc(100_000, "a"), Buffer.alloc(50_000, "b")]);
      const result = await repository.backup({
        stdin: { stream, fileName: "vols/abc/vol.raw", expectedBytes: 150_000 },
        host: "h",
        tags: ["block"],
      });
      assert.deepEqual(files(path, result.snapshotId), ["/vols", "/vols/abc", "/vols/abc/vol.raw"]);
      assert.equal(result.bytesTotal, 150_000);
      assert.equal(
        restic(path, "dump", result.snapshotId, "/vols/abc/vol.raw"),
        "a".repeat(100_000) + "b".repeat(50_000),
      );
    });

    const failures: [string, () => Readable, number | undefined, RegExp][] = [
      [
        "fails in its middle",
        () =>
          Readable.from(
            (async function* () {
              yield Buffer.alloc(300_000);
              throw new Error("device went away");
            })(),
          ),
        undefined,
        /: the stream failed: device went away; no snapshot was made$/,
      ],
      [
        "is too short",
        () => Readable.from([Buffer.alloc(5)]),
        6,
        /: the stream ended after 5 of 6 bytes; no snapshot was made$/,
      ],
      [
        "is too long",
        () => Readable.from([Buffer.alloc(7)]),
        6,
        /: the stream is longer than the expected 6 bytes; no snapshot was made$/,
      ],
      [
        "was closed already",
        () => {
          const stream = Readable.from([Buffer.alloc(7)]);
          stream.destroy();
          return stream;
        },
        undefined,
        /: the stream was closed before its start; no snapshot was made$/,
      ],
    ];
    for (const [name, make, expectedBytes, message] of failures)
      it(`leaves no snapshot and no lock when the stream ${name}`, async () => {
        const { repository, path } = await newRepository();
        const stdin = { stream: make(), fileName: "v", expectedBytes };
        await assert.rejects(repository.backup({ stdin, host: "h", tags: [] }), (error: ResticError) => {
          assert.equal(error.kind, "failed");
          assert.match(error.message, message);
          return true;
        });
        assert.deepEqual(await repository.snapshots(), []);
        assert.deepEqual(await locksOf(path), []);
      });

    it("fails with empty-source when it is empty", async () => {
      const { repository } = await newRepository();
      const stdin = { stream: Readable.from([]), fileName: "v" };
      await assert.rejects(repository.backup({ stdin, host: "h", tags: [] }), { kind: "empty-source" });
      assert.deepEqual(await repository.snapshots(), []);
    });

    it("is saved whole when the first attempt met a lock after part of it was sent", async () => {
      const { repository, path, log } = await newRepository({ lockWaitSeconds: 30 });
      const directory = await volume({ a: randomBytes(2_000_000) });
      await repository.backup({ directory, host: "h", tags: [] });
      const holder = await holdExclusiveLock(path);
      const content = randomBytes(3_000_000);
      const backup = repository.backup({
        stdin: {
          stream: Readable.from([content.subarray(0, 1_000_000), content.subarray(1_000_000)]),
          fileName: "v",
          expectedBytes: 3_000_000,
        },
        host: "h",
        tags: ["t"],
      });
      await until("the lock in the way", () => log.some(line => line.includes("waiting for the lock")));
      holder.kill("SIGINT");
      const result = await backup;
      const saved = execFileSync("restic", ["--no-cache", "-r", path, "dump", result.snapshotId, "v"], {
        env: { ...process.env, RESTIC_PASSWORD: password },
        maxBuffer: 1e8,
      });
      assert.ok(saved.equals(content));
      assert.equal((await repository.snapshots()).length, 2);
    });
  });

  describe("that is stopped", () => {
    it("ends, without a snapshot or a lock, when it is cancelled", async () => {
      const { repository, path } = await newRepository();
      const controller = new AbortController();
      const stdin = { stream: stalled(1_000_000), fileName: "v" };
      let pid = 0;
      const backup = repository.backup({
        stdin,
        host: "h",
        tags: [],
        signal: controller.signal,
        onStarted: p => (pid = p),
      });
      const failed = assert.rejects(backup, {
        kind: "cancelled",
        message: `backing up v to ${path}: cancelled (restic 0.14.0, exit 130)`,
      });
      await until("the lock", async () => (await locksOf(path)).length === 1);
      controller.abort();
      await failed;
      assert.equal(isAlive(pid), false);
      assert.deepEqual(await locksOf(path), []);
      assert.deepEqual(await repository.snapshots(), []);
      assert.equal(stdin.stream.destroyed, true);
    });

    it("ends when its time is over", async () => {
      const { repository, path } = await newRepository();
      const stdin = { stream: stalled(1_000_000), fileName: "v" };
      await assert.rejects(
        repository.backup({ stdin, host: "h", tags: [], timeoutSeconds: 2 }),
        (error: ResticError) => {
          assert.equal(error.kind, "timeout");
          assert.equal(
            error.message,
            `backing up v to ${path}: not done within 2 s (restic 0.14.0, exit 130)`,
          );
          return true;
        },
      );
      assert.deepEqual(await locksOf(path), []);
    });

    it("is killed when it ignores the interrupt, and its lock is removed", async () => {
      const { repository, path } = await newRepository();
      const usual = grace.seconds;
      grace.seconds = 0.5;
      try {
        const controller = new AbortController();
        let pid = 0;
        const stdin = { stream: stalled(1_000_000), fileName: "v" };
        const backup = repository.backup({
          stdin,
          host: "h",
          tags: [],
          signal: controller.signal,
          onStarted: started => {
            pid = started;
          },
        });
        const failed = assert.rejects(backup, {
          kind: "cancelled",
          exitCode: undefined,
          message: `backing up v to ${path}: cancelled (restic 0.14.0)`,
        });
        await until("the lock", async () => (await locksOf(path)).length === 1);
        process.kill(pid, "SIGSTOP");
        controller.abort();
        await failed;
        assert.equal(isAlive(pid), false);
        assert.deepEqual(await locksOf(path), []);
      } finally {
        grace.seconds = usual;
      }
    });

    it("does not start when the signal was aborted before", async () => {
      const { repository } = await newRepository();
      const directory = await volume({ a: "1" });
      const started: number[] = [];
      await assert.rejects(
        repository.backup({
          directory,
          host: "h",
          tags: [],
          signal: AbortSignal.abort(),
          onStarted: p => started.push(p),
        }),
        { kind: "cancelled" },
      );
      assert.deepEqual(started, []);
    });

    it("leaves a repository that the next run repairs when restic is killed", async () => {
      const { repository, path } = await newRepository();
      const directory = await volume({ a: randomBytes(150_000_000), b: randomBytes(1000) });
      const job = { directory, host: "h", tags: ["t"] };
      const killed = repository.backup({
        ...job,
        onStarted: pid =>
          void until("the first pack", async () => (await packsBelow(join(path, "data"))) > 0).then(() =>
            process.kill(pid, "SIGKILL"),
          ),
      });
      await assert.rejects(killed, {
        kind: "failed",
        message: `backing up ${directory} to ${path}: restic was killed (restic 0.14.0)`,
      });
      assert.deepEqual(await locksOf(path), []);
      assert.deepEqual(await repository.snapshots(), []);
      const result = await repository.backup(job);
      assert.equal(result.filesNew, 2);
      const before = await sizeOf(path);
      await repository.prune();
      assert.ok((await sizeOf(path)) < before, "prune removed the packs of the killed run");
      await repository.check({ readDataSubset: "100%" });
    });
  });

  it("runs side by side, and an exclusive command after those before it", async () => {
    const { repository, path } = await newRepository();
    const order: string[] = [];
    const streams = [stalled(1000), stalled(1000), stalled(1000)];
    const backups = streams.map((stream, index) =>
      repository
        .backup({
          stdin: { stream, fileName: `v${index}` },
          host: "h",
          tags: [],
          onStarted: () => order.push(`start ${index}`),
        })
        .then(() => order.push(`end ${index}`)),
    );
    await until("two starts", () => order.length === 2);
    const forgot = repository.forget(["0".repeat(64)]).then(() => order.push("forget"));
    const last = repository
      .backup({ stdin: { stream: Readable.from([Buffer.alloc(9)]), fileName: "v3" }, host: "h", tags: [] })
      .then(() => order.push("end 3"));
    assert.deepEqual([...order].sort(), ["start 0", "start 1"]);
    streams[1]?.push(null);
    await until("the third start", () => order.length === 4);
    assert.deepEqual([...order].sort(), ["end 1", "start 0", "start 1", "start 2"]);
    streams[0]?.push(null);
    streams[2]?.push(null);
    await Promise.all([...backups, forgot, last]);
    assert.deepEqual(order.slice(-2), ["forget", "end 3"]);
    assert.equal((await repository.snapshots()).length, 4);
    assert.deepEqual(await locksOf(path), []);
  });

  it("ends a restic that has come to a standstill without a word", async function () {
    this.timeout(60_000);
    const { path, directory } = await newRepository();
    const binary = join(directory, "restic-that-stops");
    // as restic 0.14 does when an upload fails for good, it tells nothing but the time
    await writeFile(
      binary,
      `#!/bin/sh
case " $* " in *" backup "*) ;; *) exec restic "$@" ;; esac
n=0
while :; do n=$((n+1)); echo '{"message_type":"status","seconds_elapsed":'$n',"percent_done":1}'; sleep 0.2; done
`,
    );
    await chmod(binary, 0o755);
    const repository = openRepository({ url: path, password }, { binary });
    const usual = mostStill.localSeconds;
    mostStill.localSeconds = 1;
    try {
      const source = await volume({ small: randomBytes(1000) });
      await assert.rejects(repository.backup({ directory: source, host: "h", tags: [] }), {
        kind: "failed",
        message:
          /^backing up .*: restic came to a standstill and was ended after 1 s without any work \(restic 0\.14\.0\)$/,
      });
    } finally {
      mostStill.localSeconds = usual;
    }
  });

  it("says no-space and leaves no snapshot when the repository's disk is full", async function () {
    needsRoot(this);
    const directory = await mkdtemp(join(tmpdir(), "osbackup-full-"));
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=12m", "tmpfs", directory]).status !== 0) {
      await rm(directory, { recursive: true });
      return skips(this, "this machine mounts no tmpfs");
    }
    const usual = mostStill.localSeconds;
    mostStill.localSeconds = 5;
    try {
      const path = join(directory, "repo");
      const repository = openRepository(
        { url: path, password },
        { cacheDirectory: await temporaryDirectory() },
      );
      await repository.ensureInitialised();
      const source = await volume({ big: randomBytes(30_000_000) });
      await assert.rejects(
        repository.backup({ directory: source, host: "h", tags: [] }),
        (error: ResticError) => {
          assert.equal(error.kind, "no-space");
          assert.match(
            error.message,
            // restic 0.14 sometimes says nothing and waits for ever
            /(no space left on device.*|came to a standstill .*: the repository's disk has \d+ MiB left); free space or prune the repository \(restic/,
          );
          return true;
        },
      );
      assert.deepEqual(await repository.snapshots(), []);
      assert.deepEqual(await locksOf(path), []);
    } finally {
      mostStill.localSeconds = usual;
      execFileSync("umount", [directory]);
      await rm(directory, { recursive: true });
    }
  });
});

/** restic as a user who may not read everything. */
async function asNobody(): Promise<string> {
  const path = join(await temporaryDirectory(), "restic");
  await writeFile(path, '#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups restic "$@"\n');
  await chmod(path, 0o755);
  await chmod(join(path, ".."), 0o755);
  return path;
}

async function packsBelow(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  // not the temporary files of restic
  return entries.filter(entry => entry.isFile() && /^[0-9a-f]{64}$/.test(entry.name)).length;
}

async function sizeOf(path: string): Promise<number> {
  return Number(execFileSync("du", ["-sb", path], { encoding: "utf8" }).split("\t")[0]);
}
