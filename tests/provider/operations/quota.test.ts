import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { Driver } from "../../../provider/driver/driver";
import { World } from "../../../provider/driver/world";

describe("the quota in a preview", () => {
  let cloud: Devcloud;
  let lines: string[];

  beforeEach(() => {
    lines = [];
  });
  afterEach(() => cloud.stop());

  async function previewed(
    quota: Record<string, number>,
    sets: number,
    awaitsCopy = false,
  ): Promise<string[]> {
    cloud = await startDevcloud({ quota });
    const driver = new Driver(new World({}, line => lines.push(line), cloud.environment));
    const ids: string[] = [];
    for (let place = 0; place < sets; place++)
      ids.push((await cloud.addVolume({ name: `v${place}`, sizeGib: 2 })).id);
    for (const [place, volumeId] of ids.entries()) {
      const given = { owner: `shop/prod/set${place}`, volumeId, schedule: "daily", awaitsCopy };
      const { inputs, refusals } = await driver.check("CinderSnapshot", undefined, given);
      assert.deepEqual(refusals, []);
      await driver.sayPlan("CinderSnapshot", undefined, inputs);
    }
    return lines.filter(line => line.startsWith("warning:"));
  }

  it("is no matter where it suffices, or is unlimited", async () => {
    assert.deepEqual(await previewed({ snapshots: 3 }, 3), []);
    await cloud.stop();
    assert.deepEqual(await previewed({ snapshots: -1 }, 3), []);
  });

  it("warns from the first set on that may not fit, with the numbers", async () => {
    assert.deepEqual(await previewed({ snapshots: 2 }, 3), [
      "warning: [set2] the quota may not suffice: the sets of this run up to here take 3 snapshots where 2 of 2 are free, before they remove any",
    ]);
  });

  it("counts the temporary volumes of sets that are copied, and the gigabytes of both", async () => {
    assert.deepEqual(await previewed({ volumes: 3, gigabytes: 10 }, 2, true), [
      "warning: [set1] the quota may not suffice: the sets of this run up to here take 2 volumes where 1 of 3 are free, 8 GiB where 6 of 10 are free, before they remove any",
    ]);
  });
});
