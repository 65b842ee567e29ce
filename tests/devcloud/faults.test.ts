import { strict as assert } from "node:assert";
import { type Devcloud, startDevcloud } from "../../devcloud";
import { Client } from "./client";

describe("Faults", () => {
  let devcloud: Devcloud;
  let demo: Client;
  let volumeId: string;

  beforeEach(async () => {
    devcloud = await startDevcloud({ statusDelayMs: 1 });
    demo = await Client.login(devcloud.environment, "3.71");
    volumeId = (await devcloud.addVolume({ sizeBytes: 4096 })).id;
  });
  afterEach(() => devcloud.stop());

  const createSnapshot = () =>
    demo.send("POST", "/snapshots", { snapshot: { volume_id: volumeId, name: "s" } });

  it("hits as many requests as it says, after those it lets pass", async () => {
    const fault = devcloud.faults.add({ method: "GET", path: /\/volumes$/, after: 1, times: 2, status: 503 });
    const statuses: number[] = [];
    for (let count = 0; count < 5; count++) statuses.push((await demo.send("GET", "/volumes")).status);
    assert.deepEqual(statuses, [200, 503, 503, 200, 200]);
    assert.equal(fault.hits, 2);
    assert.equal((await demo.send("GET", "/snapshots")).status, 200);
  });

  it("answers in the service's own envelope, or with the body and headers it is given", async () => {
    devcloud.faults.add({ path: /volumes$/, times: 1, status: 503 });
    assert.deepEqual((await demo.send("GET", "/volumes")).body, {
      serviceUnavailable: { code: 503, message: "devcloud was told to fail with 503" },
    });
    devcloud.faults.add({
      path: /volumes$/,
      times: 1,
      status: 429,
      body: "slow down",
      headers: { "Retry-After": "7" },
    });
    const slow = await demo.send("GET", "/volumes");
    assert.deepEqual([slow.status, slow.body, slow.headers.get("retry-after")], [429, "slow down", "7"]);
    devcloud.faults.add({ path: /auth\/tokens/, times: 1, status: 500 });
    const login = await fetch(`${devcloud.url}/auth/tokens`, { method: "POST", body: "{}" });
    assert.deepEqual(await login.json(), {
      error: { code: 500, message: "devcloud was told to fail with 500", title: "Error" },
    });
  });

  it("drops the connection before the request has an effect, or after it", async () => {
    devcloud.faults.add({ method: "POST", path: /\/snapshots$/, times: 1, drop: true });
    await assert.rejects(createSnapshot());
    assert.equal(devcloud.snapshots().length, 0);
    devcloud.faults.add({ method: "POST", path: /\/snapshots$/, times: 1, drop: "after" });
    await assert.rejects(createSnapshot());
    assert.equal(devcloud.snapshots().length, 1);
    assert.deepEqual(
      devcloud.requests.slice(-2).map(({ status, dropped }) => [status, dropped]),
      [
        [0, true],
        [0, true],
      ],
    );
  });

  it("carries the request out and loses its answer", async () => {
    devcloud.faults.add({ method: "POST", path: /\/snapshots$/, times: 1, status: 504, takesEffect: true });
    assert.equal((await createSnapshot()).status, 504);
    assert.equal(devcloud.snapshots().length, 1);
  });

  it("delays an answer", async () => {
    devcloud.faults.add({ path: /volumes$/, times: 1, delayMs: 60 });
    const startedAt = performance.now();
    await demo.send("GET", "/volumes");
    assert.ok(performance.now() - startedAt >= 59);
  });

  it("lets snapshots and volumes end in the status it is told, and then no more", async () => {
    devcloud.faults.nextSnapshotStatus("error");
    const statuses: string[] = [];
    for (let count = 0; count < 2; count++) {
      const { snapshot } = (await createSnapshot()).body;
      statuses.push(await demo.waitFor(`/snapshots/${snapshot.id}`, "available", "error"));
    }
    devcloud.faults.nextVolumeStatus("error");
    const { volume } = (await demo.send("POST", "/volumes", { volume: { size: 1 } })).body;
    statuses.push(await demo.waitFor(`/volumes/${volume.id}`, "available", "error"));
    assert.deepEqual(statuses, ["error", "available", "error"]);
  });

  it("holds work up until it is released", async () => {
    devcloud.faults.stuck("creating snapshot", 1);
    const stuck = (await createSnapshot()).body.snapshot.id;
    const free = (await createSnapshot()).body.snapshot.id;
    const first = await Promise.any([
      demo.waitFor(`/snapshots/${stuck}`, "available").then(() => stuck),
      demo.waitFor(`/snapshots/${free}`, "available").then(() => free),
    ]);
    const held = first === stuck ? free : stuck;
    assert.equal((await demo.send("GET", `/snapshots/${held}`)).body.snapshot.status, "creating");
    devcloud.faults.release();
    await demo.waitFor(`/snapshots/${held}`, "available");
  });

  it("lets work wait for the volume service", async () => {
    devcloud.faults.volumeService("down");
    const { snapshot } = (await createSnapshot()).body;
    await new Promise(resolve => setTimeout(resolve, 30));
    assert.equal((await demo.send("GET", `/snapshots/${snapshot.id}`)).body.snapshot.status, "creating");
    const admin = await Client.login(devcloud.adminEnvironment);
    const { services } = (await admin.send("GET", "/os-services")).body;
    assert.deepEqual(
      services.map(({ binary, state }: { binary: string; state: string }) => [binary, state]),
      [
        ["cinder-scheduler", "up"],
        ["cinder-volume", "down"],
      ],
    );
    devcloud.faults.volumeService("up");
    await demo.waitFor(`/snapshots/${snapshot.id}`, "available");
  });

  it("puts a busy volume back to available as often as it is told", async () => {
    devcloud.faults.busyDelete(volumeId, 2);
    for (let count = 0; count < 2; count++) {
      devcloud.faults.stuck("deleting volume");
      assert.equal((await demo.send("DELETE", `/volumes/${volumeId}`)).status, 202);
      assert.equal((await demo.send("GET", `/volumes/${volumeId}`)).body.volume.status, "deleting");
      devcloud.faults.release();
      await demo.waitFor(`/volumes/${volumeId}`, "available");
    }
    assert.deepEqual((await demo.send("GET", "/messages")).body, { messages: [] });
    await demo.send("DELETE", `/volumes/${volumeId}`);
    await demo.waitFor(`/volumes/${volumeId}`, "gone");
  });

  it("puts a busy snapshot back too", async () => {
    const { id } = await devcloud.addSnapshot({ volumeId });
    devcloud.faults.busyDelete(id);
    await demo.send("DELETE", `/snapshots/${id}`);
    await demo.waitFor(`/snapshots/${id}`, "available");
  });

  it("makes tokens worthless while passwords stay right", async () => {
    devcloud.faults.expireTokens();
    assert.equal((await demo.send("GET", "/volumes")).status, 401);
    await demo.authenticate();
    assert.equal((await demo.send("GET", "/volumes")).status, 200);
  });

  it("fails no more after clear", async () => {
    devcloud.faults.add({ path: /./, status: 500 });
    devcloud.faults.stuck("creating snapshot");
    devcloud.faults.nextSnapshotStatus("error");
    devcloud.faults.busyDelete(volumeId);
    devcloud.faults.volumeService("down");
    assert.equal((await demo.send("GET", "/volumes")).status, 500);
    devcloud.faults.clear();
    const { snapshot } = (await createSnapshot()).body;
    await demo.waitFor(`/snapshots/${snapshot.id}`, "available");
    await demo.send("DELETE", `/volumes/${volumeId}?cascade=true`);
    await demo.waitFor(`/volumes/${volumeId}`, "gone");
  });

  it("does not keep the cloud from stopping when something is stuck", async () => {
    devcloud.faults.stuck("creating snapshot");
    await createSnapshot();
    devcloud.faults.volumeService("down");
    await createSnapshot();
    await devcloud.stop();
  });
});
