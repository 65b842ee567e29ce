import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { mostStill } from "../../provider/restic/stillness";
import { needsRoot, skips } from "../needs";
import { tidyUp } from "../provider/restic/fixture";
import { aSet, HostilePlace, type HostileStack, password, tenSlots, wrongPassword } from "./hostile-set";

describe("a repository in trouble for ten slots", function () {
  this.timeout(120_000);
  let place: HostilePlace;
  let stack: HostileStack;

  beforeEach(async () => {
    place = await HostilePlace.open();
    stack = place.stack({ pg: await aSet(place, "pg") });
  });
  afterEach(() => place.close());
  after(tidyUp);

  it("that gets another password for ten slots costs no point, and goes on with the right one", async () => {
    await tenSlots(
      stack,
      /wrong password/,
      () => (stack.password = wrongPassword),
      () => (stack.password = password),
    );
  });

  it("whose disk is full for ten slots costs no point, and goes on when there is room again", async function () {
    needsRoot(this);
    const disk = path.join(place.directory, "disk");
    await mkdir(disk);
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", disk]).status !== 0)
      return skips(this, "this machine mounts no tmpfs");
    // restic 0.14 may say nothing of it and wait for ever
    const usual = mostStill.localSeconds;
    mostStill.localSeconds = 5;
    const url = path.join(disk, "repository");
    await cp(place.url, url, { recursive: true });
    place.url = url;
    const filler = path.join(disk, "of-others");
    try {
      await tenSlots(
        stack,
        /no space left on device|came to a standstill.*; free space or prune the repository/,
        () => writeFile(filler, Buffer.alloc(8 << 20)).catch(error => assert.equal(error.code, "ENOSPC")),
        () => rm(filler),
      );
    } finally {
      mostStill.localSeconds = usual;
      execFileSync("umount", [disk]);
    }
  });
});
