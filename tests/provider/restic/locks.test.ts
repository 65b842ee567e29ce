import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { hostname } from "node:os";
import type { ResticError } from "../../../provider/restic/errors.js";
import {
  describeOwner,
  isCertainlyStale,
  isStale,
  type LockOwner,
  ownerInText,
  processState,
  seesAllProcesses,
  unlockWouldHitStranger,
} from "../../../provider/restic/locks.js";
import { needs, needsRoot, skips } from "../../needs.js";
import { until } from "../../until.js";
import {
  holdExclusiveLock,
  holdLock,
  isAlive,
  killHard,
  locksOf,
  newRepository,
  restic,
  start,
  tidyUp,
  volume,
} from "./fixture.js";

const now = Date.parse("2026-11-22T12:00:00Z");
const owner = (minutesOld: number, host = hostname()): LockOwner => ({
  id: "8cbe4724",
  hostname: host,
  pid: 2028,
  username: "root",
  exclusive: false,
  time: new Date(now - minutesOld * 60_000),
});

describe("LockOwner", () => {
  it("is read from restic's message", () => {
    const text =
      "unable to create lock in backend: repository is already locked exclusively by PID 2028 on vm by root (UID 0, GID 0)\nlock was created at 2026-11-22 00:56:35 (4.216971813s ago)\nstorage ID 8cbe4724";
    const found = ownerInText(text);
    assert.deepEqual(found, {
      id: "8cbe4724",
      hostname: "vm",
      pid: 2028,
      username: "root",
      exclusive: true,
      time: new Date("2026-11-22T00:56:35Z"),
    });
    assert.equal(
      describeOwner(found, Date.parse("2026-11-22T01:06:35Z")),
      "PID 2028 on vm by root, exclusive, 10 min old",
    );
    assert.equal(ownerInText("Fatal: wrong password or no key found"), undefined);
  });

  it("is gone by restic's rule when of this host without its process, or older than 30 minutes", () => {
    assert.equal(isStale(owner(1), "absent", now), true);
    assert.equal(isStale(owner(1), "restic", now), false);
    assert.equal(isStale(owner(1), "other", now), false);
    assert.equal(isStale(owner(29, "elsewhere"), "absent", now), false);
    assert.equal(isStale(owner(31, "elsewhere"), "absent", now), true);
    assert.equal(isStale(owner(31), "restic", now), true);
  });

  it("is certainly gone when it names an ended process of ours, or was not refreshed", () => {
    assert.equal(isCertainlyStale(owner(1), "absent", new Set([2028]), now), true);
    assert.equal(isCertainlyStale(owner(8), "absent", new Set(), now), true);
    assert.equal(isCertainlyStale(owner(8), "restic", new Set([2028]), now), false);
    assert.equal(isCertainlyStale(owner(8, "elsewhere"), "absent", new Set([2028]), now), false);
  });

  it("would bring a SIGHUP on a stranger when its process id was taken over, unless the lock's age alone decides", () => {
    assert.equal(unlockWouldHitStranger(owner(1), "other", now), true);
    assert.equal(unlockWouldHitStranger(owner(1), "restic", now), false);
    assert.equal(unlockWouldHitStranger(owner(1), "absent", now), false);
    assert.equal(unlockWouldHitStranger(owner(1, "elsewhere"), "other", now), false);
    assert.equal(unlockWouldHitStranger(owner(31), "other", now), false);
  });

  it("is looked up among the processes without touching them", async () => {
    const child = start("sleep", ["60"]);
    assert.equal(processState(child.pid as number), "other");
    await killHard(child);
    assert.equal(processState(child.pid as number), "absent");
    assert.equal(processState(0), "other");
    assert.equal(processState(-1), "other");
  });
});

describe("Repository locks", function () {
  this.timeout(40_000);
  after(tidyUp);

  it("says who holds the lock when it gives up", async () => {
    const { repository, path } = await newRepository({ lockWaitSeconds: 1 });
    const holder = await holdLock(path);
    await assert.rejects(repository.prune(), (error: ResticError) => {
      assert.equal(error.kind, "locked");
      assert.equal(error.locks.length, 1);
      assert.equal(error.locks[0]?.pid, holder.pid);
      assert.equal(error.locks[0]?.hostname, hostname());
      assert.match(
        error.message,
        new RegExp(
          `^pruning ${path}: repository is locked by PID ${holder.pid} on ${hostname()} by \\S+, \\d s old \\(restic 0\\.14\\.0, exit 1\\); waited 1 s$`,
        ),
      );
      return true;
    });
    assert.equal(isAlive(holder.pid as number), true);
  });

  it("waits until the lock is gone", async () => {
    const { repository, path, log } = await newRepository({ lockWaitSeconds: 30 });
    const holder = await holdLock(path);
    const pruned = repository.prune();
    await until("the wait", () => log.some(line => line.includes("waiting for the lock of PID")));
    holder.stdin?.end("data");
    await pruned;
    assert.equal(restic(path, "snapshots", "--json").includes("/held"), true);
  });

  it("stops waiting when it is cancelled", async () => {
    const { repository, path, log } = await newRepository({ lockWaitSeconds: 60 });
    await holdLock(path);
    const controller = new AbortController();
    const pruned = repository.prune({ signal: controller.signal });
    const failed = assert.rejects(pruned, { kind: "cancelled" });
    await until("the wait", () => log.length > 0);
    controller.abort();
    await failed;
  });

  it("lists and backs up beside the backup of another process", async () => {
    const { repository, path } = await newRepository();
    await holdLock(path);
    assert.deepEqual(await repository.snapshots(), []);
    const directory = await volume({ file: "content" });
    assert.equal((await repository.backup({ directory, host: "h", tags: ["t"] })).filesNew, 1);
  });

  it("removes the lock of a process that was killed, and nothing when there is none", async () => {
    const { repository, path, log } = await newRepository();
    const holder = await holdLock(path);
    await killHard(holder);
    assert.equal((await locksOf(path)).length, 1);
    assert.equal(await repository.unlockStale(), 1);
    assert.deepEqual(await locksOf(path), []);
    assert.match(
      log.join("\n"),
      new RegExp(
        `^removed the abandoned lock of PID ${holder.pid} on ${hostname()} by \\S+, \\d+ s old from ${path}$`,
      ),
    );
    assert.equal(await repository.unlockStale(), 0);
  });

  it("goes on by itself when the owner of the lock in its way is certainly gone", async function () {
    if (!seesAllProcesses()) return skips(this, "runs in a process namespace of its own");
    const { repository, path, log } = await newRepository();
    await killHard(await holdLock(path));
    await repository.prune();
    assert.deepEqual(await locksOf(path), []);
    assert.match(log.join("\n"), /^removed the abandoned lock of PID/);
  });

  it("leaves the lock of a live process", async () => {
    const { repository, path } = await newRepository();
    await holdLock(path);
    assert.equal(await repository.unlockStale(), 0);
    assert.equal((await locksOf(path)).length, 1);
  });

  it("lists in spite of an abandoned exclusive lock, and prunes after removing it", async () => {
    const { repository, path } = await newRepository({ lockWaitSeconds: 20 });
    const source = await volume({ file: Buffer.alloc(3_000_000, "x") });
    await repository.backup({ directory: source, host: "h", tags: ["t"] });
    const holder = await holdExclusiveLock(path);
    await killHard(holder);
    assert.equal((await locksOf(path)).length, 1);
    assert.equal((await repository.snapshots()).length, 1);
    assert.equal(await repository.unlockStale(), 1);
    await repository.prune();
    assert.deepEqual(await locksOf(path), []);
  });

  it("leaves the fresh lock of another host and reports it", async function () {
    needsRoot(this);
    needs(this, "unshare");
    if (spawnSync("unshare", ["--uts", "true"]).status !== 0)
      return skips(this, "namespaces are not allowed here");
    const { repository, path } = await newRepository();
    const holder = await holdLock(path, [
      "unshare",
      "--uts",
      "sh",
      "-c",
      'hostname elsewhere-7; exec "$@"',
      "sh",
    ]);
    await killHard(holder);
    assert.equal(await repository.unlockStale(), 0);
    assert.equal((await locksOf(path)).length, 1);
    await assert.rejects(repository.prune(), (error: ResticError) => {
      assert.equal(error.kind, "locked");
      assert.equal(error.locks[0]?.hostname, "elsewhere-7");
      assert.match(error.message, /locked by PID \d+ on elsewhere-7 by root/);
      return true;
    });
  });

  it("leaves the lock alone whose process id now belongs to another program, which unlock would end", async function () {
    needsRoot(this);
    needs(this, "unshare");
    if (spawnSync("unshare", ["--pid", "--fork", "--mount-proc", "true"]).status !== 0)
      return skips(this, "namespaces are not allowed here");
    const { repository, path, log } = await newRepository();
    const bystander = start("sleep", ["600"]);
    // in a process namespace of its own, restic can be given the bystander's number
    const script = `echo ${(bystander.pid as number) - 1} > /proc/sys/kernel/ns_last_pid; "$@" & wait`;
    const holder = await holdLock(path, [
      "unshare",
      "--pid",
      "--fork",
      "--kill-child",
      "--mount-proc",
      "sh",
      "-c",
      `exec 3<&0; ${script.replace('"$@" &', '"$@" <&3 &')}`,
      "sh",
    ]);
    const before = JSON.parse(restic(path, "cat", "lock", "--no-lock", (await locksOf(path))[0] as string));
    assert.equal(before.pid, bystander.pid);
    await killHard(holder);
    const dead = await holdLock(path);
    await killHard(dead);
    assert.equal(await repository.unlockStale(), 0);
    assert.equal((await locksOf(path)).length, 2);
    assert.equal(isAlive(bystander.pid as number), true);
    assert.match(log.join("\n"), new RegExp(`PID ${bystander.pid} of a lock now belongs to another program`));
    // what the care is for
    const ended = once(bystander, "exit");
    restic(path, "unlock");
    assert.deepEqual((await ended)[1], "SIGHUP");
  });
});
