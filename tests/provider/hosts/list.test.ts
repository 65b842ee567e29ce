import assert from "node:assert/strict";
import { World } from "../../../provider/driver/world";
import { accessFromEnvironment, listedPoints, table } from "../../../provider/hosts/list";
import { newRepository, password, restic, tidyUp } from "../restic/fixture";

describe("accessFromEnvironment", () => {
  it("takes what restic's own command line would take from the shell, and nothing else", () => {
    const access = accessFromEnvironment("s3:https://s3.example.com/bucket", {
      RESTIC_PASSWORD_FILE: "/etc/restic/password",
      AWS_ACCESS_KEY_ID: "key",
      AWS_SECRET_ACCESS_KEY: "secret",
      AWS_PROFILE: "",
      RESTIC_CACERT: "/etc/ssl/store.pem",
      RESTIC_REPOSITORY: "/another",
      PATH: "/usr/bin",
    });
    assert.deepEqual(access, {
      url: "s3:https://s3.example.com/bucket",
      environment: {
        AWS_ACCESS_KEY_ID: "key",
        AWS_SECRET_ACCESS_KEY: "secret",
      },
      passwordFile: "/etc/restic/password",
      caCertFile: "/etc/ssl/store.pem",
    });
  });
});

describe("listedPoints", () => {
  after(tidyUp);

  it("says of a shrunk point whether it has been allowed since", async () => {
    const { path } = await newRepository();
    const slot = "2026-11-22T10:00:00Z";
    const marks = ["managed-by=pulumi-openstack-backup", "owner=shop/prod/pg", "role=recovery-point"];
    const tags = [...marks, `slot=${slot}`, `time=${slot}`, `takenAt=${slot}`, "shrunk"];
    for (const more of [[], ["shrink-allowed"]])
      restic(path, "backup", __filename, ...[...tags, ...more].map(tag => `--tag=${tag}`));
    const { RESTIC_PASSWORD } = process.env;
    process.env.RESTIC_PASSWORD = password;
    try {
      const now = new Date("2026-11-22T11:00:00Z");
      const world = new World({}, () => {}, { OSBACKUP_NOW: now.toISOString() });
      const points = await listedPoints(world, { repository: path });
      assert.deepEqual(points.map(({ status, shrinkAllowed }) => [status, shrinkAllowed]).sort(), [
        ["good", true],
        ["shrunk", undefined],
      ]);
      const rows = table(points, now).split("\n").slice(1);
      assert.deepEqual(rows.map(row => row.split(/ {2,}/)[7]).sort(), ["good, shrunk and allowed", "shrunk"]);
    } finally {
      if (RESTIC_PASSWORD === undefined) delete process.env.RESTIC_PASSWORD;
      else process.env.RESTIC_PASSWORD = RESTIC_PASSWORD;
    }
  });
});
