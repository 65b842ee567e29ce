import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { Driver } from "../../../provider/driver/driver";
import { World } from "../../../provider/driver/world";

describe("what a preview says of the login", () => {
  let cloud: Devcloud;

  afterEach(() => cloud.stop());

  /** The warnings of a preview of two sets. */
  async function warned(environment: NodeJS.ProcessEnv = {}): Promise<string[]> {
    const lines: string[] = [];
    const driver = new Driver(
      new World({}, line => lines.push(line), { ...cloud.environment, ...environment }),
    );
    const { id: volumeId } = await cloud.addVolume({ name: "v", sizeGib: 1 });
    for (const name of ["a", "b"])
      await driver.sayPlan("CinderSnapshot", undefined, {
        owner: `shop/prod/${name}`,
        volumeId,
        schedule: "daily",
        slot: "2026-11-28T00:00:00Z",
        timeZone: "UTC",
      });
    return lines.filter(line => line.startsWith("warning:"));
  }

  it("is nothing where all is well", async () => {
    cloud = await startDevcloud();
    assert.deepEqual(await warned(), []);
  });

  it("is a clock that is off, once for all sets", async () => {
    for (const [offset, words] of [
      [
        -300_000,
        /^warning: \[a\] this machine's clock is (299|30[01]) s ahead of the cloud's: slots come early, and stores may refuse requests$/,
      ],
      [300_000, /^warning: \[a\] this machine's clock is (299|300) s behind the cloud's: slots come late, /],
    ] as const) {
      cloud = await startDevcloud({ now: () => Date.now() + offset });
      const [first, ...others] = await warned();
      assert.match(first ?? "", words);
      assert.deepEqual(others, []);
      if (offset < 0) await cloud.stop();
    }
  });

  it("is a role that makes nothing", async () => {
    cloud = await startDevcloud();
    assert.deepEqual(await warned(cloud.environmentOf("viewer", "demo")), [
      "warning: [a] the login has the role reader alone, which makes and removes nothing: give it member",
    ]);
  });
});
