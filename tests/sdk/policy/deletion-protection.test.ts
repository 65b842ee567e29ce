import assert from "node:assert/strict";
import { deletionProtection } from "../../../sdk/policy";
import { type Examined, examine } from "./examine";

const check = (examined: Examined) => examine(deletionProtection, examined);
const gold = { tier: "gold" };

describe("deletion-protection", () => {
  it("reports a set of the tier that would go with its resource", () => {
    const message =
      'db of tier gold would lose its recovery points with the resource: set deletionPolicy "retain" or the option protect';
    assert.deepEqual(check({ props: { metadata: gold } }), [message]);
    assert.deepEqual(check({ props: { metadata: gold, deletionPolicy: "delete" } }), [message]);
    assert.deepEqual(check({ type: "ResticBackup", props: { deletionPolicy: "delete" }, stackTags: gold }), [
      message,
    ]);
  });

  it("accepts what is retained or protected", () => {
    assert.deepEqual(check({ props: { metadata: gold, deletionPolicy: "retain" } }), []);
    assert.deepEqual(check({ props: { metadata: gold, deletionPolicy: "delete" }, protect: true }), []);
    assert.deepEqual(check({ type: "ResticBackup", stackTags: gold }), []);
  });

  it("leaves other tiers and other resources alone", () => {
    assert.deepEqual(check({ props: {} }), []);
    assert.deepEqual(check({ props: { metadata: { tier: "silver" } } }), []);
    assert.deepEqual(check({ type: "TemporaryVolume", stackTags: gold }), []);
  });

  it("examines every set when the tiers are *", () => {
    assert.deepEqual(check({ props: {}, config: { tiers: ["*"] } }), [
      'db would lose its recovery points with the resource: set deletionPolicy "retain" or the option protect',
    ]);
  });
});
