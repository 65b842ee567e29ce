import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { rename } from "node:fs/promises";
import path from "node:path";
import { tidyUp } from "../provider/restic/fixture";
import { aSet, HostilePlace, type HostileStack, hourOf, slotOf, tenSlots } from "./hostile-set";

describe("a repository", function () {
  this.timeout(120_000);
  let place: HostilePlace;
  let stack: HostileStack;

  beforeEach(async () => {
    place = await HostilePlace.open();
    stack = place.stack({ pg: await aSet(place, "pg") });
  });
  afterEach(() => place.close());
  after(tidyUp);

  it("that is moved away for ten slots costs no point, is not made anew, and goes on when it is back", async () => {
    const away = path.join(place.directory, "elsewhere");
    await tenSlots(
      stack,
      /there is no repository at \S+; is it mounted\?/,
      () => rename(place.url, away),
      async () => {
        assert.ok(!existsSync(place.url));
        await rename(away, place.url);
      },
    );
  });

  it("that two stacks share takes the points of both at once, and each lets go of its own alone", async () => {
    // a set of the same name in both, as of one program for two places
    const other = place.stack(
      { pg: await aSet(place, "other-pg", 1), web: await aSet(place, "other-web", 1) },
      "shop/test",
    );
    for (const hour of [1, 2, 3]) await Promise.all([stack.upWell(hourOf(hour)), other.upWell(hourOf(hour))]);
    for (const one of [stack, other]) await one.assertWhole();
    for (const name of ["pg-backup", "web-backup"])
      assert.deepEqual(await place.resticSlots(other.owner(name)), [slotOf(3)]);
    assert.deepEqual(await place.resticSlots(stack.owner("pg-backup")), [1, 2, 3].map(slotOf));
    for (const set of Object.values(other.sets)) set.backup = { ...set.backup, deletionPolicy: "delete" };
    await other.upWell(hourOf(3));
    const foreign = place.foreign([other.name]);
    await other.destroy(hourOf(3));
    assert.deepEqual(await place.resticPoints(other.name), []);
    assert.equal(place.foreign([other.name]), foreign);
    await stack.assertWhole();
    assert.match(place.restic("check"), /no errors were found/);
  });
});
