import assert from "node:assert/strict";
import { rpoMaximum } from "../../../sdk/policy";
import { type Examined, examine } from "./examine";

const check = (examined: Examined) => examine(rpoMaximum, examined);

describe("rpo-maximum", () => {
  it("accepts a daily schedule in a zone with summer time by default", () => {
    assert.deepEqual(check({ props: { schedule: "30 2 * * *", timeZone: "Europe/Berlin" } }), []);
  });

  it("counts the 25th hour of the day on which clocks are put back", () => {
    const config = { maxRpoHours: 24 };
    assert.deepEqual(check({ props: { schedule: "daily", timeZone: "UTC" }, config }), []);
    assert.deepEqual(check({ props: { schedule: "daily", timeZone: "Europe/Berlin" }, config }), [
      'db leaves up to 25 hours between points ("daily" Europe/Berlin); at most 24 are allowed',
    ]);
  });

  it("counts the weekend", () => {
    assert.deepEqual(check({ props: { schedule: "7@mon-fri" } }), [
      'db leaves up to 72 hours between points ("7@mon-fri" UTC); at most 25 are allowed',
    ]);
  });

  it("goes by the tier of the resource's metadata, or of the stack's tags", () => {
    const props = { schedule: "6@0,6,12,18", metadata: { tier: "gold" } };
    const tooLong =
      'db leaves up to 6 hours between points ("6@0,6,12,18" UTC); at most 4 are allowed for tier gold';
    assert.deepEqual(check({ props }), [tooLong]);
    assert.deepEqual(check({ props: { schedule: "6@0,6,12,18" }, stackTags: { tier: "gold" } }), [tooLong]);
    assert.deepEqual(
      check({ props: { ...props, metadata: { tier: "silver" } }, stackTags: { tier: "gold" } }),
      [],
    );
    assert.deepEqual(check({ props: { schedule: "weekly", metadata: { tier: "bronze" } } }), []);
    assert.deepEqual(
      check({ props: { ...props, metadata: { class: "gold" } }, config: { tierKey: "class" } }),
      [tooLong],
    );
  });

  it("reports sets that take no points by themselves", () => {
    const rest = "and takes no points by itself; of the hours between points at most 25 are allowed";
    assert.deepEqual(check({ props: {} }), [`db has no schedule ${rest}`]);
    assert.deepEqual(check({ props: { schedule: "daily", paused: true } }), [`db is paused ${rest}`]);
    assert.deepEqual(check({ props: { schedule: "0" } }), [`db has a count of 0 ${rest}`]);
  });

  it("has nothing to say of a ResticBackup and of other resources", () => {
    assert.deepEqual(check({ type: "ResticBackup" }), []);
    assert.deepEqual(check({ type: "TemporaryVolume" }), []);
  });

  it("spreads a -random schedule by the owner, as the provider does", () => {
    assert.deepEqual(check({ props: { schedule: "daily-random", owner: "shop/dev/db" } }), []);
  });
});
