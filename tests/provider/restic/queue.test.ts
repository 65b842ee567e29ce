import assert from "node:assert/strict";
import { RepositoryQueue, type Share } from "../../../provider/restic/queue.js";
import { ResticRuntime } from "../../../provider/restic/runtime";

const settle = () => new Promise(setImmediate);

/** Starts tasks that end when told, and keeps the order of the starts. */
class Stage {
  readonly started: string[] = [];
  private readonly ends = new Map<string, () => void>();
  readonly done: Promise<unknown>[] = [];

  constructor(readonly queue: RepositoryQueue) {}

  add(name: string, share: Share, signal?: AbortSignal): Promise<unknown> {
    const task = this.queue.run(
      share,
      () => {
        this.started.push(name);
        return new Promise<void>(end => this.ends.set(name, end));
      },
      signal,
    );
    this.done.push(task);
    return task;
  }

  async end(name: string): Promise<void> {
    this.ends.get(name)?.();
    await settle();
  }
}

describe("RepositoryQueue", () => {
  it("runs backups in parallel up to the limit, and the next when one ends", async () => {
    const stage = new Stage(new RepositoryQueue(2));
    for (const name of ["a", "b", "c", "d"]) stage.add(name, "backup");
    await settle();
    assert.deepEqual(stage.started, ["a", "b"]);
    await stage.end("b");
    assert.deepEqual(stage.started, ["a", "b", "c"]);
    for (const name of ["a", "c", "d"]) await stage.end(name);
    await Promise.all(stage.done);
    assert.deepEqual(stage.started, ["a", "b", "c", "d"]);
  });

  it("runs an exclusive task alone, and before the backups that came after it", async () => {
    const stage = new Stage(new RepositoryQueue(2));
    stage.add("backup 1", "backup");
    stage.add("forget", "exclusive");
    stage.add("backup 2", "backup");
    stage.add("restore", "read");
    await settle();
    assert.deepEqual(stage.started, ["backup 1"]);
    await stage.end("backup 1");
    assert.deepEqual(stage.started, ["backup 1", "forget"]);
    await stage.end("forget");
    assert.deepEqual(stage.started, ["backup 1", "forget", "backup 2", "restore"]);
  });

  it("does not count reads as backups", async () => {
    const stage = new Stage(new RepositoryQueue(1));
    stage.add("backup", "backup");
    stage.add("restore", "read");
    stage.add("dump", "read");
    await settle();
    assert.deepEqual(stage.started, ["backup", "restore", "dump"]);
  });

  it("goes on after a task that failed", async () => {
    const queue = new RepositoryQueue(1);
    await assert.rejects(
      queue.run("exclusive", () => Promise.reject(new Error("no"))),
      /^Error: no$/,
    );
    assert.equal(await queue.run("exclusive", async () => "next"), "next");
  });

  it("lets a waiting task go when its signal aborts, and those behind it move up", async () => {
    const stage = new Stage(new RepositoryQueue(2));
    stage.add("backup 1", "backup");
    const controller = new AbortController();
    const prune = stage.add("prune", "exclusive", controller.signal);
    stage.add("backup 2", "backup");
    controller.abort(new Error("enough"));
    await assert.rejects(prune, /^Error: enough$/);
    assert.deepEqual(stage.started, ["backup 1", "backup 2"]);
  });

  it("runs a patient task alone, and lets those overtake it that come while a backup runs or is announced", async () => {
    const stage = new Stage(new RepositoryQueue(2));
    const isOver = stage.queue.announceBackup();
    stage.add("patient", "patient");
    stage.add("backup 1", "backup");
    stage.add("prune", "exclusive");
    stage.add("backup 2", "backup");
    await settle();
    assert.deepEqual(stage.started, ["backup 1"]);
    await stage.end("backup 1");
    await stage.end("prune");
    assert.deepEqual(stage.started, ["backup 1", "prune", "backup 2"]);
    await stage.end("backup 2");
    assert.equal(stage.started.length, 3);
    isOver();
    isOver();
    await settle();
    assert.deepEqual(stage.started.slice(3), ["patient"]);
    stage.add("backup 3", "backup");
    await settle();
    assert.equal(stage.started.length, 4);
    await stage.end("patient");
    assert.deepEqual(stage.started.slice(4), ["backup 3"]);
    const another = stage.queue.announceBackup();
    stage.add("second patient", "patient");
    await stage.end("backup 3");
    assert.equal(stage.started.length, 5);
    another();
    await settle();
    assert.deepEqual(stage.started.slice(5), ["second patient"]);
  });

  it("is one per repository", () => {
    const runtime = new ResticRuntime();
    assert.equal(runtime.queue("key-1"), runtime.queue("key-1"));
    assert.notEqual(runtime.queue("key-1"), runtime.queue("key-2"));
  });
});
