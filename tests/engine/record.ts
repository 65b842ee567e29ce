/**
 * Records what the real CLI does with the programs: `npx tsx tests/engine/record.ts [program …]` with pulumi,
 * pulumi-language-nodejs and pulumi-resource-pulumi-nodejs on PATH.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cases } from "./cases";
import { findPulumi } from "./engine-stacks";
import { type Outcome, pulumiRunner } from "./runners";

async function record(): Promise<void> {
  if (!findPulumi()) throw new Error("recording: there is no pulumi on PATH");
  const wanted = process.argv.slice(2);
  const directory = join(__dirname, "recordings");
  mkdirSync(directory, { recursive: true });
  for (const entry of cases.filter(({ program }) => wanted.length === 0 || wanted.includes(program))) {
    const runner = await pulumiRunner(entry);
    try {
      const outcomes: Outcome[] = [];
      for (const operation of entry.operations) outcomes.push(await runner.run(operation));
      writeFileSync(join(directory, `${entry.program}.json`), `${JSON.stringify(outcomes, undefined, 1)}\n`);
      process.stdout.write(
        `${entry.program}: ${outcomes.map(outcome => `${outcome.do} ${outcome.exitCode}`).join(", ")}\n`,
      );
    } finally {
      await runner.close();
    }
  }
}

record().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
