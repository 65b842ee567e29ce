import { strict as assert } from "node:assert";
import { type CloudObject, type CloudUnderTest, reaches } from "./clouds";
import { timeoutSeconds } from "./rows";
import { type Held, type Properties, Scene } from "./stack-run";

interface Shown {
  pointId: string;
  slot: string;
  snapshots: Record<string, string>;
  status?: string;
}

/** What ServerSnapshot promises beyond what every type does. */
export function describeServerSnapshots(getCloud: () => CloudUnderTest): void {
  describe("ServerSnapshot on its server", () => {
    let scene: Scene;
    let cloud: CloudUnderTest;
    let inputs: Properties;
    let volumeIds: string[];

    beforeEach(async () => {
      cloud = getCloud();
      scene = await Scene.open(cloud);
      const server = await cloud.addServer(2);
      volumeIds = server.volumeIds;
      inputs = {
        owner: scene.owner("server"),
        serverId: server.serverId,
        serverName: "web",
        schedule: "0 * * * *",
        retention: { keepLast: 2 },
        timeoutSeconds,
      };
      await scene.begin();
    });

    afterEach(() => scene.close());

    const at = (now: string) => scene.run({ now: `2026-11-22T${now}:00Z` });
    async function removed(id: string): Promise<void> {
      await cloud.demo.call("DELETE", "volumev3", `/snapshots/${id}`);
      await reaches(cloud.demo, `/snapshots/${id}`, "gone");
    }
    const pointsOf = (held: Held) => held.state.points as Shown[];
    const snapshotsMade = async (): Promise<CloudObject[]> =>
      (await scene.made()).filter(({ kind }) => kind === "snapshot");

    it("takes all volumes as one point, and removes the oldest as one", async () => {
      const run = at("10:10");
      let held = await run.create("ServerSnapshot", inputs);
      const [first] = pointsOf(held);
      assert.deepEqual(Object.keys(first?.snapshots ?? {}).sort(), [...volumeIds].sort());
      assert.match(run.lines.join("\n"), /took recovery point .* of server web \(2 volumes\); keeps 1/);
      assert.equal(held.state.sizeGib, 2);
      assert.ok(Number(held.state.skewSeconds) > 0 && Number(held.state.skewSeconds) < timeoutSeconds);

      held = await at("11:10").update(held, inputs);
      const third = at("12:10");
      held = await third.update(held, inputs);
      assert.deepEqual(
        pointsOf(held).map(({ slot }) => slot),
        ["2026-11-22T12:00:00Z", "2026-11-22T11:00:00Z"],
      );
      assert.match(third.lines.join("\n"), /keeps 2, removed 1: .* of 2026-11-22T10:00:00Z/);
      const left = await snapshotsMade();
      assert.equal(left.length, 4);
      assert.ok(!left.some(({ id }) => Object.values(first?.snapshots ?? {}).includes(id)));
      await third.delete(held);
      assert.deepEqual(await scene.made(), []);
    });

    it("takes in a volume that was attached between two points", async () => {
      let held = await at("10:10").create("ServerSnapshot", inputs);
      await cloud.addVolumeOf(String(inputs.serverId));
      held = await at("11:10").update(held, inputs);
      assert.deepEqual(
        pointsOf(held).map(({ snapshots }) => Object.keys(snapshots).length),
        [3, 2],
      );
      assert.ok(pointsOf(held).every(({ status }) => status === undefined));
      await at("11:20").delete(held);
      assert.deepEqual(await snapshotsMade(), []);
    });

    it("leaves nothing where the snapshot of one volume is refused", async () => {
      const run = at("10:10");
      cloud.faults.inject({
        harm: { status: 413 },
        match: /^POST \/volume.*\/snapshots$/,
        after: 1,
        times: 1,
      });
      await assert.rejects(run.create("ServerSnapshot", inputs), /HTTP 413.*undone: snapshot /);
      assert.deepEqual(await scene.made(), []);
    });

    it("leaves nothing where the snapshot of one volume breaks, and takes the point with the next run", async () => {
      const release = await cloud.breakSnapshots(volumeIds[1] ?? "");
      await assert.rejects(
        at("10:10").create("ServerSnapshot", inputs),
        /'error'.*undone: snapshot .*, snapshot /,
      );
      await release();
      assert.deepEqual(await scene.made(), []);
      const held = await at("10:20").create("ServerSnapshot", inputs);
      assert.equal((await snapshotsMade()).length, 2);
      await at("10:30").delete(held);
    });

    it("makes a point anew that a dead run left half made", async () => {
      const held = await at("10:10").create("ServerSnapshot", inputs);
      const [lost = ""] = Object.values(pointsOf(held)[0]?.snapshots ?? {});
      await removed(lost);
      const again = at("10:20");
      const taken = await again.create("ServerSnapshot", inputs);
      assert.match(
        again.lines.join("\n"),
        /removing what an earlier run left of the point of 2026-11-22T10:00:00Z/,
      );
      assert.equal((await snapshotsMade()).length, 2);
      assert.equal(pointsOf(taken).length, 1);
      await again.delete(taken);
      assert.deepEqual(await scene.made(), []);
    });

    it("says of a point that lost a snapshot what it lacks, and takes the slot's point again", async () => {
      const held = await at("10:10").create("ServerSnapshot", inputs);
      const [, second = ""] = Object.values(pointsOf(held)[0]?.snapshots ?? {});
      await removed(second);
      const { drift } = await at("10:20").diff(held, inputs);
      assert.match(drift.join("\n"), /is broken: 1 of 2 snapshots is missing/);
      const mended = await at("10:20").update(held, inputs);
      assert.equal((await snapshotsMade()).length, 2);
      assert.deepEqual((await at("10:30").diff(mended, inputs)).drift, []);
      await at("10:30").delete(mended);
    });
  });
}
