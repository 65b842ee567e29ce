import assert from "node:assert/strict";
import {
  type Counted,
  changeOf,
  type History,
  historyIn,
  historyTag,
  isUnusual,
  withChange,
} from "../../../provider/operations/change";

/** A volume of so many files of a mebibyte, and what a backup of it counts. */
interface Day {
  /** files that are as they were */
  same: number;
  /** files whose content is new, whether under an old name or a new one */
  fresh?: number;
  /** files that only have another name */
  renamed?: number;
}

const mib = 1 << 20;

const countedOf = ({ same, fresh = 0, renamed = 0 }: Day): Counted => ({
  filesTotal: same + fresh + renamed,
  bytesTotal: (same + fresh + renamed) * mib,
  filesUnmodified: same,
  bytesAdded: fresh * mib + renamed * 300,
});

/** The days, by their number from the first one on, whose backup is unusual. */
function alarms(days: readonly Day[], first = "2026-01-01"): number[] {
  let history: History | undefined;
  let before: Counted | undefined;
  const found: number[] = [];
  for (const [number, day] of days.entries()) {
    const counted = countedOf(day);
    const time = new Date(Date.parse(`${first}T02:00:00Z`) + number * 86_400_000);
    if (before) {
      const change = changeOf(counted, before);
      if (isUnusual(change, history)) found.push(number);
      // as the next backup finds it in the tags
      history = historyIn([historyTag(withChange(history, change, time))]);
    }
    before = counted;
  }
  return found;
}

const days = (number: number, day: (index: number) => Day): Day[] =>
  Array.from({ length: number }, (_, index) => day(index));
const calm = (index: number): Day => ({ same: 990 + index, fresh: 10 });

describe("isUnusual", () => {
  it("says so where most of a calm set is encrypted, in place or under other names", () => {
    assert.deepEqual(alarms([...days(20, calm), { same: 0, fresh: 1030 }]), [20]);
    assert.deepEqual(alarms([...days(20, calm), { same: 400, fresh: 630 }]), [20]);
  });

  it("says so of files smaller than restic's own record of them, which is new each time", () => {
    const of = (filesUnmodified: number): Counted => ({
      filesTotal: 300,
      bytesTotal: 9_000,
      filesUnmodified,
      bytesAdded: 93_425,
    });
    let history: History | undefined;
    for (let run = 0; run < 10; run++)
      history = withChange(history, changeOf(of(298), of(300)), new Date("2026-11-22T10:00:00Z"));
    assert.equal(isUnusual(changeOf(of(298), of(300)), history), false);
    assert.equal(isUnusual(changeOf(of(0), of(300)), history), true);
  });

  it("does not where less than half of it is new", () =>
    assert.deepEqual(alarms([...days(20, calm), { same: 600, fresh: 430 }]), []));

  it("needs five runs of history, so that a set may find its form", () => {
    const first: Day[] = [
      { same: 0, fresh: 10 },
      { same: 10, fresh: 500 },
      { same: 100, fresh: 900 },
    ];
    assert.deepEqual(alarms(first), []);
    assert.deepEqual(alarms([...days(5, calm), { same: 0, fresh: 1000 }]), []);
    assert.deepEqual(alarms([...days(6, calm), { same: 0, fresh: 1000 }]), [6]);
  });

  it("does not where a set grows, however fast: what was there is there", () =>
    assert.deepEqual(alarms([...days(20, calm), { same: 1010, fresh: 9000 }]), []));

  it("does not for logs that are rotated, each night or each week", () => {
    assert.deepEqual(alarms(days(60, () => ({ same: 40, renamed: 200, fresh: 8 }))), []);
    assert.deepEqual(
      alarms(
        days(60, index => (index % 7 === 6 ? { same: 4, renamed: 230, fresh: 14 } : { same: 240, fresh: 8 })),
      ),
      [],
    );
  });

  it("does not for a database that is dumped each night, into one file or into seven in turn", () => {
    assert.deepEqual(alarms(days(60, () => ({ same: 0, fresh: 1 }))), []);
    assert.deepEqual(alarms(days(60, () => ({ same: 6, fresh: 1 }))), []);
  });

  it("does not for files whose owners or times are all touched", () =>
    assert.deepEqual(alarms([...days(20, calm), { same: 0, renamed: 1010 }]), []));

  it("says so of a monthly full re-encode once, and not again", () => {
    const monthly = days(180, index =>
      index % 30 === 29 ? { same: 0, fresh: 1000 } : { same: 990, fresh: 10 },
    );
    assert.deepEqual(alarms(monthly), [29]);
  });

  it("forgets what a set did once after a year at most", () => {
    const once = days(500, index =>
      index === 29 || index === 450 ? { same: 0, fresh: 1000 } : { same: 990, fresh: 10 },
    );
    assert.deepEqual(alarms(once), [29, 450]);
  });

  it("says so of a set that changes a lot each day only where nearly all of it changes", () => {
    const busy = (index: number): Day => ({ same: 850, fresh: 150 + (index % 3) });
    assert.deepEqual(alarms([...days(20, busy), { same: 300, fresh: 700 }]), []);
    assert.deepEqual(alarms([...days(20, busy), { same: 10, fresh: 990 }]), [20]);
  });
});

describe("historyTag", () => {
  it("has the largest changes of this half-year and the one before, in thousandths", () => {
    let history: History | undefined;
    for (const [day, files, bytes] of [
      ["2025-12-31", 0.5, 0.4],
      ["2026-03-01", 0.0301, 0.012],
      ["2026-06-30", 0.01, 0.02],
      ["2026-07-01", 0.002, 1],
    ] as const)
      history = withChange(history, { files, bytes }, new Date(`${day}T00:00:00Z`));
    assert.equal(history && historyTag(history), "history=4/2026H2:2.1000/2026H1:31.20");
    assert.deepEqual(history && historyIn(["x", historyTag(history)])?.runs, 4);
  });

  it("is nothing that somebody has written by hand", () => {
    for (const tag of ["history=", "history=x", "history=4/2026:1.2", "history=-1/2026H1:1.1"])
      assert.equal(historyIn([tag]), undefined);
  });
});
