import assert from "node:assert/strict";
import { readiness } from "../../../../provider/movers/local";
import { expectedWay } from "./lab";

describe("readiness", () => {
  it("names the way by which volumes are shown here, and a remedy for each thing missing", async () => {
    const { ok, how, missing } = await readiness();
    assert.equal(ok, true);
    const ways = {
      "loop mount": "loop mounts of ext4, xfs and btrfs",
      fuse2fs: "fuse2fs for ext4",
      "debugfs copy": "copies of ext4 volumes by debugfs (owners are lost)",
    } as Record<string, string>;
    assert.ok(how.startsWith(ways[expectedWay] ?? "?"), how);
    assert.ok(how.endsWith("block devices of any content"), how);
    for (const { tool, remedy } of missing) assert.ok(tool && remedy, JSON.stringify(missing));
    if (expectedWay === "debugfs copy") assert.ok(missing.some(({ tool }) => /fuse/.test(tool)));
  });
});
