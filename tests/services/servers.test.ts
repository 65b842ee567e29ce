import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pause } from "../../provider/base/pause";
import { endAttachments } from "../../provider/cinder/attach-volume";
import { Driver, type Properties } from "../../provider/driver/driver";
import { World } from "../../provider/driver/world";
import { getServers } from "../../provider/hosts/functions";
import { attachToServer } from "../../provider/movers/server/attach-to-server";
import { until } from "../until";
import { type Client, signIn } from "./client";
import { type Openstack, openstack } from "./index";
import { flavorName, imageName } from "./nova";

/** Servers of a real Nova, whose volumes are on a real Cinder with Ceph. */
describe("servers of a real cloud", () => {
  let cloud: Openstack;
  let demo: Client;
  let servers: { id: string; name: string }[];
  let lines: string[];

  before(async function () {
    this.timeout(15 * 60_000);
    cloud = await openstack({ backends: ["rbd"], nova: true });
    demo = await signIn(cloud.environment);
    const admin = await signIn(cloud.adminEnvironment);
    await admin.call("PUT", "volumev3", `/os-quota-sets/${demo.projectId}`, { quota_set: { volumes: 30 } });
    servers = [await addServer("web"), await addServer("db")];
    for (const { id } of servers) for (const _ of ["root", "data"]) await addVolume(id);
  });

  after(async function () {
    this.timeout(60_000);
    await cloud?.stop();
  });

  beforeEach(() => {
    lines = [];
  });

  async function addServer(name: string): Promise<{ id: string; name: string }> {
    const { images } = (await demo.call("GET", "image", `/v2/images?name=${imageName}`)).body;
    const { flavors } = (await demo.call("GET", "compute", "/flavors")).body;
    const flavor = flavors.find((one: { name: string }) => one.name === flavorName);
    const wanted = { name, flavorRef: flavor.id, imageRef: images[0].id, networks: "none" };
    const { server } = (await demo.call("POST", "compute", "/servers", { server: wanted })).body;
    await until(`server ${name}`, async () => {
      const { status } = (await demo.call("GET", "compute", `/servers/${server.id}`)).body.server;
      return status === "ACTIVE" ? true : undefined;
    });
    return { id: server.id, name };
  }

  async function reaches(volumeId: string, wanted: string): Promise<void> {
    await until(`volume ${volumeId} to be ${wanted}`, async () => {
      const { status } = (await demo.call("GET", "volumev3", `/volumes/${volumeId}`)).body.volume;
      return status === wanted ? true : undefined;
    });
  }

  async function addVolume(serverId: string): Promise<string> {
    const { volume } = (await demo.call("POST", "volumev3", "/volumes", { volume: { size: 1 } })).body;
    await reaches(volume.id, "available");
    const volumeAttachment = { volumeId: volume.id };
    await demo.call("POST", "compute", `/servers/${serverId}/os-volume_attachments`, { volumeAttachment });
    await reaches(volume.id, "in-use");
    return volume.id;
  }

  // the slots are of tomorrow: what Nova and Glance make has the time of now, and is older than any of them
  const day = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
  const driver = (now: string) =>
    new Driver(
      new World({}, line => lines.push(line), {
        ...cloud.environment,
        OSBACKUP_NOW: `${day}T${now}:00Z`,
      }),
    );
  const snapshots = async (): Promise<{ id: string; volume_id: string; status: string }[]> =>
    (await demo.call("GET", "volumev3", "/snapshots/detail")).body.snapshots;

  it("are told with their volumes in the order of their devices, page by page", async () => {
    Object.assign(process.env, cloud.environment);
    const told = await getServers({});
    assert.deepEqual(
      told.map(({ name, status, volumes }) => ({
        name,
        status,
        devices: volumes.map(({ device }) => device),
      })),
      ["db", "web"].map(name => ({ name, status: "ACTIVE", devices: ["/dev/sdb", "/dev/sdc"] })),
    );
  });

  it("have all their volumes in one point, which goes as one; one that is attached later is in the next", async function () {
    this.timeout(180_000);
    const [web] = servers;
    const given: Properties = {
      owner: "shop/prod/web",
      serverId: web?.id,
      serverName: "web",
      schedule: "0 * * * *",
      retention: { keepLast: 1 },
    };
    const first = driver("10:10");
    const { inputs, refusals } = await first.check("ServerSnapshot", undefined, given);
    assert.deepEqual(refusals, []);
    const { id, outputs } = await first.create("ServerSnapshot", inputs);
    let state: Properties = { ...inputs, ...outputs };
    const [, old] = await Promise.all([addVolume(String(web?.id)), snapshots()]);
    assert.equal(old.length, 2);
    assert.deepEqual(
      (state.volumes as { device: string }[]).map(({ device }) => device),
      ["/dev/sdb", "/dev/sdc"],
    );

    const second = driver("11:10");
    const next = (await second.check("ServerSnapshot", state, given)).inputs;
    state = { ...next, ...(await second.update("ServerSnapshot", id, state, next)) };
    assert.equal((state.volumes as object[]).length, 3);
    assert.ok(Number(state.skewSeconds) < 30);
    const left = await snapshots();
    assert.deepEqual(
      left.map(({ status }) => status),
      ["available", "available", "available"],
    );
    assert.ok(!left.some(({ id }) => old.some(gone => gone.id === id)));

    await driver("11:20").delete("ServerSnapshot", id, state);
    assert.deepEqual(await snapshots(), []);
  });

  it("leave nothing where the quota has room for one of two snapshots", async function () {
    this.timeout(120_000);
    const admin = await signIn(cloud.adminEnvironment);
    const limit = async (snapshots: number) =>
      admin.call("PUT", "volumev3", `/os-quota-sets/${demo.projectId}`, { quota_set: { snapshots } });
    await limit(1);
    const run = driver("12:10");
    const given = { owner: "shop/prod/db", serverId: servers[1]?.id, schedule: "0 * * * *" };
    const { inputs } = await run.check("ServerSnapshot", undefined, given);
    await assert.rejects(
      run.create("ServerSnapshot", inputs),
      /SnapshotLimitExceeded|snapshots.*1.*allowed|quota/i,
    );
    assert.deepEqual(await snapshots(), []);
    await limit(-1);
  });

  it("restore one volume of a point, and refuse a server that Nova does not have", async function () {
    this.timeout(180_000);
    const run = driver("13:10");
    const given = { owner: "shop/prod/db", serverId: servers[1]?.id, schedule: "0 * * * *" };
    const { inputs } = await run.check("ServerSnapshot", undefined, given);
    const { id, outputs } = await run.create("ServerSnapshot", inputs);
    const [, data] = outputs.volumes as { snapshotId: string; volumeId: string }[];
    const wanted = { owner: "shop/prod/back", snapshotId: data?.snapshotId, deletionPolicy: "delete" };
    const checked = (await run.check("VolumeRestore", undefined, wanted)).inputs;
    const restored = await run.create("VolumeRestore", checked);
    // Karbor's use: the server gets the restored volume beside its own
    const back = String(restored.outputs.volumeId);
    const attachments = `/servers/${servers[1]?.id}/os-volume_attachments`;
    await demo.call("POST", "compute", attachments, { volumeAttachment: { volumeId: back } });
    await reaches(back, "in-use");
    await demo.call("DELETE", "compute", `${attachments}/${back}`);
    await reaches(back, "available");
    const later = driver("13:20");
    await later.delete("VolumeRestore", restored.id, { ...checked, ...restored.outputs });
    await later.delete("ServerSnapshot", id, { ...inputs, ...outputs });

    const stranger = { ...given, serverId: "00000000-0000-4000-8000-00000000dead" };
    const { refusals } = await run.check("ServerSnapshot", undefined, stranger);
    assert.match(refusals[0]?.reason ?? "", /does not exist in project/);
  });

  /** A server that boots from a volume and has another. */
  async function addBooting(name: string): Promise<{ id: string }> {
    const { volume } = (await demo.call("POST", "volumev3", "/volumes", { volume: { size: 1 } })).body;
    await reaches(volume.id, "available");
    await demo.call("POST", "volumev3", `/volumes/${volume.id}/action`, {
      "os-set_bootable": { bootable: true },
    });
    const { flavors } = (await demo.call("GET", "compute", "/flavors")).body;
    const flavor = flavors.find((one: { name: string }) => one.name === flavorName);
    const mapping = { uuid: volume.id, source_type: "volume", destination_type: "volume", boot_index: 0 };
    const wanted = {
      name,
      flavorRef: flavor.id,
      networks: "none",
      block_device_mapping_v2: [mapping],
    };
    const { server } = (await demo.call("POST", "compute", "/servers", { server: wanted })).body;
    await until("the server that boots from a volume", async () => {
      const { status } = (await demo.call("GET", "compute", `/servers/${server.id}`)).body.server;
      return status === "ACTIVE" ? true : undefined;
    });
    await addVolume(server.id);
    return server;
  }

  const images = async (): Promise<{ id: string; status: string; backup_type?: string }[]> =>
    (await demo.call("GET", "image", "/v2/images?managed-by=pulumi-openstack-backup")).body.images;

  const daily = (serverId: unknown): Properties => ({
    owner: "shop/prod/daily",
    serverId,
    schedule: "0 * * * *",
    retention: { keepLast: 1 },
    deletionPolicy: "delete",
    timeoutSeconds: 60,
  });

  /** Runs that take a point each, and the state after the last. */
  async function backedUp(serverId: unknown, slots: readonly string[]): Promise<Properties> {
    const given = daily(serverId);
    let state: Properties | undefined;
    for (const slot of slots) {
      const run = driver(slot);
      const { inputs, refusals } = await run.check("ServerBackup", state, given);
      assert.deepEqual(refusals, []);
      const outputs = state
        ? await run.update("ServerBackup", "shop/prod/daily", state, inputs)
        : (await run.create("ServerBackup", inputs)).outputs;
      state = { ...inputs, ...outputs };
    }
    return state ?? {};
  }

  it("have images, of which only active ones count and the oldest goes after a newer one is active", async function () {
    this.timeout(180_000);
    const state = await backedUp(servers[0]?.id, ["14:10", "15:10"]);
    const left = await images();
    assert.deepEqual(
      left.map(({ id, status, backup_type }) => [id, status, backup_type]),
      [[state.imageId, "active", "daily"]],
    );
    assert.ok(Number(state.sizeBytes) > 0);

    // Nova's own rotation of the same type counts images of any status: ours is none of its own, and stays
    const createBackup = { name: "of the old script", backup_type: "weekly", rotation: 1 };
    await demo.call("POST", "compute", `/servers/${servers[0]?.id}/action`, { createBackup });
    const renamed = driver("15:20");
    const moved = { ...daily(servers[0]?.id), owner: "shop/prod/renamed" };
    const { inputs } = await renamed.check("ServerBackup", state, moved);
    const handed = { ...inputs, ...(await renamed.update("ServerBackup", "shop/prod/daily", state, inputs)) };
    assert.equal(handed.imageId, state.imageId);
    await driver("15:30").delete("ServerBackup", "shop/prod/renamed", handed);
    assert.deepEqual(await images(), []);
  });

  it("that boot from a volume have images with the snapshots of all their volumes, made and removed together", async function () {
    this.timeout(240_000);
    const server = await addBooting("boots");
    const state = await backedUp(server.id, ["16:10", "17:10"]);
    assert.equal((state.snapshotIds as string[]).length, 2);
    assert.deepEqual(
      (await snapshots()).map(({ id }) => id).sort(),
      [...(state.snapshotIds as string[])].sort(),
    );

    const admin = await signIn(cloud.adminEnvironment);
    const limit = (count: number) =>
      admin.call("PUT", "volumev3", `/os-quota-sets/${demo.projectId}`, { quota_set: { snapshots: count } });
    await limit(3);
    const run = driver("18:10");
    const { inputs } = await run.check("ServerBackup", state, daily(server.id));
    await assert.rejects(
      run.update("ServerBackup", "shop/prod/daily", state, inputs),
      /HTTP 403|HTTP 413|quota/i,
    );
    await limit(-1);
    assert.equal((await snapshots()).length, 2, "nothing of the refused image stays");

    await driver("18:20").delete("ServerBackup", "shop/prod/daily", state);
    assert.deepEqual([await images(), await snapshots()], [[], []]);
  });

  it("come back from their image in a new server, or rebuilt, and are removed with the resource where that is asked for", async function () {
    this.timeout(240_000);
    const [web] = servers;
    const { imageId } = await backedUp(web?.id, ["19:10"]);
    const run = driver("19:20");
    const restore = async (given: Properties): Promise<Properties> => {
      const { inputs, refusals } = await run.check("ServerRestore", undefined, given);
      assert.deepEqual(refusals, []);
      const { id, outputs } = await run.create("ServerRestore", inputs);
      return { ...inputs, ...outputs, id };
    };
    const server = async (id: unknown) => (await demo.send("GET", "compute", `/servers/${id}`)).body.server;

    const given = { owner: "shop/prod/back", imageId, networks: "none", deletionPolicy: "delete" };
    const booted = await restore(given);
    const { status, image, flavor } = await server(booted.id);
    const was = await server(web?.id);
    assert.deepEqual([status, image.id, flavor.id], ["ACTIVE", imageId, was.flavor.id]);
    assert.deepEqual((await restore(given)).id, booted.id, "the state was lost, not the server");
    await driver("19:25").delete("ServerRestore", String(booted.id), booted);
    assert.equal(await server(booted.id), undefined);

    const over = { owner: "shop/prod/over", imageId, serverId: web?.id, overwrite: true };
    const rebuilt = await restore(over);
    assert.deepEqual([(await server(web?.id)).image.id, rebuilt.id], [imageId, web?.id]);
    await driver("19:25").delete("ServerRestore", String(rebuilt.id), rebuilt);
    assert.equal((await server(web?.id)).status, "ACTIVE");

    const refused: [Properties, RegExp][] = [
      [{ ...given, keyName: "gone" }, /Invalid key_name provided/],
      [{ ...given, availabilityZone: "gone" }, /availability zone is not available/],
      [{ ...given, flavor: "huge" }, /there is no flavor 'huge'; there are tiny/],
      [{ ...given, networks: [{ networkId: "8a5ffb3c-0000-4000-8000-000000000000" }] }, /network/i],
    ];
    for (const [inputs, words] of refused) {
      await assert.rejects(async () => {
        const checked = await run.check("ServerRestore", undefined, {
          ...inputs,
          owner: "shop/prod/refused",
        });
        assert.deepEqual(checked.refusals.map(({ reason }) => reason).join(), "");
        await run.create("ServerRestore", checked.inputs);
      }, words);
    }
    const all = (await demo.call("GET", "compute", "/servers")).body.servers;
    assert.ok(!all.some(({ name }: { name: string }) => name.startsWith("restore-")));
    await driver("19:30").delete("ServerBackup", "shop/prod/daily", {
      ...daily(web?.id),
      ...(await run.check("ServerBackup", undefined, daily(web?.id))).inputs,
    });
  });

  it("that boot from a volume come back with all their volumes, from an image or from the point of a ServerSnapshot", async function () {
    this.timeout(300_000);
    const source = await addBooting("whole");
    const backup = await backedUp(source.id, ["20:10"]);
    const run = driver("20:20");
    const point = { owner: "shop/prod/point", serverId: source.id, schedule: "0 * * * *" };
    const { inputs } = await run.check("ServerSnapshot", undefined, point);
    const snapshot = await run.create("ServerSnapshot", inputs);
    for (const from of ["shop/prod/daily", "shop/prod/point"]) {
      const later = driver("20:30");
      const given = {
        owner: "shop/prod/back",
        backupOwner: from,
        flavor: flavorName,
        networks: "none",
        deletionPolicy: "delete",
        timeoutSeconds: 120,
      };
      const checked = await later.check("ServerRestore", undefined, given);
      assert.deepEqual(checked.refusals, []);
      const { id, outputs } = await later.create("ServerRestore", checked.inputs);
      const attached = (await demo.call("GET", "compute", `/servers/${id}/os-volume_attachments`)).body;
      const devices = attached.volumeAttachments.map(
        ({ device, volumeId }: { device: string; volumeId: string }) => `${device} ${volumeId}`,
      );
      const [root, data] = outputs.volumeIds as string[];
      assert.equal(devices.length, 2);
      assert.ok(devices.some((one: string) => one.endsWith(` ${root}`)));
      assert.ok(devices.some((one: string) => one.endsWith(` ${data}`)));
      await driver("20:40").delete("ServerRestore", id, { ...checked.inputs, ...outputs });
      assert.equal((await demo.send("GET", "compute", `/servers/${id}`)).status, 404);
      assert.equal((await demo.send("GET", "volumev3", `/volumes/${root}`)).status, 404);
    }
    const { refusals } = await run.check("ServerRestore", undefined, {
      owner: "shop/prod/over",
      imageId: backup.imageId,
      serverId: source.id,
      overwrite: true,
    });
    assert.match(refusals[0]?.reason ?? "", /is rebuilt/);
    await driver("20:50").delete("ServerSnapshot", snapshot.id, { ...inputs, ...snapshot.outputs });
    await driver("20:50").delete("ServerBackup", "shop/prod/daily", backup);
  });

  it("are counted by active images alone, where Nova's own rotation counts a stuck one and drops a good one", async function () {
    this.timeout(240_000);
    const id = servers[1]?.id;
    const propertiesOf = (backup_type: string) => ({ backup_type, instance_uuid: id, image_type: "backup" });
    /** An image of the script whose upload never came; Nova goes by times of making, which Glance keeps by the second. */
    const stuck = async (type: string) => {
      await pause(1_100);
      await demo.call("POST", "image", "/v2/images", {
        name: `stuck ${type}`,
        disk_format: "raw",
        container_format: "bare",
        ...propertiesOf(type),
      });
      await pause(1_100);
    };
    const of = async (type: string): Promise<{ id: string; name: string; status: string }[]> =>
      (await demo.call("GET", "image", `/v2/images?instance_uuid=${id}&backup_type=${type}&sort=created_at`))
        .body.images;
    const isActive = ({ status }: { status: string }) => status === "active";
    const createBackup = async (name: string, backup_type: string) => {
      const action = { createBackup: { name, backup_type, rotation: 2 } };
      await demo.call("POST", "compute", `/servers/${id}/action`, action);
      await until(`backup ${name}`, async () => {
        const { server } = (await demo.call("GET", "compute", `/servers/${id}`)).body;
        const done = (await of(backup_type)).find(image => image.name === name && isActive(image));
        return done && !server["OS-EXT-STS:task_state"];
      });
    };
    await createBackup("first", "nova");
    await stuck("nova");
    await createBackup("second", "nova");
    // its rotation comes after the upload, and where it does not come at all nothing is shown by it
    const rotated = await until("Nova's rotation", async () => (await of("nova")).length === 2, {
      seconds: 30,
    }).catch(() => undefined);
    if (rotated)
      assert.deepEqual(
        (await of("nova")).filter(isActive).map(({ name }) => name),
        ["second"],
        "Nova kept the stuck one in the place of the first",
      );
    else console.log("      Nova's rotation removed nothing here: its half of the comparison was not seen");

    // the same with ours, which takes the script's images into its set
    await createBackup("first", "ours");
    await stuck("ours");
    const given = {
      ...daily(id),
      owner: "shop/prod/ours",
      backupType: "ours",
      adoptImages: true,
      retention: { keepLast: 2 },
    };
    let state: Properties | undefined;
    for (const slot of ["21:10", "22:10"]) {
      const run = driver(slot);
      const { inputs } = await run.check("ServerBackup", state, given);
      state = {
        ...inputs,
        ...(state
          ? await run.update("ServerBackup", "shop/prod/ours", state, inputs)
          : (await run.create("ServerBackup", inputs)).outputs),
      };
      const active = (await of("ours")).filter(isActive);
      assert.equal(active.length, 2, "two good ones at every moment");
      assert.equal(
        active.some(({ name }) => name === "first"),
        slot === "21:10",
      );
    }
    assert.equal(state?.consistency, "crash");
    await driver("22:20").delete("ServerBackup", "shop/prod/ours", state ?? {});
    for (const image of [...(await of("nova")), ...(await of("ours"))])
      await demo.call("DELETE", "image", `/v2/images/${image.id}`);
  });

  it("have a known consistency where the image of the volume that they boot from says so", async function () {
    this.timeout(240_000);
    const { id } = await addBooting("frozen");
    const given = { ...daily(id), owner: "shop/prod/frozen", quiesce: "require" };
    const refused = await driver("23:10").check("ServerBackup", undefined, given);
    assert.match(
      refused.refusals[0]?.reason ?? "",
      /lacks hw_qemu_guest_agent=yes and os_require_quiesce=yes/,
    );
    const attached = (await demo.call("GET", "compute", `/servers/${id}/os-volume_attachments`)).body;
    const devices = attached.volumeAttachments as { device: string; volumeId: string }[];
    const [root] = devices.sort((a, b) => a.device.localeCompare(b.device));
    const metadata = { hw_qemu_guest_agent: "yes", os_require_quiesce: "yes" };
    const action = { "os-set_image_metadata": { metadata } };
    await demo.call("POST", "volumev3", `/volumes/${root?.volumeId}/action`, action);
    const run = driver("23:20");
    const { inputs, refusals } = await run.check("ServerBackup", undefined, given);
    assert.deepEqual(refusals, []);
    const { outputs } = await run.create("ServerBackup", inputs);
    assert.equal(outputs.consistency, "filesystem");
    await driver("23:30").delete("ServerBackup", "shop/prod/frozen", { ...inputs, ...outputs });
  });

  it("are found in every project that the login has a role in, and backed up there", async function () {
    this.timeout(180_000);
    const admin = await signIn(cloud.adminEnvironment);
    const other = await signIn(cloud.otherEnvironment);
    const [role] = (await admin.call("GET", "identity", "/roles?name=member")).body.roles;
    const grant = `/projects/${other.projectId}/users/${demo.userId}/roles/${role.id}`;
    await admin.call("PUT", "identity", grant);
    const { volume } = (await other.call("POST", "volumev3", "/volumes", { volume: { size: 1 } })).body;
    const { images } = (await other.call("GET", "image", `/v2/images?name=${imageName}`)).body;
    const { flavors } = (await other.call("GET", "compute", "/flavors")).body;
    const flavor = flavors.find((one: { name: string }) => one.name === flavorName);
    const wanted = { name: "far", flavorRef: flavor.id, imageRef: images[0].id, networks: "none" };
    const { server } = (await other.call("POST", "compute", "/servers", { server: wanted })).body;
    const status = async (service: string, path: string, kind: string) =>
      (await other.call("GET", service, path)).body[kind].status;
    await until("the far server", async () => {
      return (await status("compute", `/servers/${server.id}`, "server")) === "ACTIVE";
    });
    await until("the far volume", async () => {
      return (await status("volumev3", `/volumes/${volume.id}`, "volume")) === "available";
    });
    await other.call("POST", "compute", `/servers/${server.id}/os-volume_attachments`, {
      volumeAttachment: { volumeId: volume.id },
    });
    await until("the far volume's attachment", async () => {
      return (await status("volumev3", `/volumes/${volume.id}`, "volume")) === "in-use";
    });

    const all = await getServers({}, { allProjects: true });
    const far = all.find(({ id }) => id === server.id);
    assert.deepEqual([far?.projectId, far?.volumes.length], [other.projectId, 1]);
    assert.ok(all.some(({ projectId }) => projectId === demo.projectId));
    const run = driver("23:40");
    const given = { owner: "shop/prod/far", serverId: server.id, projectId: other.projectId };
    const { inputs, refusals } = await run.check("ServerSnapshot", undefined, given);
    assert.deepEqual(refusals, []);
    const { id, outputs } = await run.create("ServerSnapshot", inputs);
    const taken = (await other.call("GET", "volumev3", "/snapshots")).body.snapshots;
    assert.equal(taken.length, 1);
    await driver("23:45").delete("ServerSnapshot", id, { ...inputs, ...outputs });
    await admin.call("DELETE", "identity", grant);
  });

  it("get temporary volumes attached by Nova and give them back, also those of a killed run, and where no device comes", async function () {
    this.timeout(180_000);
    const id = servers[0]?.id ?? "";
    const { volume } = (await demo.call("POST", "volumev3", "/volumes", { volume: { size: 1 } })).body;
    await reaches(volume.id, "available");
    const session = new World({}, line => lines.push(line), cloud.environment).session({});
    const directory = await mkdtemp(path.join(tmpdir(), "osbackup-by-id-"));
    process.env.OSBACKUP_DEVICE_DIRECTORY = directory;
    const limits = { timeoutSeconds: 60, log: (line: string) => lines.push(line) };
    try {
      await assert.rejects(
        attachToServer(session, id, volume.id, { ...limits, timeoutSeconds: 5 }),
        /shows no device of it: looked for virtio-.*; undone: the attachment/,
      );
      await reaches(volume.id, "available");

      // the hypervisor is a fake: the device is a file of ours
      await writeFile(path.join(directory, `virtio-${volume.id.slice(0, 20)}`), "");
      const attached = await attachToServer(session, id, volume.id, limits);
      assert.equal(attached.connection.driver_volume_type, "local");
      await reaches(volume.id, "in-use");
      await attached.detach();
      await reaches(volume.id, "available");

      // a killed run leaves it attached, and Cinder alone refuses to end it
      await attachToServer(session, id, volume.id, limits);
      assert.equal(await endAttachments(session, volume.id, {}), 1);
      await reaches(volume.id, "available");

      const attach = (server: string) => attachToServer(session, server, volume.id, limits);
      await assert.rejects(attach("00000000-0000-4000-8000-00000000dead"), /could not be found/);
      await attachToServer(session, servers[1]?.id ?? "", volume.id, limits);
      await assert.rejects(
        attach(id),
        /is already attached to instances: [0-9a-f-]+ \(HTTP 400, nova, [^;]*$/,
      );
      assert.equal(await endAttachments(session, volume.id, {}), 1);
    } finally {
      delete process.env.OSBACKUP_DEVICE_DIRECTORY;
      await rm(directory, { recursive: true });
    }
  });
});
