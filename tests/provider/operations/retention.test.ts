import assert from "node:assert/strict";
import { inspect } from "node:util";
import fc from "fast-check";
import {
  applyRetention,
  daysCovered,
  daysKept,
  type Point,
  type Retention,
  validateRetention,
} from "../../../provider/operations/retention";
import { parseSchedule, slots } from "../../../provider/operations/schedule";
import { wallAt } from "../../../provider/operations/time-zone";

const hour = 3_600_000;
const asOf = new Date("2026-11-22T00:00:00Z"); // a Sunday

function point(id: string, time: string, more: Partial<Point> = {}): Point {
  return { id, time: new Date(time), good: true, ...more };
}

/** One point a day at midnight, the newest at `asOf`: d0, d1, … */
function daily(count: number): Point[] {
  return Array.from({ length: count }, (_, age) => ({
    id: `d${age}`,
    time: new Date(asOf.getTime() - age * 24 * hour),
    good: true,
  }));
}

function decide(
  points: Point[],
  retention: Retention,
  timeZone = "UTC",
): Record<"keep" | "remove", string[]> {
  const { keep, remove } = applyRetention(points, retention, { asOf, timeZone });
  const lines = (list: typeof keep) => list.map(({ point, reasons }) => `${point.id}: ${reasons.join(", ")}`);
  return { keep: lines(keep), remove: lines(remove) };
}

function kept(points: readonly Point[], retention: Retention, at = asOf, timeZone = "UTC"): Point[] {
  return applyRetention(points, retention, { asOf: at, timeZone }).keep.map(decision => decision.point);
}

function ids(points: readonly Point[]): string[] {
  return points.map(({ id }) => id);
}

describe("applyRetention", () => {
  it("says for each point why it stays or goes", () => {
    assert.deepEqual(decide(daily(6), { keepLast: 2, keepForDays: 3, keepWeekly: 1 }), {
      keep: [
        "d0: last 1 of 2, weekly 2026-W47, within 3 days",
        "d1: last 2 of 2, within 3 days",
        "d2: within 3 days",
      ],
      remove: [
        "d3: beyond the last 2, not the newest of 2026-W47, older than 3 days",
        "d4: beyond the last 2, not the newest of 2026-W47, older than 3 days",
        "d5: beyond the last 2, not the newest of 2026-W47, older than 3 days",
      ],
    });
  });

  it("excludes the far end of a window, so that 7 days of daily points are 7", () => {
    assert.deepEqual(ids(kept(daily(10), { keepForDays: 7 })), ["d0", "d1", "d2", "d3", "d4", "d5", "d6"]);
    assert.equal(kept(daily(10), { keepWithin: "7d" }).length, 7);
  });

  it("counts windows back from asOf, so that a set without new points loses none", () => {
    const points = daily(5);
    assert.deepEqual(ids(kept(points, { keepForDays: 5 }, asOf)), ids(points));
    assert.deepEqual(ids(kept(points, { keepForDays: 5 }, new Date(asOf.getTime() + 24 * hour))), [
      "d0",
      "d1",
      "d2",
      "d3",
    ]);
  });

  it("keeps the newest good point when no rule does", () => {
    assert.deepEqual(decide(daily(2), { keepTags: ["hold"] }), {
      keep: ["d0: newest good point"],
      remove: ["d1: no tag hold"],
    });
  });

  it("keeps as many good points as the minimum says", () => {
    assert.deepEqual(decide(daily(4), { keepLast: 1, minimum: 3 }), {
      keep: ["d0: last 1 of 1", "d1: minimum 3", "d2: minimum 3"],
      remove: ["d3: beyond the last 1"],
    });
  });

  it("keeps points that have all tags of one set", () => {
    const points = [
      point("new", "2026-11-22T00:00:00Z"),
      point("both", "2026-01-03T00:00:00Z", { tags: ["audit", "2026"] }),
      point("one", "2026-01-02T00:00:00Z", { tags: ["audit"] }),
      point("hold", "2026-01-01T00:00:00Z", { tags: ["x", "hold"] }),
    ];
    assert.deepEqual(decide(points, { keepLast: 1, keepTags: ["hold", "audit, 2026"] }), {
      keep: ["new: last 1 of 1", "both: tag audit,2026", "hold: tag hold"],
      remove: ["one: beyond the last 1, no tag hold or audit,2026"],
    });
  });

  it("takes a tag set as a list too", () => {
    const points = daily(3).map(p => (p.id === "d2" ? { ...p, tags: ["audit", "2026"] } : p));
    const listed = { keepLast: 1, keepTags: [["audit", "2026"], ["x"]] };
    assert.deepEqual(decide(points, listed), decide(points, { keepLast: 1, keepTags: ["audit,2026", "x"] }));
    assert.deepEqual(decide(points, listed).keep, ["d0: last 1 of 1", "d2: tag audit,2026"]);
  });

  it("does not count a point that is not good, and removes it once a newer good one exists", () => {
    const points = daily(4).map(p => (p.id === "d1" ? { ...p, good: false } : p));
    assert.deepEqual(decide(points, { keepLast: 2 }), {
      keep: ["d0: last 1 of 2", "d2: last 2 of 2"],
      remove: ["d1: not good, and a newer good point exists", "d3: beyond the last 2"],
    });
  });

  it("keeps the newest points that are not good beside the newest good one, within the rules", () => {
    const points = daily(5).map(p => (Number(p.id.slice(1)) < 3 ? { ...p, good: false } : p));
    assert.deepEqual(decide(points, { keepLast: 2 }), {
      keep: [
        "d0: not good, but no newer good point, last 1 of 2",
        "d1: not good, but no newer good point, last 2 of 2",
        "d3: last 1 of 2",
        "d4: last 2 of 2",
      ],
      remove: ["d2: not good, beyond the last 2"],
    });
  });

  it("keeps a point that is not good when a tag holds it", () => {
    const points = [
      point("new", "2026-11-22T00:00Z"),
      point("bad", "2026-11-01T00:00Z", { good: false, tags: ["hold"] }),
    ];
    assert.deepEqual(decide(points, { keepLast: 1, keepTags: ["hold"] }).keep, [
      "new: last 1 of 1",
      "bad: tag hold",
    ]);
  });

  it("keeps the newest of a set in which none is good", () => {
    const points = daily(3).map(p => ({ ...p, good: false }));
    assert.deepEqual(ids(kept(points, { keepTags: ["hold"] })), ["d0"]);
    assert.deepEqual(ids(kept(points, { keepWithin: "1h" }, new Date("2030-01-01"))), ["d0"]);
  });

  it("removes nothing when there is no rule", () => {
    for (const none of [{}, { keepLast: 0 }, { keepWithin: "0d" }, { keepTags: [] }, { minimum: 1 }]) {
      assert.deepEqual(decide(daily(2), none), { keep: ["d0: no rule", "d1: no rule"], remove: [] });
    }
  });

  it("orders points of the same time by id", () => {
    const points = ["c", "a", "b"].map(id => point(id, "2026-11-22T00:00:00Z"));
    assert.deepEqual(ids(kept(points, { keepLast: 2 })), ["a", "b"]);
    assert.deepEqual(ids(kept(points.reverse(), { keepDaily: 1 })), ["a"]);
  });

  it("puts points into the days of the time zone", () => {
    const points = [point("late", "2026-11-21T23:30:00Z"), point("early", "2026-11-21T22:30:00Z")];
    assert.deepEqual(decide(points, { keepDaily: 2 }).keep, ["late: daily 2026-11-21"]);
    assert.deepEqual(decide(points, { keepDaily: 2 }, "Europe/Berlin").keep, [
      "late: daily 2026-11-22",
      "early: daily 2026-11-21",
    ]);
  });

  it("numbers weeks as ISO 8601 does at the turn of the year", () => {
    const at = (time: string) => decide([point("p", time)], { keepWeekly: 1 }).keep;
    assert.deepEqual(at("2026-12-31T12:00:00Z"), ["p: weekly 2026-W53"]);
    assert.deepEqual(at("2027-01-03T12:00:00Z"), ["p: weekly 2026-W53"]);
    assert.deepEqual(at("2027-01-04T00:00:00Z"), ["p: weekly 2027-W01"]);
    assert.deepEqual(at("2024-12-30T00:00:00Z"), ["p: weekly 2025-W01"]);
    assert.deepEqual(at("1969-12-29T00:00:00Z"), ["p: weekly 1970-W01"]);
  });

  it("counts a repeated hour as one", () => {
    const points = [
      point("second", "2026-10-25T01:30:00Z"), // 02:30 in winter time
      point("first", "2026-10-25T00:30:00Z"), // 02:30 in summer time
      point("before", "2026-10-24T23:30:00Z"), // 01:30
    ];
    assert.deepEqual(decide(points, { keepHourly: 2 }, "Europe/Berlin"), {
      keep: ["second: hourly 2026-10-25T02", "before: hourly 2026-10-25T01"],
      remove: ["first: not the newest of 2026-10-25T02"],
    });
  });

  it("refuses rules and times that are not valid", () => {
    assert.throws(() => applyRetention([], { keepLast: -1 }, { asOf }), {
      name: "RangeError",
      message: "applying retention: keepLast is -1, but there is no unlimited: name a number",
    });
    assert.throws(() => applyRetention([point("p", "never")], { keepLast: 1 }, { asOf }), {
      name: "RangeError",
      message: "applying retention: the time of p is not valid",
    });
  });
});

describe("applyRetention, in general", () => {
  const now = new Date("2026-11-22T10:00:00Z");
  const zone = fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe");
  const points = fc
    .array(
      fc.record({
        // Dense in the last days, thin in the years before; some of the same time, some in the future.
        age: fc.oneof(fc.integer({ min: -48, max: 96 }), fc.integer({ min: 0, max: 24 * 1500 })),
        good: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false)),
        tags: fc.subarray(["a", "b"]),
      }),
      { maxLength: 40 },
    )
    .map(list =>
      list.map(({ age, ...rest }, index) => ({
        id: `p${index}`,
        time: new Date(+now - age * hour),
        ...rest,
      })),
    );
  const count = fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined, freq: 1 });
  const window = fc.option(
    fc
      .record({ y: fc.nat(2), m: fc.nat(14), d: fc.nat(40), h: fc.nat(50) })
      .map(({ y, m, d, h }) => `${y}y${m}m${d}d${h}h`),
    { nil: undefined, freq: 1 },
  );
  const retention: fc.Arbitrary<Retention> = fc.record({
    keepLast: count,
    keepForDays: count,
    keepHourly: count,
    keepDaily: count,
    keepWeekly: count,
    keepMonthly: count,
    keepYearly: count,
    keepWithin: window,
    keepWithinHourly: window,
    keepWithinDaily: window,
    keepWithinWeekly: window,
    keepWithinMonthly: window,
    keepWithinYearly: window,
    keepTags: fc.constantFrom(undefined, [], ["a"], ["a,b"], ["a", "b"]),
    minimum: fc.constantFrom(undefined, 1, 3),
  });
  const hasRule = (policy: Retention) => {
    const problems = validateRetention(policy);
    return !problems.some(({ property }) => property === "retention");
  };

  it("puts each point into exactly one list, newest first", () => {
    fc.assert(
      fc.property(points, retention, zone, (list, policy, timeZone) => {
        const { keep, remove } = applyRetention(list, policy, { asOf: now, timeZone });
        assert.deepEqual([...keep, ...remove].map(d => d.point.id).sort(), ids(list).sort());
        for (const part of [keep, remove]) {
          assert(part.every(({ point }, i) => i === 0 || +point.time <= +(part[i - 1]?.point.time ?? 0)));
          assert(part.every(({ reasons }) => reasons.length > 0 && reasons.every(Boolean)));
        }
      }),
    );
  });

  it("never removes the newest good point, nor goes below the minimum", () => {
    fc.assert(
      fc.property(points, retention, zone, (list, policy, timeZone) => {
        const stay = kept(list, policy, now, timeZone);
        const good = list.filter(p => p.good);
        const newest = Math.max(...good.map(p => +p.time));
        assert(good.length === 0 || stay.some(p => p.good && +p.time === newest));
        assert(stay.filter(p => p.good).length >= Math.min(policy.minimum ?? 1, good.length));
        assert(list.length === 0 || stay.length > 0);
      }),
    );
  });

  it("does not depend on the order of the points", () => {
    const shuffled = points.chain(list =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
    );
    fc.assert(
      fc.property(shuffled, retention, ([list, other], policy) => {
        assert.deepEqual(decide(other, policy), decide(list, policy));
      }),
    );
  });

  it("changes nothing when applied twice", () => {
    fc.assert(
      fc.property(points, retention, zone, (list, policy, timeZone) => {
        const once = kept(list, policy, now, timeZone);
        assert.deepEqual(kept(once, policy, now, timeZone), once);
      }),
    );
  });

  it("never lets a point that is not good decide about a good one", () => {
    fc.assert(
      fc.property(points, retention, (list, policy) => {
        const good = list.filter(p => p.good);
        assert.deepEqual(
          kept(list, policy, now).filter(p => p.good),
          kept(good, policy, now),
        );
      }),
    );
  });

  it("never removes more when a rule is loosened", () => {
    const looser = fc.record({
      property: fc.constantFrom(
        ...([
          "keepLast",
          "keepForDays",
          "keepHourly",
          "keepDaily",
          "keepWeekly",
          "keepMonthly",
          "keepYearly",
        ] as const),
        "minimum" as const,
      ),
      by: fc.integer({ min: 1, max: 9 }),
      within: fc.constantFrom(
        ...([
          "keepWithin",
          "keepWithinHourly",
          "keepWithinDaily",
          "keepWithinWeekly",
          "keepWithinMonthly",
        ] as const),
        "keepWithinYearly" as const,
      ),
      longer: fc.record({ unit: fc.constantFrom("y", "m", "d", "h"), by: fc.integer({ min: 1, max: 40 }) }),
      tag: fc.constantFrom("a", "b", "a,b"),
      which: fc.constantFrom("count", "window", "tag"),
    });
    fc.assert(
      fc.property(points, retention.filter(hasRule), looser, zone, (list, policy, more, timeZone) => {
        const looserPolicy = { ...policy };
        if (more.which === "count") {
          looserPolicy[more.property] =
            (policy[more.property] ?? (more.property === "minimum" ? 1 : 0)) + more.by;
        } else if (more.which === "window") {
          const found = new Map(
            [...(policy[more.within] ?? "").matchAll(/(\d+)(\w)/g)].map(m => [m[2], Number(m[1])]),
          );
          found.set(more.longer.unit, (found.get(more.longer.unit) ?? 0) + more.longer.by);
          looserPolicy[more.within] = [...found].map(([unit, number]) => `${number}${unit}`).join("");
        } else {
          looserPolicy.keepTags = [...(policy.keepTags ?? []), more.tag];
        }
        const before = kept(list, policy, now, timeZone);
        const after = new Set(kept(list, looserPolicy, now, timeZone));
        assert.deepEqual(
          before.filter(p => !after.has(p)),
          [],
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe("applyRetention, slot by slot for a year", () => {
  /** Applies the policy at each slot, as the provider does. */
  function live(slotTimes: Date[], retention: Retention, timeZone = "UTC", every = 1): Point[] {
    let points: Point[] = [];
    for (const [index, time] of slotTimes.entries()) {
      points.push({ id: String(index), time, good: true });
      if (index % every === 0 || index === slotTimes.length - 1)
        points = kept(points, retention, time, timeZone);
    }
    return points;
  }
  const hourly = Array.from({ length: 8760 }, (_, index) => new Date(Date.UTC(2026, 0, 1) + index * hour));

  it("leaves 8760 hourly points", () => {
    // Applied every week only: nothing is removed before the year is over, and each call weighs all points.
    assert.equal(live(hourly, { keepHourly: 8760 }, "UTC", 168).length, 8760);
    assert.equal(
      live([...hourly, new Date("2027-01-01T00:00Z")], { keepHourly: 8760 }, "UTC", 168).length,
      8760,
    );
  });

  it("leaves 365 daily points", () => {
    const sixHourly = hourly.filter((_, index) => index % 6 === 0);
    assert.equal(live(sixHourly, { keepDaily: 365 }).length, 365);
  });

  it("leaves 12 monthly points, each the newest of its month", () => {
    const expected = Array.from({ length: 12 }, (_, month) =>
      new Date(Date.UTC(2026, 12 - month, 1) - hour).toISOString(),
    );
    assert.deepEqual(
      live(hourly, { keepMonthly: 12 }).map(p => p.time.toISOString()),
      expected,
    );
  });

  it("leaves the sum of the rules, less the points that several keep", () => {
    const points = live(hourly, {
      keepHourly: 24,
      keepDaily: 7,
      keepWeekly: 4,
      keepMonthly: 12,
      keepYearly: 2,
    });
    // 24 hours of 12-31; the last of 12-30 … 12-25; of the weeks ending 12-27 (a daily one), 12-20, 12-13; of 11 months.
    assert.equal(points.length, 24 + 6 + 2 + 11);
  });

  it("leaves the same by the wall of Europe/Vienna, where a repeated hour is one", () => {
    const start = Date.UTC(2025, 11, 31, 23);
    const year = Array.from({ length: 8760 }, (_, index) => new Date(start + index * hour));
    assert.equal(live(year, { keepHourly: 8760 }, "Europe/Vienna", 168).length, 8759);
    assert.equal(live(year, { keepDaily: 365 }, "Europe/Vienna", 6).length, 365);
    assert.equal(live(year, { keepMonthly: 12 }, "Europe/Vienna").length, 12);
  });

  it("keeps what one application to the whole history would keep", () => {
    const policy = {
      keepHourly: 24,
      keepDaily: 7,
      keepWeekly: 4,
      keepMonthly: 12,
      keepForDays: 2,
      keepWithinWeekly: "3m",
    };
    const sixHourly = hourly.filter((_, index) => index % 6 === 0);
    const all = sixHourly.map((time, index) => ({ id: String(index), time, good: true }));
    const last = sixHourly.at(-1) ?? asOf;
    assert.deepEqual(live(sixHourly, policy), kept(all, policy, last));
  });
});

describe("validateRetention", () => {
  const wrong: [retention: Record<string, unknown>, property: string, reason: string][] = [
    [{}, "retention", "keeps nothing: set keepLast, keepForDays, keepDaily or another rule above 0"],
    [
      { keepLast: 0 },
      "retention",
      "keeps nothing: set keepLast, keepForDays, keepDaily or another rule above 0",
    ],
    [
      { minimum: 3 },
      "retention",
      "keeps nothing: set keepLast, keepForDays, keepDaily or another rule above 0",
    ],
    [
      { keepWithin: "0d" },
      "retention",
      "keeps nothing: set keepLast, keepForDays, keepDaily or another rule above 0",
    ],
    [
      { keepTags: ["hold"] },
      "keepTags",
      "is the only rule, so that points without the tag are all removed: add a count or a window",
    ],
    [{ keepDaily: -1 }, "keepDaily", "is -1, but there is no unlimited: name a number"],
    [{ keepDaily: "unlimited" }, "keepDaily", `is "unlimited", but there is no unlimited: name a number`],
    [
      { keepDaily: Number.POSITIVE_INFINITY },
      "keepDaily",
      "is Infinity, but there is no unlimited: name a number",
    ],
    [{ keepDaily: -7 }, "keepDaily", "is -7: use a whole number from 0 on"],
    [{ keepDaily: 1.5 }, "keepDaily", "is 1.5: use a whole number from 0 on"],
    [{ keepDaily: Number.NaN }, "keepDaily", "is NaN: use a whole number from 0 on"],
    [{ keepDaily: "7" }, "keepDaily", `is "7": use a whole number from 0 on`],
    [{ keepForDays: -7 }, "keepForDays", "is -7: use a whole number from 0 on"],
    [{ keepLast: 3, minimum: 0 }, "minimum", "is 0: use a whole number from 1 on"],
    [
      { keepWithin: "1w" },
      "keepWithin",
      `is "1w": use years, months, days and hours such as "1y5m7d2h"; a week is 7d`,
    ],
    [{ keepWithin: "7" }, "keepWithin", `is "7": use years, months, days and hours such as "1y5m7d2h"`],
    [{ keepWithin: "" }, "keepWithin", `is "": use years, months, days and hours such as "1y5m7d2h"`],
    [{ keepWithin: "-7d" }, "keepWithin", `is "-7d": use years, months, days and hours such as "1y5m7d2h"`],
    [{ keepWithin: "7d7d" }, "keepWithin", `is "7d7d": use years, months, days and hours such as "1y5m7d2h"`],
    [{ keepWithinDaily: 7 }, "keepWithinDaily", `is 7: use years, months, days and hours such as "1y5m7d2h"`],
    [
      { keepLast: 1, keepTags: ["hold,"] },
      "keepTags",
      `is no list of tag sets such as ["legal-hold", "audit,2026"]`,
    ],
    [
      { keepLast: 1, keepTags: "hold" },
      "keepTags",
      `is no list of tag sets such as ["legal-hold", "audit,2026"]`,
    ],
    [
      { keepDayly: 7 },
      "keepDayly",
      "is no rule: use keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly, keepForDays, keepWithin, keepWithinHourly, keepWithinDaily, keepWithinWeekly, keepWithinMonthly, keepWithinYearly, keepTags, minimum",
    ],
  ];
  for (const [retention, property, reason] of wrong) {
    it(`says what is wrong with ${inspect(retention)}`, () => {
      assert.deepEqual(validateRetention(retention), [{ property, reason }]);
    });
  }

  it("finds nothing wrong with policies that keep something", () => {
    const right: Retention[] = [
      { keepLast: 3, keepForDays: 7 },
      { keepLast: 10, keepDaily: 7, keepWeekly: 4, keepMonthly: 6, keepYearly: 2 },
      { keepWithin: "2h1y5m7d", minimum: 2 },
      { keepDaily: 7, keepTags: ["hold", "a, b", ["a", "b"]], keepLast: undefined },
    ];
    for (const retention of right) assert.deepEqual(validateRetention(retention), []);
  });
});

describe("daysCovered", () => {
  const around = new Date("2026-11-22T10:00:00Z");
  const cases: [schedule: string, zone: string, retention: Retention, days: number][] = [
    ["daily", "UTC", { keepDaily: 7 }, 7],
    ["daily", "Europe/Berlin", { keepDaily: 7 }, 7],
    ["30 2 * * *", "Europe/Berlin", { keepForDays: 7 }, 7],
    ["daily", "UTC", { keepLast: 3 }, 3],
    ["hourly", "UTC", { keepLast: 24 }, 1],
    ["hourly", "UTC", { keepHourly: 48 }, 2],
    ["hourly", "UTC", { keepDaily: 7 }, 6 + 2 / 24 - 1], // at 00:00: that point, and the last of 6 days before
    ["daily", "UTC", { keepWithin: "7d" }, 7],
    ["7@mon-fri", "UTC", { keepLast: 5 }, 7],
    ["7@mon-fri", "UTC", { keepLast: 3 }, 3],
    ["7@mon-fri", "UTC", { keepForDays: 3 }, 1], // on a Monday: Friday is just out of the window
    ["weekly", "UTC", { keepWeekly: 4 }, 28],
    ["daily", "UTC", { keepWeekly: 4 }, 16], // on a Monday: that point, and the Sundays 1, 8 and 15 days before
    ["daily", "UTC", { keepMonthly: 12 }, 305], // on 1 December: back to 31 January
    ["daily", "UTC", { keepYearly: 2 }, 2], // on 1 January: that point and the one of 31 December
    ["daily", "UTC", { keepYearly: 2, keepDaily: 7 }, 7],
    ["daily", "UTC", { keepWithinWeekly: "1m" }, 22], // on 28 March: of the week from 1 March its Sunday
    ["daily", "UTC", { keepTags: ["hold"] }, 1],
    ["monthly", "UTC", { minimum: 3 }, 89],
    ["0@mon", "UTC", { keepLast: 5 }, 0],
    ["daily", "UTC", { keepLast: -1 }, 0],
  ];
  for (const [text, timeZone, retention, days] of cases) {
    it(`of ${JSON.stringify(retention)} with "${text}" in ${timeZone} is ${Math.round(days * 1000) / 1000}`, () => {
      const found = daysCovered(retention, parseSchedule(text, { timeZone }), around);
      assert.equal(Math.round(found * 1e6) / 1e6, Math.round(days * 1e6) / 1e6);
    });
  }

  it("is the worst that a year of applying the policy shows, and daysKept the longest", () => {
    const schedules = ["7@tue,wed,fri", "weekly", "4@6,18@sat", "0 5 3,20 * *"].map(text =>
      parseSchedule(text, { timeZone: "Europe/Berlin" }),
    );
    const counted = fc.constantFrom(
      "keepLast",
      "keepDaily",
      "keepWeekly",
      "keepMonthly",
      "keepYearly",
      "minimum",
    );
    const within = fc.constantFrom("keepWithin", "keepWithinDaily", "keepWithinWeekly", "keepWithinMonthly");
    const rule: fc.Arbitrary<Retention> = fc.oneof(
      fc.tuple(counted, fc.integer({ min: 1, max: 3 })).map(([property, count]) => ({ [property]: count })),
      fc.integer({ min: 1, max: 40 }).map(keepForDays => ({ keepForDays })),
      fc
        .tuple(within, fc.constantFrom("9d", "1m", "3m2d", "30h"))
        .map(([property, window]) => ({ [property]: window })),
    );
    fc.assert(
      fc.property(fc.constantFrom(...schedules), rule, (schedule, retention) => {
        const { timeZone } = schedule;
        const begin = Date.UTC(2026, 10, 22, 10);
        const all = slots(schedule, new Date(Date.UTC(2023, 0, 1)), new Date(begin + 500 * 24 * hour));
        const points = all.map((time, index) => ({ id: String(index), time, good: true }));
        const end = all.findIndex(time => time.getTime() > begin + 366 * 24 * hour);
        let worst = Number.POSITIVE_INFINITY;
        let longest = 0;
        for (const [index, time] of all.entries()) {
          if (time.getTime() <= begin || index > end) continue;
          const stay = kept(points.slice(0, index + 1), { ...retention, keepTags: ["none"] }, time, timeZone);
          const [oldest, next] = [stay.at(-1)?.time ?? time, all[index + 1] ?? time];
          const reach = wallAt(timeZone, +next) - wallAt(timeZone, +oldest);
          worst = Math.min(worst, reach);
          longest = Math.max(longest, reach);
        }
        assert.equal(daysCovered(retention, schedule, new Date(begin)), worst / 24 / hour);
        assert.equal(daysKept(retention, schedule, new Date(begin)), longest / 24 / hour);
      }),
      { numRuns: 25 },
    );
  });
});

describe("daysKept", () => {
  const cases: [schedule: string, retention: Retention, days: number][] = [
    ["daily", { keepLast: 3 }, 3],
    ["daily", { keepDaily: 7 }, 7],
    ["hourly", { keepDaily: 7 }, 7 - 23 / 24], // until midnight: the last of the seven days' 23:00
    ["daily", { keepMonthly: 12, keepLast: 3 }, 338], // on 31 January: the point of 28 February
    ["daily", { keepForDays: 30 }, 30],
    ["daily", { keepLast: 1, keepTags: [["hold"]] }, Number.POSITIVE_INFINITY],
    ["0@mon", { keepLast: 5 }, 0],
  ];
  for (const [text, retention, days] of cases) {
    it(`of ${JSON.stringify(retention)} with "${text}" is ${Math.round(days * 100) / 100}`, () => {
      const found = daysKept(retention, parseSchedule(text), new Date("2026-11-22T10:00:00Z"));
      assert.equal(Math.round(found * 1e6) / 1e6, Math.round(days * 1e6) / 1e6);
    });
  }
});
