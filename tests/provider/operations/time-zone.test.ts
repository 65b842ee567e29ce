import assert from "node:assert/strict";
import { goBack, instantsOf, isTimeZone, offsetAt } from "../../../provider/operations/time-zone";

const hour = 3_600_000;

describe("isTimeZone", () => {
  it("knows IANA names and nothing else", () => {
    for (const name of ["UTC", "Europe/Berlin", "europe/berlin", "Asia/Kathmandu", "EST"])
      assert(isTimeZone(name), name);
    for (const name of ["", "Berlin", "+01:00", "CEST", " UTC"]) assert(!isTimeZone(name), name);
  });
});

describe("offsetAt", () => {
  const offsets: [zone: string, at: string, hours: number][] = [
    ["UTC", "2026-07-01T00:00:00Z", 0],
    ["Europe/Berlin", "2026-03-29T00:59:59.999Z", 1],
    ["Europe/Berlin", "2026-03-29T01:00:00Z", 2],
    ["Europe/Berlin", "2026-10-25T00:59:59.999Z", 2],
    ["Europe/Berlin", "2026-10-25T01:00:00Z", 1],
    ["Australia/Lord_Howe", "2026-01-01T00:00:00Z", 11],
    ["Australia/Lord_Howe", "2026-07-01T00:00:00Z", 10.5],
    ["Asia/Kathmandu", "2026-07-01T00:00:00Z", 5.75],
    ["Pacific/Apia", "2011-12-30T09:59:59Z", -10],
    ["Pacific/Apia", "2011-12-30T10:00:00Z", 14],
    ["America/New_York", "1969-12-31T23:59:59.5Z", -5],
  ];
  for (const [zone, at, hours] of offsets) {
    it(`is ${hours} hours in ${zone} at ${at}`, () =>
      assert.equal(offsetAt(zone, Date.parse(at)) / hour, hours));
  }
});

describe("instantsOf", () => {
  const show = (zone: string, wall: string) => {
    const { instants, gapEnd } = instantsOf(zone, Date.parse(`${wall}Z`));
    const iso = instants.map(instant => new Date(instant).toISOString());
    return gapEnd === undefined ? iso : [...iso, `gap until ${new Date(gapEnd).toISOString()}`];
  };

  it("finds one instant on an ordinary day", () => {
    assert.deepEqual(show("Europe/Berlin", "2026-11-22T02:30"), ["2026-11-22T01:30:00.000Z"]);
  });

  it("finds two when clocks are put back", () => {
    assert.deepEqual(show("Europe/Berlin", "2026-10-25T02:30"), [
      "2026-10-25T00:30:00.000Z",
      "2026-10-25T01:30:00.000Z",
    ]);
    assert.deepEqual(show("Europe/Berlin", "2026-10-25T03:00"), ["2026-10-25T02:00:00.000Z"]);
  });

  it("finds the end of the gap when clocks are put forward", () => {
    assert.deepEqual(show("Europe/Berlin", "2026-03-29T02:00"), ["gap until 2026-03-29T01:00:00.000Z"]);
    assert.deepEqual(show("Europe/Berlin", "2026-03-29T03:00"), ["2026-03-29T01:00:00.000Z"]);
    assert.deepEqual(show("America/Sao_Paulo", "2018-11-04T00:00"), ["gap until 2018-11-04T03:00:00.000Z"]);
    assert.deepEqual(show("Pacific/Apia", "2011-12-30T12:00"), ["gap until 2011-12-30T10:00:00.000Z"]);
  });
});

describe("goBack", () => {
  const back = (
    zone: string,
    from: string,
    by: { years?: number; months?: number; days?: number; hours?: number },
  ) =>
    new Date(goBack(zone, Date.parse(from), { years: 0, months: 0, days: 0, hours: 0, ...by })).toISOString();

  it("runs over into the next month where the day is lacking", () => {
    assert.equal(back("UTC", "2026-03-31T12:00:00Z", { months: 1 }), "2026-03-03T12:00:00.000Z");
    assert.equal(back("UTC", "2024-02-29T12:00:00Z", { years: 1 }), "2023-03-01T12:00:00.000Z");
  });

  it("keeps the time on the wall for days, and real time for hours", () => {
    assert.equal(back("Europe/Berlin", "2026-03-30T00:30:00Z", { days: 2 }), "2026-03-28T01:30:00.000Z");
    assert.equal(back("Europe/Berlin", "2026-03-30T00:30:00Z", { hours: 48 }), "2026-03-28T00:30:00.000Z");
  });

  // Each was seen in what `restic forget --keep-within 1m` of restic 0.14 keeps and removes.
  const likeRestic: [zone: string, from: string, to: string][] = [
    ["Europe/Berlin", "2026-04-29T00:30:00Z", "2026-03-29T01:30:00.000Z"], // 02:30 was skipped
    ["Europe/Berlin", "2025-11-26T01:30:00Z", "2025-10-26T01:30:00.000Z"], // 02:30 came twice
    ["America/New_York", "2026-04-08T06:30:00Z", "2026-03-08T06:30:00.000Z"],
    ["America/New_York", "2025-12-02T06:30:00Z", "2025-11-02T05:30:00.000Z"],
  ];
  for (const [zone, from, to] of likeRestic) {
    it(`does at a clock change in ${zone} as restic does`, () =>
      assert.equal(back(zone, from, { months: 1 }), to));
  }

  it("holds everything when it goes back beyond time", () => {
    assert.equal(
      goBack("UTC", 0, { years: 999_999_999, months: 0, days: 0, hours: 0 }),
      Number.NEGATIVE_INFINITY,
    );
  });
});
