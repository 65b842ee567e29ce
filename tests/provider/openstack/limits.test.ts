import assert from "node:assert/strict";
import { limits } from "../../../provider/openstack";
import { ScriptedCloud } from "./scripted-cloud";

describe("limits", () => {
  it("get returns quotas and use", async () => {
    const cloud = await ScriptedCloud.start();
    try {
      cloud.server.on("GET", `${cloud.cinder}/limits`, cloud.server.recorded("cinder-402-limits"));
      assert.deepEqual(await limits.get(cloud.session()), {
        maxTotalVolumes: 50,
        maxTotalSnapshots: 50,
        maxTotalVolumeGigabytes: 2000,
        maxTotalBackups: 10,
        maxTotalBackupGigabytes: 1000,
        totalVolumesUsed: 4,
        totalGigabytesUsed: 8,
        totalSnapshotsUsed: 3,
        totalBackupsUsed: 0,
        totalBackupGigabytesUsed: 0,
      });
    } finally {
      await cloud.stop();
    }
  });
});
