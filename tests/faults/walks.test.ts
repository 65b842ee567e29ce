import assert from "node:assert/strict";
import { type Call, ends, type FaultCase, requestFaults, titleOf, walksOf } from "./cases";
import { stages } from "./scenario";

/** Every fault at one request of every stage, and one fault that only the last stage knows. */
const cases: FaultCase[] = [
  ...stages.flatMap(stage =>
    [...ends, ...requestFaults].map(fault => ({ stage, call: callOf("POST /volumes"), fault })),
  ),
  { stage: "destroy", call: callOf("forget"), fault: "exit 12" },
];

function callOf(what: string): NonNullable<FaultCase["call"]> {
  return { on: (what === "forget" ? "restic" : "request") satisfies Call["on"], what, nth: 1 };
}

describe("The walks of the fault matrix", () => {
  it("go through each stage once, in the stages' order", () => {
    const walks = walksOf(cases, 8, 1);
    assert.equal(walks.length, 8);
    for (const walk of walks)
      assert.deepEqual(
        walk.map(({ stage }) => stage),
        stages,
      );
  });

  it("have every kind of fault, that of a single stage too, and no case twice", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const all = walksOf(cases, 8, seed).flat();
      assert.equal(new Set(all.map(({ fault }) => fault)).size, ends.length + requestFaults.length + 1);
      assert.equal(new Set(all).size, all.length);
    }
  });

  it("are the same of one seed, and others of another", () => {
    assert.deepEqual(walksOf(cases, 8, 3), walksOf(cases, 8, 3));
    const chosen = (seed: number) => walksOf(cases, 8, seed).flat().map(titleOf).sort();
    assert.notDeepEqual(chosen(3), chosen(4));
  });
});
