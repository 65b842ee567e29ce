import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { attachVolume } from "../../../provider/cinder/attach-volume";
import { resolveCloud, type Session, Sessions } from "../../../provider/openstack";

describe("attachVolume where the backend fails in passing", () => {
  let cloud: Devcloud;
  let session: Session;
  let volumeId: string;

  beforeEach(async () => {
    cloud = await startDevcloud();
    session = new Sessions().open(
      resolveCloud({ directory: "/" }, { HOME: "/nonexistent", ...cloud.environment }),
    );
    volumeId = (await cloud.addVolume({ name: "temporary" })).id;
  });
  afterEach(async () => {
    assert.deepEqual(cloud.faults.unmet(), []);
    await cloud.stop();
  });

  const attach = (timeoutSeconds = 30) => attachVolume(session, volumeId, { timeoutSeconds });
  const status = () => cloud.volumes().find(({ id }) => id === volumeId)?.status;

  it("tries the attachment again after HTTP 500", async () => {
    const fault = cloud.faults.add({ method: "POST", path: /\/attachments$/, status: 500, times: 2 });
    const attached = await attach();
    assert.deepEqual([fault.hits, status(), cloud.attachments().length], [2, "in-use", 1]);
    await attached.detach();
    assert.equal(status(), "available");
  });

  it("ends the attachment that a failed try has left before it tries again", async () => {
    cloud.faults.add({ method: "POST", path: /\/attachments$/, status: 500, times: 1, takesEffect: true });
    await attach();
    assert.deepEqual([status(), cloud.attachments().length], ["in-use", 1]);
  });

  it("tries the completion and the removal again", async () => {
    cloud.faults.add({ method: "POST", path: /\/attachments\/.*\/action$/, status: 500, times: 1 });
    cloud.faults.add({ method: "DELETE", path: /\/attachments\//, status: 500, times: 1 });
    const attached = await attach();
    assert.equal(status(), "in-use");
    await attached.detach();
    assert.deepEqual([status(), cloud.attachments().length], ["available", 0]);
  });

  it("does not believe a 404 of the removal while the attachment is there", async () => {
    const attached = await attach();
    const fault = cloud.faults.add({ method: "DELETE", path: /\/attachments\//, status: 404, times: 1 });
    await attached.detach();
    assert.deepEqual([fault.hits, status(), cloud.attachments().length], [1, "available", 0]);
    await attached.release();
  });

  it("fails within its time where the trouble stays, and leaves no attachment", async () => {
    cloud.faults.add({ method: "POST", path: /\/attachments$/, status: 500, takesEffect: true });
    const begun = Date.now();
    await assert.rejects(attach(3), /HTTP 500/);
    assert.ok(Date.now() - begun < 5_000);
    assert.deepEqual([status(), cloud.attachments().length], ["available", 0]);
  });

  it("does not try again after an answer that will not change", async () => {
    const fault = cloud.faults.add({ method: "POST", path: /\/attachments$/, status: 400 });
    await assert.rejects(attach(), /HTTP 400/);
    assert.equal(fault.hits, 1);
  });
});
