import { strict as assert } from "node:assert";
import { skips } from "../needs";
import { type CloudObject, type CloudUnderTest, reaches } from "./clouds";
import { timeoutSeconds } from "./rows";
import { type Held, type Properties, Scene } from "./stack-run";

/** Below microversion 3.66 an attached volume needs `force`; above it Cinder refuses to be told. */
const withForceFlag = { OS_BLOCK_STORAGE_DEFAULT_MICROVERSION: "3.65" };

/** What CinderSnapshot promises beyond what every type does. */
export function describeCinderSnapshots(getCloud: () => CloudUnderTest): void {
  describe("CinderSnapshot on its volume", () => {
    let scene: Scene;
    let cloud: CloudUnderTest;

    beforeEach(async () => {
      cloud = getCloud();
      scene = await Scene.open(cloud);
    });

    afterEach(() => scene.close());

    async function given(volumeId?: string): Promise<Properties> {
      const inputs = {
        owner: scene.owner("set"),
        volumeId: volumeId ?? (await cloud.addVolume()),
        schedule: "0 * * * *",
        retention: { keepLast: 2 },
        timeoutSeconds,
      };
      await scene.begin();
      return inputs;
    }

    const at = (now: string, environment?: Record<string, string>) =>
      scene.run({ now: `2026-11-22T${now}:00Z`, ...(environment && { environment }) });
    const slots = (held: Held) => (held.state.points as { slot?: string }[]).map(point => point.slot);

    async function resetStatus(id: unknown, status: string): Promise<void> {
      await cloud.admin.call("POST", "volumev3", `/snapshots/${id}/action`, {
        "os-reset_status": { status },
      });
      await reaches(cloud.demo, `/snapshots/${id}`, status);
    }

    async function snapshotsMade(): Promise<CloudObject[]> {
      return (await scene.made()).filter(({ kind }) => kind === "snapshot");
    }

    for (const [when, environment] of [
      ["from 3.66 on", {}],
      ["below 3.66", withForceFlag],
    ] as const) {
      it(`takes a point of an attached volume, ${when}`, async () => {
        const inputs = await given(await cloud.addVolume({ attached: true }));
        await scene.begin();
        const work = at("10:10", environment).create("CinderSnapshot", inputs);
        if (cloud.snapshotsAttached) {
          const held = await work;
          assert.equal((await snapshotsMade()).length, 1);
          await at("10:11").delete(held);
        } else await assert.rejects(work, /creating snapshot [0-9a-f-]{36} of volume .* went to 'error'/);
        assert.deepEqual(await scene.made(), []);
      });

      it(`refuses a point of an attached volume when force is false, ${when}`, async () => {
        const inputs = await given(await cloud.addVolume({ attached: true }));
        await scene.begin();
        await assert.rejects(
          at("10:10", environment).create("CinderSnapshot", { ...inputs, force: false }),
          /the volume is "in-use" and force is false|status must be available, but current status is: in-use/,
        );
        assert.deepEqual(await scene.made(), []);
      });
    }

    it("takes one point for each due slot, once for missed ones, and prunes the oldest afterwards", async () => {
      const inputs = await given();
      const first = await at("10:10").create("CinderSnapshot", inputs);
      assert.deepEqual(slots(first), ["2026-11-22T10:00:00Z"]);
      const same = await at("10:50").diff(first, inputs);
      assert.deepEqual(same, { changed: [], replaces: [], drift: [] });
      const second = await at("13:10").update(first, inputs);
      assert.deepEqual(slots(second), ["2026-11-22T13:00:00Z", "2026-11-22T10:00:00Z"]);
      const beginning = cloud.faults.requests.length;
      const third = await at("14:10").update(second, inputs);
      assert.deepEqual(slots(third), ["2026-11-22T14:00:00Z", "2026-11-22T13:00:00Z"]);
      assert.deepEqual(
        (third.state.removed as { time: string }[]).map(({ time }) => time),
        ["2026-11-22T10:00:00Z"],
      );
      const changes = cloud.faults.requests
        .slice(beginning)
        .filter(({ method, path }) => method !== "GET" && path.includes("/snapshots"))
        .map(({ method }) => method);
      assert.deepEqual(changes, ["POST", "DELETE"]);
      assert.deepEqual(
        (await snapshotsMade()).map(({ id }) => id).sort(),
        (third.state.points as { snapshotId: string }[]).map(point => point.snapshotId).sort(),
      );
      await at("14:20").delete(third);
    });

    it("takes a point on a trigger, none while paused, and goes on afterwards", async () => {
      const inputs = await given();
      const first = await at("10:10").create("CinderSnapshot", inputs);
      const triggered = await at("10:20").update(first, { ...inputs, trigger: "before the upgrade" });
      assert.equal(slots(triggered).length, 2);
      const paused = { ...inputs, trigger: "before the upgrade", paused: true };
      const held = await at("12:10").update(triggered, paused);
      assert.deepEqual(slots(held), slots(triggered));
      const resumed = await at("12:20").update(held, { ...paused, paused: false });
      assert.equal(slots(resumed)[0], "2026-11-22T12:00:00Z");
      await at("12:30").delete(resumed);
      assert.deepEqual(await scene.made(), []);
    });

    it("adopts a snapshot made by other means, and refuses one of another volume", async () => {
      const inputs = await given();
      const body = {
        snapshot: { volume_id: inputs.volumeId, name: "by hand", metadata: { team: "storage" } },
      };
      const { snapshot } = (await cloud.demo.call("POST", "volumev3", "/snapshots", body)).body;
      await reaches(cloud.demo, `/snapshots/${snapshot.id}`, "available");
      const held = await at("10:10").create("CinderSnapshot", { ...inputs, adoptId: snapshot.id });
      const points = held.state.points as { snapshotId: string }[];
      assert.ok(points.some(point => point.snapshotId === snapshot.id));
      const another = { ...inputs, owner: scene.owner("another"), volumeId: await cloud.addVolume() };
      await assert.rejects(
        at("10:10").create("CinderSnapshot", { ...another, adoptId: snapshot.id }),
        /adopting snapshot .*: it is of volume/,
      );
      await at("10:20").delete(held);
      assert.deepEqual(await snapshotsMade(), []);
    });

    it("hands its points over when the resource is renamed", async () => {
      const inputs = await given();
      const first = await at("10:10").create("CinderSnapshot", inputs);
      const renamed = await at("10:20").update(first, { ...inputs, owner: scene.owner("renamed") });
      assert.equal(renamed.state.snapshotId, first.state.snapshotId);
      const [object] = await snapshotsMade();
      assert.equal(object?.metadata["osbackup-owner"], scene.owner("renamed"));
      await at("10:30").delete(renamed);
      assert.deepEqual(await scene.made(), []);
    });

    it("sees a point that went to 'error' as drift, removes it and makes it again", async () => {
      const inputs = await given();
      const first = await at("10:10").create("CinderSnapshot", inputs);
      await resetStatus(first.state.snapshotId, "error");
      const { drift } = await at("10:20").diff(first, inputs);
      assert.deepEqual(drift, [`recovery point ${first.state.snapshotId} is 'error'`]);
      const again = await at("10:20").update(first, inputs);
      assert.notEqual(again.state.snapshotId, first.state.snapshotId);
      const removed = again.state.removed as { snapshotId: string; because: string[] }[];
      assert.deepEqual(
        removed.map(({ snapshotId, because }) => [snapshotId, ...because]),
        [[first.state.snapshotId, "unfinished, replaced by the point of this run"]],
      );
      assert.deepEqual(
        (await snapshotsMade()).map(({ id }) => id),
        [again.state.snapshotId],
      );
      await at("10:30").delete(again);
    });

    it("sees a point that has vanished as drift and makes it again", async () => {
      const inputs = await given();
      const first = await at("10:10").create("CinderSnapshot", inputs);
      await cloud.demo.call("DELETE", "volumev3", `/snapshots/${first.state.snapshotId}`);
      await reaches(cloud.demo, `/snapshots/${first.state.snapshotId}`, "gone");
      const { drift } = await at("10:20").diff(first, inputs);
      assert.deepEqual(drift, [`recovery point ${first.state.snapshotId} has vanished`]);
      const again = await at("10:20").update(first, inputs);
      await at("10:30").delete(again);
      assert.deepEqual(await scene.made(), []);
    });

    it("says why a point that is 'error_deleting' cannot go, and removes it when it can", async () => {
      const inputs = { ...(await given()), timeoutSeconds: 2 };
      const held = await at("10:10").create("CinderSnapshot", inputs);
      await resetStatus(held.state.snapshotId, "error_deleting");
      await assert.rejects(
        at("10:20").delete(held),
        /removing snapshot .*: it is 'error_deleting', from where only an administrator gets it back: `openstack volume snapshot set --state available/,
      );
      await resetStatus(held.state.snapshotId, "available");
      await at("10:30").delete(held);
      assert.deepEqual(await scene.made(), []);
    });

    it("removes a snapshot that goes to 'error' while it is made, in cinder's words", async () => {
      const inputs = await given();
      const mend = await cloud.breakSnapshots(String(inputs.volumeId));
      await scene.begin();
      // The broken backend could not remove it either.
      cloud.faults.inject({ harm: { before: mend }, match: /^DELETE .*\/snapshots\// });
      await assert.rejects(
        at("10:10").create("CinderSnapshot", inputs),
        /^UndoneError: creating snapshot [0-9a-f-]{36} of volume [0-9a-f-]{36}: snapshot [0-9a-f-]{36} went to 'error', expected 'available'; cinder says: create snapshot:Snapshot failed to create\.; undone: snapshot [0-9a-f-]{36}$/,
      );
      assert.deepEqual(
        (await scene.made()).filter(({ kind }) => kind !== "attachment"),
        [],
      );
      const again = await at("10:20").create("CinderSnapshot", inputs);
      await at("10:30").delete(again);
    });

    it("removes a volume that goes to 'error' while it is made, in cinder's words", async () => {
      const set = await at("10:10").create("CinderSnapshot", await given());
      await scene.begin();
      for (const type of ["TemporaryVolume", "VolumeRestore"]) {
        await assert.rejects(
          at("10:20").create(type, {
            owner: scene.owner("too-large"),
            snapshotId: set.state.snapshotId,
            sizeGib: 500_000,
            timeoutSeconds,
          }),
          /went to 'error', expected 'available'; cinder says: schedule allocate volume:Could not find any available weighted backend\.; undone: /,
        );
        assert.deepEqual(await scene.made(), [], type);
      }
    });

    it("removes a point again that the backend puts back to 'available'", async function () {
      if (!cloud.holdSnapshot) return skips(this, "nothing can hold a snapshot on this backend");
      const inputs: Properties = { ...(await given()), timeoutSeconds: 90 };
      const held = await at("10:10").create("CinderSnapshot", inputs);
      const id = String(held.state.snapshotId);
      const release = await cloud.holdSnapshot(String(inputs.volumeId), id);
      await releasedAfterASecondTry(id, at("10:20").delete(held), release);
      const said = (await cloud.demo.call("GET", "volumev3", `/messages?resource_uuid=${id}`)).body.messages;
      assert.equal(said[0]?.user_message, "delete snapshot:Snapshot is busy.");
      assert.deepEqual(await scene.made(), []);
    });

    async function releasedAfterASecondTry(
      id: string,
      removal: Promise<void>,
      release: () => Promise<void>,
    ): Promise<void> {
      const removals = () =>
        cloud.faults.requests.filter(one => one.method === "DELETE" && one.path.endsWith(id)).length;
      while (removals() < 2) await new Promise(resolve => setTimeout(resolve, 50));
      await release();
      await removal;
    }

    it("removes a volume as soon as nothing holds it open any more", async function () {
      if (!cloud.holdVolume) return skips(this, "nothing can hold a volume on this backend");
      const set = await at("10:10").create("CinderSnapshot", await given());
      const held = await at("10:10").create("TemporaryVolume", {
        owner: scene.owner("temporary"),
        snapshotId: set.state.snapshotId,
        timeoutSeconds: 90,
      });
      const id = String(held.state.volumeId);
      const release = await cloud.holdVolume(id);
      await releasedAfterASecondTry(id, at("10:20").delete(held), release);
      await at("10:20").delete(set);
      assert.deepEqual(await scene.made(), []);
    });

    it("goes before or after what was made from it", async () => {
      const inputs = await given();
      const set = await at("10:10").create("CinderSnapshot", inputs);
      const copy = { snapshotId: set.state.snapshotId, timeoutSeconds };
      const temporary = await at("10:10").create("TemporaryVolume", {
        ...copy,
        owner: scene.owner("temporary"),
      });
      await at("10:20").delete(set);
      await at("10:20").delete(temporary);
      assert.deepEqual(await scene.made(), []);
    });

    describe("in a chain of snapshots and volumes", () => {
      async function chain() {
        const inputs = await given();
        const first = await at("10:10").create("CinderSnapshot", inputs);
        const restored = await at("10:10").create("VolumeRestore", {
          owner: scene.owner("restored"),
          snapshotId: first.state.snapshotId,
          deletionPolicy: "delete",
          timeoutSeconds,
        });
        const second = await at("10:10").create("CinderSnapshot", {
          ...inputs,
          owner: scene.owner("second"),
          volumeId: restored.state.volumeId,
        });
        const temporary = await at("10:10").create("TemporaryVolume", {
          owner: scene.owner("temporary"),
          snapshotId: second.state.snapshotId,
          timeoutSeconds,
        });
        return { first, restored, second, temporary };
      }

      it("goes from the end, and the middle waits for its snapshots", async () => {
        const { first, restored, second, temporary } = await chain();
        const impatient = { ...restored, state: { ...restored.state, timeoutSeconds: 2 } };
        await assert.rejects(at("10:20").delete(impatient), /removing volume .*have snapshots/);
        for (const held of [temporary, second, restored, first]) await at("10:20").delete(held);
        assert.deepEqual(await scene.made(), []);
      });

      it("goes from the beginning, or says that Ceph cannot", async () => {
        const { first, restored, second, temporary } = await chain();
        const removal = at("10:20").delete(first);
        if (cloud.backend === "rbd") {
          await assert.rejects(
            removal,
            /is 'error_deleting', from where .*; cinder says: delete snapshot:Snapshot failed to delete\./,
          );
        } else await removal;
        for (const held of [temporary, second, restored]) await at("10:20").delete(held);
        if (cloud.backend === "rbd") {
          await resetStatus(first.state.snapshotId, "available");
          await at("10:30").delete(first);
        }
        assert.deepEqual(await scene.made(), []);
      });
    });

    it("is refused by a quota in cinder's words and leaves nothing", async () => {
      const inputs = await given();
      const { snapshots } = await count(cloud);
      const quota = `/os-quota-sets/${cloud.demo.projectId}`;
      await cloud.admin.call("PUT", "volumev3", quota, { quota_set: { snapshots } });
      try {
        await assert.rejects(
          at("10:10").create("CinderSnapshot", inputs),
          new RegExp(
            `^ApiError: creating snapshot of volume ${inputs.volumeId}: SnapshotLimitExceeded: ` +
              `Maximum number of snapshots allowed \\(${snapshots}\\) exceeded \\(HTTP 413, cinder, req-`,
          ),
        );
      } finally {
        await cloud.admin.call("PUT", "volumev3", quota, { quota_set: { snapshots: -1 } });
      }
      assert.deepEqual(await scene.made(), []);
    });

    // A thousand is what Cinder puts on one page. Its own database holds the copies, see `addSnapshots`.
    it("finds and prunes its points behind 1,005 younger snapshots of others", async () => {
      const inputs = { ...(await given()), retention: { keepLast: 1 } };
      const first = await at("10:10").create("CinderSnapshot", inputs);
      const removeOthers = await cloud.addSnapshots(1_005, {
        "managed-by": "pulumi-openstack-backup",
        "osbackup-role": "recovery-point",
        "osbackup-owner": scene.owner("of-others"),
      });
      try {
        const listings = () => cloud.faults.requests.filter(({ path }) => path.includes("/snapshots/detail"));
        const before = listings().length;
        const read = await at("10:20").read(first);
        assert.deepEqual(read?.state.points, first.state.points);
        const pages = listings().slice(before);
        assert.equal(pages.length, 2);
        assert.match(pages[1]?.path ?? "", /[?&]marker=/);
        const again = await at("10:20").create("CinderSnapshot", inputs);
        assert.equal(again.state.snapshotId, first.state.snapshotId);
        const second = await at("11:10").update(first, inputs);
        assert.deepEqual(
          (second.state.removed as { snapshotId: string }[]).map(({ snapshotId }) => snapshotId),
          [first.state.snapshotId],
        );
        await at("11:20").delete(second);
      } finally {
        await removeOthers();
      }
      assert.deepEqual(await scene.made(), []);
    });

    it("takes names and owners in any script", async () => {
      const inputs = { ...(await given()), owner: "projekt/žlutý/日本語", namePrefix: "záloha" };
      const held = await at("10:10").create("CinderSnapshot", inputs);
      const [point] = held.state.points as { name: string }[];
      assert.equal(point?.name, "záloha-日本語-20261122T100000Z");
      const again = await at("10:20").create("CinderSnapshot", inputs);
      assert.equal(again.state.snapshotId, held.state.snapshotId);
      await at("10:30").delete(again);
      assert.deepEqual(await scene.made(), []);
    });

    it("tells a reader clearly that it may not", async () => {
      const inputs = await given();
      await assert.rejects(
        scene.run({ who: "reader" }).create("CinderSnapshot", inputs),
        /creating snapshot of volume .*: Policy doesn't allow .* to be performed\. \(HTTP 403, cinder, req-/,
      );
      assert.deepEqual(await scene.made(), []);
    });

    it("does not see the volume of another project", async () => {
      const inputs = await given();
      const { refusals } = await scene.run({ who: "other" }).check("CinderSnapshot", inputs);
      assert.equal(refusals.length, 1);
      assert.equal(refusals[0]?.property, "volumeId");
      assert.match(
        refusals[0]?.reason ?? "",
        /^volume [0-9a-f-]+ does not exist in project [0-9a-f]+, look it up/,
      );
    });

    it("says that the login failed when the password is wrong", async () => {
      const inputs = await given();
      const environment = { OS_PASSWORD: "a-wrong-password-nobody-must-see" };
      const { refusals } = await scene.run({ environment }).check("CinderSnapshot", inputs);
      assert.equal(refusals[0]?.property, "cloud");
      assert.match(refusals[0]?.reason ?? "", /^failed to authenticate with OpenStack: /);
    });

    it("takes no harm from a service that is slow, busy or drops connections", async () => {
      const inputs = await given();
      const { faults } = cloud;
      faults.inject({ harm: { status: 503 }, match: /^POST .*\/snapshots$/ });
      faults.inject({ harm: { delayMs: 300 }, match: /^GET .*\/snapshots/ });
      faults.inject({ harm: { lost: "request" }, match: /^GET .*\/snapshots/, after: 1 });
      const held = await at("10:10").create("CinderSnapshot", inputs);
      assert.equal((await snapshotsMade()).length, 1);
      faults.inject({ harm: { status: 500 }, match: /^GET .*\/snapshots\/[0-9a-f-]+$/ });
      await at("10:20").delete(held);
      assert.deepEqual(faults.mend(), []);
      assert.deepEqual(await scene.made(), []);
    });
  });
}

/** How many snapshots the project has; a quota counts all of them. */
async function count(cloud: CloudUnderTest): Promise<{ snapshots: number }> {
  const { limits } = (await cloud.demo.call("GET", "volumev3", "/limits")).body;
  return { snapshots: limits.absolute.totalSnapshotsUsed };
}
