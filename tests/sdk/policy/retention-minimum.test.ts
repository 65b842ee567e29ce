import assert from "node:assert/strict";
import { retentionMinimum } from "../../../sdk/policy";
import { type Examined, examineStack, unknownStringValue } from "./examine";

const check = ({ props = {}, config = {}, ...rest }: Examined) =>
  examineStack(retentionMinimum, [{ ...rest, props }], config).map(([message]) => message);

function snapshots(retention: unknown, schedule = "daily", config = {}, timeZone = "UTC"): string[] {
  return check({ props: { schedule, timeZone, retention }, config });
}

describe("retention-minimum", () => {
  it("accepts any mix of rules that reaches far enough", () => {
    assert.deepEqual(snapshots({ keepLast: 3, keepForDays: 7 }), []);
    assert.deepEqual(snapshots({ keepDaily: 7 }), []);
    assert.deepEqual(snapshots({ keepLast: 7 }), []);
    assert.deepEqual(snapshots({ keepWithin: "7d" }, "30 2 * * *", {}, "Europe/Berlin"), []);
    assert.deepEqual(snapshots(undefined, "7@2"), []);
    assert.deepEqual(snapshots({ keepLast: 2, keepMonthly: 3 }, "monthly"), []);
  });

  it("reports a policy that does not reach back far enough, with the days it does", () => {
    assert.deepEqual(snapshots({ keepLast: 5 }), [
      "db can be left with points that reach back 5 days; 7 days are required (retention-minimum.minDays)",
    ]);
    assert.deepEqual(snapshots({ keepLast: 24 }, "hourly"), [
      "db can be left with points that reach back 1 day; 7 days are required (retention-minimum.minDays)",
    ]);
    // The day after New Year's day the points of two years are two days apart.
    assert.deepEqual(snapshots({ keepLast: 3, keepYearly: 2 }), [
      "db can be left with points that reach back 3 days; 7 days are required (retention-minimum.minDays)",
    ]);
  });

  it("reports too few of the newest points", () => {
    assert.deepEqual(snapshots({ keepLast: 2 }, "weekly"), [
      "db keeps 2 of the 3 newest points (retention-minimum.minKeepLast)",
    ]);
    assert.deepEqual(snapshots({ keepDaily: 7 }, "hourly"), [
      "db can be left with points that reach back 5.08 days; 7 days are required (retention-minimum.minDays)",
      "db keeps 1 of the 3 newest points (retention-minimum.minKeepLast)",
    ]);
  });

  it("reports periods without a point", () => {
    const config = { minDays: 0, minKeepLast: 0, minKeepDaily: 14, minKeepMonthly: 6 };
    assert.deepEqual(snapshots({ keepLast: 14, keepMonthly: 6 }, "daily", config), []);
    assert.deepEqual(snapshots({ keepLast: 10, keepMonthly: 6 }, "daily", config), [
      "db keeps 10 of the 14 newest days that have points (retention-minimum.minKeepDaily)",
    ]);
    assert.deepEqual(snapshots({ keepForDays: 14, keepMonthly: 4 }, "daily", config), [
      "db keeps 4 of the 6 newest months that have points (retention-minimum.minKeepMonthly)",
    ]);
    assert.deepEqual(
      snapshots({ keepLast: 6 }, "monthly", { ...config, minKeepDaily: 0, minKeepYearly: 1 }),
      [],
    );
  });

  it("takes a ResticBackup, which has no schedule of its own, to run by assumedSchedule", () => {
    const backup = (retention: unknown, config = {}) =>
      check({ type: "ResticBackup", props: { retention }, config });
    assert.deepEqual(backup({ keepDaily: 7 }), []);
    assert.deepEqual(backup({ keepLast: 7 }, { assumedSchedule: "4@0,6,12,18" }), [
      "db can be left with points that reach back 1.75 days; 7 days are required (retention-minimum.minDays)",
    ]);
  });

  describe("of a volume with several sets", () => {
    const snapshot = (retention: unknown, more = {}) => ({
      name: "db-snapshot",
      props: { owner: "shop/dev/db-snapshot", volumeId: "v1", schedule: "hourly", retention, ...more },
    });
    const backup = (retention: unknown, volumeId = "v1") => ({
      type: "ResticBackup",
      name: "db-backup",
      props: { source: { owner: "shop/dev/db-snapshot", volumeId }, ...(retention ? { retention } : {}) },
    });
    const judge = (...resources: Parameters<typeof examineStack>[1]) =>
      examineStack(retentionMinimum, resources);

    it("accepts short-lived snapshots whose restic snapshots keep what is required", () => {
      assert.deepEqual(judge(snapshot({ keepLast: 3 }), backup({ keepLast: 3, keepDaily: 14 })), []);
      assert.deepEqual(judge(snapshot({ keepLast: 3 }), backup(undefined)), []);
    });

    it("reports the best set alone, and weighs restic snapshots by the schedule of what they follow", () => {
      assert.deepEqual(judge(snapshot({ keepLast: 2 }), backup({ keepLast: 24 })), [
        [
          "db-backup, the best of the 2 sets of its volume, can be left with points that reach back 1 day; 7 days are required (retention-minimum.minDays)",
          "db-backup",
        ],
      ]);
    });

    it("takes the set that reaches back furthest among equals, in whatever order they come", () => {
      const [short, long] = [snapshot({ keepLast: 3 }), backup({ keepLast: 4 })];
      for (const sets of [[short, long] as const, [long, short] as const])
        assert.deepEqual(judge(...sets), [
          [
            "db-backup, the best of the 2 sets of its volume, can be left with points that reach back 4 hours; 7 days are required (retention-minimum.minDays)",
            "db-backup",
          ],
        ]);
    });

    it("accepts a short set beside a long one of the same volume, and no other volume's", () => {
      const long = (volumeId: string) => ({
        name: "db-daily",
        props: { owner: "shop/dev/db-daily", volumeId, schedule: "daily", retention: { keepLast: 7 } },
      });
      assert.deepEqual(judge(snapshot({ keepLast: 3 }), long("v1")), []);
      assert.deepEqual(judge(snapshot({ keepLast: 3 }), long("v2")), [
        [
          "db-snapshot can be left with points that reach back 3 hours; 7 days are required (retention-minimum.minDays)",
          "db-snapshot",
        ],
      ]);
    });

    it("knows what belongs together in a preview in which the volume is yet to be made", () => {
      const unknown = { volumeId: unknownStringValue };
      assert.deepEqual(
        judge(snapshot({ keepLast: 3 }, unknown), backup({ keepLast: 3, keepDaily: 14 }, unknownStringValue)),
        [],
      );
    });
  });

  it("accepts what keeps everything, and what takes no points", () => {
    assert.deepEqual(check({ type: "ResticBackup" }), []);
    assert.deepEqual(check({ props: { schedule: "daily" } }), []);
    assert.deepEqual(check({ props: { schedule: "0@mon", retention: { keepLast: 1 } } }), []);
    assert.deepEqual(check({ props: { retention: { keepLast: 1 } } }), []);
  });

  it("leaves a schedule that cannot be read to the provider", () => {
    assert.throws(
      () => snapshots({ keepLast: 1 }, "7@moon"),
      /^Error: not applicable: reading schedule "7@moon"/,
    );
  });

  it("answers in time when a policy counts very far", () => {
    assert.deepEqual(snapshots({ keepLast: 1_000_000_000 }, "hourly"), []);
    assert.deepEqual(snapshots({ keepWithin: "9999y" }, "hourly"), []);
  });
});
