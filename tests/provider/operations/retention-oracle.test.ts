import assert from "node:assert/strict";
import { compareWithRestic } from "../../../scripts/retention-oracle";

/*
 * restic is the reference for every rule that both have. What differs, by intent:
 * - Ours never removes the newest good point; restic does when no rule keeps it (keepTags alone, a misspelt tag).
 * - From 0.16 on restic also keeps the oldest snapshot while a rule has counts left ("oldest daily snapshot"). Ours does
 *   not, as 0.14: a policy means the same from the first day on, and whatever restic is installed.
 * - --keep-daily -1 removes everything in 0.14 and is "unlimited" since 0.16; --keep-last 0 alone removes nothing.
 *   Ours refuses negative numbers and has no unlimited; without any rule nothing is removed.
 * - restic counts --keep-within back from the newest snapshot that is not in the future, ours from asOf (here the same).
 * - restic's buckets follow the zone of each snapshot's own offset (TZ of the process where the two agree); ours the
 *   one zone that is given.
 * - keepForDays is ours; it is compared with --keep-within in hours. minimum and good are ours alone.
 */
describe("applyRetention, against restic forget", () => {
  it("keeps the same points for the same reasons in 2,000 random cases", () => {
    const { cases, mismatches, newestRemoved } = compareWithRestic(2000, 20_261_122);
    assert.equal(mismatches.length, 0, mismatches[0]);
    assert(cases >= 2000);
    assert(newestRemoved > 0, "no case in which restic removes the newest point");
  }).timeout(60_000);
});
