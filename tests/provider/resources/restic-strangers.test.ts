import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import path from "node:path";
import type { Held } from "../../lifecycle";
import { password, restic, tidyUp } from "../restic/fixture";
import { BackupCase, type Listed, worths } from "./backup-case";

const [nine, ten, eleven, twelve] = [9, 10, 11, 12].map(hour =>
  `2026-11-22T${hour}:00:00Z`.replace("T9", "T09"),
) as [string, string, string, string];

describe("ResticBackup whose repository others can write to", function () {
  this.timeout(180_000);
  let set: BackupCase;

  beforeEach(async () => {
    set = await BackupCase.make();
    await set.holds({ "a.txt": "a" });
  });
  afterEach(() => set.end());
  after(tidyUp);

  /** A snapshot with the set's mark, made with nothing but the repository's password. */
  function forge(
    more: { slot?: string; takenAt?: string; owner?: string; tags?: string[]; isUnknown?: boolean } = {},
  ): string {
    const { slot = eleven, takenAt = slot, owner = "shop/prod/set", tags = [], isUnknown = false } = more;
    const file = path.join(set.work, "forged");
    writeFileSync(file, Math.random().toString());
    const marks = [
      "managed-by=pulumi-openstack-backup",
      `owner=${owner}`,
      "set=set",
      "role=recovery-point",
      `slot=${slot}`,
      `time=${slot}`,
      `takenAt=${takenAt}`,
      "content=file",
      ...tags,
    ];
    const time = takenAt.slice(0, 19).replace("T", " ");
    const said = restic(
      set.url,
      "backup",
      "--json",
      `--time=${time}`,
      ...marks.map(tag => `--tag=${tag}`),
      file,
    );
    const summary = said.split("\n").find(line => line.includes('"summary"'));
    if (isUnknown) return "";
    const id = (JSON.parse(summary ?? "{}") as { snapshot_id: string }).snapshot_id;
    return (
      set.listed().find(snapshot => snapshot.id.startsWith(id))?.id ?? assert.fail("no snapshot was forged")
    );
  }

  const ids = (): string[] => set.listed().map(({ id }) => id);
  const warning = () =>
    set.lines.find(line => line.includes("carry the mark") || line.includes("carries the mark"));

  it("forgets no point of its own for 100 forged ones, newer, of the future, of its slots and of others, and says what it saw", async () => {
    const keep = { retention: { keepLast: 2 } };
    const first = await set.up(9, keep);
    const second = await set.up(10, keep, first);
    const before = ids();
    for (let number = 0; number < 100; number++)
      forge({
        slot: [ten, eleven, "2026-11-22T10:30:00Z", "2099-01-01T00:00:00Z"][number % 4] as string,
        owner: number % 10 === 9 ? "shop/prod/other" : "shop/prod/set",
        isUnknown: true,
      });
    const forged = ids().filter(id => !before.includes(id));
    assert.equal(forged.length, 100);
    const preview = await set.preview(11, keep, second);
    assert.match(
      warning() ?? "",
      /\] 90 restic snapshots carry the mark of this set and are not of its making: [0-9a-f]{8} of 2099-01-01T00:00:00Z, .* and 87 more \(`restic -r <repository> snapshots --tag 'owner=shop\/prod\/set'` lists all with the mark, the set's own too\); they count for nothing and are not removed; if a run of this stack made them, name them in adoptIds, else somebody else has the repository's password$/,
    );
    const command = /`(restic .*?)`/.exec(warning() ?? "")?.[1] as string;
    const told = execFileSync("sh", ["-c", `${command.replace("<repository>", `'${set.url}'`)} --json`], {
      env: { ...process.env, RESTIC_PASSWORD: password },
      encoding: "utf8",
    });
    assert.equal((JSON.parse(told) as Listed[]).length, 92, "90 of others and its own two");
    assert.deepEqual(preview, [
      `will back up the recovery point of ${eleven} into the repository; keeps 2, forgets 1: ${first.resticSnapshotId.slice(0, 8)} of ${nine} (beyond the last 2)`,
    ]);
    const third = await set.up(11, keep, second);
    assert.ok(warning());
    assert.deepEqual(worths(third), [
      [eleven, true],
      [ten, true],
    ]);
    assert.equal(third.resticSnapshotId, third.points[0].resticSnapshotId);
    assert.deepEqual(
      ids().sort(),
      [...forged, ...third.points.map((point: Held) => point.resticSnapshotId)].sort(),
    );
  });

  it("makes its point where a forged one has its slot already", async () => {
    const first = await set.up(10);
    const forged = forge({ slot: eleven, takenAt: "2026-11-22T11:10:00Z" });
    const second = await set.up(11, {}, first);
    assert.notEqual(second.resticSnapshotId, forged);
    assert.equal(ids().length, 3);
  });

  it("keeps a point that a forged one says it was written for", async () => {
    const first = await set.up(10, { retention: { keepLast: 1 } });
    const [real] = set.listed() as [Listed];
    for (const mark of ["hold", "partial", "unproven", "shrunk"]) forgeRewrite(set, real.id, mark);
    assert.equal(set.listed().length, 5);
    assert.deepEqual(await set.preview(10, { retention: { keepLast: 1 } }, first), ["keeps 1"]);
    const again = await set.up(10, { retention: { keepLast: 1 } }, first);
    assert.equal(again.resticSnapshotId, real.id);
    assert.equal(set.listed().length, 5);
  });

  it("goes on with a point that was tagged by hand, by the state's id of before", async () => {
    const first = await set.up(10, { retention: { keepLast: 1, keepTags: [["hold"]] } });
    restic(set.url, "tag", "--add", "hold", first.resticSnapshotId);
    const held = { retention: { keepLast: 1, keepTags: [["hold"]] } };
    const second = await set.up(11, held, first);
    assert.equal(warning(), undefined);
    restic(set.url, "tag", "--add", "more", set.listed()[0]?.id as string);
    const third = await set.up(12, held, second);
    assert.equal(warning(), undefined);
    assert.deepEqual(
      third.points.map((point: Held) => [point.slot, point.keptBecause]),
      [
        [twelve, ["last 1 of 1"]],
        [ten, ["tag hold"]],
      ],
    );
  });

  it("knows the point of a run that was killed before its state was stored, of this slot and of an earlier one", async () => {
    const first = await set.up(9);
    const lost = await set.up(10, {}, first);
    const same = await set.up(10, {}, first);
    assert.equal(same.resticSnapshotId, lost.resticSnapshotId);
    const later = await set.up(11, {}, first);
    assert.equal(warning(), undefined);
    assert.deepEqual(worths(later), [
      [eleven, true],
      [ten, true],
      [nine, true],
    ]);
  });

  it("says of one whose Cinder snapshot is gone how to take it in", async () => {
    const first = await set.up(9);
    const lost = await set.up(10, {}, first);
    await set.dropSnapshots(10);
    const without = await set.up(11, {}, first);
    assert.match(
      warning() ?? "",
      new RegExp(`1 restic snapshot carries .*: ${lost.resticSnapshotId.slice(0, 8)} of ${ten}; it counts`),
    );
    assert.equal(without.points.length, 2);
    const adopted = await set.up(11, { adoptIds: [lost.resticSnapshotId.slice(0, 8)] }, without);
    assert.equal(warning(), undefined);
    assert.equal(adopted.points.length, 3);
    const after = await set.up(12, {}, adopted);
    assert.equal(after.points.length, 4, "and knows it from then on");
  });

  it("warns of them in each preview and once in a run, with nothing due too, and asks restic no more for it", async () => {
    const first = await set.up(10);
    forge({ slot: "2026-11-22T10:05:00Z" });
    set.recorded.commands();
    assert.equal(await set.differs(10, {}, first), false);
    assert.deepEqual(set.recorded.commands(), ["snapshots"]);
    const warnings = () => set.lines.filter(line => line.includes("carries the mark")).length;
    assert.equal(warnings(), 1);
    assert.equal((await set.wholeUp(11, {}, first)).points.length, 2);
    assert.equal(warnings(), 1, "what is said before the update is not said in it again");
  });

  it("says which of adoptIds names no snapshot of the set, and which more than one", async () => {
    const first = await set.up(10, { adoptIds: ["0123abcd"] });
    const adopting = (line: string) => line.includes("adoptIds: ");
    assert.deepEqual(set.lines.filter(adopting), [
      "warning: [set] adoptIds: the repository has no restic snapshot 0123abcd with the mark of this set: look it up with `restic snapshots`, or take it out of adoptIds where it has gone",
    ]);
    const future = forge({ slot: "2099-01-01T00:00:00Z" }).slice(0, 8);
    await set.preview(10, { adoptIds: [future, first.resticSnapshotId] }, first);
    assert.deepEqual(set.lines.filter(adopting), [
      `warning: [set] adoptIds: restic snapshot ${future} says that it is of later than now, it is not adopted`,
    ]);
    const adopted = forge({ slot: "2026-11-22T10:05:00Z" });
    const held = await set.up(10, { adoptIds: [adopted] }, first);
    restic(set.url, "tag", "--add", "hold", adopted);
    await set.preview(10, { adoptIds: [adopted] }, held);
    assert.deepEqual(set.lines.filter(adopting), [], "it has another id since it was tagged");
  });

  it("does not take them over in a refresh", async () => {
    const first = await set.up(10);
    forge({ slot: "2026-11-22T10:05:00Z" });
    const run = set.runAt(10);
    const { outputs } = (await run.read("ResticBackup", first)) ?? assert.fail("it is there");
    assert.deepEqual(
      (outputs.points as Held[]).map(point => point.resticSnapshotId),
      [first.resticSnapshotId],
    );
  });

  it("restores none of them as the latest point, while a state or the cloud names another", async () => {
    const first = await set.up(10);
    const forged = forge({ slot: eleven });
    const restore = async (more: object = {}) => {
      const run = set.runAt(12);
      const { source } = await run.up("VolumeRestore", {
        owner: "shop/prod/restored",
        backupOwner: "shop/prod/set",
        resticSnapshotId: "latest",
        repository: { url: set.url, password },
        deletionPolicy: "delete",
        ...more,
      });
      await run.down();
      return [source, set.lines.join("\n")] as const;
    };
    const newer = new RegExp(
      `1 newer restic snapshot carries the mark of this set .*: ${forged.slice(0, 8)} `,
    );
    const [named, saidOfIt] = await restore();
    assert.equal(named, `restic:${first.resticSnapshotId}`);
    assert.match(saidOfIt, newer);

    await set.dropSnapshots(10);
    const [known, said] = await restore({ backupPoints: [first.resticSnapshotId] });
    assert.equal(known, `restic:${first.resticSnapshotId}`);
    assert.match(said, newer);

    const [byMark, warned] = await restore();
    assert.equal(byMark, `restic:${forged}`);
    assert.match(
      warned,
      /is restored by its mark alone, which anybody with the repository's password can write/,
    );
  });

  it("leaves them when it is deleted", async () => {
    const first = await set.up(10, { deletionPolicy: "delete" });
    const forged = forge({ slot: "2026-11-22T10:05:00Z" });
    const run = set.runAt(10);
    run.keep("ResticBackup", first.owner, first);
    await run.down();
    assert.deepEqual(ids(), [forged]);
  });

  describe("with the state lost", () => {
    it("takes points over, none of the future, and lets only those go that what it knows pushes out", async () => {
      const keep = { retention: { keepLast: 2 } };
      const first = await set.up(9, keep);
      const second = await set.up(10, keep, first);
      await set.dropSnapshots(9);
      await set.dropSnapshots(10);
      const future = forge({ slot: "2027-01-01T00:00:00Z" });
      const newer = [forge({ slot: "2026-11-22T10:20:00Z" }), forge({ slot: "2026-11-22T10:40:00Z" })];
      const found = await set.up(11, keep);
      assert.match(set.lines.join("\n"), /1 restic snapshot carries the mark/);
      assert.match(
        set.lines.join("\n"),
        /without a state 4 restic snapshots are taken over by their mark alone: .* and 1 more/,
      );
      assert.deepEqual(
        ids().sort(),
        [found.resticSnapshotId, ...newer, second.resticSnapshotId, first.resticSnapshotId, future].sort(),
      );
      assert.deepEqual(found.points.at(-1).keptBecause, [
        "beyond the last 2, but known by its mark alone: the next run decides",
      ]);
    });

    it("lets no forged point push out those that the cloud names, and them each other", async () => {
      const keep = { retention: { keepLast: 2 } };
      const first = await set.up(9, keep);
      const second = await set.up(10, keep, first);
      const newer = [forge({ slot: "2026-11-22T10:20:00Z" }), forge({ slot: "2026-11-22T10:40:00Z" })];
      const found = await set.up(11, keep);
      assert.deepEqual(
        found.removed.map((point: Held) => point.resticSnapshotId),
        [first.resticSnapshotId],
      );
      assert.deepEqual(ids().sort(), [found.resticSnapshotId, ...newer, second.resticSnapshotId].sort());
    });

    it("applies its retention as of its own point", async () => {
      const first = await set.up(10, { retention: { keepLast: 1 } });
      const found = await set.up(11, { retention: { keepLast: 1 } });
      assert.deepEqual(
        found.removed.map((point: Held) => point.resticSnapshotId),
        [first.resticSnapshotId],
      );
    });
  });
});

/** Writes a snapshot as `restic tag` does, but leaves the one that it is for: an append-only store refuses its removal. */
function forgeRewrite(set: BackupCase, id: string, tag: string): void {
  const kept = path.join(set.work, `kept-${createHash("sha256").update(tag).digest("hex").slice(0, 8)}`);
  execFileSync("cp", ["-r", path.join(set.url, "snapshots"), kept]);
  restic(set.url, "tag", "--add", tag, id);
  execFileSync("sh", ["-c", `cp '${kept}'/* '${set.url}/snapshots'`]);
}
