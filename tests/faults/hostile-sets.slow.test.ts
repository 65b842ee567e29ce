import assert from "node:assert/strict";
import { tidyUp } from "../provider/restic/fixture";
import { aSet, HostilePlace, hourOf, slotOf } from "./hostile-set";

const count = 200;

describe("two hundred sets of one repository", () => {
  let place: HostilePlace;

  before(async () => {
    place = await HostilePlace.open();
  });
  after(async () => {
    await place.close();
    await tidyUp();
  });

  it("have one point of each slot, and where some fail these alone lack it", async function () {
    this.timeout(10 * 60_000);
    const stack = place.stack({});
    const names = Array.from({ length: count }, (_, index) => `set-${index}`);
    for (const name of names) stack.sets[name] = { ...(await aSet(place, name, 1)), timeoutSeconds: 120 };
    const backedUp = async (slot: string): Promise<string[]> => {
      const points = await place.resticPoints(stack.name);
      const sets = points
        .filter(({ tags }) => tags.includes(`slot=${slot}`))
        .map(({ tags }) => tags.find(tag => tag.startsWith("set="))?.slice("set=".length));
      assert.equal(new Set(sets).size, sets.length);
      return names.filter(name => sets.includes(name));
    };
    const foreign = place.foreign([stack.name]);
    // whom they hit is chance
    place.cloud.faults.nextSnapshotStatus("error", 3);
    place.cloud.faults.nextVolumeStatus("error", 3);
    const failures = await stack.up(hourOf(1));
    const failed = new Set(Object.keys(failures).map(name => name.replace(/-(snapshot|volume|backup)$/, "")));
    assert.equal(failed.size, 6, JSON.stringify(failures));
    for (const words of Object.values(failures)) assert.match(words, /went to 'error', expected 'available'/);
    assert.deepEqual(
      await backedUp(slotOf(1)),
      names.filter(name => !failed.has(name)),
    );
    await place.assertNothingTemporary();

    await stack.upWell(hourOf(1));
    assert.deepEqual(await backedUp(slotOf(1)), names);
    await stack.assertWhole();

    const changes = place.changes().length;
    const requests = place.cloud.requests.length;
    await stack.upWell(hourOf(1));
    assert.equal(place.changes().length, changes);
    assert.ok(place.cloud.requests.length - requests < 12, "a quiet run asks as much as there are sets");

    // the others pause meanwhile
    const some = names.slice(0, 20);
    await stack.upWell(hourOf(2), some);
    assert.deepEqual(await backedUp(slotOf(2)), some);
    assert.deepEqual(await backedUp(slotOf(1)), names.slice(20));
    await stack.assertWhole();
    assert.equal(place.foreign([stack.name]), foreign);
    assert.match(place.restic("check"), /no errors were found/);
  });
});
