import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { type Held, Lifecycle } from "../../lifecycle";
import { newRepository, password, restic, tidyUp } from "../restic/fixture";
import { BackupCase } from "./backup-case";

describe("What has not been done", function () {
  this.timeout(120_000);
  let set: BackupCase;

  beforeEach(async () => {
    set = await BackupCase.make();
    await set.holds({ "a.txt": "a", "etc/b.txt": "b" });
  });
  afterEach(() => set.end());
  after(tidyUp);

  describe("is no backup that succeeded", () => {
    for (const [what, files, more, said] of [
      ["an empty volume", {}, {}, /there are no files in it/],
      ["a volume of empty folders", { "a/b/.keep": "" }, { exclude: [".keep"] }, /no file was backed up/],
      ["paths that are all missing", { a: "a" }, { paths: ["/x", "/y"] }, /x, y does not exist/],
      [
        "a volume of which everything is excluded",
        { "a.tmp": "a" },
        { exclude: ["*.tmp"] },
        /no file was backed up/,
      ],
    ] as const)
      it(`where it is of ${what}`, async () => {
        const before = await set.up(10);
        await set.holds(files);
        await assert.rejects(set.up(11, more, before), said);
        assert.equal(set.listed().length, 1, "and leaves no point");
      });

    it("where one of its paths is missing", async () => {
      const { message, state } = await set.fails(10, { paths: ["/etc", "/absent"] });
      assert.match(message, /^PartiallyFailed: restic could not read absent \(does not exist\)/);
      assert.deepEqual(
        state.points.map((point: Held) => point.good),
        [false],
      );
    });

    it("where restic skipped a file", async () => {
      const denied = `{\\"message_type\\":\\"error\\",\\"error\\":{\\"Op\\":\\"open\\",\\"Path\\":\\"a.txt\\",\\"Err\\":13},\\"during\\":\\"archival\\",\\"item\\":\\"/a.txt\\"}`;
      set.recorded.instead("backup", `$real "$@"; echo "${denied}" >&2; exit 3`);
      const { message } = await set.fails(10);
      assert.match(message, /^PartiallyFailed: restic could not read .*a\.txt \(open: EACCES\)/);
    });
  });

  describe("is no restore that succeeded", () => {
    const restored = () =>
      set.cloud.volumes().filter(({ metadata }) => metadata["osbackup-role"] === "restored");
    const restore = (more: object, url = set.url) =>
      new Lifecycle({ ...set.cloud.environment, OSBACKUP_NOW: "2026-11-22T12:00:00Z" }).up("VolumeRestore", {
        owner: "shop/prod/restore",
        repository: { url, password },
        sizeGib: 1,
        ...more,
      });
    const latest = { resticSnapshotId: "latest", backupOwner: "shop/prod/set" };

    it("where the repository cannot be reached, is absent, or holds no snapshot", async () => {
      const empty = (await newRepository()).path;
      for (const [url, said] of [
        ["rest:http://127.0.0.1:9/", /connection refused/],
        [path.join(set.work, "absent"), /absent/],
        [empty, /the repository holds no snapshot/],
      ] as const)
        for (const more of [latest, { resticSnapshotId: "ffffffff" }])
          await assert.rejects(restore(more, url), said);
      assert.deepEqual(restored(), []);
    });

    it("where the repository has no good point of the set", async () => {
      await set.up(10);
      await assert.rejects(
        restore({ resticSnapshotId: "latest", backupOwner: "shop/prod/sat" }),
        /no good point of shop\/prod\/sat; there are points of shop\/prod\/set$/,
      );
      assert.deepEqual(restored(), []);
    });

    it("where the point in time is none", async () => {
      await set.up(10);
      for (const resticSnapshotId of ["2026-13-40", "latest of yesterday", "", "a", "LATEST"])
        await assert.rejects(restore({ resticSnapshotId }), {
          message: `resticSnapshotId: must be 'latest', or the id of a restic snapshot or a beginning of it of 4 digits or more (is ${JSON.stringify(resticSnapshotId)})`,
        });
      assert.deepEqual(restored(), []);
    });

    it("where the snapshot holds nothing", async () => {
      const folder = path.join(set.work, "nothing");
      mkdirSync(folder);
      restic(set.url, "backup", "--tag", "content=file", folder);
      const [{ id = "" } = {}] = set.listed();
      await assert.rejects(restore({ resticSnapshotId: id }), /there is no file in the snapshot/);
      assert.deepEqual(restored(), []);
    });

    it("where the newest point of the set is one of the future, that nobody can have made", async () => {
      const real = await set.up(10);
      restic(
        set.url,
        "tag",
        "--set",
        [
          "managed-by=pulumi-openstack-backup",
          "owner=shop/prod/set",
          "role=recovery-point",
          "slot=2099-01-01T00:00:00Z",
          "time=2099-01-01T00:00:00Z",
          "takenAt=2099-01-01T00:00:00Z",
        ].join(","),
        real.resticSnapshotId,
      );
      await assert.rejects(restore(latest), /no good point of shop\/prod\/set/);
    });
  });

  it("is refused where slot or takenAt are no instants", async () => {
    for (const key of ["slot", "takenAt"])
      for (const value of ["2026-13-40", "yesterday"])
        await assert.rejects(set.up(10, { [key]: value }), {
          message: `${key}: must be an instant as ISO 8601 with its zone, '2026-11-22T10:00:00Z' (is "${value}")`,
        });
    assert.deepEqual(set.listed(), []);
  });
});
