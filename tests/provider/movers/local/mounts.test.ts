import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { mountAt, unmount } from "../../../../provider/movers/local/mounts";
import { cleanLab, needsMount, occupy, sh, temporaryFolder } from "./lab";

describe("unmount", () => {
  let path: string;

  beforeEach(function () {
    needsMount(this);
    path = join(temporaryFolder(), "with a blank \\ and é");
    mkdirSync(path);
    sh("mount", "-t", "tmpfs", "first", path);
  });
  afterEach(cleanLab);

  it("removes all mounts that lie over each other", async () => {
    sh("mount", "-t", "tmpfs", "second", path);
    assert.equal(mountAt(path)?.source, "second");
    assert.equal(await unmount(path, { patienceSeconds: 1, lazy: false }), true);
    assert.equal(mountAt(path), undefined);
    assert.equal(await unmount(path, { patienceSeconds: 1, lazy: false }), false);
  });

  it("names the processes that use it when it gives up", async () => {
    const user = await occupy(path);
    await assert.rejects(unmount(path, { patienceSeconds: 0, lazy: false }), (error: Error) => {
      assert.ok(error.message.startsWith(`unmounting ${path}: umount exited with 32: `), error.message);
      assert.ok(error.message.endsWith(` (in use by ${user.pid} (sleep))`), error.message);
      return true;
    });
    assert.equal(mountAt(path)?.source, "first");
  });
});
