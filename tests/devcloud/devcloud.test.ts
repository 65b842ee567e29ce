import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { promises as fs } from "node:fs";
import path from "node:path";
import { type Devcloud, startDevcloud } from "../../devcloud";
import { Client, call } from "./client";

describe("Devcloud", () => {
  let devcloud: Devcloud;
  let demo: Client;

  beforeEach(async () => {
    devcloud = await startDevcloud({ statusDelayMs: 5 });
    demo = await Client.login(devcloud.environment, "3.71");
  });
  afterEach(() => devcloud.stop());

  it("leads a backup's whole way: snapshot, temporary volume, attachment, detach, deletes", async () => {
    const volume = await devcloud.addVolume({ name: "data", sizeBytes: 1 << 20, attachedTo: true });
    await devcloud.guest(volume.id).write(8192, Buffer.from("what is to be kept"));
    const snapshot = (
      await demo.send("POST", "/snapshots", { snapshot: { volume_id: volume.id, name: "s" } })
    ).body.snapshot;
    await demo.waitFor(`/snapshots/${snapshot.id}`, "available");
    await devcloud.guest(volume.id).write(8192, Buffer.from("written afterwards"));

    const temporary = (
      await demo.send("POST", "/volumes", { volume: { snapshot_id: snapshot.id, name: "t" } })
    ).body.volume;
    await demo.waitFor(`/volumes/${temporary.id}`, "available");
    const attachment = await demo.send("POST", "/attachments", {
      attachment: { volume_uuid: temporary.id, mode: "ro", connector: { host: "backup-host" } },
    });
    const info = attachment.body.attachment.connection_info;
    assert.deepEqual(info, {
      export: "127.0.0.1:/devcloud",
      name: `volume-${temporary.id}`,
      options: null,
      format: "raw",
      qos_specs: null,
      access_mode: "rw",
      encrypted: false,
      cacheable: false,
      driver_volume_type: "nfs",
      mount_point_base: info.mount_point_base,
      attachment_id: attachment.body.attachment.id,
      enforce_multipath: false,
    });
    const image = path.join(
      info.mount_point_base,
      createHash("md5").update(info.export).digest("hex"),
      info.name,
    );
    assert.equal((await fs.readFile(image)).subarray(8192, 8210).toString(), "what is to be kept");

    const attachmentPath = `/attachments/${attachment.body.attachment.id}`;
    assert.equal((await demo.send("POST", `${attachmentPath}/action`, { "os-complete": null })).status, 204);
    await demo.waitFor(`/volumes/${temporary.id}`, "in-use");
    assert.equal((await demo.send("DELETE", `/volumes/${temporary.id}`)).status, 400);
    assert.equal((await demo.send("DELETE", attachmentPath)).status, 200);
    assert.equal((await demo.send("DELETE", `/volumes/${temporary.id}`)).status, 202);
    await demo.waitFor(`/volumes/${temporary.id}`, "gone");
    assert.equal((await demo.send("DELETE", `/snapshots/${snapshot.id}`)).status, 202);
    await demo.waitFor(`/snapshots/${snapshot.id}`, "gone");
    await assert.rejects(fs.stat(image), { code: "ENOENT" });
    assert.deepEqual(
      devcloud.volumes().map(row => [row.name, row.status]),
      [["data", "in-use"]],
    );
  });

  it("names the local file in attachments when the backend is local", async () => {
    const local = await startDevcloud({ backend: "local" });
    try {
      const client = await Client.login(local.environment, "3.71");
      const volume = await local.addVolume({ sizeBytes: 4096 });
      const answer = await client.send("POST", "/attachments", {
        attachment: { volume_uuid: volume.id, connector: { host: "h" } },
      });
      const info = answer.body.attachment.connection_info;
      assert.equal(info.driver_volume_type, "local");
      assert.equal(info.device_path, local.imagePath(volume.id));
    } finally {
      await local.stop();
    }
  });

  it("takes a snapshot between two writes, never inside one", async () => {
    const volume = await devcloud.addVolume({ sizeBytes: 1 << 20 });
    const guest = devcloud.guest(volume.id);
    let last = 0;
    const lastAt = new Map<string, number>();
    devcloud.onSnapshot(row => {
      lastAt.set(row.id, last);
    });
    let writing = true;
    const writer = (async () => {
      for (let count = 1; writing; count++) {
        const both = Buffer.alloc(1 << 20, count % 251);
        both.writeUInt32BE(count, 0);
        await guest.write(0, both, () => {
          last = count;
        });
      }
    })();
    const ids: string[] = [];
    for (let count = 0; count < 8; count++) {
      const answer = await demo.send("POST", "/snapshots", { snapshot: { volume_id: volume.id } });
      ids.push(answer.body.snapshot.id);
      await demo.waitFor(`/snapshots/${answer.body.snapshot.id}`, "available");
    }
    writing = false;
    await writer;
    for (const id of ids) {
      const image = await fs.readFile(devcloud.imagePath(id));
      const count = image.readUInt32BE(0);
      assert.equal(count, lastAt.get(id));
      assert.ok(image.subarray(4).equals(Buffer.alloc((1 << 20) - 4, count % 251)));
    }
    assert.ok(last > ids.length);
  });

  it("keeps volumes, snapshots, users and their ids over a restart when it has a directory", async () => {
    const directory = await fs.mkdtemp(path.join(devcloud.directory, "kept-"));
    const first = await startDevcloud({ directory, statusDelayMs: 1 });
    const volume = await first.addVolume({ name: "kept", sizeBytes: 8192 });
    await first.guest(volume.id).write(0, Buffer.from("bytes"));
    const client = await Client.login(first.environment, "3.71");
    await client.send("POST", "/snapshots", { snapshot: { volume_id: volume.id, name: "point" } });
    await client.waitFor(`/snapshots/${first.snapshots()[0]?.id}`, "available");
    first.faults.stuck("creating snapshot");
    await client.send("POST", "/snapshots", { snapshot: { volume_id: volume.id, name: "interrupted" } });
    const { OS_AUTH_URL: _, ...environment } = first.environment;
    await first.stop();
    const mode = (await fs.stat(path.join(directory, "devcloud.json"))).mode & 0o777;
    assert.equal(mode, 0o600);

    const second = await startDevcloud({ directory });
    try {
      const { OS_AUTH_URL: __, ...environmentAgain } = second.environment;
      assert.deepEqual(environmentAgain, environment);
      assert.deepEqual(second.volumes(), [volume]);
      assert.deepEqual(
        second.snapshots().map(row => [row.name, row.status]),
        [
          ["point", "available"],
          ["interrupted", "error"],
        ],
      );
      assert.equal((await second.guest(volume.id).read(0, 5)).toString(), "bytes");
    } finally {
      await second.stop();
    }
  });

  it("removes its images when it stops, unless it has a directory", async () => {
    const other = await startDevcloud();
    await other.addVolume({ sizeGib: 1 });
    await other.stop();
    await assert.rejects(fs.stat(other.directory), { code: "ENOENT" });
  });

  it("grows an image with extend and puts it back with revert", async () => {
    const volume = await devcloud.addVolume({ sizeBytes: 1 << 20, sizeGib: 1 });
    const guest = devcloud.guest(volume.id);
    await guest.write(0, Buffer.from("before"));
    const snapshot = await devcloud.addSnapshot({ volumeId: volume.id });
    await guest.write(0, Buffer.from("after!"));
    assert.equal(
      (await demo.send("POST", `/volumes/${volume.id}/action`, { revert: { snapshot_id: snapshot.id } }))
        .status,
      202,
    );
    await demo.waitFor(`/volumes/${volume.id}`, "available");
    assert.equal((await guest.read(0, 6)).toString(), "before");
    await demo.send("POST", `/volumes/${volume.id}/action`, { "os-extend": { new_size: 2 } });
    await demo.waitFor(`/volumes/${volume.id}`, "available");
    const { size, blocks } = await fs.stat(devcloud.imagePath(volume.id));
    assert.equal(size, 2 * 1024 ** 3);
    assert.ok(blocks * 512 < 1 << 20);
  });

  it("lets a reader look and refuses the rest in the words of Cinder's policy", async () => {
    const volume = await devcloud.addVolume({ sizeBytes: 4096 });
    const viewer = await Client.login(devcloud.environmentOf("viewer", "demo"), "3.71");
    assert.equal((await viewer.send("GET", `/volumes/${volume.id}`)).status, 200);
    const refused = await viewer.send("POST", "/snapshots", { snapshot: { volume_id: volume.id } });
    assert.equal(refused.status, 403);
    assert.deepEqual(refused.body, {
      forbidden: { code: 403, message: "Policy doesn't allow volume:create_snapshot to be performed." },
    });
    assert.equal((await viewer.send("DELETE", `/volumes/${volume.id}`)).status, 403);
    assert.equal(devcloud.volumes().length, 1);
  });

  it("shows nothing of another project", async () => {
    const volume = await devcloud.addVolume({ sizeBytes: 4096, project: "demo" });
    const snapshot = await devcloud.addSnapshot({ volumeId: volume.id });
    const stranger = await Client.login(devcloud.environmentOf("stranger", "other"), "3.71");
    assert.equal((await stranger.send("GET", `/volumes/${volume.id}`)).status, 404);
    assert.equal((await stranger.send("DELETE", `/snapshots/${snapshot.id}`)).status, 404);
    assert.equal(
      (await stranger.send("POST", "/volumes", { volume: { snapshot_id: snapshot.id } })).status,
      404,
    );
    assert.deepEqual((await stranger.send("GET", "/snapshots/detail?all_tenants=1")).body, { snapshots: [] });
  });

  it("records requests without tokens and passwords", async () => {
    await demo.send("POST", "/volumes", { volume: { size: 1, name: "seen" } });
    const requests = devcloud.requests;
    assert.deepEqual(
      requests.map(({ method, path, status }) => [method, path, status]),
      [
        ["POST", "/identity/v3/auth/tokens", 201],
        ["POST", `/volume/v3/${demo.projectId}/volumes`, 202],
      ],
    );
    assert.deepEqual(requests[1]?.body, { volume: { size: 1, name: "seen" } });
    assert.equal(requests[1]?.microversion, "volume 3.71");
    const text = JSON.stringify(requests);
    assert.ok(!text.includes(demo.token) && !text.includes(devcloud.environment.OS_PASSWORD ?? ""));
  });

  it("ends a token after its lifetime", async () => {
    let now = Date.now();
    const short = await startDevcloud({ tokenLifetimeSeconds: 60, now: () => now });
    try {
      const client = await Client.login(short.environment);
      assert.equal((await client.send("GET", "/volumes")).status, 200);
      now += 61_000;
      assert.equal((await client.send("GET", "/volumes")).status, 401);
    } finally {
      await short.stop();
    }
  });

  it("answers only below its two services", async () => {
    const answer = await call("GET", `${new URL(devcloud.url).origin}/v3`);
    assert.equal(answer.status, 404);
  });
});
