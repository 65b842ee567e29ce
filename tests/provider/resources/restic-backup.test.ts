import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, makeExt4Image, startDevcloud } from "../../../devcloud";
import { type Held, Lifecycle } from "../../lifecycle";
import { newRepository, password, restic, tidyUp } from "../restic/fixture";
import { RecordedRestic } from "./recorded-restic";

describe("ResticBackup", function () {
  this.timeout(120_000);
  let cloud: Devcloud;
  let work: string;
  let url: string;
  let recorded: RecordedRestic;
  let volumeId: string;
  const mountDirectory = process.env.OSBACKUP_MOUNT_DIRECTORY;

  beforeEach(async () => {
    work = mkdtempSync(path.join(tmpdir(), "osbackup-backup-"));
    process.env.OSBACKUP_MOUNT_DIRECTORY = path.join(work, "mnt");
    cloud = await startDevcloud();
    const files = path.join(work, "files");
    mkdirSync(files);
    writeFileSync(path.join(files, "a.txt"), "a");
    const imageFile = path.join(work, "volume.img");
    await makeExt4Image(imageFile, { sizeMib: 16, fromDirectory: files });
    volumeId = (await cloud.addVolume({ name: "source", imageFile })).id;
    url = (await newRepository()).path;
    recorded = new RecordedRestic(work);
  });

  afterEach(async () => {
    recorded.restore();
    await cloud.stop();
    if (mountDirectory === undefined) delete process.env.OSBACKUP_MOUNT_DIRECTORY;
    else process.env.OSBACKUP_MOUNT_DIRECTORY = mountDirectory;
    rmSync(work, { recursive: true, force: true });
  });
  after(tidyUp);

  /** One run of the stack, a process of its own in life. */
  const runAt = (hour: number) =>
    new Lifecycle({ ...cloud.environment, OSBACKUP_NOW: `2026-11-22T${hour}:10:00Z` });

  /** Brings the set of one name up to date; `before` is what the last run held of its backup. */
  async function up(run: Lifecycle, hour: number, name: string, more: object = {}, before?: Held) {
    const slot = `2026-11-22T${hour}:00:00Z`;
    const schedule = { schedule: "0 * * * *", retention: { keepLast: 5 } };
    const { snapshotId, takenAt } = await run.up("CinderSnapshot", {
      owner: "shop/prod/snapshot",
      volumeId,
      ...schedule,
    });
    const properties = {
      owner: `shop/prod/${name}`,
      snapshotId,
      slot,
      takenAt,
      temporaryVolume: { owner: `shop/prod/${name}-volume` },
      repository: { url, password },
      retention: { keepLast: 1 },
      ...more,
    };
    if (before) run.keep("ResticBackup", before.owner, before, properties.owner);
    return run.up("ResticBackup", properties);
  }

  const owners = (): string[][] =>
    (JSON.parse(restic(url, "snapshots", "--json")) as { tags: string[] }[])
      .map(({ tags }) => tags.filter(tag => /^(owner|slot)=/.test(tag)))
      .sort();

  it("backs up another volume that its set is given, in the same slot, and goes on with the set's history", async () => {
    const source = () => ({ source: { owner: "shop/prod/snapshot", volumeId }, retention: { keepLast: 2 } });
    const first = await up(runAt(10), 10, "set", source());
    const other = volumeId;
    const imageFile = path.join(work, "volume.img");
    volumeId = (await cloud.addVolume({ name: "another", imageFile })).id;
    const second = await up(runAt(10), 10, "set", source(), first);
    assert.notEqual(second.resticSnapshotId, first.resticSnapshotId);
    const origins = () =>
      (JSON.parse(restic(url, "snapshots", "--json")) as { tags: string[] }[])
        .flatMap(({ tags }) => tags.filter(tag => tag.startsWith("origin=")))
        .sort();
    assert.deepEqual(origins(), [`origin=${other}`, `origin=${volumeId}`].sort());
    const again = await up(runAt(10), 10, "set", source(), second);
    assert.equal(again.resticSnapshotId, second.resticSnapshotId, "and once");
    await up(runAt(11), 11, "set", source(), again);
    assert.deepEqual(origins(), [`origin=${volumeId}`, `origin=${volumeId}`]);
  });

  it("calls restic once for each set, once for the run, and once more where it forgets", async () => {
    const first = runAt(10);
    const a = await up(first, 10, "a");
    assert.deepEqual(recorded.commands(), ["snapshots", "backup"]);
    const b = await up(first, 10, "b");
    assert.deepEqual(recorded.commands(), ["backup"]);

    const same = runAt(10);
    assert.deepEqual((await up(same, 10, "a", {}, a)).points, a.points);
    await up(same, 10, "b", {}, b);
    assert.deepEqual(recorded.commands(), ["snapshots"]);

    const second = runAt(11);
    const later = await up(second, 11, "a", {}, a);
    assert.deepEqual(recorded.commands(), ["snapshots", "backup", "forget"]);
    assert.deepEqual(
      later.points.map((point: Held) => [point.slot, point.keptBecause]),
      [["2026-11-22T11:00:00Z", ["last 1 of 1"]]],
    );
    await up(second, 11, "b", {}, b);
    assert.deepEqual(recorded.commands(), ["backup", "forget"]);
    assert.deepEqual(owners(), [
      ["owner=shop/prod/a", "slot=2026-11-22T11:00:00Z"],
      ["owner=shop/prod/b", "slot=2026-11-22T11:00:00Z"],
    ]);
  });

  const partly = { paths: ["/a.txt", "/absent"] };
  const temporary = () => cloud.volumes().flatMap(({ metadata }) => metadata["osbackup-backing-up"] ?? []);

  it("keeps the volume of a backup that it could not mark, and the next run marks it", async () => {
    recorded.instead("tag", "exit 0");
    await assert.rejects(
      up(runAt(10), 10, "a", partly),
      /tagging [0-9a-f]{64} as partial: it has no such tag$/,
    );
    assert.deepEqual(temporary(), ["2026-11-22T10:10:00Z"]);
    recorded.again("tag");
    recorded.commands();
    const next = await up(runAt(11), 11, "a", { retention: undefined });
    assert.deepEqual(recorded.commands(), ["snapshots", "tag", "snapshots", "backup"]);
    assert.deepEqual(
      next.points.map((point: Held) => [point.slot, point.good]),
      [
        ["2026-11-22T11:00:00Z", true],
        ["2026-11-22T10:00:00Z", false],
      ],
    );
  });

  it("knows a marked backup where the store keeps the one without the mark too", async () => {
    const kept = path.join(work, "kept");
    const keeps = `cp -r '${url}/snapshots' '${kept}'; $real "$@"; cp '${kept}'/* '${url}/snapshots'; exit 1`;
    recorded.instead("tag", keeps);
    const { fresh } = await up(runAt(10), 10, "a", partly).then(
      () => assert.fail("it is partial"),
      error => error,
    );
    assert.equal(owners().length, 2);
    assert.deepEqual(temporary(), []);
    const before = { ...fresh.outputs, owner: "shop/prod/a", repository: { url, password } };
    const whole = await up(runAt(10), 10, "a", { retention: undefined }, before);
    assert.deepEqual(
      whole.points.map((point: Held) => [point.slot, point.good]),
      [["2026-11-22T10:00:00Z", true]],
    );
    assert.deepEqual(owners(), [["owner=shop/prod/a", "slot=2026-11-22T10:00:00Z"]]);
  });

  it("says before and after a run that it forgets the unfinished point of the same slot", async () => {
    const failure = await up(runAt(10), 10, "a", partly).then(
      () => assert.fail("it is partial"),
      error => error,
    );
    const [partial] = failure.fresh.outputs.points;
    const before = {
      ...failure.fresh.outputs,
      ...{ slot: "2026-11-22T10:00:00Z", repository: { url, password } },
    };
    const id = partial.resticSnapshotId as string;
    const preview = await runAt(10).preview("ResticBackup", {
      owner: "shop/prod/a",
      snapshotId: cloud.snapshots()[0]?.id,
      slot: "2026-11-22T10:00:00Z",
      takenAt: partial.takenAt,
      temporaryVolume: { owner: "shop/prod/a-volume" },
      repository: { url, password },
      retention: { keepLast: 3 },
    });
    const because = "unfinished, replaced by the point of this run";
    assert.deepEqual(preview.plan, [
      "will back up the recovery point of 2026-11-22T10:00:00Z into the repository; keeps 1, " +
        `forgets 1: ${id.slice(0, 8)} of 2026-11-22T10:00:00Z (${because})`,
    ]);
    const run = runAt(10);
    const whole = await up(run, 10, "a", { retention: { keepLast: 3 } }, { owner: "shop/prod/a", ...before });
    assert.deepEqual(
      whole.removed.map((point: Held) => [point.resticSnapshotId, ...point.because]),
      [[id, because]],
    );
    const line = run.lines.find(text => text.includes("Succeeded"));
    assert.match(
      line ?? "",
      new RegExp(
        `; forgot 1 unfinished restic snapshot: ${id.slice(0, 8)} of 2026-11-22T10:00:00Z; keeps 1$`,
      ),
    );
  });

  it("keeps its points when it is renamed, and forgets them as its own", async () => {
    const before = await up(runAt(10), 10, "old");
    const renamed = await up(runAt(10), 10, "new", {}, before);
    assert.deepEqual(renamed.formerOwners, ["shop/prod/old"]);
    assert.deepEqual(renamed.points, before.points);
    assert.equal(renamed.resticSnapshotId, before.resticSnapshotId);

    const next = await up(runAt(11), 11, "new", {}, renamed);
    assert.deepEqual(next.formerOwners, ["shop/prod/old"]);
    assert.deepEqual(
      next.removed.map((point: Held) => point.resticSnapshotId),
      [before.resticSnapshotId],
    );
    assert.deepEqual(owners(), [["owner=shop/prod/new", "slot=2026-11-22T11:00:00Z"]]);
  });

  it("forgets the points of its former name too when it is deleted", async () => {
    const before = await up(runAt(10), 10, "old");
    const run = runAt(10);
    await up(run, 10, "new", { deletionPolicy: "delete" }, before);
    await run.down();
    assert.deepEqual(owners(), []);
  });

  it("counts the points of an owner that is given where the state was lost", async () => {
    const before = await up(runAt(10), 10, "old");
    const found = await up(runAt(10), 10, "new", { formerOwners: ["shop/prod/old"] });
    const ids = ({ points }: Held) => points.map((point: Held) => point.resticSnapshotId);
    assert.deepEqual(ids(found), ids(before));
  });

  it("says truly in a preview what becomes of a renamed set, and of one whose repository changes", async () => {
    const before = await up(runAt(10), 10, "old");
    const { snapshotId, slot, takenAt, temporaryVolume } = before;
    const given = {
      owner: "shop/prod/new",
      snapshotId,
      slot,
      takenAt,
      temporaryVolume,
      repository: { url, password },
      retention: { keepLast: 1 },
    };
    const renamed = runAt(10);
    renamed.keep("ResticBackup", before.owner, before, given.owner);
    assert.deepEqual(await renamed.preview("ResticBackup", given), { drift: [], plan: ["keeps 1"] });

    const other = (await newRepository()).path;
    const moved = runAt(10);
    moved.keep("ResticBackup", before.owner, before, given.owner);
    const elsewhere = { ...given, repository: { url: other, password } };
    assert.deepEqual(await moved.preview("ResticBackup", elsewhere), {
      drift: [],
      plan: [
        `will back up the recovery point of ${slot} into the repository; keeps 1; ` +
          "1 restic snapshot in the repository before are left there",
      ],
    });
    const there = await moved.up("ResticBackup", elsewhere);
    assert.notEqual(there.resticSnapshotId, before.resticSnapshotId);
    assert.equal(JSON.parse(restic(other, "snapshots", "--json")).length, 1);
    assert.equal(JSON.parse(restic(url, "snapshots", "--json")).length, 1);
  });

  it("says in a preview that the point of the slot is there where the state was lost", async () => {
    const made = await up(runAt(10), 10, "a");
    const { snapshotId, slot, takenAt, temporaryVolume, repository } = made;
    const given = { owner: "shop/prod/a", snapshotId, slot, takenAt, temporaryVolume, repository };
    assert.deepEqual(await runAt(10).preview("ResticBackup", given), {
      drift: [],
      plan: ["will adopt 1 restic snapshot; keeps 1"],
    });
    const nowhere = { ...given, repository: { url: path.join(work, "nowhere"), password } };
    assert.deepEqual((await runAt(10).preview("ResticBackup", nowhere)).plan, [
      `will back up the recovery point of ${slot} into the repository; keeps 1`,
    ]);
  });

  it("takes a backup for good that lacks only what it may lack, and says so", async () => {
    const run = runAt(10);
    const made = await up(run, 10, "a", { ...partly, allowUnreadable: ["absent"] });
    assert.equal(made.phase, "Succeeded");
    assert.deepEqual(
      made.points.map((point: Held) => point.good),
      [true],
    );
    assert.match(
      run.lines.at(-1) ?? "",
      /Succeeded: restic snapshot .* by .*, without absent \(does not exist\), as allowUnreadable allows; keeps 1$/,
    );
    await assert.rejects(up(runAt(11), 11, "a", { ...partly, allowUnreadable: ["other"] }, made), {
      name: "PartialFailure",
    });
  });

  it("applies retention to a set whose every backup is partial, and counts them in the error", async () => {
    const good = await up(runAt(10), 10, "a", { retention: { keepLast: 2 } });
    let held = good;
    for (const hour of [11, 12, 13, 14]) {
      const failure = await up(runAt(hour), hour, "a", { ...partly, retention: { keepLast: 2 } }, held).then(
        () => assert.fail("it is partial"),
        error => error,
      );
      assert.equal(failure.name, "PartialFailure");
      assert.match(
        failure.message,
        /^PartiallyFailed: restic could not read absent \(does not exist\); snapshot/,
      );
      assert.match(failure.message, /exclude what cannot be read, or name it in allowUnreadable$/);
      if (hour > 12)
        assert.match(
          failure.message,
          /; the newest 3 points are partial, the last good one is [0-9a-f]{8} of 2026-11-22T10:00:00Z; /,
        );
      held = { ...held, ...failure.fresh.outputs, slot: `2026-11-22T${hour}:00:00Z` };
    }
    assert.deepEqual(
      held.points.map((point: Held) => [point.slot, point.good]),
      [
        ["2026-11-22T14:00:00Z", false],
        ["2026-11-22T13:00:00Z", false],
        ["2026-11-22T10:00:00Z", true],
      ],
    );
    assert.equal(owners().length, 3);
  });

  it("leaves alone what others have in the repository, whatever their tags say", async () => {
    const files = path.join(work, "files");
    const ours = ["managed-by=pulumi-openstack-backup", "role=recovery-point", "slot=2026-11-22T09:00:00Z"];
    const foreign: string[][] = [
      [],
      ["set=a"],
      ["owner=shop/prod/a"],
      ["owner=shop/prod/a", "role=recovery-point"],
      ["managed-by=pulumi-openstack-backup"],
      ["managed-by=pulumi-openstack-backup-x", "owner=shop/prod/a", ...ours.slice(1)],
      [...ours, "owner=shop/prod/aa"],
      [...ours, "owner=shop/production/a"],
      [...ours, "owner=shop/prod"],
      [...ours, "owner=Shop/prod/a"],
      [...ours.slice(0, 1), "owner=shop/prod/a", "role=temporary"],
      ["partial", "unproven"],
    ];
    for (const tags of foreign) restic(url, "backup", "--host=a", ...tags.map(tag => `--tag=${tag}`), files);
    const present = () =>
      (JSON.parse(restic(url, "snapshots", "--json")) as { id: string; tags?: string[] }[]).map(
        ({ id }) => id,
      );
    const before = present();
    assert.equal(before.length, foreign.length);

    const first = await up(runAt(10), 10, "a");
    await assert.rejects(up(runAt(11), 11, "a", partly, first), { name: "PartialFailure" });
    const last = runAt(12);
    const held = await up(last, 12, "a", { deletionPolicy: "delete" }, first);
    assert.deepEqual(held.points.length, 1);
    assert.deepEqual(
      present().filter(id => !before.includes(id)),
      [held.resticSnapshotId],
    );
    await last.down();
    assert.deepEqual(present().sort(), before.sort());
  });
});
