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
    place = await HostilePlace.open();
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

    it("of gigabytes that has room for the snapshot and none for its volume costs no point and leaves no snapshot", async () => {
      await stack.upWell(hourOf(1));
      // the volume, its snapshot and a new one
      place.cloud.setQuota("demo", { gigabytes: 3 });
      for (const hour of [2, 3]) {
        const failures = await stack.up(hourOf(hour));
        assert.deepEqual(Object.keys(failures), ["pg-volume"]);
        assert.match(
          failures["pg-volume"] ?? "",
          /creating temporary volume.*VolumeSizeExceedsAvailableQuota.*HTTP 413/,
        );
      }
      place.cloud.setQuota("demo", { gigabytes: -1 });
      await stack.upWell(hourOf(4));
      assert.deepEqual(await restic(), [1, 4].map(slotOf));
      await stack.assertWhole();
    });
  });
});
