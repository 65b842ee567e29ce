import assert from "node:assert/strict";
import { isBadRequest, isNotFound, type Session, snapshots } from "../../../provider/openstack";
import { apiError, configMessage } from "./rejection";
import { ScriptedCloud } from "./scripted-cloud";
import type { ScriptedServer } from "./scripted-server";

const VOLUME = "f5b91dad-96f1-4ba7-a479-943ba52efe01";
const ID = "2d5989fa-1e5e-4806-ab7b-589179948262";

describe("snapshots", () => {
  let cloud: ScriptedCloud;
  let server: ScriptedServer;
  let session: Session;

  beforeEach(async () => {
    cloud = await ScriptedCloud.start();
    server = cloud.server;
    session = cloud.session();
  });

  afterEach(() => cloud.stop());

  const sent = () => {
    const [post] = server.seen("POST", "/snapshots");
    return { version: post?.headers["openstack-api-version"], body: post?.body };
  };

  describe("create", () => {
    const volumeIs = (status: string) => {
      const { volume } = server.recorded("cinder-033-volume-show-mv3.71").body as { volume: object };
      server.on("GET", `${cloud.cinder}/volumes/${VOLUME}`, { body: { volume: { ...volume, status } } });
    };
    const create = (force?: boolean) =>
      snapshots.create(session, {
        volumeId: VOLUME,
        name: "snap-1",
        description: "d",
        metadata: { policy: "daily" },
        ...(force !== undefined && { force }),
      });
    const plain = { volume_id: VOLUME, name: "snap-1", description: "d", metadata: { policy: "daily" } };

    beforeEach(() => {
      server.on("POST", `${cloud.cinder}/snapshots`, server.recorded("cinder-100-snapshot-create-202"));
    });

    it("returns the snapshot as Cinder answers it", async () => {
      assert.deepEqual(await create(), {
        id: ID,
        created_at: "2026-11-22T02:13:35.507750",
        updated_at: null,
        name: "snap-1",
        description: "d",
        volume_id: VOLUME,
        status: "creating",
        size: 1,
        metadata: { policy: "daily" },
      });
    });

    for (const [newest, force, version, flag] of [
      ["3.65", undefined, "3.65", {}],
      ["3.65", true, "3.65", { force: true }],
      ["3.65", false, "3.65", { force: false }],
      ["3.66", undefined, "3.66", {}],
      ["3.66", true, "3.66", {}],
      ["3.71", true, "3.71", {}],
      ["3.71", false, "3.65", { force: false }],
    ] as const) {
      it(`asks with ${JSON.stringify(flag)} at ${version} when force is ${force} and the cloud has ${newest}`, async () => {
        cloud.newestMicroversion(newest);
        volumeIs("available");
        await create(force);
        assert.deepEqual(sent(), { version: `volume ${version}`, body: { snapshot: { ...plain, ...flag } } });
      });
    }

    it("refuses force false for a volume in use where Cinder always forces", async () => {
      volumeIs("in-use");
      assert.equal(
        await configMessage(create(false)),
        `snapshot of volume ${VOLUME}: the volume is "in-use" and force is false; detach it or set force to true`,
      );
      assert.deepEqual(sent().body, undefined);
    });

    it("tells Cinder's refusal where Cinder has the flag", async () => {
      cloud.newestMicroversion("3.60");
      server.on(
        "POST",
        `${cloud.cinder}/snapshots`,
        server.recorded("cinder-320-snapshot-in-use-no-force-mv3.0"),
      );
      const error = await apiError(create(false));
      assert.ok(isBadRequest(error));
      assert.match(
        error.detail,
        /^Invalid volume: Volume \S+ status must be available, but current status is: in-use\.$/,
      );
    });
  });

  describe("get", () => {
    it("returns the snapshot", async () => {
      server.on("GET", `${cloud.cinder}/snapshots/${ID}`, server.recorded("cinder-104-snapshot-show-mv3.71"));
      const snapshot = await snapshots.get(session, ID);
      assert.deepEqual(
        [snapshot.id, snapshot.status, snapshot.volume_id, snapshot.created_at, snapshot.consumes_quota],
        [ID, "available", VOLUME, "2026-11-22T02:13:35.000000", true],
      );
    });

    it("says that it is not found when it is gone", async () => {
      server.on("GET", `${cloud.cinder}/snapshots/${ID}`, server.recorded("cinder-121-snapshot-404"));
      const error = await apiError(snapshots.get(session, ID));
      assert.ok(isNotFound(error));
      assert.equal(error.path, `/snapshots/${ID}`);
    });

    it("keeps a strange id inside its place in the path", async () => {
      server.on("GET", /./, server.recorded("cinder-121-snapshot-404"));
      server.on("GET", "/cinder/v3/", server.recorded("cinder-300-v3-version-with-token"));
      await apiError(snapshots.get(session, "../volumes/x?y"));
      assert.equal(server.requests.at(-1)?.path, `${cloud.cinder}/snapshots/..%2Fvolumes%2Fx%3Fy`);
    });

    it("refuses an empty id, which would name all snapshots", async () => {
      assert.equal(await configMessage(snapshots.get(session, "")), "no id of a snapshot was given");
      assert.equal(await configMessage(snapshots.remove(session, "")), "no id of a snapshot was given");
    });
  });

  describe("list", () => {
    const { body } = { body: { snapshots: [] as object[] } };
    beforeEach(() => {
      Object.assign(body, server.recorded("cinder-151-snapshots-detail").body);
      server.on("GET", `${cloud.cinder}/snapshots/detail`, { body });
    });

    it("asks for full pages and Cinder's filters", async () => {
      await snapshots.list(session, {
        status: "available",
        metadata: { owner: "p/s/r", set: "a b" },
      });
      const [seen] = server.seen("GET", "/detail");
      assert.deepEqual(Object.fromEntries(seen?.query ?? []), {
        limit: "1000",
        status: "available",
        metadata: "{'owner': 'p/s/r', 'set': 'a b'}",
      });
    });

    it("filters by itself what Cinder did not", async () => {
      const [first, second] = body.snapshots as { id: string; metadata: Record<string, string> }[];
      Object.assign(first?.metadata ?? {}, { mine: "yes", more: "x" });
      Object.assign(second?.metadata ?? {}, { mine: "no" });
      const found = await snapshots.list(session, { metadata: { mine: "yes" } });
      assert.deepEqual(
        found.map(({ id }) => id),
        [first?.id],
      );
      assert.deepEqual(await snapshots.list(session, { status: "error" }), []);
    });

    it("sends no metadata filter below 3.22, where it is ignored, and none that would break out of its quotes", async () => {
      await snapshots.list(session, { metadata: { owner: "it's" } });
      cloud.newestMicroversion("3.21");
      await snapshots.list(cloud.session({ maxRetries: 1 }), { metadata: { owner: "x" } });
      assert.deepEqual(
        server.seen("GET", "/detail").map(({ query }) => query.get("metadata")),
        [null, null],
      );
    });

    it("asks again without filters when the operator forbids one", async () => {
      server.on("GET", `${cloud.cinder}/snapshots/detail`, server.recorded("cinder-170-bad-filter-mv3.66"), {
        body,
      });
      assert.deepEqual(await snapshots.list(session, { status: "deleting" }), []);
      const asked = server.seen("GET", "/detail").map(({ query }) => Object.fromEntries(query));
      assert.deepEqual(asked, [{ limit: "1000", status: "deleting" }, { limit: "1000" }]);
    });
  });

  describe("remove", () => {
    const path = () => `${cloud.cinder}/snapshots/${ID}`;
    const snapshotIs = (status: string) => {
      const { snapshot } = server.recorded("cinder-104-snapshot-show-mv3.71").body as { snapshot: object };
      server.on("GET", path(), { body: { snapshot: { ...snapshot, status } } });
    };

    it("asks for the deletion", async () => {
      server.on("DELETE", path(), server.recorded("cinder-220-snapshot-delete-202"));
      await snapshots.remove(session, ID);
      assert.equal(server.seen("DELETE", ID).length, 1);
    });

    it("succeeds when it is being deleted already, as after a lost answer", async () => {
      const refusal = server.recorded("cinder-221-snapshot-delete-again-while-deleting");
      server.on("DELETE", path(), { fault: "drop" }, refusal);
      snapshotIs("deleting");
      await snapshots.remove(session, ID);
      server.on("GET", path(), server.recorded("cinder-121-snapshot-404"));
      await snapshots.remove(session, ID);
    });

    it("throws Cinder's refusal when it is not being deleted", async () => {
      server.on("DELETE", path(), server.recorded("cinder-221-snapshot-delete-again-while-deleting"));
      snapshotIs("error_deleting");
      assert.match(
        (await apiError(snapshots.remove(session, ID))).detail,
        /^Invalid snapshot: Snapshot status must be/,
      );
    });

    it("throws the 404 of one that is gone", async () => {
      server.on("DELETE", path(), server.recorded("cinder-121-snapshot-404"));
      assert.ok(isNotFound(await apiError(snapshots.remove(session, ID))));
    });
  });

  it("setMetadata adds to what is there and returns all of it", async () => {
    const answer = server.recorded("cinder-132-snapshot-metadata-add");
    server.on("POST", `${cloud.cinder}/snapshots/${ID}/metadata`, answer);
    assert.deepEqual(await snapshots.setMetadata(session, ID, { stack: "dev", keep: "3" }), {
      policy: "daily",
      stack: "dev",
      keep: "3",
    });
    assert.deepEqual(server.seen("POST", "/metadata")[0]?.body, { metadata: { stack: "dev", keep: "3" } });
  });
});
