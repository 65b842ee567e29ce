import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { engineCommands, SlowStack } from "./slow-stack";

for (const engine of engineCommands)
  describe(`Killed in the middle of a backup, ${engine.name}`, () => {
    let stack: SlowStack;

    before(async function () {
      if (!engine.isPresent) return;
      this.timeout(120_000);
      stack = await SlowStack.make(engine);
    });
    after(() => stack?.close());

    const title = "leaves no process 10 s later, and the next run finds what it left";
    if (!engine.isPresent) {
      it(`${title} (skipped: no pulumi on PATH)`);
      return;
    }
    it(title, async function () {
      this.timeout(180_000);
      const { child } = stack.start(engine.up);
      await stack.untilBackup();
      await sleep(1500);
      child.kill("SIGKILL");
      child.stdout?.destroy();
      child.stderr?.destroy();
      const killed = Date.now();
      let left = stack.processes();
      const before = new Map(left.map(({ pid, cpuSeconds }) => [pid, cpuSeconds]));
      for (; left.length > 0 && Date.now() - killed < 10_000; left = stack.processes()) {
        for (const { pid, cpuSeconds, command } of left)
          assert.ok(
            cpuSeconds - (before.get(pid) ?? cpuSeconds) < 5,
            `${command} used ${cpuSeconds} s of CPU`,
          );
        await sleep(200);
      }
      assert.deepEqual(
        left.map(({ command }) => command),
        [],
      );
      console.log(`      all ended ${((Date.now() - killed) / 1000).toFixed(1)} s after the kill`);

      await stack.hurry();
      let next = await stack.run(engine.up);
      if (engine.cancel.length > 0) {
        assert.match(next.said, /the stack is currently locked by 1 lock\(s\)/);
        assert.match(next.said, /pulumi cancel/);
        assert.equal((await stack.run(engine.cancel)).code, 0);
        next = await stack.run(engine.up);
      } else assert.match(next.said, /taking over the lock of stack "dev": process \d+ of \S+, .*, is gone/);
      if (process.env.KILLED_OUTPUT) await writeFile(process.env.KILLED_OUTPUT, next.said);
      assert.equal(next.code, 0, next.said);

      assert.deepEqual(await stack.points(), [["slot=2026-11-22T10:00:00Z"]]);
      assert.deepEqual(await readdir(path.join(stack.url, "locks")), []);
      const { cloud, root } = stack;
      assert.equal(cloud.snapshots().length, 1);
      assert.deepEqual(
        cloud.volumes().map(({ name }) => name),
        ["large"],
      );
      assert.deepEqual(cloud.attachments(), []);
      const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
      assert.deepEqual(
        mounts.filter(line => line.includes(root)),
        [],
      );
      const loops = readdirSync("/sys/block").filter(name => name.startsWith("loop"));
      for (const name of loops) {
        const file = readBacking(name);
        assert.ok(!file.startsWith(cloud.directory), `${name} holds ${file}`);
      }
    });
  });

function readBacking(loop: string): string {
  try {
    return readFileSync(`/sys/block/${loop}/loop/backing_file`, "utf8");
  } catch {
    return "";
  }
}
