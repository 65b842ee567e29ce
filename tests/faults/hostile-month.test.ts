import assert from "node:assert/strict";
import { needs, needsRoot } from "../needs";
import { wordsProblems } from "./month";
import { kept, Oracle } from "./month-oracle";
import { planOf, quietHours, specials } from "./month-plan";
import { inWords, playInProcess } from "./months";

const seed = Number(process.env.FAULTS_SEED ?? 1);
const at = (hour: number): string => new Date(Date.UTC(2026, 10, 22, hour)).toISOString().replace(".000", "");

describe("A month of hourly runs", () => {
  it("ends in the declared state, in a stretch of it", async function () {
    needs(this, "restic", "losetup", "debugfs");
    needsRoot(this);
    this.timeout(5 * 60_000);
    const report = await playInProcess({ seed, hours: 24 });
    console.log(`    ${inWords(report)}; all of it: npm run test:faults -- --month`);
    assert.deepEqual(report.problems, []);
    // of so few a third is one or two; the whole month is held to it
    assert.ok(report.unmet.length < report.placed, `met by nothing: ${report.unmet.join(", ")}`);
  });

  it("has a fault in one of five of its hours, and each event once", () => {
    const plan = planOf(seed, 720);
    const withFault = plan.filter(hour => hour && hour.drawn.length > 0).length;
    assert.ok(withFault > 100 && withFault < 185, `${withFault} hours`);
    assert.ok(plan.slice(0, quietHours).every(hour => hour?.drawn.length === 0));
    const events = plan.flatMap(hour => hour?.special ?? []);
    assert.deepEqual([...new Set(events)].sort(), [...specials].sort());
    assert.deepEqual(planOf(seed, 720), plan);
    assert.notDeepEqual(planOf(seed + 1, 720), plan);
  });
});

describe("The words of a run that failed", () => {
  const said = (output: string) =>
    wordsProblems({ result: "failed", exitCode: 1, output, unmasked: output }, []);
  const wellSaid =
    "  error: ResticBackup alpha-backup: opening the repository /srv/restic: it is not there, mount it and run again";

  it("name the resource and the cause", () => {
    assert.deepEqual(said(wellSaid), []);
  });

  it("are wrong where there are none, where they are too few, and where they are a stack trace", () => {
    assert.deepEqual(said("Duration: 1s"), ["a run failed without a word"]);
    assert.match(said("  error: ResticBackup alpha-backup: failed").join(), /does not say what failed/);
    assert.deepEqual(said(`${wellSaid}\n    at Engine.up (engine/engine.ts:12:5)`), [
      "a stack trace is shown",
    ]);
  });
});

describe("The oracle of the month", () => {
  const tiers = { keepLast: 2, keepHourly: 3, keepDaily: 2, keepWeekly: 2 };
  const oracle = () => new Oracle({ cinder: { keepLast: 2 }, copies: { keepLast: 3 } });

  it("keeps the newest of each bucket that has one", () => {
    // a Sunday's, the Monday's of the next week, two of Tuesday's, and a gap
    assert.deepEqual(kept([at(1), at(2), at(30), at(31), at(49), at(60), at(61)], tiers), [
      at(2),
      at(31),
      at(49),
      at(60),
      at(61),
    ]);
  });

  it("asks for a Cinder point until the next one is copied, and no longer", () => {
    const month = oracle();
    month.note({ cinder: [at(1)], copies: [at(1)] });
    month.note({ cinder: [at(1), at(2)], copies: [at(1), at(2)] });
    month.note({ cinder: [at(1), at(2), at(3)], copies: [at(1), at(2), at(3)] });
    assert.deepEqual(month.owed.cinder, [at(2), at(3)]);
    assert.deepEqual(month.exactly().cinder, [at(1), at(2), at(3)]);
    assert.deepEqual(month.lacking({ cinder: [at(3)], copies: [at(2), at(3)] }), [
      `Cinder point of ${at(2)}`,
      `copy of ${at(1)}`,
    ]);
  });

  it("lets the good point of a run that failed push another out, and asks for that one again where it is not proven", () => {
    const month = oracle();
    const first = { cinder: [], copies: [at(1), at(2), at(3)] };
    month.note(first);
    month.note({ cinder: [], copies: [at(2), at(3), at(4)] }, false);
    assert.deepEqual(month.lacking({ cinder: [], copies: [at(2), at(3), at(4)] }), []);
    month.note({ cinder: [], copies: [at(2), at(3)] }, false);
    assert.deepEqual(month.lacking({ cinder: [], copies: [at(2), at(3)] }), [`copy of ${at(1)}`]);
  });

  it("lets a Cinder point without a copy push none out", () => {
    const month = oracle();
    month.note({ cinder: [at(1), at(2)], copies: [at(1), at(2)] });
    month.note({ cinder: [at(1), at(2), at(3), at(4)], copies: [at(1), at(2)] });
    assert.deepEqual(month.owed.cinder, [at(1), at(2)]);
  });
});
