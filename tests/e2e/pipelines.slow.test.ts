import assert from "node:assert/strict";
import { appendFile, readdir } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "../devcloud/client";
import { type Ended, engineCommands, SlowStack } from "./slow-stack";

/** What docs/gitops.md quotes. */
async function keep(title: string, { code, said }: Ended): Promise<void> {
  const file = process.env.PIPELINES_OUTPUT;
  if (file) await appendFile(file, `## ${title}: ${code}\n${said}\n`);
}

for (const engine of engineCommands)
  describe(`A pipeline on ${engine.name}`, () => {
    let stack: SlowStack;

    beforeEach(async function () {
      if (!engine.isPresent) return;
      this.timeout(120_000);
      stack = await SlowStack.make(engine, 8);
    });
    afterEach(() => stack?.close());

    const test = (title: string, run: () => Promise<void>) =>
      engine.isPresent
        ? it(title, async function () {
            this.timeout(180_000);
            await run();
          })
        : it(`${title} (skipped: no pulumi on PATH)`);

    /** One point of the slot, and nothing else of ours in the cloud. */
    async function holds(): Promise<void> {
      assert.deepEqual(await stack.points(), [["slot=2026-11-22T10:00:00Z"]]);
      assert.deepEqual(await readdir(path.join(stack.url, "locks")), []);
      assert.equal(stack.cloud.snapshots().length, 1);
      assert.deepEqual(
        stack.cloud.volumes().map(({ name }) => name),
        ["large"],
      );
      assert.deepEqual(stack.cloud.attachments(), []);
    }

    test("ends a second run with 1 while the first one goes on undisturbed", async () => {
      const first = stack.start(engine.up);
      await stack.untilBackup();
      const second = await stack.run(engine.up);
      await keep(`${engine.name}, a second run`, second);
      assert.equal(second.code, 1);
      assert.match(
        second.said,
        engine.cancel.length > 0
          ? /the stack is currently locked by 1 lock\(s\)/
          : /locking stack "dev": process \d+ of \S+ on \S+ holds it since /,
      );
      assert.equal((await first.ended).code, 0);
      await holds();
    });

    test("lets the backup end that runs when it is cancelled, and the next run converges", async () => {
      const run = stack.start(engine.up);
      await stack.untilBackup();
      run.child.kill("SIGINT");
      const cancelled = await run.ended;
      await keep(`${engine.name}, SIGINT`, cancelled);
      assert.equal(cancelled.code, 1);
      assert.deepEqual(await stack.points(), [["slot=2026-11-22T10:00:00Z"]]);
      await stack.hurry();
      const next = await stack.run(engine.up);
      await keep(`${engine.name}, SIGINT, the next run`, next);
      assert.equal(next.code, 0, next.said);
      await holds();
    });

    test("stops at once with 8 on SIGINT and then SIGTERM, and the next run converges", async () => {
      const run = stack.start(engine.up);
      await stack.untilBackup();
      run.child.kill("SIGINT");
      await sleep(2000);
      run.child.kill("SIGTERM");
      const cancelled = await run.ended;
      await keep(`${engine.name}, SIGINT and SIGTERM`, cancelled);
      assert.equal(cancelled.code, 8);
      await stack.hurry();
      const next = await stack.run(engine.up);
      await keep(`${engine.name}, SIGINT and SIGTERM, the next run`, next);
      assert.equal(next.code, 0, next.said);
      await holds();
    });

    test("raises an alarm by 7 where a point was removed behind its back", async () => {
      await stack.hurry();
      assert.equal((await stack.run(engine.up)).code, 0);
      const alarm = ["preview", "--refresh", "--expect-no-changes", "--stack", "dev"];
      const quiet = await stack.run(alarm);
      assert.equal(quiet.code, 0, quiet.said);
      const client = await Client.login(stack.cloud.environment);
      const id = stack.cloud.snapshots()[0]?.id;
      assert.equal((await client.send("DELETE", `/snapshots/${id}`)).status, 202);
      await client.waitFor(`/snapshots/${id}`, "gone");
      const loud = await stack.run(alarm);
      await keep(`${engine.name}, drift`, loud);
      assert.equal(loud.code, 7, loud.said);
      assert.equal((await stack.run(engine.up)).code, 0);
      await holds();
    });
  });
