import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import path from "node:path";
import { engineCommands, SlowStack } from "../e2e/slow-stack";

for (const engine of engineCommands)
  describe(`Nobody reads what a run says, ${engine.name}`, () => {
    let stack: SlowStack;

    before(async function () {
      if (!engine.isPresent) return;
      this.timeout(120_000);
      stack = await SlowStack.make(engine, 30);
    });
    after(() => stack?.close());

    const title = "is done to its end, or by the next run, and leaves one point and no trace";
    if (!engine.isPresent) {
      it(`${title} (skipped: no pulumi on PATH)`);
      return;
    }
    it(title, async function () {
      this.timeout(180_000);
      const { child, ended } = stack.start(engine.up);
      child.stdout?.destroy();
      child.stderr?.destroy();
      const { code } = await ended;
      // the real CLI is ended by its broken pipe, as any program that does not mind it
      if (engine.cancel.length === 0) assert.equal(code, 0);
      else if (code !== 0) await stack.run(engine.cancel);
      const next = await stack.run(engine.up);
      assert.equal(next.code, 0, next.said);
      assert.deepEqual(await stack.points(), [["slot=2026-11-22T10:00:00Z"]]);
      assert.deepEqual(await readdir(path.join(stack.url, "locks")), []);
      assert.equal(stack.cloud.snapshots().length, 1);
      assert.deepEqual(
        stack.cloud.volumes().map(({ name }) => name),
        ["large"],
      );
      assert.deepEqual(stack.cloud.attachments(), []);
      assert.deepEqual(
        stack.processes().map(({ command }) => command),
        [],
      );
    });
  });
