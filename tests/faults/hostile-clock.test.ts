import assert from "node:assert/strict";
import { tidyUp } from "../provider/restic/fixture";
import { HostilePlace, type HostileStack } from "./hostile-set";

const at = (time: string) => `2026-11-22T${time}:00Z`;
const minute = 60_000;

/** What `step` asks for from one instant to another, both included. */
function every(step: number, from: string, to: string): string[] {
  const found: string[] = [];
  for (let now = Date.parse(from); now <= Date.parse(to); now += step * minute)
    found.push(new Date(now).toISOString());
  return found;
}

describe("a clock that is wrong", function () {
  this.timeout(60_000);
  let place: HostilePlace;
  let stack: HostileStack;

  beforeEach(async () => {
    place = await HostilePlace.open();
    stack = place.stack({
      pg: {
        volumeId: await place.addVolume(),
        snapshot: { retention: { keepLast: 2 } },
        backup: { retention: { keepLast: 2 } },
      },
    });
  });
  afterEach(() => place.close());
  after(tidyUp);

  const cinder = () => place.cinderSlots(stack.owner("pg-snapshot"));
  const restic = () => place.resticSlots(stack.owner("pg-backup"));

  it("makes nothing while it is an hour back, and goes on when the next slot has come", async () => {
    await stack.upWell(at("09:10"));
    // the slot of 10:00 was missed, and is not made up for
    await stack.upWell(at("11:10"));
    const changes = place.changes();
    for (const time of ["10:11", "10:40", "11:00", "11:10", "11:59"]) await stack.upWell(at(time));
    assert.deepEqual(place.changes(), changes);
    assert.deepEqual(await restic(), [at("09:00"), at("11:00")]);
    await stack.upWell(at("12:10"));
    // one more than are kept: it goes when the next point is taken, because the newest's copy was not yet proven
    assert.deepEqual(cinder(), [at("09:00"), at("11:00"), at("12:00")]);
    assert.deepEqual(await restic(), [at("11:00"), at("12:00")]);
    await stack.assertWhole();
  });

  it("takes one point early when it is an hour ahead for one run, and none twice when it is right again", async () => {
    await stack.upWell(at("10:10"));
    await stack.upWell(at("12:20"));
    const changes = place.changes();
    for (const time of ["11:30", "11:50", "12:00", "12:10"]) await stack.upWell(at(time));
    assert.deepEqual(place.changes(), changes);
    await stack.upWell(at("13:00"));
    assert.deepEqual(await restic(), [at("12:00"), at("13:00")]);
    await stack.assertWhole();
  });

  it("costs no point where it is an hour back and the state is lost as well", async () => {
    for (const time of ["10:10", "11:10", "12:10"]) await stack.upWell(at(time));
    const copies = (await place.resticPoints(stack.name)).map(({ id }) => id);
    stack.loseState();
    await stack.upWell(at("11:15"));
    assert.deepEqual(cinder(), [at("11:00"), at("12:00")]);
    assert.deepEqual(
      (await place.resticPoints(stack.name)).map(({ id }) => id),
      copies,
    );
    await stack.assertWhole();
    await stack.upWell(at("13:00"));
    assert.deepEqual(await restic(), [at("12:00"), at("13:00")]);
    await stack.assertWhole();
  });

  it("that stands exactly at a slot takes it, once, and not a moment earlier", async () => {
    await stack.upWell("2026-11-22T10:59:59.999Z");
    assert.deepEqual(await restic(), [at("10:00")]);
    await stack.upWell("2026-11-22T11:00:00.000Z");
    assert.deepEqual(await restic(), [at("10:00"), at("11:00")]);
    const changes = place.changes();
    await stack.upWell("2026-11-22T11:00:00.000Z");
    await stack.upWell("2026-11-22T11:00:00.001Z");
    assert.deepEqual(place.changes(), changes);
    await stack.assertWhole();
  });

  it("passes a slot between the check and the work of a run: the next run takes that one", async () => {
    const { driver } = stack.process("2026-11-22T10:59:59Z");
    const given = { owner: stack.owner("late"), volumeId: await place.addVolume(), schedule: "0 * * * *" };
    const { inputs } = await driver.check("CinderSnapshot", undefined, given);
    stack.environment.OSBACKUP_NOW = "2026-11-22T11:00:02Z";
    const { outputs } = await driver.create("CinderSnapshot", inputs);
    assert.equal(outputs.takenAt, "2026-11-22T11:00:02Z");
    assert.deepEqual(place.cinderSlots(stack.owner("late")), [at("10:00")]);
    const next = await stack
      .process("2026-11-22T11:01:00Z")
      .driver.check("CinderSnapshot", { ...inputs, ...outputs }, given);
    assert.equal(next.inputs.slot, at("11:00"));
  });

  describe("where it changes for summer and winter", () => {
    /** Runs a set of Cinder points in each of these instants, and says which slots it has then. */
    async function slotsOf(
      schedule: string,
      instants: string[],
      more: object = {},
    ): Promise<(string | undefined)[]> {
      const zone = { timeZone: "Europe/Prague", retention: { keepLast: 100 } };
      const night = place.stack(
        {
          pg: { volumeId: await place.addVolume(), snapshot: { schedule, ...zone, ...more }, backup: false },
        },
        "shop/night",
      );
      for (const now of instants) await night.upWell(now);
      await night.assertWhole();
      return place.cinderSlots(night.owner("pg-snapshot"));
    }

    it("takes the one nightly point of an hour that comes twice", async () => {
      assert.deepEqual(
        await slotsOf("30 2 * * *", every(30, "2026-10-24T00:35:00Z", "2026-10-26T02:00:00Z")),
        ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
      );
    });

    it("takes the one nightly point of an hour that is skipped", async () => {
      assert.deepEqual(
        await slotsOf("30 2 * * *", every(30, "2026-03-28T01:35:00Z", "2026-03-30T01:00:00Z")),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
      );
    });

    it("takes a point of each hour, also of that which comes twice", async () => {
      const night = every(20, "2026-10-24T22:05:00Z", "2026-10-25T03:05:00Z");
      assert.deepEqual(
        await slotsOf("0 * * * *", night),
        every(60, "2026-10-24T22:00:00Z", "2026-10-25T03:00:00Z").map(whole),
      );
    });

    it("takes nothing twice where a machine's own clock is put back by hand in that night", async () => {
      const before = ["2026-10-25T00:05:00Z", "2026-10-25T02:05:00Z"];
      const again = every(15, "2026-10-25T00:50:00Z", "2026-10-25T03:05:00Z");
      assert.deepEqual(await slotsOf("0 * * * *", [...before, ...again]), [
        "2026-10-25T00:00:00Z",
        "2026-10-25T02:00:00Z",
        "2026-10-25T03:00:00Z",
      ]);
    });

    it("keeps the last point of each local day, also of the day of 25 hours", async () => {
      const ends = ["24T21", "24T22", "25T22", "25T23", "26T22"].map(hour => `2026-10-${hour}:05:00Z`);
      assert.deepEqual(await slotsOf("0 * * * *", ends, { retention: { keepDaily: 3 } }), [
        "2026-10-24T21:00:00Z",
        "2026-10-25T22:00:00Z",
        "2026-10-26T22:00:00Z",
      ]);
    });
  });
});

const whole = (instant: string) => instant.replace(".000Z", "Z");
