import assert from "node:assert/strict";
import { timeOf } from "../../../provider/operations/inventory";

describe("timeOf", () => {
  const row = { created_at: "2026-11-22T02:13:35.000000" };
  const at = (time?: string, slot?: string) =>
    new Date(
      timeOf({ row, mark: { owner: "shop/prod/pg", set: "pg", role: "recovery-point", time, slot } }),
    ).toISOString();

  it("is what the mark says, else its slot, else when Cinder made the object", () => {
    assert.equal(at("2026-11-22T01:00:00Z", "2026-11-22T00:00:00Z"), "2026-11-22T01:00:00.000Z");
    assert.equal(at(undefined, "2026-11-22T00:00:00Z"), "2026-11-22T00:00:00.000Z");
    assert.equal(at(), "2026-11-22T02:13:35.000Z");
  });

  it("does not fail on a mark that somebody has damaged", () => {
    assert.equal(at("yesterday"), "2026-11-22T02:13:35.000Z");
  });
});
