import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { instant, toTags } from "../../../provider/base/marks";
import { resticInventoryOf } from "../../../provider/operations/restic-inventory";
import type { Repository } from "../../../provider/restic";
import { RecordedRestic } from "../resources/recorded-restic";
import { newRepository, tidyUp } from "../restic/fixture";

describe("forgetTogether", function () {
  this.timeout(60_000);
  const sets = ["a", "b", "c", "d"];
  const hours = [10, 11];
  let work: string;
  let recorded: RecordedRestic;
  let repository: Repository;

  beforeEach(async () => {
    work = mkdtempSync(path.join(tmpdir(), "osbackup-forget-"));
    writeFileSync(path.join(work, "file"), "data");
    repository = (await newRepository()).repository;
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

  const known = (name: string) => resticInventoryOf(repository).marked([`shop/prod/${name}`]);

  /** As the last step of a backup does. */
  async function forget(name: string, isOver = () => {}): Promise<boolean> {
    const [newest, ...old] = await known(name);
    assert.deepEqual([newest?.slot, old.length], ["2026-11-22T11:00:00Z", 1]);
    resticInventoryOf(repository).letGo(old, undefined);
    return resticInventoryOf(repository).forgetTogether(isOver);
  }

  const there = async (name: string) =>
    (await repository.snapshots({ host: name })).map(({ time }) => time.getUTCHours());

  it("forgets the points of many sets in one call, when the last backup has ended", async () => {
    const isOver = repository.announceBackup();
    assert.deepEqual(await Promise.all(["a", "b", "c"].map(name => forget(name))), [false, false, false]);
    assert.deepEqual(recorded.commands(), []);
    assert.deepEqual(await there("a"), [10, 11]);
    recorded.commands();
    assert.equal(await forget("d", isOver), true);
    assert.deepEqual(recorded.commands(), ["forget"]);
    for (const name of sets) {
      assert.deepEqual(await there(name), [11]);
      assert.equal((await known(name)).length, 1);
    }
    assert.equal(await resticInventoryOf(repository).forgetTogether(() => {}), true);
  });

  it("fails the last one where a point is still there, and each set meets its own again", async () => {
    const [, oldest] = await known("c");
    assert.ok(oldest);
    // restic goes on with the others where one cannot be removed
    recorded.instead(
      "forget",
      `for id; do case $id in forget|--|${oldest.id}) ;; *) $real forget -- $id >/dev/null;; esac; done; echo 'unable to remove' >&2; exit 1`,
    );
    const isOver = repository.announceBackup();
    await Promise.all(["a", "b", "c"].map(name => forget(name)));
    await assert.rejects(forget("d", isOver), new RegExp(`unable to remove.*; still there: ${oldest.id}`));
    assert.deepEqual(await Promise.all(sets.map(there)), [[11], [11], [10, 11], [11]]);
    recorded.again("forget");
    assert.equal(await forget("c"), true);
    assert.deepEqual(await there("c"), [11]);
  });

  it("does not let a set wait for a backup that takes long", async () => {
    const isOver = repository.announceBackup();
    const began = Date.now();
    assert.equal(await forget("a"), false);
    assert.ok(Date.now() - began < 1000, `it waited ${Date.now() - began} ms`);
    assert.equal(await resticInventoryOf(repository).forgetTogether(isOver), true);
    assert.deepEqual(await there("a"), [11]);
  });
});
