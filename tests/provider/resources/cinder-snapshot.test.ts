import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { Lifecycle } from "../../lifecycle";

describe("CinderSnapshot", () => {
  let cloud: Devcloud;
  let volumeId: string;

  beforeEach(async () => {
    cloud = await startDevcloud();
    volumeId = (await cloud.addVolume({ name: "pg", sizeBytes: 1 << 20 })).id;
  });
  afterEach(() => cloud.stop());

  const runAt = (hour: number) =>
    new Lifecycle({ ...cloud.environment, OSBACKUP_NOW: `2026-11-22T${hour}:10:00Z` });
  const given = (name: string, more: object = {}) => ({
    owner: `shop/prod/${name}`,
    volumeId,
    schedule: "0 * * * *",
    retention: { keepLast: 2 },
    ...more,
  });
  const short = (id: string) => id.slice(0, 8);

  it("says in one line what a run will do, and in one what it did", async () => {
    const first = runAt(10);
    assert.deepEqual(await first.preview("CinderSnapshot", given("pg", { retention: { keepLast: 1 } })), {
      drift: [],
      plan: ["will take the recovery point of 2026-11-22T10:00:00Z; keeps 1"],
    });
    const made = await first.up("CinderSnapshot", given("pg", { retention: { keepLast: 1 } }));
    const second = runAt(11);
    second.keep("CinderSnapshot", made.owner, made);
    const gone = `1: ${short(made.snapshotId)} of 2026-11-22T10:00:00Z (beyond the last 1)`;
    assert.deepEqual(
      (await second.preview("CinderSnapshot", given("pg", { retention: { keepLast: 1 } }))).plan,
      [`will take the recovery point of 2026-11-22T11:00:00Z; keeps 1, removes ${gone}`],
    );
    const next = await second.up("CinderSnapshot", given("pg", { retention: { keepLast: 1 } }));
    assert.deepEqual(second.lines, [
      `[pg] took recovery point ${short(next.snapshotId)} of 2026-11-22T11:00:00Z; keeps 1, removed ${gone}`,
    ]);
    second.lines.length = 0;
    await second.down();
    assert.deepEqual(second.lines, [
      `[pg] removed 1 recovery point: ${short(next.snapshotId)} of 2026-11-22T11:00:00Z`,
    ]);
  });

  it("announces of points between the slots what the run does", async () => {
    const at = (time: string) =>
      new Lifecycle({ ...cloud.environment, OSBACKUP_NOW: `2026-11-22T${time}:00Z` });
    let state = await at("10:10").up("CinderSnapshot", given("pg"));
    for (const [time, trigger] of [
      ["10:20", "1"],
      ["10:30", "2"],
      ["10:40", "3"],
    ] as const) {
      const run = at(time);
      run.keep("CinderSnapshot", state.owner, state);
      const { plan } = await run.preview("CinderSnapshot", given("pg", { trigger }));
      const oldest = state.points.length === 2 ? short(state.points[1].snapshotId) : undefined;
      assert.match(plan.join(), oldest ? new RegExp(`keeps 2, removes 1: ${oldest}`) : /keeps 2$/);
      state = await run.up("CinderSnapshot", given("pg", { trigger }));
      assert.match(run.lines.join(), oldest ? new RegExp(`keeps 2, removed 1: ${oldest}`) : /keeps 2$/);
    }
  });

  it("keeps everything, and says so, when the schedule counts to 0", async () => {
    const made = await runAt(10).up("CinderSnapshot", given("pg"));
    const paused = runAt(12);
    paused.keep("CinderSnapshot", made.owner, made);
    const state = await paused.up(
      "CinderSnapshot",
      given("pg", { schedule: "0@mon-sun@10", retention: undefined }),
    );
    assert.deepEqual(
      state.points.map(({ keptBecause }: { keptBecause: string[] }) => keptBecause),
      [["no retention"]],
    );
  });

  it("knows the points of its former name in a preview", async () => {
    const made = await runAt(10).up("CinderSnapshot", given("old"));
    const renamed = runAt(10);
    renamed.keep("CinderSnapshot", made.owner, made, "shop/prod/new");
    assert.deepEqual(await renamed.preview("CinderSnapshot", given("new")), { drift: [], plan: ["keeps 1"] });
    assert.equal((await renamed.up("CinderSnapshot", given("new"))).snapshotId, made.snapshotId);
    assert.equal(cloud.snapshots().length, 1);
  });

  it("knows the points that are there in a preview where the state was lost", async () => {
    await runAt(10).up("CinderSnapshot", given("pg"));
    assert.deepEqual((await runAt(10).preview("CinderSnapshot", given("pg"))).plan, [
      "will adopt 1 recovery point; keeps 1",
    ]);
  });

  it("names the snapshot that it will adopt, and counts it", async () => {
    const made = await runAt(10).up("CinderSnapshot", given("other"));
    const run = runAt(11);
    const adopting = given("pg", { adoptId: made.snapshotId });
    const { drift, plan } = await run.preview("CinderSnapshot", adopting);
    assert.deepEqual(drift, []);
    assert.match(
      plan.join("\n"),
      new RegExp(
        `^will adopt snapshot ${short(made.snapshotId)} of \\S+Z; ` +
          "will take the recovery point of 2026-11-22T11:00:00Z; keeps 2$",
      ),
    );
    const adopted = await run.up("CinderSnapshot", adopting);
    assert.equal(adopted.points.length, 2);
    const same = runAt(11);
    same.keep("CinderSnapshot", adopted.owner, adopted);
    assert.deepEqual(await same.preview("CinderSnapshot", adopting), { drift: [], plan: ["keeps 2"] });
  });
});
