import assert from "node:assert/strict";
import { findPulumi } from "../engine/engine-stacks";
import { needs, needsRoot } from "../needs";
import { allCases, sampleOf, titleOf } from "./cases";
import { playAll } from "./pool";

const seed = Number(process.env.FAULTS_SEED ?? 1);
const count = 16;

describe("The fault matrix on the real CLI", () => {
  if (!findPulumi()) {
    it("holds in a sample of its cases (skipped: no pulumi on PATH)");
    return;
  }
  it("holds in a sample of its cases", async function () {
    needs(this, "restic", "losetup");
    needsRoot(this);
    this.timeout(15 * 60_000);
    const played = await playAll(
      // whom the CLI's own signals reach is in tests/e2e/pipelines.slow.test.ts
      calls =>
        sampleOf(
          allCases(calls).filter(({ fault }) => !fault.startsWith("SIGINT")),
          count,
          seed,
        ),
      { workers: 2, realCli: true },
    );
    const failed = played.filter(({ problems }) => problems.length > 0);
    assert.deepEqual(
      failed.map(({ one, problems }) => `${titleOf(one)}: ${problems.join("\n")}`),
      [],
    );
    assert.equal(played.length, count);
  });
});
