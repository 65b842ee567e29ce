import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { coverage } from "../../../sdk/policy";
import { examineStackLater } from "./examine";

describe("coverage with scan", () => {
  let cloud: Devcloud;
  let before: NodeJS.ProcessEnv;

  beforeEach(async () => {
    cloud = await startDevcloud();
    before = process.env;
    process.env = { ...before, ...cloud.environment };
  });
  afterEach(async () => {
    process.env = before;
    await cloud.stop();
  });

  it("reports the volumes of the project that have no point and that the stack does not speak of", async () => {
    const add = async (name: string, metadata = {}) =>
      (await cloud.addVolume({ name, sizeGib: 1, metadata })).id;
    const [declared, protectedOne, forgotten] = [
      await add("declared"),
      await add("set"),
      await add("forgotten"),
    ];
    await add("cache", { backup: "none", "backup-reason": "rebuilt", "backup-until": "2099-01-01" });
    const stack = [
      { type: "openstack:blockstorage/volume:Volume", name: "declared", props: { id: declared } },
      { name: "set", props: { volumeId: protectedOne } },
    ];
    assert.deepEqual(await examineStackLater(coverage, stack, { scan: true }), [
      [`volume forgotten (${forgotten}) of the project has no recovery point`, undefined],
      ["volume declared is in no set", "declared"],
    ]);
  });
});
