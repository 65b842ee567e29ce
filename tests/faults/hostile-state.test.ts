import assert from "node:assert/strict";
import path from "node:path";
import { openRepository } from "../../provider/restic";
import { tidyUp } from "../provider/restic/fixture";
import { until } from "../until";
import { aSet, HostilePlace, type HostileStack, hourOf, password, slotOf } from "./hostile-set";

const ourMark = { "managed-by": "pulumi-openstack-backup", "osbackup-role": "recovery-point" };

describe("a state file that is lost", function () {
  this.timeout(60_000);
  let place: HostilePlace;
  let stack: HostileStack;

  beforeEach(async () => {
    place = await HostilePlace.open({ tokenLifetimeSeconds: 86_400 }, "with the runs");
    stack = place.stack({ pg: await aSet(place, "pg", 2) });
  });
  afterEach(() => place.close());
  after(tidyUp);

  /** Much like what the set makes, in the cloud and in the repository, and not its own. */
  async function lookAlikes(): Promise<void> {
    const volumeId = stack.sets.pg?.volumeId as string;
    const owner = stack.owner("pg-snapshot");
    const markings: Record<string, string>[] = [
      {},
      { "osbackup-owner": owner, "osbackup-role": "recovery-point", "osbackup-slot": slotOf(1) },
      { ...ourMark, "osbackup-owner": `${owner}2`, "osbackup-slot": slotOf(1) },
      { ...ourMark, "osbackup-owner": owner.replace("prod", "test"), "osbackup-slot": slotOf(1) },
      { ...ourMark, "osbackup-owner": owner, "managed-by": "another-tool" },
    ];
    for (const metadata of markings)
      await place.cloud.addSnapshot({ volumeId, metadata, createdAt: Date.parse(hourOf(0)) });
    const metadata = { "osbackup-owner": stack.owner("pg-volume"), "osbackup-role": "temporary" };
    await place.cloud.addVolume({ name: "temporary-pg", sizeBytes: 1 << 20, metadata });
    const repository = openRepository({ url: place.url, password });
    const mine = [`owner=${stack.owner("pg-backup")}`, "role=recovery-point", `slot=${slotOf(1)}`];
    const others = ["managed-by=pulumi-openstack-backup", "role=recovery-point", "owner=shop/test/pg-backup"];
    for (const tags of [[], mine, others])
      await repository.backup({ directory: path.join(place.directory, "files"), host: "pg", tags });
  }

  it("is rebuilt by the next run, and neither that nor the destroy takes what is not proven to be its own", async () => {
    await lookAlikes();
    const foreign = place.foreign([stack.name]);
    const copiesOfOthers = await openRepository({ url: place.url, password }).snapshots();
    for (const hour of [1, 2, 3]) await stack.upWell(hourOf(hour));
    const snapshotId = stack.state("pg-snapshot")?.snapshotId;
    const resticSnapshotId = stack.state("pg-backup")?.resticSnapshotId;

    stack.loseState();
    await stack.upWell(hourOf(3));
    assert.deepEqual(place.cinderSlots(stack.owner("pg-snapshot")), [2, 3].map(slotOf));
    assert.deepEqual(await place.resticSlots(stack.owner("pg-backup")), [2, 3].map(slotOf));
    assert.equal(stack.state("pg-snapshot")?.snapshotId, snapshotId);
    assert.equal(stack.state("pg-backup")?.resticSnapshotId, resticSnapshotId);

    await stack.upWell(hourOf(4));
    assert.deepEqual(await place.resticSlots(stack.owner("pg-backup")), [3, 4].map(slotOf));
    for (const set of Object.values(stack.sets)) set.backup = { ...set.backup, deletionPolicy: "delete" };
    await stack.upWell(hourOf(4));
    await stack.destroy(hourOf(5));
    assert.equal(place.foreign([stack.name]), foreign);
    const left = await openRepository({ url: place.url, password }).snapshots();
    assert.deepEqual(left.map(({ id }) => id).sort(), copiesOfOthers.map(({ id }) => id).sort());
  });

  it("again and again makes nothing twice", async () => {
    for (const hour of [2, 3]) {
      await stack.upWell(hourOf(hour));
      for (let times = 0; times < 2; times++) {
        stack.loseState();
        await stack.upWell(hourOf(hour));
      }
      await stack.assertWhole();
    }
    assert.deepEqual(await place.resticSlots(stack.owner("pg-backup")), [2, 3].map(slotOf));
  });

  it("by a kill, with a snapshot that is being made, is rebuilt with that snapshot", async () => {
    await stack.upWell(hourOf(1));
    place.cloud.faults.stuck("creating snapshot", 1);
    const cut = stack.up(hourOf(2));
    const begun = await until("the request", () =>
      place.cloud.snapshots().find(({ status }) => status === "creating"),
    );
    stack.abort?.(new Error("killed by the test"));
    assert.match((await cut)["pg-snapshot"] ?? "", /killed by the test/);
    place.cloud.faults.release();
    stack.loseState();
    await stack.upWell(hourOf(2));
    assert.equal(stack.state("pg-snapshot")?.snapshotId, begun.id);
    assert.deepEqual(await place.resticSlots(stack.owner("pg-backup")), [1, 2].map(slotOf));
    await stack.assertWhole();
  });
});
