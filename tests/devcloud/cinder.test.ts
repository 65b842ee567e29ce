import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { type Devcloud, startDevcloud } from "../../devcloud";
import { skips } from "../needs";
import { type Answer, Client } from "./client";

describe("Cinder", () => {
  let devcloud: Devcloud;
  let demo: Client;

  beforeEach(async () => {
    devcloud = await startDevcloud({ statusDelayMs: 1 });
    demo = await Client.login(devcloud.environment, "3.71");
  });
  afterEach(() => devcloud.stop());

  it("lists 2500 snapshots in pages of 1000 whatever limit is asked for", async () => {
    const { id: volumeId } = await devcloud.addVolume({ sizeBytes: 4096 });
    const made = new Set<string>();
    for (let count = 0; count < 2500; count++) {
      const createdAt = Date.parse("2026-01-01T00:00:00Z") + Math.floor(count / 3) * 1000;
      made.add((await devcloud.addSnapshot({ volumeId, name: `s${count}`, createdAt, status: "error" })).id);
    }
    const sizes: number[] = [];
    const seen = new Set<string>();
    for (let path: string | undefined = "/snapshots/detail?limit=5000"; path !== undefined; ) {
      const page: Answer = await demo.send("GET", path);
      sizes.push(page.body.snapshots.length);
      for (const { id } of page.body.snapshots) seen.add(id);
      path = page.body.snapshots_links?.[0].href;
    }
    assert.deepEqual(sizes, [1000, 1000, 500]);
    assert.deepEqual(seen, made);
    assert.equal((await demo.send("GET", "/snapshots?limit=1&with_count=true")).body.count, 2500);

    const startedAt = performance.now();
    assert.equal((await demo.send("GET", "/snapshots/detail?limit=1000")).body.snapshots.length, 1000);
    const milliseconds = performance.now() - startedAt;
    assert.ok(milliseconds < 500, `a page of 1000 took ${milliseconds} ms`);
  });

  it("answers the odd requests of clients and tests as Cinder does", async () => {
    const create = async (size: unknown) => {
      const { status, body } = await demo.send("POST", "/volumes", { volume: { size } });
      return [status, body.badRequest?.message];
    };
    assert.deepEqual(await create("0"), [
      400,
      "Invalid input received: Volume size '0' must be an integer and greater than 0",
    ]);
    assert.equal((await create("1"))[0], 202);
    const nobody = await demo.send("POST", "/snapshots", { snapshot: { volume_id: null } });
    assert.equal(nobody.status, 404);

    const bootable = async (value: string) =>
      (await demo.send("GET", `/volumes?bootable=${value}`)).body.volumes?.length;
    assert.deepEqual(
      [await bootable("False"), await bootable("true"), await bootable("maybe")],
      [1, 0, undefined],
    );
    // recorded of a real Cinder: its default filters know no name~
    assert.equal((await demo.send("GET", "/snapshots?name~=p")).status, 400);

    const admin = await Client.login(devcloud.adminEnvironment, "3.71");
    const services = async (query: string) =>
      (await admin.send("GET", `/os-services?${query}`)).body.services.map(
        ({ binary, host }: Record<string, string>) => [binary, host],
      );
    const all = await services("");
    assert.ok(all.length > 1);
    assert.deepEqual(await services("binary=cinder-scheduler"), [["cinder-scheduler", "devcloud"]]);
    const [, [, host]] = all;
    assert.deepEqual(await services(`host=${host}&binary=cinder-volume`), [["cinder-volume", host]]);
    assert.deepEqual(await services("host=elsewhere"), []);
    const pools = await admin.send("GET", "/scheduler-stats/get_pools?detail=True");
    assert.ok(pools.body.pools[0].capabilities);
  });

  it("shows every row once when many are of the same second", async () => {
    const { id: volumeId } = await devcloud.addVolume({ sizeBytes: 4096 });
    const createdAt = Date.parse("2026-01-01T00:00:00.5Z");
    for (let count = 0; count < 9; count++) await devcloud.addSnapshot({ volumeId, createdAt });
    const seen: string[] = [];
    for (let path: string | undefined = "/snapshots?limit=2"; path !== undefined; ) {
      const page: Answer = await demo.send("GET", path);
      for (const { id } of page.body.snapshots) seen.push(id);
      path = page.body.snapshots_links?.[0].href;
    }
    assert.deepEqual(
      seen,
      devcloud
        .snapshots()
        .map(({ id }) => id)
        .sort()
        .reverse(),
    );
  });

  describe("force", () => {
    for (const [microversion, force, inUse, expected] of [
      ["3.0", undefined, false, 202],
      ["3.0", undefined, true, 400],
      ["3.0", false, true, 400],
      ["3.0", true, true, 202],
      ["3.65", undefined, true, 400],
      ["3.65", "yes", true, 202],
      ["3.66", undefined, true, 202],
      ["3.66", true, true, 202],
      ["3.66", false, false, 400],
      ["3.71", false, true, 400],
    ] as const) {
      it(`${force} at ${microversion} on a volume ${inUse ? "in use" : "not in use"} is answered ${expected}`, async () => {
        const volume = await devcloud.addVolume({
          sizeBytes: 4096,
          ...(inUse && { attachedTo: true as const }),
        });
        const answer = await demo.send(
          "POST",
          "/snapshots",
          { snapshot: { volume_id: volume.id, force } },
          microversion,
        );
        assert.equal(answer.status, expected, JSON.stringify(answer.body));
      });
    }
  });

  describe("quota", () => {
    it("refuses a snapshot over the number, not retryable though it says so", async () => {
      const { id: volumeId } = await devcloud.addVolume({ sizeBytes: 4096 });
      devcloud.setQuota("demo", { snapshots: 1 });
      const create = () => demo.send("POST", "/snapshots", { snapshot: { volume_id: volumeId } });
      assert.equal((await create()).status, 202);
      const refused = await create();
      assert.equal(refused.status, 413);
      assert.equal(refused.headers.get("retry-after"), "0");
      assert.deepEqual(refused.body, {
        overLimit: {
          code: 413,
          message: "SnapshotLimitExceeded: Maximum number of snapshots allowed (1) exceeded",
          retryAfter: "0",
        },
      });
    });

    it("counts snapshots into the gigabytes, and forgets what is deleted", async () => {
      const { id: volumeId } = await devcloud.addVolume({ sizeGib: 3, sizeBytes: 4096 });
      devcloud.setQuota("demo", { gigabytes: 6 });
      const create = () => demo.send("POST", "/snapshots", { snapshot: { volume_id: volumeId } });
      const { snapshot } = (await create()).body;
      const limits = (await demo.send("GET", "/limits")).body.limits.absolute;
      assert.deepEqual(
        [limits.maxTotalVolumeGigabytes, limits.totalGigabytesUsed, limits.totalSnapshotsUsed],
        [6, 6, 1],
      );
      assert.equal((await create()).status, 413);
      await demo.waitFor(`/snapshots/${snapshot.id}`, "available");
      await demo.send("DELETE", `/snapshots/${snapshot.id}`);
      await demo.waitFor(`/snapshots/${snapshot.id}`, "gone");
      assert.equal((await create()).status, 202);
    });

    it("holds for one project only", async () => {
      devcloud.setQuota("demo", { volumes: 0 });
      const stranger = await Client.login(devcloud.environmentOf("stranger", "other"));
      assert.equal((await stranger.send("POST", "/volumes", { volume: { size: 1 } })).status, 202);
      assert.equal((await demo.send("POST", "/volumes", { volume: { size: 1 } })).status, 413);
    });
  });

  it("keeps a volume that was made from a snapshot when the snapshot is deleted", async () => {
    const { id: volumeId } = await devcloud.addVolume({ sizeBytes: 4096 });
    const { id } = await devcloud.addSnapshot({ volumeId });
    const { volume } = (await demo.send("POST", "/volumes", { volume: { snapshot_id: id } })).body;
    await demo.waitFor(`/volumes/${volume.id}`, "available");
    await demo.send("DELETE", `/snapshots/${id}`);
    await demo.waitFor(`/snapshots/${id}`, "gone");
    assert.equal((await demo.send("GET", `/volumes/${volume.id}`)).body.volume.snapshot_id, id);
  });

  it("grows a volume that is made larger than its source", async () => {
    const { id: volumeId } = await devcloud.addVolume({ sizeBytes: 4096 });
    const { volume } = (await demo.send("POST", "/volumes", { volume: { source_volid: volumeId, size: 2 } }))
      .body;
    await demo.waitFor(`/volumes/${volume.id}`, "available");
    const image = await devcloud.guest(volume.id).read(2 * 1024 ** 3 - 4096, 8192);
    assert.equal(image.length, 4096);
    assert.equal(
      (await demo.send("POST", "/volumes", { volume: { source_volid: volume.id, size: 1 } })).status,
      400,
    );
  });

  it("lists a member the volumes of the own project, and an admin all of them on demand", async () => {
    await devcloud.addVolume({ sizeBytes: 4096, name: "of demo" });
    await devcloud.addVolume({ sizeBytes: 4096, name: "of other", project: "other" });
    const admin = await Client.login(devcloud.adminEnvironment, "3.71");
    const names = async (client: Client, path: string) =>
      (await client.send("GET", path)).body.volumes.map(({ name }: { name: string }) => name).sort();
    assert.deepEqual(await names(admin, "/volumes"), []);
    assert.deepEqual(await names(admin, "/volumes/detail?all_tenants=1"), ["of demo", "of other"]);
    assert.deepEqual(await names(admin, `/volumes/detail?all_tenants=1&project_id=${demo.projectId}`), [
      "of demo",
    ]);
    assert.deepEqual(await names(demo, "/volumes?all_tenants=1"), ["of demo"]);
  });

  it("knows no microversion above the one it is told", async () => {
    const older = await startDevcloud({ microversion: "3.50" });
    try {
      const client = await Client.login(older.environment);
      assert.equal((await client.send("GET", "/volumes", undefined, "3.50")).status, 200);
      const refused = await client.send("GET", "/volumes", undefined, "3.51");
      assert.equal(refused.status, 406);
      assert.equal(
        refused.body.computeFault.message,
        "Version 3.51 is not supported by the API. Minimum is 3.0 and maximum is 3.50.",
      );
      const latest = await client.send("GET", "/volumes", undefined, "latest");
      assert.equal(latest.headers.get("openstack-api-version"), "volume 3.50");
    } finally {
      await older.stop();
    }
  });

  it("cannot delete a volume whose image a loop device holds", async function () {
    const { id } = await devcloud.addVolume({ sizeBytes: 1 << 20 });
    let device: string;
    try {
      device = execFileSync("losetup", ["--find", "--show", devcloud.imagePath(id)], { stdio: "pipe" })
        .toString()
        .trim();
    } catch {
      return skips(this, "loop devices need root");
    }
    try {
      assert.equal((await demo.send("DELETE", `/volumes/${id}`)).status, 202);
      await demo.waitFor(`/volumes/${id}`, "available");
    } finally {
      execFileSync("losetup", ["--detach", device]);
    }
    await demo.send("DELETE", `/volumes/${id}`);
    await demo.waitFor(`/volumes/${id}`, "gone");
  });

  it("tells an admin of its pools", async () => {
    const admin = await Client.login(devcloud.adminEnvironment);
    const { pools } = (await admin.send("GET", "/scheduler-stats/get_pools?detail=true")).body;
    assert.deepEqual(
      pools.map((pool: { name: string; capabilities: Record<string, unknown> }) => [
        pool.name,
        pool.capabilities.storage_protocol,
        pool.capabilities.total_capacity_gb,
      ]),
      [["devcloud@nfs#nfs", "NFS", 10_000]],
    );
    assert.equal((await demo.send("GET", "/scheduler-stats/get_pools")).status, 403);
  });
});
