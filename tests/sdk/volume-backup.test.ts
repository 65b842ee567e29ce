import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { VolumeBackup } from "../../sdk";

const given = {
  volumeId: "v1",
  schedule: "0 2 * * *",
  repository: { url: "/srv/restic", password: "a-password" },
  retention: { keepLast: 3 },
};

describe("VolumeBackup", () => {
  before(() =>
    pulumi.runtime.setMocks(
      {
        newResource: ({ name, inputs }) => ({
          id: name,
          state: { ...inputs, nextDue: "2026-11-23T02:00:00Z", points: [{ resticSnapshotId: name }] },
        }),
        call: () => ({}),
      },
      "shop",
      "prod",
    ),
  );

  it("refuses a misspelt key with the nearest one, as a sentence without a stack trace", () => {
    const { schedule, ...rest } = given;
    assert.throws(
      () => new VolumeBackup("database", { ...rest, schedul: schedule } as never),
      (error: Error) => {
        assert.ok(pulumi.RunError.isInstance(error));
        assert.equal(
          error.message,
          "VolumeBackup 'database' has no property 'schedul', did you mean 'schedule'?",
        );
        return true;
      },
    );
  });

  it("has its volume, schedule, retention, points and next slot as outputs", async () => {
    const set = new VolumeBackup("database", given);
    const { volumeId, schedule, retention, nextDue, points } = set;
    const known = pulumi.output({ volumeId, schedule, retention, nextDue, points });
    assert.deepEqual(await new Promise(resolve => known.apply(resolve)), {
      volumeId: "v1",
      schedule: "0 2 * * *",
      retention: { keepLast: 3 },
      nextDue: "2026-11-23T02:00:00Z",
      points: [{ resticSnapshotId: "database-backup" }],
    });
  });

  it("has no schedule and retention where none are given", async () => {
    const { volumeId, repository } = given;
    const set = new VolumeBackup("once", { volumeId, repository });
    const known = pulumi.output([set.schedule, set.retention]);
    assert.deepEqual(await new Promise(resolve => known.apply(resolve)), [undefined, undefined]);
  });
});
