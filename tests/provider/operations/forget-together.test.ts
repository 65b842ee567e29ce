import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { instant, toTags } from "../../../provider/operations/marks";
import { forgetByRetention, knownPoints } from "../../../provider/operations/restic-inventory";
import type { Repository } from "../../../provider/restic";
import { RecordedRestic } from "../resources/recorded-restic";
import { newRepository, tidyUp } from "../restic/fixture";

describe("forgetByRetention", function () {
  this.timeout(60_000);
  const sets = ["a", "b", "c", "d"];
  const hours = [10, 11];
  let work: string;
  let recorded: RecordedRestic;
  let repository: Repository;
  let warned: string[];

  beforeEach(async () => {
    work = mkdtempSync(path.join(tmpdir(), "osbackup-forget-"));
    writeFileSync(path.join(work, "file"), "data");
    repository = (await newRepository()).repository;
    warned = [];
    for (const name of sets)
      for (const hour of hours) {
        const time = new Date(Date.UTC(2026, 10, 22, hour));
        const owner = `shop/prod/${name}`;
        const slot = instant(time);
        const tags = toTags({ owner, set: name, role: "recovery-point", slot, time: slot });
        await repository.backup({ directory: work, paths: ["file"], excludes: [], host: name, tags, time });
      }
    recorded = new RecordedRestic(work);
    await known("a");
    recorded.commands();
  });
  afterEach(() => {
    recorded.restore();
    rmSync(work, { recursive: true, force: true });
  });
  after(tidyUp);

  const known = (name: string) => knownPoints(repository, [`shop/prod/${name}`]);

  async function forget(name: string, patienceSeconds?: number) {
    return forgetByRetention(
      repository,
      await known(name),
      { keepLast: 1 },
      {
        asOf: new Date("2026-11-22T11:00:00Z"),
        timeZone: "UTC",
        warn: line => warned.push(line),
        patienceSeconds,
      },
    );
  }

  const there = async (name: string) =>
    (await repository.snapshots({ host: name })).map(({ time }) => time.getUTCHours());

  it("forgets the points of many sets in one call, once their backups have ended", async () => {
    const isOver = repository.announceBackup();
    const forgetting = Promise.all(sets.map(name => forget(name)));
    await sleep(100);
    assert.deepEqual(recorded.commands(), []);
    isOver();
    for (const { kept, removed, left } of await forgetting)
      assert.deepEqual([kept.length, removed.length, left.length], [1, 1, 0]);
    assert.deepEqual(recorded.commands(), ["forget"]);
    for (const name of sets) {
      assert.deepEqual(await there(name), [11]);
      assert.equal((await known(name)).length, 1);
    }
    assert.deepEqual(await forget("a").then(({ removed }) => removed), []);
  });

  it("fails only the set whose point is still there", async () => {
    const [, oldest] = await known("c");
    assert.ok(oldest);
    // restic goes on with the others where one cannot be removed
    recorded.instead(
      "forget",
      `for id; do case $id in forget|--|${oldest.id}) ;; *) $real forget -- $id >/dev/null;; esac; done; echo 'unable to remove' >&2; exit 1`,
    );
    const isOver = repository.announceBackup();
    const outcomes = Promise.allSettled(sets.map(name => forget(name)));
    isOver();
    assert.deepEqual(
      (await outcomes).map(({ status }) => status),
      ["fulfilled", "fulfilled", "rejected", "fulfilled"],
    );
    assert.deepEqual(await Promise.all(sets.map(there)), [[11], [11], [10, 11], [11]]);
  });

  it("leaves its points to a backup that takes long, and they go when that has ended", async () => {
    const isOver = repository.announceBackup();
    const { kept, removed, left } = await forget("a", 0.1);
    assert.deepEqual([kept.length, removed.length, left.length], [1, 0, 1]);
    // a later one of the same batch does not wait again
    const began = Date.now();
    await forget("b", 0.1);
    assert.ok(Date.now() - began < 100, `it waited ${Date.now() - began} ms`);
    assert.deepEqual(await there("a"), [10, 11]);
    isOver();
    await forget("c");
    assert.deepEqual(await Promise.all(["a", "b", "c"].map(there)), [[11], [11], [11]]);
    assert.deepEqual(warned, []);
  });

  it("warns where what was left to a backup cannot be forgotten then", async () => {
    recorded.instead("forget", "echo 'Fatal: no' >&2; exit 1");
    const isOver = repository.announceBackup();
    await forget("a", 0.05);
    isOver();
    await assert.rejects(forget("b"));
    assert.match(warned.join("\n"), /^old points stay until the next run: forgetting .*still there: /s);
    recorded.again("forget");
    await forget("a");
    assert.deepEqual(await there("a"), [11]);
  });
});
