import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, open, readdir, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import pRetry from "p-retry";
import { until } from "../until";
import { type Client, signIn } from "./client";
import { type Openstack, openstack, rest, s3 } from "./index";
import { installPackages } from "./install";
import { flavorName, imageName } from "./nova";
import type { RestHandle } from "./rclone-rest";
import type { S3Handle } from "./versitygw";

const execFileAsync = promisify(execFile);
const firstStartMilliseconds = 15 * 60_000;
const mebibyte = 1024 * 1024;

/** Waits until a volume or snapshot leaves its passing status and returns the document. */
async function settled(client: Client, kind: "volume" | "snapshot", id: string) {
  return until(`${kind} ${id} to settle`, async () => {
    const document = (await client.call("GET", "volumev3", `/${kind}s/${id}`)).body[kind];
    return document.status.endsWith("ing") ? undefined : document;
  });
}

async function removed(client: Client, kind: "volume" | "snapshot", id: string): Promise<void> {
  assert.equal((await client.call("DELETE", "volumev3", `/${kind}s/${id}`)).status, 202);
  await until(`${kind} ${id} to be gone`, async () => {
    const { status } = await client.send("GET", "volumev3", `/${kind}s/${id}`);
    return status === 404 ? true : undefined;
  });
}

/** Process ids whose command line names the folder. */
function processesOf(directory: string): string[] {
  return readdirSync("/proc").filter(name => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, "utf8").includes(directory);
    } catch {
      return false;
    }
  });
}

async function stopsCompletely(cloud: Openstack): Promise<void> {
  await cloud.stop();
  assert.deepEqual(processesOf(cloud.runDirectory), []);
  assert.equal(readFileSync("/proc/self/mounts", "utf8").includes(cloud.runDirectory), false);
  assert.equal(existsSync(cloud.runDirectory), false);
}

type Connection = Record<string, string>;

/** Attaches a volume to this host, without a server, and answers how to reach it. */
async function attach(client: Client, volumeId: string): Promise<{ id: string; connection: Connection }> {
  const connector = { host: hostname(), ip: "127.0.0.1", initiator: "iqn.1994-05.com.example:1" };
  const wanted = { attachment: { volume_uuid: volumeId, connector } };
  // Ceph's monitors answer 500 in passing while they elect; Cinder leaves the attachment reserved.
  const { attachment } = await pRetry(
    async () => {
      const { status, body } = await client.send("POST", "volumev3", "/attachments", wanted);
      if (status < 400) return body;
      const left = await client.call("GET", "volumev3", `/attachments?volume_id=${volumeId}`);
      for (const { id } of left.body.attachments)
        await client.call("DELETE", "volumev3", `/attachments/${id}`);
      throw new Error(`attaching volume ${volumeId}: HTTP ${status} ${JSON.stringify(body)}`);
    },
    { retries: 5, minTimeout: 500 },
  );
  await client.call("POST", "volumev3", `/attachments/${attachment.id}/action`, { "os-complete": {} });
  assert.equal((await settled(client, "volume", volumeId)).status, "in-use");
  return { id: attachment.id, connection: attachment.connection_info };
}

async function detach(client: Client, volumeId: string, attachmentId: string): Promise<void> {
  assert.equal((await client.call("DELETE", "volumev3", `/attachments/${attachmentId}`)).status, 200);
  assert.equal((await settled(client, "volume", volumeId)).status, "available");
}

/** Writes a mebibyte of one letter into a volume, as its server would. */
async function fill(cloud: Openstack, client: Client, volumeId: string, letter: string): Promise<void> {
  const { id, connection } = await attach(client, volumeId);
  const isRbd = connection.driver_volume_type === "rbd";
  const image = isRbd ? `rbd:${connection.name}` : path.join(cloud.shareDirectory, connection.name ?? "");
  // A file that has a snapshot goes on in a qcow2 file over it.
  const format = isRbd ? "raw" : (connection.format ?? "");
  const command = `write -P ${letter.charCodeAt(0)} 1M 1M`;
  const environment = { ...process.env, ...cloud.environment };
  await execFileAsync("qemu-io", ["-f", format, "-c", command, image], { env: environment });
  await detach(client, volumeId, id);
}

/** The letters that the second mebibyte of a file is made of. */
async function lettersIn(file: string): Promise<string> {
  const handle = await open(file, "r");
  try {
    const { buffer } = await handle.read(Buffer.alloc(mebibyte), 0, mebibyte, mebibyte);
    return [...new Set(buffer.toString())].join("");
  } finally {
    await handle.close();
  }
}

/** Reads a raw volume on this host, by what its attachment says. */
async function contentOf(cloud: Openstack, connection: Connection): Promise<string> {
  if (connection.driver_volume_type === "nfs") {
    assert.equal(connection.mount_point_base, path.dirname(cloud.shareDirectory));
    return lettersIn(path.join(cloud.shareDirectory, connection.name ?? ""));
  }
  assert.equal(connection.driver_volume_type, "rbd");
  const [pool, image] = (connection.name ?? "").split("/");
  const directory = await mkdtemp(path.join(tmpdir(), "osbackup-smoke-"));
  const file = path.join(directory, "volume");
  await writeFile(file, "");
  const exporter = spawn(
    "qemu-storage-daemon",
    [
      ...["--blockdev", `driver=rbd,node-name=volume,pool=${pool},image=${image},read-only=on`],
      ...["--export", `type=fuse,id=export,node-name=volume,mountpoint=${file},writable=off`],
    ],
    { env: { ...process.env, ...cloud.environment }, stdio: "ignore" },
  );
  const ended = new Promise(resolve => exporter.once("exit", resolve));
  try {
    await until("the export", async () =>
      readFileSync("/proc/self/mounts", "utf8").includes(` ${file} `) ? true : undefined,
    );
    return await lettersIn(file);
  } finally {
    exporter.kill("SIGTERM");
    await ended;
    await rm(directory, { recursive: true });
  }
}

describe("openstack", () => {
  let cloud: Openstack;
  let demo: Client;

  before(async function () {
    this.timeout(firstStartMilliseconds);
    cloud = await openstack({ backends: ["rbd", "nfs"] });
    demo = await signIn(cloud.environment);
  });

  after(async function () {
    this.timeout(60_000);
    if (cloud) await stopsCompletely(cloud);
  });

  for (const backend of ["rbd", "nfs"] as const) {
    it(`keeps a point in time of a volume on ${backend} and shows it to this host`, async function () {
      this.timeout(120_000);
      const create = async (kind: "volume" | "snapshot", body: object): Promise<string> => {
        const { id } = (await demo.call("POST", "volumev3", `/${kind}s`, { [kind]: body })).body[kind];
        assert.equal((await settled(demo, kind, id)).status, "available");
        return id;
      };
      const volume = await create("volume", { size: 1, name: "data", volume_type: backend });
      await fill(cloud, demo, volume, "a");
      const snapshot = await create("snapshot", { volume_id: volume, name: "point" });
      await fill(cloud, demo, volume, "b");
      const copy = await create("volume", { size: 1, name: "temporary", snapshot_id: snapshot });

      const { id, connection } = await attach(demo, copy);
      assert.equal(await contentOf(cloud, connection), "a");
      await detach(demo, copy, id);
      await removed(demo, "volume", copy);
      await removed(demo, "snapshot", snapshot);
      await removed(demo, "volume", volume);
    });
  }

  it("makes volumes of the first backend when no type is asked for", async () => {
    const { volume } = (await demo.call("POST", "volumev3", "/volumes", { volume: { size: 1 } })).body;
    assert.equal((await settled(demo, "volume", volume.id)).volume_type, "rbd");
    await removed(demo, "volume", volume.id);
  });

  it("keeps readers from writing and projects apart", async () => {
    const { volume } = (await demo.call("POST", "volumev3", "/volumes", { volume: { size: 1 } })).body;
    await settled(demo, "volume", volume.id);
    const reader = await signIn(cloud.readerEnvironment);
    const other = await signIn(cloud.otherEnvironment);
    const statuses = {
      readerReads: (await reader.send("GET", "volumev3", `/volumes/${volume.id}`)).status,
      readerCreates: (await reader.send("POST", "volumev3", "/volumes", { volume: { size: 1 } })).status,
      otherReads: (await other.send("GET", "volumev3", `/volumes/${volume.id}`)).status,
    };
    assert.deepEqual(statuses, { readerReads: 200, readerCreates: 403, otherReads: 404 });
    await removed(demo, "volume", volume.id);
  });

  it("refuses what goes beyond a quota that the administrator has set", async () => {
    const admin = await signIn(cloud.adminEnvironment);
    const quota = `/os-quota-sets/${demo.projectId}`;
    await admin.call("PUT", "volumev3", quota, { quota_set: { volumes: 0 } });
    const answer = await demo.send("POST", "volumev3", "/volumes", { volume: { size: 1 } });
    await admin.call("DELETE", "volumev3", quota);
    assert.equal(answer.status, 413);
    assert.match(answer.body.overLimit.message, /^VolumeLimitExceeded/);
  });
});

describe("openstack with nova", () => {
  let cloud: Openstack;
  let demo: Client;

  before(async function () {
    this.timeout(firstStartMilliseconds);
    cloud = await openstack({ backends: ["nfs"], nova: true });
    demo = await signIn(cloud.environment);
  });

  after(async function () {
    this.timeout(60_000);
    if (cloud) await stopsCompletely(cloud);
  });

  it("runs a server with a volume and makes an image backup of it", async function () {
    this.timeout(120_000);
    const { images } = (await demo.call("GET", "image", `/v2/images?name=${imageName}`)).body;
    const { flavors } = (await demo.call("GET", "compute", "/flavors")).body;
    const flavor = flavors.find((one: { name: string }) => one.name === flavorName);
    const wanted = { name: "web", flavorRef: flavor.id, imageRef: images[0].id, networks: "none" };
    const { server } = (await demo.call("POST", "compute", "/servers", { server: wanted })).body;
    const built = await until("the server", async () => {
      const document = (await demo.call("GET", "compute", `/servers/${server.id}`)).body.server;
      return document.status === "BUILD" ? undefined : document;
    });
    assert.equal(built.status, "ACTIVE");

    const { volume } = (await demo.call("POST", "volumev3", "/volumes", { volume: { size: 1 } })).body;
    await settled(demo, "volume", volume.id);
    const attachments = `/servers/${server.id}/os-volume_attachments`;
    await demo.call("POST", "compute", attachments, { volumeAttachment: { volumeId: volume.id } });
    await until("the attachment", async () => {
      const { status } = (await demo.call("GET", "volumev3", `/volumes/${volume.id}`)).body.volume;
      return status === "in-use" ? true : undefined;
    });

    const createBackup = { name: "web-daily", backup_type: "daily", rotation: 1 };
    await demo.call("POST", "compute", `/servers/${server.id}/action`, { createBackup });
    const backup = await until("the backup", async () => {
      const found = (await demo.call("GET", "image", "/v2/images?name=web-daily")).body.images[0];
      return found?.status === "active" ? found : undefined;
    });
    assert.equal(backup.backup_type, "daily");
    assert.equal(backup.instance_uuid, server.id);
  });
});

describe("repository servers", () => {
  let directory: string;
  let store: S3Handle;
  let restServer: RestHandle;
  let appendOnly: RestHandle;

  /** Runs restic on a repository; answers its exit code and output. */
  async function restic(repository: string, environment: Record<string, string>, ...args: string[]) {
    const variables = {
      RESTIC_REPOSITORY: repository,
      RESTIC_PASSWORD: "secret",
      RESTIC_CACHE_DIR: path.join(directory, "cache"),
    };
    const child = execFileAsync("restic", args, { env: { ...process.env, ...variables, ...environment } });
    return child.then(
      ({ stdout }) => ({ code: 0, stdout, stderr: "" }),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
  }

  before(async function () {
    this.timeout(firstStartMilliseconds);
    await installPackages(["restic"]);
    directory = await mkdtemp(path.join(tmpdir(), "osbackup-smoke-"));
    await writeFile(path.join(directory, "file"), "content");
    store = await s3();
    restServer = await rest();
    appendOnly = await rest({ appendOnly: true, tls: true });
  });

  after(async () => {
    const handles = [store, restServer, appendOnly].filter(one => one !== undefined);
    const folders = handles.map(one => path.dirname(path.dirname(one.dataDirectory)));
    for (const one of handles) await one.stop();
    if (directory) await rm(directory, { recursive: true });
    for (const folder of folders) {
      assert.deepEqual(processesOf(folder), []);
      assert.equal(existsSync(folder), false);
    }
  });

  it("S3: takes a backup over TLS and locks its objects", async function () {
    this.timeout(60_000);
    await store.createBucket("locked", { lockDays: 1 });
    const repository = store.repository("locked", "host");
    const trusting = ["--cacert", store.caFile];
    const backup = await (async () => {
      const init = await restic(repository, store.environment, ...trusting, "init");
      assert.equal(init.code, 0, init.stderr);
      return restic(
        repository,
        store.environment,
        ...trusting,
        "backup",
        "--host",
        "h",
        path.join(directory, "file"),
      );
    })();
    assert.equal(backup.code, 0, backup.stderr);
    const listed = await restic(repository, store.environment, ...trusting, "snapshots", "--json");
    assert.equal(JSON.parse(listed.stdout).length, 1);

    const versions = await store.request({ method: "GET", path: "/locked", query: { versions: "" } });
    const [, key, version] =
      /<Key>(host\/snapshots\/[^<]+)<\/Key>.*?<VersionId>([^<]+)/s.exec(versions.body) ?? [];
    assert.ok(key !== undefined && version !== undefined, versions.body);
    const removal = await store.request({
      method: "DELETE",
      path: `/locked/${key}`,
      query: { versionId: version },
    });
    assert.equal(removal.status, 403);
    assert.match(removal.body, /object protected by object lock/);
  });

  it("S3: is not trusted without its authority", async function () {
    this.timeout(60_000);
    const refused = await restic(store.repository("untrusted"), store.environment, "init");
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /x509/);
  });

  it("REST: takes a backup with the password and refuses another", async function () {
    this.timeout(60_000);
    const repository = restServer.repository("host");
    assert.equal((await restic(repository, {}, "init")).code, 0);
    assert.equal((await restic(repository, {}, "backup", path.join(directory, "file"))).code, 0);
    assert.equal(JSON.parse((await restic(repository, {}, "snapshots", "--json")).stdout).length, 1);
    const wrong = await restic(repository.replace(restServer.password, "wrong"), {}, "snapshots");
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /401 Unauthorized/);
  });

  it("REST: keeps what was stored when it only appends", async function () {
    this.timeout(60_000);
    const repository = appendOnly.repository("host");
    const trusting = ["--cacert", appendOnly.caFile ?? ""];
    assert.equal((await restic(repository, {}, ...trusting, "init")).code, 0);
    assert.equal((await restic(repository, {}, ...trusting, "backup", path.join(directory, "file"))).code, 0);
    const snapshots = path.join(appendOnly.dataDirectory, "host/snapshots");
    const [snapshot] = await readdir(snapshots);
    const url = `${appendOnly.url}host/snapshots/${snapshot}`;
    const login = `${appendOnly.user}:${appendOnly.password}`;
    const curl = [
      "-s",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      "--cacert",
      appendOnly.caFile ?? "",
      "-u",
      login,
      "-X",
      "DELETE",
      url,
    ];
    assert.equal((await execFileAsync("curl", curl)).stdout, "403");
    assert.deepEqual(await readdir(snapshots), [snapshot]);
  });
});
