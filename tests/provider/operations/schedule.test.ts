import assert from "node:assert/strict";
import { Cron } from "croner";
import fc from "fast-check";
import {
  describeSchedule,
  longestGapHours,
  newestSlot,
  nextSlot,
  parseSchedule,
  ScheduleError,
  slots,
} from "../../../provider/operations/schedule";

const day = 86_400_000;
const now = new Date("2026-11-22T10:00:00Z"); // a Sunday

const zones = [
  "Europe/Berlin",
  "America/New_York",
  "Australia/Lord_Howe", // half an hour of summer time
  "America/Sao_Paulo", // clocks changed at midnight until 2019
  "Asia/Kathmandu", // 5:45 ahead, no summer time
  "Pacific/Apia", // left out 2011-12-30
  "America/St_Johns", // clocks changed at 00:01 until 2011
];

const patterns = [
  "30 2 * * *",
  "0 0,1,2,3 * * *",
  "45 1,23 * * mon-fri",
  "0 0 1 * *",
  "*/20 * * * *",
  "30 1-3 L * *",
  "0 12 * * 5#2",
  "59 23 15W * *",
  "0 0 13 * fri",
];

/** Five days around each change of the zone's clocks in some years, and a month without one. */
function clockChanges(timeZone: string): [Date, Date][] {
  const format = new Intl.DateTimeFormat("en-US", { timeZone, timeZoneName: "longOffset" });
  const offset = (time: number) =>
    format.formatToParts(time).find(part => part.type === "timeZoneName")?.value;
  const windows: [Date, Date][] = [[new Date("2026-01-01T00:00Z"), new Date("2026-02-01T00:00Z")]];
  for (const of of [2010, 2011, 2018, 2026]) {
    for (let time = Date.UTC(of, 0, 1); time < Date.UTC(of + 1, 0, 1); time += day) {
      if (offset(time) !== offset(time + day))
        windows.push([new Date(time - 2 * day), new Date(time + 3 * day)]);
    }
  }
  return windows;
}

function iso(dates: (Date | undefined)[]): (string | undefined)[] {
  return dates.map(date => date?.toISOString());
}

function year(text: string, timeZone: string, of: number): number[] {
  const schedule = parseSchedule(text, { timeZone });
  return slots(schedule, new Date(Date.UTC(of, 0, 1)), new Date(Date.UTC(of + 1, 0, 1))).map(Number);
}

function assertRefused(text: string, message: string, timeZone?: string): void {
  assert.throws(
    () => parseSchedule(text, timeZone === undefined ? {} : { timeZone }),
    (error: unknown) => {
      assert(error instanceof ScheduleError);
      assert.equal(error.message, message);
      return true;
    },
  );
}

describe("parseSchedule", () => {
  const spelt: [text: string, pattern: string, count?: number][] = [
    ["30 2 * * *", "30 2 * * *"],
    ["  30  2 * *  mon-fri ", "30 2 * * mon-fri"],
    ["hourly", "0 * * * *"],
    ["daily", "0 0 * * *"],
    ["@Daily", "0 0 * * *"],
    ["weekly", "0 0 * * 0"],
    ["monthly", "0 0 1 * *"],
    ["yearly", "0 0 1 1 *"],
    ["7", "0 0 * * *", 7],
    ["7@mon-fri", "0 0 * * 1,2,3,4,5", 7],
    ["7@FRI-mon", "0 0 * * 0,1,5,6", 7],
    ["7@mon,Wed,sun", "0 0 * * 0,1,3", 7],
    ["7@mon-sun", "0 0 * * *", 7],
    ["4@6,18", "0 6,18 * * *", 4],
    ["4@6-9,18", "0 6,7,8,9,18 * * *", 4],
    ["4@22-2", "0 0,1,2,22,23 * * *", 4],
    ["24@0-23", "0 * * * *", 24],
    ["4@sat@6", "0 6 * * 6", 4],
    ["4@6@sat", "0 6 * * 6", 4],
    ["4 @ sat, sun @ 6", "0 6 * * 0,6", 4],
  ];
  for (const [text, pattern, count] of spelt) {
    it("takes no word for a keyword that every object has", () => {
      for (const word of ["constructor", "toString", "__proto__", "@hasOwnProperty"])
        assert.throws(() => parseSchedule(word), ScheduleError);
    });

    it(`reads "${text}" as ${pattern}`, () => {
      const expected = { text, timeZone: "UTC", pattern, takesPoints: true };
      assert.deepEqual(parseSchedule(text), count === undefined ? expected : { ...expected, count });
    });
  }

  it("takes no points when the count is 0", () => {
    const schedule = parseSchedule("0@mon-fri");
    assert.equal(schedule.takesPoints, false);
    assert.equal(schedule.count, 0);
    assert.equal(newestSlot(schedule, now), undefined);
    assert.equal(nextSlot(schedule, now), undefined);
    assert.deepEqual(slots(schedule, new Date(0), now), []);
    assert.equal(longestGapHours(schedule, now), Number.POSITIVE_INFINITY);
    assert.equal(describeSchedule(schedule), "takes no new points");
  });

  it("spreads -random ones by their seed and keeps them for ever", () => {
    const patterns = (seed: string) =>
      ["hourly-random", "daily-random", "@weekly-random"].map(text => parseSchedule(text, { seed }).pattern);
    // These values are in users' stacks: a change would move every set's slot.
    assert.deepEqual(patterns("db"), ["22 * * * *", "22 18 * * *", "22 18 * * 5"]);
    assert.deepEqual(patterns("www"), ["33 * * * *", "33 3 * * *", "33 3 * * 2"]);
    const minutes = new Set(
      Array.from(
        { length: 1000 },
        (_, index) => parseSchedule("daily-random", { seed: `volume-${index}` }).pattern,
      ),
    );
    assert(minutes.size > 600, `1000 sets share ${minutes.size} minutes`);
  });

  const cron = `cron ("30 2 * * *"), count@days@hours ("7@mon-fri@0,12") or one of hourly, daily, weekly, monthly, yearly, hourly-random, daily-random, weekly-random`;
  const noDay = "use mon, tue, wed, thu, fri, sat, sun and ranges such as mon-fri";
  const noHour = "use whole numbers from 0 to 23 and ranges such as 8-17";
  const refused: [text: string, reason: string][] = [
    ["7@mon-xyz", `"xyz" is no day; ${noDay}`],
    ["7@monday", `"monday" is no day; ${noDay}`],
    ["7@mon-", `"mon-" is no day; ${noDay}`],
    ["7@mon,", `"" is no day; ${noDay}`],
    ["7@mon,3", `"3" is no day; ${noDay}`],
    ["7@3,mon", `"mon" is no hour; ${noHour}`],
    ["7@24", `"24" is no hour; ${noHour}`],
    ["7@-1", `"-1" is no hour; ${noHour}`],
    ["7@1-2-3", `"1-2-3" is no range of hours; write it as 8-17`],
    ["7@mon-tue-wed", `"mon-tue-wed" is no range of days; write it as mon-fri`],
    ["7@mon@tue", `"tue" is a second list of days; write count@days@hours`],
    ["7@1@2", `"2" is a second list of hours; write count@days@hours`],
    ["7@mon@1@2", "more than one list of days and one of hours; write count@days@hours"],
    ["7@", `an "@" with no list after it; name days or hours, or leave it away`],
    ["7@@3", `an "@" with no list after it; name days or hours, or leave it away`],
    ...["-1@mon", "@", "@mon", "1.5"].map((text): [string, string] => [
      text,
      `"${text.replace(/@.*/, "")}" is no count of points to keep; start with a whole number from 0 on, as in "7@mon-fri@0,12", or use ${cron}`,
    ]),
    ["foo", `"foo" is no schedule; use ${cron}`],
    ["", `"" is no schedule; use ${cron}`],
    [
      "0 0 * * * *",
      `6 fields, but cron has 5 (minute, hour, day of month, month, day of week; no seconds); use ${cron}`,
    ],
    [
      "61 * * * *",
      "invalid value for minute: 61; the fields of cron are minute, hour, day of month, month, day of week",
    ],
    [
      "0 0 30 2 *",
      `no month has such a day ("30 2 *"), so it is never due; use day L for the last of a month`,
    ],
    [
      "0 0 31 2,4,6,9,11 *",
      `no month has such a day ("31 2,4,6,9,11 *"), so it is never due; use day L for the last of a month`,
    ],
    ["daily-random", "a -random schedule needs a seed; give the resource's name"],
  ];
  for (const [text, reason] of refused) {
    it(`refuses "${text}" and says what to write`, () =>
      assertRefused(text, `reading schedule "${text}": ${reason}`));
  }

  for (const zone of ["Mars/Olympus", "CEST", "+02:00", ""]) {
    it(`refuses the time zone "${zone}"`, () => {
      assertRefused(
        "daily",
        `reading time zone "${zone}": not a zone this machine knows; use an IANA name such as "Europe/Berlin" or "UTC"`,
        zone,
      );
    });
  }
});

describe("newestSlot", () => {
  it("finds the slot at the very instant, and the one before a millisecond earlier", () => {
    const schedule = parseSchedule("30 2 * * *", { timeZone: "Europe/Berlin" });
    const slot = new Date("2026-11-22T01:30:00Z");
    assert.deepEqual(newestSlot(schedule, slot), slot);
    assert.deepEqual(newestSlot(schedule, new Date(slot.getTime() - 1)), new Date("2026-11-21T01:30:00Z"));
    assert.deepEqual(newestSlot(schedule, new Date(slot.getTime() + 999)), slot);
  });

  it("goes back a year, or eight, for a rare one", () => {
    const find = (text: string, at: string) => newestSlot(parseSchedule(text), new Date(at))?.toISOString();
    assert.equal(find("yearly", "2026-12-31T23:59:59Z"), "2026-01-01T00:00:00.000Z");
    assert.equal(find("0 3 29 2 *", "2027-06-01T00:00:00Z"), "2024-02-29T03:00:00.000Z");
    assert.equal(find("0 3 29 2 *", "2104-02-29T02:59:59Z"), "2096-02-29T03:00:00.000Z");
  });

  it("answers for a thousand different sets in a moment", () => {
    const parsed = Array.from({ length: 1000 }, (_, index) =>
      parseSchedule(index % 2 ? "daily-random" : `${index % 60} ${index % 24} * * mon-fri`, {
        timeZone: zones[index % zones.length] ?? "UTC",
        seed: `volume-${index}`,
      }),
    );
    newestSlot(parsed[0] ?? parseSchedule("daily"), now);
    const started = process.cpuUsage();
    for (const schedule of parsed) newestSlot(schedule, now);
    const { user, system } = process.cpuUsage(started);
    // About 20 ms; the bound leaves room for a busy machine.
    assert((user + system) / 1000 < 500, `took ${(user + system) / 1000} ms of processor time`);
  });
});

describe("slots", () => {
  it("excludes the beginning and includes the end", () => {
    const schedule = parseSchedule("4@0,6,12,18");
    const [from, to] = [new Date("2026-11-22T00:00:00Z"), new Date("2026-11-22T12:00:00Z")];
    assert.deepEqual(iso(slots(schedule, from, to)), [
      "2026-11-22T06:00:00.000Z",
      "2026-11-22T12:00:00.000Z",
    ]);
    assert.deepEqual(iso(slots(schedule, from, to, 1)), ["2026-11-22T06:00:00.000Z"]);
    assert.deepEqual(slots(schedule, from, to, 0), []);
    assert.deepEqual(slots(schedule, to, from), []);
  });

  it("runs a skipped slot right after the gap", () => {
    assert.deepEqual(
      iso(
        slots(
          parseSchedule("30 2 * * *", { timeZone: "Europe/Berlin" }),
          new Date("2026-03-28T00:00Z"),
          new Date("2026-03-31T00:00Z"),
        ),
      ),
      ["2026-03-28T01:30:00.000Z", "2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"],
    );
    assert.deepEqual(
      iso(
        slots(
          parseSchedule("daily", { timeZone: "America/Sao_Paulo" }),
          new Date("2018-11-03T00:00Z"),
          new Date("2018-11-06T00:00Z"),
        ),
      ),
      ["2018-11-03T03:00:00.000Z", "2018-11-04T03:00:00.000Z", "2018-11-05T02:00:00.000Z"],
    );
  });

  it("runs a repeated slot once, at its first time", () => {
    assert.deepEqual(
      iso(
        slots(
          parseSchedule("30 2 * * *", { timeZone: "Europe/Berlin" }),
          new Date("2026-10-24T12:00Z"),
          new Date("2026-10-26T12:00Z"),
        ),
      ),
      ["2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z"],
    );
    assert.deepEqual(
      iso(
        slots(
          parseSchedule("45 1 * * *", { timeZone: "Australia/Lord_Howe" }),
          new Date("2026-04-03T20:00Z"),
          new Date("2026-04-05T20:00Z"),
        ),
      ),
      ["2026-04-04T14:45:00.000Z", "2026-04-05T15:15:00.000Z"],
    );
  });

  it("follows real time when it runs every hour", () => {
    const hourly = parseSchedule("hourly", { timeZone: "Europe/Berlin" });
    for (const at of ["2026-03-29", "2026-10-25"]) {
      const found = slots(hourly, new Date(`${at}T00:00Z`), new Date(`${at}T04:00Z`)).map(date =>
        date.getUTCHours(),
      );
      assert.deepEqual(found, [1, 2, 3, 4]);
    }
  });

  for (const zone of zones) {
    it(`has every slot of every local day exactly once in ${zone}`, () => {
      const localDay = new Intl.DateTimeFormat("en-CA", { timeZone: zone });
      for (const of of [2010, 2011, 2018, 2026]) {
        for (const text of ["daily", "30 2 * * *", "45 1 * * *", "59 23 * * *"]) {
          const found = year(text, zone, of);
          assert(found.length >= 364, `${text} ${of}: ${found.length} slots`);
          const steps = found.map((time, index) => {
            const [today, before] = [time, found[index - 1] ?? time - day].map(t =>
              Date.parse(localDay.format(t)),
            );
            return ((today ?? 0) - (before ?? 0)) / day;
          });
          // Apia left out 2011-12-30: its slot is the next midnight, where "daily" has one already.
          const odd = zone === "Pacific/Apia" && of === 2011 ? (text === "daily" ? [2] : [2, 0]) : [];
          assert.deepEqual(
            steps.slice(1).filter(step => step !== 1),
            odd,
            `${text} ${of}`,
          );
        }
      }
    });

    it(`agrees with croner around every clock change in ${zone}`, () => {
      // croner calls "no-wildcard" what is here every schedule that names its hours.
      const options = { timezone: zone, mode: "5-part", fixedTimeRule: "no-wildcard" } as const;
      for (const pattern of patterns) {
        const schedule = parseSchedule(pattern, { timeZone: zone });
        const cron = new Cron(pattern, options);
        for (const [from, to] of clockChanges(zone)) {
          const expected: Date[] = [];
          for (let run = cron.nextRun(from); run && run <= to; run = cron.nextRun(run)) expected.push(run);
          // The one difference: croner drops the slots of the day that Apia left out.
          const kept = slots(schedule, from, to).filter(
            slot =>
              slot.getTime() !== Date.UTC(2011, 11, 30, 10) ||
              expected.some(run => Number(run) === Number(slot)),
          );
          assert.deepEqual(iso(kept), iso(expected), pattern);
        }
      }
    });
  }

  it("is what newestSlot and nextSlot step through", () => {
    const text = fc.constantFrom(
      "30 2 * * *",
      "hourly",
      "0 0 * * *",
      "7@mon-fri@1-3",
      "0 3 L * *",
      "*/15 0-2 * * *",
      "weekly",
    );
    const zone = fc.constantFrom(...zones);
    const at = fc.date({ min: new Date("2009-01-01"), max: new Date("2030-01-01"), noInvalidDate: true });
    fc.assert(
      fc.property(text, zone, at, (spelling, timeZone, from) => {
        const schedule = parseSchedule(spelling, { timeZone });
        const to = new Date(from.getTime() + 70 * 86_400_000);
        const listed = slots(schedule, from, to);
        const forth: Date[] = [];
        for (let slot = nextSlot(schedule, from); slot && slot <= to; slot = nextSlot(schedule, slot))
          forth.push(slot);
        const back: Date[] = [];
        for (let slot = newestSlot(schedule, to); slot && slot > from; ) {
          back.unshift(slot);
          slot = newestSlot(schedule, new Date(slot.getTime() - 1));
        }
        assert.deepEqual(iso(forth), iso(listed));
        assert.deepEqual(iso(back), iso(listed));
      }),
      { numRuns: 60 },
    );
  });
});

describe("longestGapHours", () => {
  const gaps: [text: string, zone: string, hours: number][] = [
    ["hourly", "Europe/Berlin", 1],
    ["*/15 * * * *", "Europe/Berlin", 0.25],
    ["15 * * * *", "Australia/Lord_Howe", 1.5],
    ["daily", "UTC", 24],
    ["daily", "Europe/Berlin", 25],
    ["30 1 * * *", "Australia/Lord_Howe", 24.5],
    ["7@mon-fri", "UTC", 72],
    ["7@mon-fri", "America/New_York", 73],
    ["4@6,18", "UTC", 12],
    ["weekly", "UTC", 168],
    ["monthly", "UTC", 744],
    ["yearly", "UTC", 8760],
    ["0 0 29 2 *", "UTC", 35_064],
  ];
  for (const [text, timeZone, hours] of gaps) {
    it(`of "${text}" in ${timeZone} is ${hours}`, () => {
      assert.equal(longestGapHours(parseSchedule(text, { timeZone }), now), hours);
    });
  }
});

describe("describeSchedule", () => {
  const described: [text: string, line: string][] = [
    ["30 2 * * *", "every day at 02:30 Europe/Berlin"],
    ["hourly", "every hour Europe/Berlin"],
    ["*/15 * * * *", "every hour at :00, :15, :30, :45 Europe/Berlin"],
    ["7@mon,wed@6,18", "every Monday and Wednesday at 06:00 and 18:00 Europe/Berlin, keeping the last 7"],
    ["monthly", "on day 1 of every month at 00:00 Europe/Berlin"],
    ["yearly", "on 01-01 of every year at 00:00 Europe/Berlin"],
    ["0 2 L * *", `cron "0 2 L * *" Europe/Berlin`],
  ];
  for (const [text, line] of described) {
    it(`calls "${text}" ${line}`, () => {
      assert.equal(describeSchedule(parseSchedule(text, { timeZone: "Europe/Berlin" })), line);
    });
  }
});
