import assert from "node:assert/strict";
import { isAllowed } from "../../../provider/operations/unreadable";

describe("isAllowed", () => {
  const missing = (...paths: string[]) => ({
    unreadable: paths.map(path => ({ path, reason: "permission denied" })),
    unreadableCount: paths.length,
  });

  it("allows nothing where nothing is given", () => {
    assert.equal(isAllowed(missing("a"), undefined), false);
  });

  it("allows up to a count", () => {
    assert.equal(isAllowed(missing("a", "b"), 2), true);
    assert.equal(isAllowed(missing("a", "b"), 1), false);
    assert.equal(isAllowed(missing("a"), 0), false);
  });

  it("allows names in any folder, paths from the root, and all that is in an allowed folder", () => {
    const allowed = ["*.sock", "/var/lib/docker/*/mnt", "run/**"];
    assert.equal(isAllowed(missing("a.sock", "var/run/b.sock", "run/.hidden/c"), allowed), true);
    assert.equal(isAllowed(missing("var/lib/docker/x/mnt/deep/file"), allowed), true);
    assert.equal(isAllowed(missing("srv/var/lib/docker/x/mnt"), allowed), false);
    assert.equal(isAllowed(missing("a.sock", "b.txt"), allowed), false);
  });

  it("allows no more than restic has named", () => {
    assert.equal(isAllowed({ ...missing("a.sock"), unreadableCount: 2 }, ["*.sock"]), false);
    assert.equal(isAllowed({ ...missing("a.sock"), unreadableCount: 2 }, 2), true);
  });

  it("does not allow that restic failed to read without saying what", () => {
    assert.equal(isAllowed(missing(), 5), false);
    assert.equal(isAllowed(missing(), ["**"]), false);
  });
});
