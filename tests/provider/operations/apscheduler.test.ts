import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { parseSchedule, slots } from "../../../provider/operations/schedule";
import { generalSet, parseCopySet, snapmanagersZone } from "../../../provider/operations/schedule-file";

interface Oracle {
  zone: string;
  year: number;
  schedules: Record<string, { count: number; sha256: string; changes: Record<string, string[]> }>;
}

/** What scripts/apscheduler-oracle.py wrote. */
const oracle = JSON.parse(
  readFileSync(path.join(__dirname, "../../fixtures/apscheduler-2026.json"), "utf8"),
) as Oracle;

/**
 * On a day of clock change a schedule that names its hours has each slot once here; APScheduler fires once more in the
 * hour that occurs twice, so that a set of four days would reach back three, and two minutes later in spring.
 */
const ownWay: Record<string, Record<string, string[]>> = {
  "4@mon-sun@2": { "2026-03-29": ["2026-03-29T01:00Z"], "2026-10-25": ["2026-10-25T00:02Z"] },
  "4@sun@2": { "2026-03-29": ["2026-03-29T01:00Z"], "2026-10-25": ["2026-10-25T00:04Z"] },
  "7@*@2": { "2026-03-29": ["2026-03-29T01:00Z"], "2026-10-25": ["2026-10-25T00:04Z"] },
};

/** Slots that APScheduler 3.11.3 leaves out: the first of the Monday after the clocks went forward. */
const leftOut: Record<string, string[]> = { "3@mon-fri@*/6": ["2026-03-29T22:02Z"] };

describe("a year of Snapmanager's schedules against APScheduler", () => {
  for (const [text, expected] of Object.entries(oracle.schedules))
    it(`${text}: ${expected.count} slots, and the two days of clock change`, () => {
      assert.equal(oracle.zone, snapmanagersZone);
      const { schedule } = text === "general" ? generalSet : parseCopySet(text);
      const zone = (instant: Date) =>
        new Intl.DateTimeFormat("sv-SE", { timeZone: oracle.zone }).format(instant);
      const year = slots(
        parseSchedule(schedule, { timeZone: oracle.zone }),
        new Date(Date.UTC(oracle.year, 0, 1) - 3_601_000),
        new Date(Date.UTC(oracle.year + 1, 0, 1) - 3_601_000),
      );
      const changes: Record<string, string[]> = Object.fromEntries(
        Object.keys(expected.changes).map(day => [day, []]),
      );
      const others: string[] = [];
      for (const slot of year) (changes[zone(slot)] ?? others).push(`${slot.toISOString().slice(0, 16)}Z`);
      const [lost = [], known] = [leftOut[text], others.filter(slot => !leftOut[text]?.includes(slot))];
      assert.equal(others.length - known.length, lost.length);
      assert.equal(known.length, expected.count);
      assert.equal(createHash("sha256").update(known.join("\n")).digest("hex"), expected.sha256);
      assert.deepEqual(changes, ownWay[text] ?? expected.changes);
    });
});
