import assert from "node:assert/strict";
import { parseTime } from "../../../provider/openstack";

describe("parseTime", () => {
  for (const [text, expected] of [
    ["2026-11-22T02:13:35.507750", "2026-11-22T02:13:35.507Z"],
    ["2026-11-22T02:13:35.000000", "2026-11-22T02:13:35.000Z"],
    ["2026-11-22T03:13:31.000000Z", "2026-11-22T03:13:31.000Z"],
    ["2026-11-22T03:13:31+01:00", "2026-11-22T02:13:31.000Z"],
  ] as const) {
    it(`reads ${text} as ${expected}`, () => assert.equal(parseTime(text).toISOString(), expected));
  }

  it("refuses what is no time", () => assert.throws(() => parseTime(""), /not a time: ""/));
});
