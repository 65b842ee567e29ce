import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Case, cases, type Operation } from "./cases";
import { findPulumi, passphrase } from "./engine-stacks";
import { embeddedRunner, type Outcome, pulumiRunner, type Runner } from "./runners";
import { leaksIn } from "./secret-search";

const recordingOf = (program: string): Outcome[] => {
  const path = join(__dirname, "recordings", `${program}.json`);
  assert.ok(
    existsSync(path),
    `no recording of ${program}: run tests/engine/record.ts where pulumi is on PATH`,
  );
  return JSON.parse(readFileSync(path, "utf8")) as Outcome[];
};

const engines: [string, (entry: Pick<Case, "program">) => Promise<Runner>, boolean][] = [
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

    const title = "keeps the secrets of a program and of its configuration encrypted";
    if (!present) {
      it(`${title} (skipped: no pulumi on PATH)`);
      return;
    }
    it(title, async function () {
      this.timeout(180_000);
      // Without what the programs' provider itself shows in the clear, a digest of its input.
      const stacks: [Parameters<typeof start>[0], Operation[], string[]][] = [
        [
          { program: "secrets" },
          [{ do: "up", edition: 1 }, { do: "refresh" }],
          ["hidden item", "hidden output", '[\\"value\\",2,null]'],
        ],
        [
          { program: "configuration" },
          [
            { do: "config", key: "content", value: "words" },
            { do: "config", key: "password", value: "open sesame", secret: true },
            { do: "up", edition: 3 },
            { do: "refresh" },
          ],
          ["open sesame"],
        ],
      ];
      for (const [entry, operations, secrets] of stacks) {
        const runner = await start(entry);
        try {
          for (const operation of operations) assert.equal((await runner.run(operation)).exitCode, 0);
          const shown = JSON.stringify(await runner.exportStack());
          for (const secret of secrets) assert.ok(shown.includes(secret), `${secret} is not in ${shown}`);
          const plain = secrets.map(secret => secret.replaceAll("\\", ""));
          assert.deepEqual(leaksIn(runner.kept(), [...plain, ...secrets, passphrase]), []);
        } finally {
          await runner.close();
        }
      }
    });
  });
}
