import assert from "node:assert/strict";
import type { Held } from "../../lifecycle";
import { restic, tidyUp } from "../restic/fixture";
import { BackupCase, worths } from "./backup-case";

const many = Object.fromEntries(
  Array.from({ length: 9 }, (_, index) => [`file-${index}`, "x".repeat(100)] as const),
);
const few = { "file-0": "x".repeat(100), "file-1": "x".repeat(100), "file-2": "x".repeat(100) };
const [ten, eleven, twelve] = [10, 11, 12].map(hour => `2026-11-22T${hour}:00:00Z`) as [
  string,
  string,
  string,
];

describe("ResticBackup of a source that has shrunk", function () {
  this.timeout(120_000);
  let set: BackupCase;

  beforeEach(async () => {
    set = await BackupCase.make();
    await set.holds(many);
  });
  afterEach(() => set.end());
  after(tidyUp);

  const made = () => set.listed().length;
  const warnings = () => set.lines.filter(line => line.startsWith("warning: [set]"));

  it("ends in PartiallyFailed, keeps the point and does not count it, where less than half the files are there", async () => {
    const first = await set.up(10);
    await set.holds(few);
    const { message, state } = await set.fails(11, {}, first);
    const [point] = state.points;
    assert.equal(
      message,
      `PartiallyFailed: 3 files of 300 bytes, and ${first.resticSnapshotId.slice(0, 8)} of ${ten}, the good point before, has ` +
        `9 files of 900 bytes: less than half; snapshot ${point.resticSnapshotId.slice(0, 8)} is kept, marked 'shrunk', and does ` +
        `not count as good; if the source may be smaller, set allowShrink to '${eleven}', else mend it and ask for another point with a new trigger`,
    );
    assert.deepEqual(worths(state), [
      [eleven, false],
      [ten, true],
    ]);
    assert.equal(state.resticSnapshotId, first.resticSnapshotId);
    assert.equal(state.phase, "PartiallyFailed");
    assert.equal(state.message, message);
  });

  it("does so where less than half the bytes are there, in as many files", async () => {
    const first = await set.up(10);
    await set.holds(Object.fromEntries(Object.keys(many).map(name => [name, "y".repeat(40)])));
    const { message } = await set.fails(11, {}, first);
    assert.match(
      message,
      /^PartiallyFailed: 9 files of 360 bytes, and .* has 9 files of 900 bytes: less than half;/,
    );
  });

  it("does so for a raw device, by its bytes", async () => {
    await set.isRaw(20);
    const first = await set.up(10, { content: "block" });
    await set.isRaw(8);
    const { message } = await set.fails(11, { content: "block" }, first);
    assert.match(
      message,
      /^PartiallyFailed: 1 file of 8388608 bytes, and .* has 1 file of 20971520 bytes: less than half;/,
    );
  });

  it("takes half for enough", async () => {
    const first = await set.up(10);
    await set.holds(Object.fromEntries(Object.entries(many).slice(0, 5)));
    assert.deepEqual(worths(await set.up(11, {}, first)), [
      [eleven, true],
      [ten, true],
    ]);
  });

  it("fails again in the same slot with the same words, and without another copy", async () => {
    const first = await set.up(10);
    await set.holds(few);
    const before = await set.fails(11, {}, first);
    set.recorded.commands();
    const volumes = set.cloud.volumes().length;
    const again = await set.fails(11, {}, before.state);
    assert.equal(again.message, before.message);
    assert.deepEqual(again.state.points, before.state.points);
    assert.deepEqual(set.recorded.commands(), ["snapshots"]);
    assert.equal(set.cloud.volumes().length, volumes);
    const lost = await set.fails(11);
    assert.equal(lost.message, before.message, "also where the state is lost");
    assert.equal(made(), 2);
  });

  it("takes the mark off where allowShrink says so now, and copies nothing again", async () => {
    const first = await set.up(10);
    await set.holds(few);
    const { state } = await set.fails(11, {}, first);
    set.recorded.commands();
    const allowed = await set.up(11, { allowShrink: eleven }, state);
    assert.deepEqual(set.recorded.commands(), ["snapshots", "tag", "snapshots"]);
    assert.deepEqual(worths(allowed), [
      [eleven, true],
      [ten, true],
    ]);
    assert.equal(allowed.phase, "Succeeded");
    assert.equal(made(), 2);
    // the guard is armed again
    await set.holds({ "file-0": "x" });
    const next = await set.fails(12, { allowShrink: eleven }, allowed);
    assert.match(next.message, /^PartiallyFailed: 1 file of 1 bytes?, and .* has 3 files of 300 bytes/);
    assert.deepEqual(worths(await set.up(12, { allowShrink: true }, next.state)).length, 3);
  });

  it("takes the mark off the points of earlier slots that allowShrink covers, which the next is compared with", async () => {
    const first = await set.up(10);
    await set.holds(few);
    const { state } = await set.fails(11, {}, first);
    const next = await set.up(12, { allowShrink: eleven }, state);
    assert.deepEqual(worths(next), [
      [twelve, true],
      [eleven, true],
      [ten, true],
    ]);
  });

  it("warns of each later point until then", async () => {
    const first = await set.up(10);
    await set.holds(few);
    const { state } = await set.fails(11, {}, first);
    const { message } = await set.fails(12, {}, state);
    assert.match(message, /of 2026-11-22T10:00:00Z, the good point before, has 9 files/);
  });

  it("tells of all shrunk points in a run, and in each preview once", async () => {
    const first = await set.up(10);
    await set.holds(few);
    const once = await set.fails(11, {}, first);
    const twice = await set.fails(12, {}, once.state);
    assert.match(
      twice.message,
      /does not count as good; 2 points are so since 2026-11-22T11:00:00Z; if the source may be smaller, set allowShrink to '2026-11-22T12:00:00Z', which allows all of them, else mend it/,
    );
    await set.differs(12, {}, twice.state);
    assert.deepEqual(
      warnings().map(line => line.slice(line.indexOf("] ") + 2)),
      [
        `the 2 restic snapshots since ${eleven} have less than half of the good one before and do not count as good: see the source, and where it may be smaller set allowShrink to '${twelve}'`,
      ],
    );
    await set.preview(12, { allowShrink: twelve }, twice.state);
    assert.ok(!warnings().some(line => line.includes("do not count as good")), warnings().join("\n"));
    await set.holds(many);
    await set.up(13, {}, twice.state);
    await set.differs(13, {}, await set.up(13, {}, twice.state));
    assert.deepEqual(warnings(), [], "a good point ends it");
  });

  it("removes nothing in the run that counts three shrunk points, and names the full points that the next slot lets go", async () => {
    const keep = { retention: { keepLast: 2 } };
    let held = await set.up(8, keep);
    held = await set.up(9, keep, held);
    const full = held.points.map(({ resticSnapshotId }: Held) => resticSnapshotId.slice(0, 8));
    await set.holds(few);
    // with fewer a retention thins those that are not good
    const more = { retention: { keepLast: 5 } };
    for (const hour of [10, 11, 12]) held = (await set.fails(hour, more, held)).state;
    const shrunk = held.points.filter(({ good }: Held) => !good);
    assert.equal(shrunk.length, 3);
    const named = shrunk.map(
      ({ resticSnapshotId, slot }: Held) => `${resticSnapshotId.slice(0, 8)} of ${slot}`,
    );
    const last =
      `forgets ${full[0]} of 2026-11-22T09:00:00Z (beyond the last 2), ${full[1]} of 2026-11-22T08:00:00Z (beyond the last 2), the ` +
      "last from before the source shrank; its Cinder snapshots go by their own retention; restore what you still want, or tag it " +
      "and name the tag in retention.keepTags";
    const allow = { ...keep, allowShrink: twelve };
    assert.deepEqual(await set.preview(12, allow, held), [
      `will count as good 3 shrunk restic snapshots: ${named.join(", ")}; keeps 5; no point goes for these in this run`,
    ]);
    assert.deepEqual(warnings(), [`warning: [set] the next due slot ${last}`]);

    held = await set.up(12, allow, held);
    assert.deepEqual([held.points.length, held.removed, set.listed().length], [5, [], 5]);
    assert.ok(held.points.every(({ good }: Held) => good));
    assert.deepEqual(warnings(), [`warning: [set] the next due slot ${last}`]);

    assert.equal(await set.differs(12, allow, held), false);
    assert.deepEqual(warnings(), [`warning: [set] the next due slot ${last}`], "between slots too");
    await set.preview(13, allow, held);
    assert.deepEqual(warnings(), [`warning: [set] this run ${last}`]);
    held = await set.up(13, allow, held);
    assert.equal(held.points.length, 2);
    assert.deepEqual(warnings(), []);
  });

  it("says in each run and preview that allowShrink: true turns the guard off", async () => {
    const held = await set.up(10, { allowShrink: true });
    const isOff = (line: string) =>
      line.startsWith("warning: [set] allowShrink is true: a backup of next to nothing would count as good");
    assert.equal(warnings().filter(isOff).length, 1);
    await set.preview(10, { allowShrink: true }, held);
    assert.equal(warnings().filter(isOff).length, 1);
  });

  it("marks it on an append-only store too, and takes the mark off there", async () => {
    const keep = `mkdir -p '${set.work}/kept'; cp -r '${set.url}/snapshots' '${set.work}/kept'; $real "$@"; cp '${set.work}/kept/snapshots'/* '${set.url}/snapshots'; exit 1`;
    set.recorded.instead("tag", keep);
    const first = await set.up(10);
    await set.holds(few);
    const { state } = await set.fails(11, {}, first);
    assert.deepEqual(worths(state), [
      [eleven, false],
      [ten, true],
    ]);
    assert.equal(made(), 3);
    const allowed = await set.up(11, { allowShrink: true }, state);
    assert.deepEqual(worths(allowed), [
      [eleven, true],
      [ten, true],
    ]);
  });

  it("knows the figures of the point before where the state is lost, and where a version before kept none", async () => {
    const first = await set.up(10);
    await set.holds(few);
    set.recorded.commands();
    const { state } = await set.fails(11);
    assert.deepEqual(set.recorded.commands(), ["snapshots", "backup", "ls", "tag", "snapshots"]);
    assert.equal(state.points.length, 2);
    const old: Held = {
      ...first,
      points: first.points.map(({ filesTotal, bytesTotal, ...point }: Held) => point),
    };
    set.recorded.commands();
    await set.fails(12, {}, old);
    assert.equal(set.recorded.commands().includes("ls"), false, "the last run's outputs have them");
  });

  it("compares nothing where paths, exclude or content are others now, and says so", async () => {
    const first = await set.up(10);
    const less = await set.up(11, { paths: ["/file-0"] }, first);
    assert.deepEqual(worths(less), [
      [eleven, true],
      [ten, true],
    ]);
    assert.ok(
      set.lines.some(line =>
        /not compared with [0-9a-f]{8} of .*: paths, exclude or content have changed$/.test(line),
      ),
      set.lines.join("\n"),
    );
  });

  it("backs up again in the same slot where what was left out by mistake is in", async () => {
    const first = await set.up(10);
    const away = { exclude: ["file-*"], paths: ["/"] };
    await set.holds({ ...few, other: "x" });
    const { state } = await set.fails(11, {}, first);
    await set.up(11, away, state);
    assert.equal(set.listed().filter(({ tags }) => tags.includes(`slot=${eleven}`)).length, 1);
  });

  it("refuses an allowShrink that is neither true nor an instant", async () => {
    for (const allowShrink of ["2026-13-40", "yesterday", "", "2026-11-22", 7])
      await assert.rejects(set.up(10, { allowShrink }), {
        message: `allowShrink: must be true, or an instant as ISO 8601 with its zone, '2026-11-22T10:00:00Z' (is ${JSON.stringify(allowShrink)})`,
      });
    assert.equal(restic(set.url, "snapshots", "--json").trim(), "[]");
  });
});
