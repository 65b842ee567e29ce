import assert from "node:assert/strict";
import { retentionRuleRequired } from "../../../sdk/policy";
import { type Examined, examine, unknownStringValue } from "./examine";

const check = (examined: Examined) => examine(retentionRuleRequired, examined);

describe("retention-rule-required", () => {
  it("accepts a retention that keeps something", () => {
    assert.deepEqual(check({ props: { retention: { keepLast: 3, keepForDays: 7 } } }), []);
    assert.deepEqual(check({ type: "ResticBackup", props: { retention: { keepWithin: "1m" } } }), []);
  });

  it("accepts the count of a schedule, and one of 0", () => {
    assert.deepEqual(check({ props: { schedule: "7@mon-fri" } }), []);
    assert.deepEqual(check({ props: { schedule: "7@mon-fri", retention: {} } }), []);
    assert.deepEqual(check({ props: { schedule: "0" } }), []);
  });

  it("reports a set without retention", () => {
    assert.deepEqual(check({ type: "ResticBackup" }), [
      "db has no retention, so that its points are kept for ever; set retention.keepLast or another rule",
    ]);
  });

  it("reports rules that keep nothing", () => {
    const reason =
      "db: retention keeps nothing: set keepLast, keepForDays, keepDaily or another rule above 0";
    for (const retention of [{}, { keepLast: 0 }, { keepWithin: "0d" }]) {
      assert.deepEqual(check({ props: { retention } }), [reason]);
    }
  });

  it("reports a tag as the only rule, and values that cannot be", () => {
    assert.deepEqual(check({ props: { retention: { keepTags: [["hold"]] } } }), [
      "db: retention.keepTags is the only rule, so that points without the tag are all removed: add a count or a window",
    ]);
    assert.deepEqual(check({ props: { retention: { keepDaily: -1 } } }), [
      "db: retention.keepDaily is -1, but there is no unlimited: name a number",
    ]);
  });

  it("has nothing to say of other resources", () => {
    assert.deepEqual(check({ type: "TemporaryVolume" }), []);
    assert.deepEqual(check({ type: "openstack:blockstorage/volume:Volume" }), []);
    assert.deepEqual(check({ type: "pulumi-nodejs:dynamic/other:ResticBackup" }), []);
  });

  it("is not held up by what it does not read, and stops at an unknown that it needs", () => {
    assert.deepEqual(check({ props: { volumeId: unknownStringValue, retention: { keepLast: 1 } } }), []);
    assert.throws(() => check({ props: { retention: { keepWithin: unknownStringValue } } }), {
      message: "string value at .retention.keepWithin can't be known during preview",
    });
  });
});
