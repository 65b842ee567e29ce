import assert from "node:assert/strict";
import { Members } from "../../../provider/operations/members";
import type { ResticPoint } from "../../../provider/operations/restic-set";

const point = (id: string): ResticPoint => ({
  id,
  owner: "shop/prod/set",
  time: new Date("2026-11-22T10:00:00Z"),
  good: true,
  tags: [],
  tree: "",
  slot: "2026-11-22T10:00:00Z",
  trigger: undefined,
  takenAt: "2026-11-22T10:00:00Z",
});

describe("Members", () => {
  it("says which of adoptIds is the beginning of several snapshots, and adopts none of these", async () => {
    const members = new Members({
      owners: ["shop/prod/set"],
      remembered: [],
      adoptIds: ["0123abcd", "0123abcd1"],
      latest: new Date("2026-11-22T10:10:00Z"),
      proof: async () => ({ ids: new Set(), begun: new Set() }),
    });
    const marked = [point("0123abcd1"), point("0123abcd2")];
    assert.deepEqual(await members.among(marked), [marked[0]]);
    assert.deepEqual(members.unadopted, [
      "adoptIds: 2 restic snapshots with the mark of this set begin with 0123abcd, none is adopted for it: give more digits",
    ]);
  });
});
