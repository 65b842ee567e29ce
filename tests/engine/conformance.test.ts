import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cases } from "./cases";
import { findPulumi } from "./engine-stacks";
import { embeddedRunner, type Outcome, pulumiRunner, type Runner } from "./runners";

const recordingOf = (program: string): Outcome[] => {
  const path = join(__dirname, "recordings", `${program}.json`);
  assert.ok(
    existsSync(path),
    `no recording of ${program}: run tests/engine/record.ts where pulumi is on PATH`,
  );
  return JSON.parse(readFileSync(path, "utf8")) as Outcome[];
};

const engines: [string, (entry: (typeof cases)[number]) => Promise<Runner>, boolean][] = [
  ["the embedded engine", embeddedRunner, true],
  ["the real CLI", pulumiRunner, findPulumi() !== undefined],
];

for (const [name, start, present] of engines) {
  describe(`Engine conformance of ${name}`, () => {
    for (const entry of cases) {
      const title = `does what was recorded of the real CLI with the program "${entry.program}"`;
      if (!present) {
        it(`${title} (skipped: no pulumi on PATH)`);
        continue;
      }
      it(title, async function () {
        this.timeout(180_000);
        const recording = recordingOf(entry.program);
        const runner = await start(entry);
        try {
          for (const [index, operation] of entry.operations.entries()) {
            const outcome = await runner.run(operation);
            const what = `operation ${index + 1}: ${JSON.stringify(operation)}`;
            assert.deepEqual(JSON.parse(JSON.stringify(outcome)), recording[index], what);
          }
          assert.equal(recording.length, entry.operations.length);
        } finally {
          await runner.close();
        }
      });
    }
  });
}
