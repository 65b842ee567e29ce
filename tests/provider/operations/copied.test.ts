import assert from "node:assert/strict";
import fc from "fast-check";
import { type CopiedPoint, retainCopied } from "../../../provider/operations/copied";
import { applyRetention, type Retention } from "../../../provider/operations/retention";

const day = 86_400_000;
const begin = Date.parse("2026-03-01T02:00:00Z");

const at = (days: number, copy: CopiedPoint["copy"]): CopiedPoint => ({
  id: `day ${days}`,
  time: new Date(begin + days * day),
  good: true,
  copy,
});

const ids = (decisions: { point: CopiedPoint }[]) => decisions.map(({ point }) => point.id);

describe("retainCopied", () => {
  it("keeps every copied point while the younger ones have no copy, and thins those among themselves", () => {
    const points = [
      ...[1, 2, 3].map(days => at(days, "proven")),
      ...[4, 5, 6, 7, 8].map(days => at(days, "awaited")),
    ];
    const { keep, remove } = retainCopied(points, { keepLast: 3 }, { asOf: new Date(begin + 8 * day) });
    assert.deepEqual(ids(keep), ["day 8", "day 7", "day 6", "day 3", "day 2", "day 1"]);
    assert.deepEqual(remove, [
      { point: at(5, "awaited"), reasons: ["among those not copied yet", "beyond the last 3"] },
      { point: at(4, "awaited"), reasons: ["among those not copied yet", "beyond the last 3"] },
    ]);
  });

  it("counts windows of the copied points back from the newest of them", () => {
    const points = [at(0, "proven"), at(6, "proven"), at(30, "awaited")];
    const { keep } = retainCopied(points, { keepForDays: 7 }, { asOf: new Date(begin + 30 * day) });
    assert.deepEqual(ids(keep), ["day 30", "day 6", "day 0"]);
  });

  it("counts points without a copy once a newer one is proven", () => {
    const points = [at(1, "proven"), at(2, "awaited"), at(3, undefined), at(4, "proven")];
    const { keep, remove } = retainCopied(points, { keepLast: 2 }, { asOf: new Date(begin + 4 * day) });
    assert.deepEqual(ids(keep), ["day 4", "day 3"]);
    assert.deepEqual(ids(remove), ["day 2", "day 1"]);
  });

  it("never leaves fewer good points than retention keeps of the proven ones, whatever fails and for how long", () => {
    const policies = fc.record(
      {
        keepLast: fc.integer({ min: 1, max: 8 }),
        keepForDays: fc.integer({ min: 1, max: 10 }),
        keepDaily: fc.integer({ min: 1, max: 8 }),
        keepWeekly: fc.integer({ min: 1, max: 4 }),
        minimum: fc.integer({ min: 1, max: 4 }),
      },
      { requiredKeys: ["keepLast"] },
    ) as fc.Arbitrary<Retention>;
    const run = fc.constantFrom("good", "failed", "failed and taken back" as const);
    let failures = 0;
    fc.assert(
      fc.property(policies, fc.array(run, { minLength: 1, maxLength: 60 }), (policy, runs) => {
        let cinder: CopiedPoint[] = [];
        let restic: CopiedPoint[] = [];
        const everProven: CopiedPoint[] = [];
        for (const [days, result] of runs.entries()) {
          const asOf = new Date(begin + days * day);
          const taken = at(days, "awaited");
          const decided = retainCopied([...cinder, taken], policy, { asOf });
          assert.ok(!ids(decided.remove).includes(taken.id));
          cinder = decided.keep.map(({ point }) => point);
          if (result === "good") {
            cinder = cinder.map(point => (point.id === taken.id ? at(days, "proven") : point));
            everProven.push(at(days, "proven"));
            restic = applyRetention([...restic, taken], policy, { asOf }).keep.map(({ point }) => point);
          } else {
            failures++;
            if (result !== "failed" && cinder.some(({ copy }) => copy === "proven"))
              cinder = cinder.filter(point => point.id !== taken.id);
          }
          const newest = everProven.at(-1);
          if (!newest) continue;
          const owed = ids(applyRetention(everProven, policy, { asOf: newest.time }).keep);
          const reached = new Set(cinder.map(({ time }) => time.getTime()));
          assert.ok(
            reached.size >= owed.length,
            `${owed} are owed on day ${days}, there are ${cinder.map(({ id }) => id)}`,
          );
          const unproven = cinder.filter(({ time }) => time > newest.time);
          assert.ok(unproven.length <= applyRetention(unproven, policy, { asOf }).keep.length);
        }
      }),
      { numRuns: 300 },
    );
    assert.ok(failures > 1000);
  });
});
