import assert from "node:assert/strict";
import { hasMetadata, parseCopySet } from "../../provider/hosts/functions";
import { conventions } from "../../sdk";

describe("conventions of other schedulers", () => {
  const setsOf = (all: ReturnType<typeof conventions.staffeln>, metadata: Record<string, string>) =>
    all.filter(({ where }) => hasMetadata(metadata, where?.metadata)).map(({ sets }) => sets);

  it("select a server once, however its tag is spelled, and none that is not tagged", () => {
    for (const value of ["true", "True", "1"]) {
      assert.equal(setsOf(conventions.autoSnapshot(), { autoSnapshot: value, other: "x" }).length, 1);
      assert.equal(setsOf(conventions.staffeln(), { __staffeln_backup: value }).length, 1);
    }
    for (const all of [conventions.autoSnapshot(), conventions.staffeln(), conventions.providerBackup()])
      assert.deepEqual(setsOf(all, { autoSnapshot: "false", provider_backup: "never" }), []);
  });

  it("have the sets that those schedulers keep, or others", () => {
    assert.deepEqual(setsOf(conventions.providerBackup(), { provider_backup: "weekly" }), [
      { weekly: "4@sun@2" },
    ]);
    const own = { nightly: "14@mon-sun@3" };
    assert.deepEqual(setsOf(conventions.autoSnapshot(own), { autoSnapshot: "yes" }), [own]);
    for (const all of Object.values(conventions))
      for (const { sets } of all())
        for (const [name, text] of Object.entries(sets)) assert.ok(parseCopySet(text, name).count > 0);
  });
});
