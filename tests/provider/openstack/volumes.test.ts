import assert from "node:assert/strict";
import { isNotFound, isOverQuota, type Session, volumes } from "../../../provider/openstack";
import { apiError } from "./rejection";
import { ScriptedCloud } from "./scripted-cloud";
import type { ScriptedServer } from "./scripted-server";

const ID = "f5b91dad-96f1-4ba7-a479-943ba52efe01";

describe("volumes", () => {
  let cloud: ScriptedCloud;
  let server: ScriptedServer;
  let session: Session;

  beforeEach(async () => {
    cloud = await ScriptedCloud.start();
    server = cloud.server;
    session = cloud.session();
  });

  afterEach(() => cloud.stop());

  it("create sends what is given and nothing else", async () => {
    server.on("POST", `${cloud.cinder}/volumes`, server.recorded("cinder-030-volume-create-202"));
    const volume = await volumes.create(session, {
      name: "tmp",
      snapshotId: "s",
      metadata: { role: "temporary" },
      volumeType: "rbd",
      availabilityZone: "nova",
    });
    assert.deepEqual([volume.status, volume.size, volume.bootable], ["creating", 1, "false"]);
    await volumes.create(session, { name: "new", sizeGib: 3, description: "empty", metadata: {} });
    assert.deepEqual(
      server.seen("POST", "/volumes").map(({ body }) => body),
      [
        {
          volume: {
            name: "tmp",
            metadata: { role: "temporary" },
            snapshot_id: "s",
            volume_type: "rbd",
            availability_zone: "nova",
          },
        },
        { volume: { name: "new", metadata: {}, size: 3, description: "empty" } },
      ],
    );
  });

  it("create tells an exhausted quota and the snapshot it was for", async () => {
    server.on("POST", `${cloud.cinder}/volumes`, server.recorded("cinder-406-quota-gigabytes-413-volume"));
    const error = await apiError(volumes.create(session, { name: "tmp", snapshotId: "s", metadata: {} }));
    assert.ok(isOverQuota(error));
    assert.equal(
      error.message,
      'creating volume "tmp" from snapshot s: VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed ' +
        `gigabytes quota. Requested 1G, quota is 8G and 8G has been consumed. (HTTP 413, cinder, ${error.requestId}); ` +
        "free some of the project's quota, or have it raised",
    );
  });

  for (const recording of [
    "cinder-033-volume-show-mv3.71",
    "cinder-034-volume-show-admin",
    "cinder-334-volume-in-use-host-attachment",
  ]) {
    it(`get returns everything of ${recording}`, async () => {
      const recorded = server.recorded(recording);
      server.on("GET", `${cloud.cinder}/volumes/${ID}`, recorded);
      assert.deepEqual(await volumes.get(session, ID), (recorded.body as { volume: unknown }).volume);
    });
  }

  it("list filters by metadata on both sides", async () => {
    const recorded = server.recorded("cinder-172-volumes-detail");
    server.on("GET", `${cloud.cinder}/volumes/detail`, recorded);
    const all = (
      recorded.body as { volumes: { id: string; name: string; metadata: Record<string, string> }[] }
    ).volumes;
    assert.deepEqual(
      (await volumes.list(session)).map(({ id }) => id),
      all.map(({ id }) => id),
    );
    assert.deepEqual(
      (await volumes.list(session, { metadata: { app: "db" } })).map(({ id }) => id),
      all.filter(({ metadata }) => metadata.app === "db").map(({ id }) => id),
    );
    const [, second] = server.seen("GET", "/detail");
    assert.deepEqual(Object.fromEntries(second?.query ?? []), {
      limit: "1000",
      metadata: "{'app': 'db'}",
    });
  });

  it("remove throws the 404 of one that is gone", async () => {
    server.on("DELETE", `${cloud.cinder}/volumes/${ID}`, server.recorded("cinder-058-volume-404"));
    assert.ok(isNotFound(await apiError(volumes.remove(session, ID))));
  });

  it("setMetadata adds to what is there", async () => {
    const recorded = server.recorded("cinder-141-volume-metadata-add");
    server.on("POST", `${cloud.cinder}/volumes/${ID}/metadata`, recorded);
    assert.deepEqual(
      await volumes.setMetadata(session, ID, { a: "b" }),
      (recorded.body as { metadata: unknown }).metadata,
    );
  });
});
