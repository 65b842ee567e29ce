import assert from "node:assert/strict";
import { types } from "../../../provider/openstack";
import { ScriptedCloud } from "./scripted-cloud";

describe("types", () => {
  it("list returns the volume types", async () => {
    const cloud = await ScriptedCloud.start();
    try {
      cloud.server.on("GET", `${cloud.cinder}/types`, cloud.server.recorded("cinder-432-types"));
      const found = await types.list(cloud.session());
      assert.deepEqual(
        found.map(({ name, description }) => [name, description]),
        [
          ["rbd", null],
          ["nfs", null],
          ["__DEFAULT__", "Default Volume Type"],
        ],
      );
    } finally {
      await cloud.stop();
    }
  });
});
