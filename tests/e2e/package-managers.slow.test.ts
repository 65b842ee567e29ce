import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { installations, pack, tryOut } from "../../scripts/package-managers";

/** Those of some package managers more: scripts/package-managers.ts, whose table is in docs/configuration.md. */
describe("The packed package, installed by npm, on the embedded engine", () => {
  it("lives from preview to destroy", async function () {
    this.timeout(120_000);
    const folder = await mkdtemp(path.join(tmpdir(), "osbackup-packed-"));
    try {
      const [npm] = installations;
      assert.ok(npm);
      const { steps } = await tryOut(npm, await pack(folder), "embedded");
      assert.deepEqual(steps, {
        ...{ install: "yes", stack: "yes", config: "yes" },
        ...{ preview: "yes", up: "yes", "up again": "yes", destroy: "yes" },
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
