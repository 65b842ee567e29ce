import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import path from "node:path";
import { openRepository } from "../../provider/restic";
import { tidyUp } from "../provider/restic/fixture";
import { aSet, HostilePlace, type HostileStack, hourOf, password, slotOf, tenSlots } from "./hostile-set";

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

  it("that is away, or empty, at a destroy costs no Cinder point, where the points in it were to stay", async () => {
    for (const hour of [1, 2]) await stack.upWell(hourOf(hour));
    const points = place.cinderSlots(stack.owner("pg-snapshot"));
    const away = path.join(place.directory, "elsewhere");
    await rename(place.url, away);
    await assert.rejects(
      stack.destroy(hourOf(3)),
      /deletionPolicy is 'retain', and whether its restic snapshots are there is not known: .*`pulumi state delete`/,
    );
    await openRepository({ url: place.url, password }).ensureInitialised();
    await assert.rejects(stack.destroy(hourOf(3)), /none of its good restic snapshots is there any more/);
    assert.deepEqual(place.cinderSlots(stack.owner("pg-snapshot")), points);

    await rm(place.url, { recursive: true });
    await rename(away, place.url);
    await stack.destroy(hourOf(3));
    assert.deepEqual(place.cinderSlots(stack.owner("pg-snapshot")), []);
    assert.deepEqual(await place.resticSlots(stack.owner("pg-backup")), [1, 2].map(slotOf));
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
