import assert from "node:assert/strict";
import { needs, needsRoot } from "../needs";
import { allCases, sampleOf, titleOf } from "./cases";
import { playAll } from "./pool";

const seed = Number(process.env.FAULTS_SEED ?? 1);

describe("The fault matrix", () => {
  it("holds in a tenth of its cases", async function () {
    needs(this, "restic", "losetup");
    needsRoot(this);
    this.timeout(30 * 60_000);
    let all = 0;
    const played = await playAll(calls => {
      const cases = allCases(calls);
      all = cases.length;
      return sampleOf(cases, Math.ceil(all / 10), seed);
    });
    console.log(
      `    ${played.length} of ${all} cases, FAULTS_SEED=${seed}; all of them: npm run test:faults`,
    );
    const failed = played.filter(({ problems }) => problems.length > 0);
    assert.deepEqual(
      failed.map(({ one, problems }) => `${titleOf(one)}: ${problems.join("\n")}`),
      [],
    );
    assert.ok(played.length > 100, `${played.length} cases`);
  });
});
