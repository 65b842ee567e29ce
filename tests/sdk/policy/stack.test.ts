import assert from "node:assert/strict";
import {
  coverage,
  immutabilityRequired,
  offsiteCopyRequired,
  restoreTested,
  retentionMaximum,
  retentionMinimum,
  scheduleSpread,
  snapshotCountLimit,
} from "../../../sdk/policy";
import { examineStack, examineStackLater, type InStack, unknownStringValue } from "./examine";

const gold = { tier: "gold" };

const snapshot = (more: Record<string, unknown> = {}, name = "db-snapshot"): InStack => ({
  name,
  props: {
    owner: `shop/dev/${name}`,
    volumeId: "v1",
    schedule: "daily",
    retention: { keepLast: 7 },
    metadata: gold,
    ...more,
  },
});
const backup = (url: string, more: Record<string, unknown> = {}): InStack => ({
  type: "ResticBackup",
  name: "db-backup",
  props: {
    owner: "shop/dev/db-backup",
    source: { owner: "shop/dev/db-snapshot", volumeId: "v1" },
    repository: { url },
    retention: { keepDaily: 30 },
    ...more,
  },
});
const repository = (url: string, more: Record<string, unknown> = {}): InStack => ({
  type: "ResticRepository",
  name: "store",
  props: { url, ...more },
});

const messages = (found: [string, string | undefined][]) => found.map(([message]) => message);

describe("retention-maximum", () => {
  const check = (resource: InStack, config = {}) =>
    messages(examineStack(retentionMaximum, [resource], config));

  it("reports what is kept longer, and for ever", () => {
    assert.deepEqual(check(snapshot({ retention: { keepLast: 3, keepMonthly: 12 } })), []);
    assert.deepEqual(check(snapshot({ retention: { keepLast: 3, keepYearly: 3 } })), [
      "db-snapshot keeps points for up to 731 days; at most 400 days are allowed (retention-maximum.maxDays)",
    ]);
    assert.deepEqual(check(snapshot({ retention: undefined })), [
      "db-snapshot keeps points for ever; at most 400 days are allowed (retention-maximum.maxDays)",
    ]);
    assert.deepEqual(check(snapshot({ retention: { keepLast: 1, keepTags: [["hold"]] } })), [
      "db-snapshot keeps points for ever; at most 400 days are allowed (retention-maximum.maxDays)",
    ]);
  });

  it("leaves the classified alone, and what takes no points", () => {
    assert.deepEqual(
      check(snapshot({ retention: undefined, metadata: { classification: "legal-hold" } })),
      [],
    );
    assert.deepEqual(check(snapshot({ retention: undefined, schedule: undefined })), []);
  });
});

describe("offsite-copy-required", () => {
  const check = (resources: InStack[], config = {}) =>
    messages(examineStack(offsiteCopyRequired, resources, config));
  const folder = "/srv/restic";
  const s3 = "s3:https://s3.example.com/backups";

  it("accepts three copies, one of them elsewhere", () => {
    assert.deepEqual(check([snapshot(), backup(folder), repository(folder, { copyTo: { url: s3 } })]), []);
  });

  it("counts no snapshot of Cinder, and says what there is", () => {
    assert.deepEqual(check([snapshot()]), [
      "db-snapshot of tier gold has 1 of 3 copies, 1 of 2 media, 0 of 1 offsite: the volume; give it a repository elsewhere, or its repository a copyTo",
    ]);
    assert.deepEqual(check([snapshot(), backup(folder)]), [
      "db-snapshot of tier gold has 2 of 3 copies, 0 of 1 offsite: the volume, /srv/restic; give it a repository elsewhere, or its repository a copyTo",
    ]);
    assert.deepEqual(check([snapshot(), backup(s3)], { copies: 2, onsiteHosts: ["*.example.com"] }), [
      "db-snapshot of tier gold has 0 of 1 offsite: the volume, s3:https://s3.example.com/backups; give it a repository elsewhere, or its repository a copyTo",
    ]);
  });

  it("counts what is there, not what is declared", () => {
    const second = { copyTo: { url: s3 }, lastCopy: "" };
    const point = { resticSnapshotId: "a".repeat(64), good: true };
    const lacking = (where: string, has: string, counts: string) => [
      `db-snapshot of tier gold has ${counts}: ${has}; ${where} has no point yet; give it a repository elsewhere, or its repository a copyTo`,
    ];
    assert.deepEqual(
      check([snapshot(), backup(folder, { points: [point] }), repository(folder, second)]),
      lacking(s3, "the volume, /srv/restic", "2 of 3 copies, 0 of 1 offsite"),
    );
    assert.deepEqual(
      check([
        snapshot(),
        backup(folder, { points: [{ ...point, good: false }] }),
        repository(folder, { copyTo: { url: s3 } }),
      ]),
      lacking(folder, `the volume, ${s3}`, "2 of 3 copies"),
    );
    const yetUnknown = [
      snapshot(),
      backup(folder, { points: unknownStringValue }),
      repository(folder, { ...second, lastCopy: unknownStringValue }),
    ];
    assert.deepEqual(check(yetUnknown), []);
  });

  it("is for its tiers, the stack's tag included", () => {
    assert.deepEqual(check([snapshot({ metadata: { tier: "bronze" } })]), []);
    assert.deepEqual(check([snapshot({ metadata: {} })]), []);
    assert.equal(
      examineStack(offsiteCopyRequired, [snapshot({ metadata: {} })], {}, { tier: "silver" }).length,
      1,
    );
    assert.equal(check([snapshot({ metadata: {} })], { tiers: ["*"] }).length, 1);
  });

  it("says of a url that is not known that it waits, and judges the others all the same", () => {
    const found: string[] = [];
    assert.throws(
      () =>
        found.push(
          ...check([backup(unknownStringValue, { source: { volumeId: "v2" } }), snapshot()], {
            tiers: ["*"],
          }),
        ),
      { message: "repository.url of db-backup is not known until the update, which looks again" },
    );
  });
});

describe("immutability-required", () => {
  const url = "s3:https://s3.example.com/backups";
  const check = (immutability: unknown, config = {}, retention = {}) =>
    messages(
      examineStack(
        immutabilityRequired,
        [
          snapshot(),
          backup(url, { retention: { keepDaily: 60, ...retention } }),
          repository(url, { immutability }),
        ],
        config,
      ),
    );
  const lacks = (why: string) => [
    `db-snapshot has no copy that the keys of the stack cannot delete: ${why} (immutability-required)`,
  ];

  it("accepts a lock that is long enough, and append-only", () => {
    assert.deepEqual(check({ mode: "append-only" }), []);
    assert.deepEqual(check({ mode: "governance", days: 14 }), []);
    assert.deepEqual(check({ mode: "compliance", days: 30 }, { locked: true }), []);
  });

  it("tells locked from merely enabled, and reports what is short or not declared", () => {
    assert.deepEqual(check(undefined), lacks("its repository declares no immutability"));
    assert.deepEqual(
      check({ mode: "governance", days: 30 }, { locked: true }),
      lacks("'governance' can be lifted, and 'compliance' is required"),
    );
    assert.deepEqual(
      check({ mode: "governance", days: 1 }),
      lacks("objects are locked for 1 day, and 14 days are required"),
    );
  });

  it("reports a retention that forgets before the lock ends", () => {
    assert.deepEqual(check({ mode: "governance", days: 90 }), [
      "db-backup forgets points after 60 days, while the store locks them for 90 days: they cannot be pruned before",
    ]);
  });
});

describe("restore-tested", () => {
  const id = "a".repeat(64);
  const now = Date.now();
  const restore = (props: Record<string, unknown>): InStack => ({
    type: "VolumeRestore",
    name: "drill",
    props: {
      backupOwner: "shop/dev/db-backup",
      resticSnapshotId: "latest",
      verified: true,
      durationSeconds: 60,
      restoredAt: new Date(now).toISOString(),
      ...props,
    },
  });
  const check = (...more: InStack[]) =>
    messages(
      examineStack(restoreTested, [
        snapshot(),
        backup("/r", { points: [{ resticSnapshotId: id, good: true }] }),
        ...more,
      ]),
    );

  it("accepts a compared restore of the set, by its owner or by a point, and one that is yet to be made", () => {
    assert.deepEqual(check(restore({})), []);
    assert.deepEqual(check(restore({ backupOwner: undefined, resticSnapshotId: id.slice(0, 8) })), []);
    assert.deepEqual(check(restore({ restoredAt: unknownStringValue, verified: unknownStringValue })), []);
  });

  it("reports none, an old one, a slow one, and one that was not compared", () => {
    const why = (text: string) => [`db-backup is not known to come back: ${text} (restore-tested)`];
    assert.deepEqual(check(), why("no restore in the stack is of it"));
    assert.deepEqual(
      check(restore({ backupOwner: "shop/dev/other" })),
      why("no restore in the stack is of it"),
    );
    assert.deepEqual(
      check(restore({ restoredAt: new Date(now - 100 * 86_400_000).toISOString() })),
      why("drill is 100 days old, at most 90 days are allowed"),
    );
    assert.deepEqual(
      check(restore({ durationSeconds: 300 * 60 })),
      why("drill took 300 minutes, at most 240 are allowed"),
    );
    assert.deepEqual(check(restore({ verified: false })), why("drill was not compared with the repository"));
  });
});

describe("snapshot-count-limit", () => {
  const check = (sets: InStack[], config = {}) => messages(examineStack(snapshotCountLimit, sets, config));

  it("adds the sets of one volume, and counts the one being taken", () => {
    const sets = [
      snapshot({ retention: { keepLast: 7 } }),
      snapshot({ retention: { keepLast: 3 } }, "db-hourly"),
    ];
    assert.deepEqual(check(sets, { maxSnapshots: 12 }), []);
    assert.deepEqual(check(sets, { maxSnapshots: 11 }), [
      "db-hourly and db-snapshot keep 12 snapshots of its volume at once; at most 11 are allowed (snapshot-count-limit.maxSnapshots)",
    ]);
    assert.deepEqual(check([snapshot({ volumeId: "v2" }), snapshot({}, "other")], { maxSnapshots: 8 }), []);
  });

  it("stays quick where a set keeps very many", () => {
    assert.deepEqual(check([snapshot({ schedule: "*/5 * * * *", retention: { keepForDays: 3650 } })]), [
      "db-snapshot keeps more than 200 snapshots of its volume at once; at most 100 are allowed (snapshot-count-limit.maxSnapshots)",
    ]);
  });
});

describe("schedule-spread", () => {
  const many = (schedule: string, count: number) =>
    Array.from({ length: count }, (_, place) => snapshot({ schedule, volumeId: `v${place}` }, `db${place}`));
  const check = (sets: InStack[]) => messages(examineStack(scheduleSpread, sets));

  it("reports the fullest minute", () => {
    assert.deepEqual(check(many("30 2 * * *", 20)), []);
    const [message] = check([...many("30 2 * * *", 20), ...many("30 */2 * * *", 2)]);
    assert.match(
      message ?? "",
      /^22 sets are due at \d{4}-\d\d-\d\dT02:30Z; at most 20 are allowed in one minute, "daily-random" spreads them/,
    );
  });

  it("accepts two hundred that are spread", () => {
    assert.deepEqual(check(many("daily-random", 200)), []);
  });
});

describe("coverage", () => {
  const check = async (...resources: InStack[]) => messages(await examineStackLater(coverage, resources));
  const volume = (props: Record<string, unknown> = {}): InStack => ({
    type: "openstack:blockstorage/volume:Volume",
    name: "data",
    props: { id: "v9", ...props },
  });
  const server: InStack = { type: "openstack:compute/instance:Instance", name: "web", props: { id: "s1" } };

  it("reports what is in no set", async () => {
    assert.deepEqual(await check(volume(), server, snapshot()), [
      "volume data is in no set",
      "server web is in no set",
    ]);
  });

  it("finds the set by id, or in a preview by what its input comes from", async () => {
    assert.deepEqual(await check(volume(), snapshot({ volumeId: "v9" })), []);
    assert.deepEqual(
      await check(volume({ id: unknownStringValue }), {
        ...snapshot({ volumeId: unknownStringValue }),
        dependsOn: { volumeId: "data" },
      }),
      [],
    );
    assert.deepEqual(
      await check(server, { type: "ServerBackup", name: "web", props: { serverId: "s1" } }),
      [],
    );
  });

  it("takes a server's snapshots for those of all its volumes", async () => {
    const attachment: InStack = {
      type: "openstack:compute/volumeAttach:VolumeAttach",
      name: "data-web",
      props: { instanceId: "s1", volumeId: "v9" },
    };
    const set = { type: "ServerSnapshot", name: "web-set", props: { serverId: "s1" } };
    assert.deepEqual(await check(volume(), server, attachment, set), []);
    assert.deepEqual(await check(volume(), server, set), ["volume data is in no set"]);
  });

  it("accepts an opt-out with a reason and an end that has not come", async () => {
    const none = { backup: "none", "backup-reason": "cache", "backup-until": "2099-12-31" };
    const without = async (key: string) => {
      const { [key]: _, ...metadata } = none as Record<string, string>;
      return check(volume({ metadata }));
    };
    assert.deepEqual(await check(volume({ metadata: none })), []);
    assert.deepEqual(await without("backup-reason"), [
      "volume data is in no set: it says backup: none without backup-reason",
    ]);
    assert.deepEqual(await without("backup-until"), [
      "volume data is in no set: it says backup: none without backup-until, a day such as 2027-03-31",
    ]);
    assert.deepEqual(await check(volume({ metadata: { ...none, "backup-until": "2026-01-31" } })), [
      "volume data is in no set: it was left out of backups until 2026-01-31 (cache)",
    ]);
  });
});

describe("what a preview does not know", () => {
  it("hides nothing that is known of others", () => {
    const violations: string[] = [];
    const resources = [
      snapshot({ schedule: unknownStringValue, volumeId: "v2" }, "unknown"),
      snapshot({ retention: { keepLast: 3 } }),
    ];
    assert.throws(() => examineStack(retentionMinimum, resources, {}, {}, violations), {
      message: "schedule of unknown is not known until the update, which looks again",
    });
    assert.deepEqual(violations, [
      "db-snapshot can be left with points that reach back 3 days; 7 days are required (retention-minimum.minDays)",
    ]);
  });
});
