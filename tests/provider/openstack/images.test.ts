import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { images, resolveCloud, type Session, Sessions } from "../../../provider/openstack";

describe("the removal of an image", () => {
  let cloud: Devcloud;
  let session: Session;
  let id: string;

  beforeEach(async () => {
    cloud = await startDevcloud();
    cloud.addServer({ name: "web" }); // a cloud with Nova and Glance
    session = new Sessions().open(
      resolveCloud({ directory: "/" }, { HOME: "/nonexistent", ...cloud.environment }),
    );
    id = cloud.addImage({ name: "backup", properties: {} }).id;
  });
  afterEach(() => cloud.stop());

  it("is well where it is gone already", async () => {
    await images.remove(session, id);
    await images.remove(session, id);
    assert.deepEqual(cloud.images(), []);
  });

  it("fails on a 404 while the image is there", async () => {
    cloud.faults.add({ method: "DELETE", path: /\/images\//, status: 404, times: 1 });
    await assert.rejects(images.remove(session, id), /deleting image .*HTTP 404/);
    await images.remove(session, id);
    assert.deepEqual(cloud.images(), []);
  });
});
