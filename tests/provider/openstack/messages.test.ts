import assert from "node:assert/strict";
import { messages } from "../../../provider/openstack";
import { ScriptedCloud } from "./scripted-cloud";

const VOLUME = "cf01abbd-ca81-4c50-ac6f-6db4cf297992";

describe("messages", () => {
  let cloud: ScriptedCloud;

  beforeEach(async () => {
    cloud = await ScriptedCloud.start();
    cloud.server.on("GET", `${cloud.cinder}/messages`, cloud.server.recorded("cinder-423-messages"));
  });

  afterEach(() => cloud.stop());

  it("list tells why an operation failed", async () => {
    const found = await messages.list(cloud.session(), VOLUME);
    assert.deepEqual(
      found.map(({ user_message, event_id, request_id }) => [user_message, event_id, request_id]),
      [
        [
          "schedule allocate volume:Could not find any available weighted backend.",
          "VOLUME_VOLUME_001_003",
          "req-5629f802-a62e-44cc-8f77-d25ac986383d",
        ],
      ],
    );
    assert.equal(cloud.server.seen("GET", "/messages")[0]?.query.get("resource_uuid"), VOLUME);
  });

  it("list keeps to the thing asked about where Cinder cannot filter", async () => {
    cloud.newestMicroversion("3.4");
    assert.equal((await messages.list(cloud.session(), VOLUME)).length, 1);
    assert.deepEqual(await messages.list(cloud.session(), "another"), []);
    assert.deepEqual(Object.fromEntries(cloud.server.seen("GET", "/messages")[0]?.query ?? []), {});
  });

  it("list is empty where Cinder has no messages", async () => {
    cloud.newestMicroversion("3.2");
    assert.deepEqual(await messages.list(cloud.session(), VOLUME), []);
    assert.equal(cloud.server.seen("GET", "/messages").length, 0);
  });
});
