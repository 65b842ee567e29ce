import assert from "node:assert/strict";
import { describePoint } from "../../../provider/operations/snapshot-set";

describe("describePoint", () => {
  const time = new Date("2026-11-22T04:10:31.250Z");

  it("names the slot when the point has one", () => {
    assert.equal(
      describePoint({ id: "d865fa6b-dcb5", time, slot: "2026-11-22T04:00:00Z" }),
      "d865fa6b of 2026-11-22T04:00:00Z",
    );
  });

  it("names the moment when there is no schedule", () => {
    assert.equal(describePoint({ id: "d865fa6b-dcb5", time, slot: "" }), "d865fa6b of 2026-11-22T04:10:31Z");
    assert.equal(describePoint({ id: "d865fa6b-dcb5", time }), "d865fa6b of 2026-11-22T04:10:31Z");
  });
});
