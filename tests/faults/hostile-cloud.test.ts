import assert from "node:assert/strict";
import { Client } from "../devcloud/client";
import { tidyUp } from "../provider/restic/fixture";
import { aSet, HostilePlace, type HostileStack, hourOf, slotOf } from "./hostile-set";

const mark = { "managed-by": "pulumi-openstack-backup", "osbackup-role": "recovery-point" };

describe("a cloud that others change", function () {
  this.timeout(60_000);
  let place: HostilePlace;
  let stack: HostileStack;
  let client: Client;

  beforeEach(async () => {
    place = await HostilePlace.open({ tokenLifetimeSeconds: 86_400 }, "with the runs");
    stack = place.stack({ pg: await aSet(place, "pg", 2) });
    client = await Client.login(place.cloud.environment);
  });
  afterEach(() => place.close());
  after(tidyUp);

  const volumeOf = (name: string) => stack.sets[name]?.volumeId as string;
  const cinder = (name = "pg") => place.cinderSlots(stack.owner(`${name}-snapshot`));
  const restic = (name = "pg") => place.resticSlots(stack.owner(`${name}-backup`));
  const snapshotOf = (slot: string) =>
    place.cloud.snapshots().find(({ metadata }) => metadata["osbackup-slot"] === slot);

  async function remove(path: string): Promise<void> {
    assert.equal((await client.send("DELETE", path)).status, 202);
    await client.waitFor(path.replace(/\?.*/, ""), "gone");
  }

  it("goes on copying where an old point cannot be removed, and says so in each run until it can", async () => {
    stack.sets.pg = { ...(stack.sets.pg as object), ...(await aSet(place, "pg2", 1)), timeoutSeconds: 1 };
    for (const hour of [1, 2]) await stack.upWell(hourOf(hour));
    const old = snapshotOf(slotOf(1));
    assert.ok(old);
    old.status = "error_deleting";
    for (const hour of [3, 4, 5]) {
      const failures = await stack.up(hourOf(hour));
      assert.deepEqual(Object.keys(failures), ["pg-backup"]);
      assert.match(
        failures["pg-backup"] ?? "",
        /^the backup is in the repository, but of its Cinder snapshots 1 old point could not be removed: .*error_deleting/,
      );
      assert.ok((await restic()).includes(slotOf(hour)));
    }
    old.status = "available";
    await stack.upWell(hourOf(5));
    await stack.upWell(hourOf(6));
    await stack.assertWhole();
  });

  describe("by a quota", () => {
    /** Four sets that keep their points in the cloud alone, and have one each. */
    async function fourSets(): Promise<string[]> {
      const names = ["a", "b", "c", "d"];
      for (const name of names) stack.sets[name] = { ...(await aSet(place, name, 2)), backup: false };
      delete stack.sets.pg;
      await stack.upWell(hourOf(1));
      return names;
    }

    it("that is reached in the middle of ten runs fails the sets it hits alone, and leaves nothing half made", async () => {
      const names = await fourSets();
      const foreign = place.foreign([stack.name]);
      place.cloud.setQuota("demo", { snapshots: 6 });
      for (let hour = 2; hour <= 11; hour++) {
        const failures = await stack.up(hourOf(hour));
        // the first two runs fill it up; a set that has its two then needs room before it makes any
        if (hour === 2) assert.equal(Object.keys(failures).length, 2, JSON.stringify(failures));
        assert.ok(Object.keys(failures).length > 0, `hour ${hour}`);
        for (const words of Object.values(failures))
          assert.match(
            words,
            /SnapshotLimitExceeded: Maximum number of snapshots allowed \(6\) exceeded \(HTTP 413, cinder, req-/,
          );
        assert.ok(place.cloud.snapshots().length <= 6);
        assert.ok(place.cloud.snapshots().every(({ status }) => status === "available"));
        await stack.assertWhole();
        for (const name of names) assert.ok(cinder(name).length > 0, name);
      }
      place.cloud.setQuota("demo", { snapshots: -1 });
      await stack.upWell(hourOf(12));
      for (const name of names) assert.equal(cinder(name).at(-1), slotOf(12));
      await stack.assertWhole();
      assert.equal(place.foreign([stack.name]), foreign);
    });

    it("of volumes that leaves none for the copy fails ten runs, whose snapshots do not pile up", async () => {
      await stack.upWell(hourOf(1));
      place.cloud.setQuota("demo", { volumes: 1 });
      for (let hour = 2; hour <= 11; hour++) {
        const failures = await stack.up(hourOf(hour));
        assert.deepEqual(Object.keys(failures), ["pg-volume"], `hour ${hour}`);
        assert.match(
          failures["pg-volume"] ?? "",
          /^creating volume "temporary-pg" from snapshot \S+: VolumeLimitExceeded: .*\(HTTP 413, cinder, req-/,
        );
        // the one that is copied, and two that wait for it
        const waiting = [hour - 1, hour].filter(one => one > 1).map(slotOf);
        assert.deepEqual(cinder(), [slotOf(1), ...waiting]);
        await place.assertNothingTemporary();
      }
      place.cloud.setQuota("demo", { volumes: -1 });
      await stack.upWell(hourOf(12));
      assert.deepEqual(await restic(), [1, 12].map(slotOf));
      await stack.upWell(hourOf(13));
      assert.deepEqual(cinder(), [11, 12, 13].map(slotOf));
      await stack.assertWhole();
    });
  });

  describe("behind our back", () => {
    it("removes a volume with all its snapshots: the set fails with the remedy, run after run, and keeps its copies", async () => {
      stack.sets.web = await aSet(place, "web", 2);
      await stack.upWell(hourOf(1));
      const copies = await place.resticPoints(stack.name);
      await remove(`/volumes/${volumeOf("pg")}?cascade=true`);
      for (let hour = 2; hour <= 4; hour++) {
        const failures = await stack.up(hourOf(hour));
        assert.deepEqual(Object.keys(failures), ["pg-snapshot"]);
        assert.match(failures["pg-snapshot"] ?? "", /volume \S+ (could not be found|does not exist)/i);
      }
      assert.deepEqual(await restic(), [slotOf(1)]);
      assert.equal(copies.length, 2);
      assert.deepEqual(await restic("web"), [3, 4].map(slotOf));
      await place.assertNothingTemporary();
      delete stack.sets.pg;
      await stack.destroy(hourOf(5));
      assert.deepEqual(await restic(), [slotOf(1)]);
      assert.deepEqual(place.cloud.snapshots(), []);
    });

    it("removes the new snapshot in the middle of ten runs: they fail, and the next run takes the slot's point", async () => {
      await stack.upWell(hourOf(1));
      stack.meanwhile["pg-snapshot"] = () => remove(`/snapshots/${stack.state("pg-snapshot")?.snapshotId}`);
      for (let hour = 2; hour <= 11; hour++) {
        const failures = await stack.up(hourOf(hour));
        assert.deepEqual(Object.keys(failures), ["pg-volume"]);
        assert.match(
          failures["pg-volume"] ?? "",
          /snapshot \S+: Snapshot \S+ could not be found\. \(HTTP 404, cinder, req-/,
        );
        assert.deepEqual(cinder(), [slotOf(1)]);
      }
      stack.meanwhile = {};
      await stack.upWell(hourOf(11));
      assert.deepEqual(await restic(), [1, 11].map(slotOf));
      await stack.assertWhole();
    });

    it("removes the temporary volume before it is read: the run fails by its name, and the next one makes another", async () => {
      await stack.upWell(hourOf(1));
      let id = "";
      stack.meanwhile["pg-volume"] = async () => {
        const made = place.cloud
          .volumes()
          .filter(({ metadata }) => metadata["osbackup-role"] === "temporary");
        assert.equal(made.length, 1);
        id = made[0]?.id ?? "";
        await remove(`/volumes/${id}`);
      };
      const failures = await stack.up(hourOf(2));
      assert.deepEqual(Object.keys(failures), ["pg-backup"]);
      assert.match(
        failures["pg-backup"] ?? "",
        new RegExp(`Volume ${id} could not be found\\. \\(HTTP 404, cinder, req-`),
      );
      await place.assertNothingTemporary();
      stack.meanwhile = {};
      await stack.upWell(hourOf(2));
      assert.deepEqual(await restic(), [1, 2].map(slotOf));
      await stack.assertWhole();
    });

    it("extends a volume between two slots: old points keep their size, the next ones have the new one", async () => {
      await stack.upWell(hourOf(1));
      const answer = await client.send("POST", `/volumes/${volumeOf("pg")}/action`, {
        "os-extend": { new_size: 3 },
      });
      assert.equal(answer.status, 202);
      await client.waitFor(`/volumes/${volumeOf("pg")}`, "available");
      await stack.upWell(hourOf(2));
      assert.deepEqual(
        [1, 2].map(hour => snapshotOf(slotOf(hour))?.size),
        [1, 3],
      );
      assert.equal(stack.state("pg-snapshot")?.sizeGib, 3);
      assert.deepEqual(await restic(), [1, 2].map(slotOf));
      await stack.assertWhole();
    });
  });

  it("by 5,000 snapshots of others costs a page of requests for each thousand with our mark, and touches none", async () => {
    const { id: volumeId } = await place.cloud.addVolume({ name: "of-others", sizeBytes: 1 << 20 });
    for (let index = 0; index < 5000; index++) {
      const metadata = index % 2 === 0 ? {} : { ...mark, "osbackup-owner": `shop/other/set-${index}` };
      // one in "error" has no bytes, and so costs no time
      const row = await place.cloud.addSnapshot({ volumeId, name: `pg-${index}`, metadata, status: "error" });
      row.status = "available";
    }
    const foreign = place.foreign([stack.name]);
    const listings = () =>
      place.cloud.requests.filter(({ path }) => /\/snapshots\/detail\?.*metadata/.test(path)).length;
    for (const hour of [2, 3]) {
      const before = listings();
      await stack.upWell(hourOf(hour));
      // 2,500 of them carry our mark
      assert.equal(listings() - before, 3, `hour ${hour}`);
    }
    const before = place.cloud.requests.length;
    await stack.upWell(hourOf(3));
    const quiet = place.cloud.requests.slice(before).map(({ method, path }) => `${method} ${path}`);
    assert.ok(quiet.length < 12, quiet.join("\n"));
    assert.deepEqual(await restic(), [2, 3].map(slotOf));
    await stack.assertWhole();
    assert.equal(place.foreign([stack.name]), foreign);
  });

  describe("by metadata edited by hand", () => {
    const edit = (id: string | undefined, metadata: Record<string, string>) =>
      client.send("POST", `/snapshots/${id}/metadata`, { metadata });
    const take = (id: string | undefined, key: string) =>
      client.send("DELETE", `/snapshots/${id}/metadata/${key}`);

    it("leaves a point alone that cannot be proven to be ours, and takes its slot's point again", async () => {
      const edits: Record<string, (id: string) => Promise<unknown>> = {
        unmanaged: id => take(id, "managed-by"),
        "of-others": id => edit(id, { "osbackup-owner": "shop/other/pg-snapshot" }),
        "of-another-role": id => edit(id, { "osbackup-role": "restored" }),
      };
      delete stack.sets.pg;
      for (const name of Object.keys(edits))
        stack.sets[name] = { ...(await aSet(place, name, 1)), backup: false };
      for (const hour of [1, 2]) await stack.upWell(hourOf(hour));
      const edited = place.cloud
        .snapshots()
        .filter(({ metadata }) => metadata["osbackup-slot"] === slotOf(2));
      for (const [name, change] of Object.entries(edits))
        await change(edited.find(({ volume_id }) => volume_id === volumeOf(name))?.id ?? "");
      const after = JSON.stringify(edited);
      await stack.upWell(hourOf(2));
      for (const name of Object.keys(edits)) assert.deepEqual(cinder(name), [slotOf(2)]);
      await stack.assertWhole();
      for (const hour of [3, 4]) await stack.upWell(hourOf(hour));
      for (const name of Object.keys(edits)) assert.deepEqual(cinder(name), [slotOf(4)]);
      await stack.destroy(hourOf(5));
      assert.equal(JSON.stringify(place.cloud.snapshots()), after);
    });

    it("goes on with a point of each slot where an old point's metadata make no sense", async () => {
      const edits: Record<string, Record<string, string>> = {
        slot: { "osbackup-slot": "yesterday" },
        times: { "osbackup-time": "soon", "osbackup-taken-at": "", "osbackup-slot": "0" },
        copy: { "osbackup-copy": "perhaps" },
        set: { "osbackup-set": "", "osbackup-origin": "nowhere" },
      };
      delete stack.sets.pg;
      for (const name of Object.keys(edits))
        stack.sets[name] = { ...(await aSet(place, name, 2)), backup: false };
      for (const hour of [1, 2]) await stack.upWell(hourOf(hour));
      for (const { id, volume_id, metadata } of place.cloud.snapshots()) {
        const name = Object.keys(edits).find(one => volumeOf(one) === volume_id);
        if (name && metadata["osbackup-slot"] === slotOf(1)) await edit(id, edits[name] ?? {});
      }
      for (const hour of [3, 4]) {
        await stack.upWell(hourOf(hour));
        for (const name of Object.keys(edits)) {
          const id = stack.state(`${name}-snapshot`)?.snapshotId;
          const current = place.cloud.snapshots().find(row => row.id === id);
          assert.equal(current?.metadata["osbackup-slot"], slotOf(hour), name);
        }
      }
      for (const name of Object.keys(edits)) assert.deepEqual(cinder(name), [3, 4].map(slotOf), name);
      await stack.destroy(hourOf(5));
      assert.deepEqual(place.cloud.snapshots(), []);
    });

    it("copies the point of the slot, and keeps it, where an old one claims a time of the future", async () => {
      for (const hour of [1, 2]) await stack.upWell(hourOf(hour));
      await edit(snapshotOf(slotOf(1))?.id, { "osbackup-time": "2099-01-01T00:00:00Z" });
      await stack.upWell(hourOf(3));
      const current = place.cloud.snapshots().find(({ id }) => id === stack.state("pg-snapshot")?.snapshotId);
      assert.equal(current?.metadata["osbackup-slot"], slotOf(3));
      assert.ok((await restic()).includes(slotOf(3)));
    });

    it("backs up a point whose time of capture was made unreadable, as of when Cinder made it", async () => {
      await stack.upWell(hourOf(1));
      await edit(snapshotOf(slotOf(1))?.id, { "osbackup-taken-at": "a while ago" });
      place.url = await place.anotherRepository();
      stack.loseState();
      await stack.upWell(hourOf(1));
      const [point] = await place.resticPoints(stack.name);
      assert.equal(point?.time.toISOString(), hourOf(1).replace("Z", ".000Z"));
      assert.deepEqual(await restic(), [slotOf(1)]);
      await stack.assertWhole();
    });
  });
});
