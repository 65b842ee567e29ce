import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { Driver, type Properties } from "../../../provider/driver/driver";
import { World } from "../../../provider/driver/world";
import { inventoryOf } from "../../../provider/operations/inventory";

describe("ServerRestore", function () {
  this.timeout(60_000);
  let cloud: Devcloud;
  let lines: string[];
  let serverId: string;

  beforeEach(async () => {
    cloud = await startDevcloud({ statusDelayMs: 20 });
    lines = [];
    serverId = cloud.addServer({ name: "web" }).id;
  });
  afterEach(() => cloud.stop());

  const driver = () =>
    new Driver(
      new World({}, line => lines.push(line), {
        ...cloud.environment,
        OSBACKUP_NOW: "2026-11-27T10:10:00Z",
      }),
    );

  async function made(type: string, given: Properties): Promise<Properties> {
    const run = driver();
    const { inputs, refusals } = await run.check(type, undefined, given);
    assert.deepEqual(refusals, []);
    const { id, outputs } = await run.create(type, inputs);
    return { ...inputs, ...outputs, id };
  }
  const backup = (of = serverId) =>
    made("ServerBackup", { owner: "shop/prod/web", serverId: of, schedule: "0 * * * *", timeoutSeconds: 10 });
  const restore = (given: Properties) => made("ServerRestore", { owner: "shop/prod/back", ...given });
  async function refusalsOf(given: Properties): Promise<string[]> {
    const { refusals } = await driver().check("ServerRestore", undefined, {
      owner: "shop/prod/back",
      ...given,
    });
    return refusals.map(({ property, reason }) => `${property}: ${reason}`);
  }
  const gone = (state: Properties) => driver().delete("ServerRestore", String(state.id), state);

  /** A server that boots from a volume and has another. */
  async function booting(): Promise<string> {
    const { id } = cloud.addServer({ name: "db", bootsFromVolume: true });
    await cloud.addVolume({ name: "root", sizeGib: 1, attachedTo: id, device: "/dev/vda" });
    await cloud.addVolume({ name: "data", sizeGib: 2, attachedTo: id, device: "/dev/vdb" });
    return id;
  }

  it("boots a server of the image with the flavor that the first one had, although that one is gone", async () => {
    const { imageId } = await backup();
    cloud.removeServer(serverId);
    const state = await restore({ imageId });
    const [server] = cloud.servers();
    assert.deepEqual(
      [server?.id, server?.name, server?.status, server?.imageId, server?.flavorId],
      [state.restoredServerId, "restore-back", "ACTIVE", imageId, "1"],
    );
    assert.deepEqual(
      [state.source, state.capturedAt, state.addresses],
      [`image:${imageId}`, "2026-11-27T10:10:00Z", [server?.address]],
    );
    await gone(state);
    assert.equal(cloud.servers().length, 1, "it is retained");
  });

  it("says in the preview what it boots or overwrites", async () => {
    const { imageId } = await backup();
    const run = driver();
    const words = async (given: Properties) => {
      const { inputs } = await run.check("ServerRestore", undefined, { owner: "shop/prod/back", ...given });
      return run.plan("ServerRestore", undefined, inputs);
    };
    assert.deepEqual(await words({ imageId }), [
      `will boot server 'restore-back' from image:${imageId}, which was captured at 2026-11-27T10:10:00Z`,
    ]);
    assert.match(
      String(await words({ imageId, serverId, overwrite: true })),
      /will overwrite the disk of server web with image:.*: what was written to it since is lost; its further volumes stay/,
    );
  });

  it("restores all volumes of a server that boots from one, and removes what it made with the resource", async () => {
    const id = await booting();
    await backup(id);
    const state = await restore({ backupOwner: "shop/prod/web", deletionPolicy: "delete", flavor: "small" });
    const back = cloud.servers().find(row => row.id === state.restoredServerId);
    const attached = cloud.attachments().filter(({ instance }) => instance === back?.id);
    assert.deepEqual(
      attached.map(({ device, volume_id }) => [device, volume_id]),
      ["/dev/vda", "/dev/vdb"].map((device, place) => [device, (state.volumeIds as string[])[place]]),
    );
    assert.deepEqual(
      cloud
        .volumes()
        .filter(row => row.snapshot_id)
        .map(({ name, size }) => `${name} ${size}`),
      ["restore-back-vda 1", "restore-back-vdb 2"],
    );
    await gone(state);
    assert.deepEqual(
      cloud
        .servers()
        .map(({ name }) => name)
        .sort(),
      ["db", "web"],
    );
    assert.deepEqual(
      cloud
        .volumes()
        .map(({ name }) => name)
        .sort(),
      ["data", "root"],
    );
  });

  it("restores all volumes of a ServerSnapshot together", async () => {
    const id = await booting();
    const point = await made("ServerSnapshot", {
      owner: "shop/prod/db",
      serverId: id,
      schedule: "0 * * * *",
    });
    const state = await restore({ backupOwner: "shop/prod/db", flavor: "tiny", name: "db-again" });
    const snapshots = (point.volumes as { snapshotId: string }[]).map(({ snapshotId }) => snapshotId);
    const byId = new Map(cloud.volumes().map(row => [row.id, row.snapshot_id]));
    assert.deepEqual(
      (state.volumeIds as string[]).map(volume => byId.get(volume)),
      snapshots,
    );
    assert.equal(state.source, `cinder:${snapshots[0]}`);
  });

  it("leaves nothing of a server that goes to ERROR, and says why in Nova's words", async () => {
    const id = await booting();
    await backup(id);
    cloud.nextServerFails("No valid host was found.");
    await assert.rejects(
      restore({ backupOwner: "shop/prod/web" }),
      /it went to 'ERROR': No valid host was found\.; undone: server [^;]*, volume [^;]*, volume/,
    );
    assert.equal(cloud.servers().length, 2);
    assert.equal(cloud.volumes().length, 2);
  });

  it("goes on with the server of a run that was killed over it, and makes no second one", async () => {
    const { imageId } = await backup();
    const lost = { method: "POST", path: /\/compute\/v2\.1\/servers$/, drop: "after" as const, times: 1 };
    // where the answer is lost, the server is looked for
    cloud.faults.add(lost);
    const { restoredServerId } = await restore({ imageId, name: "found" });
    assert.deepEqual(
      cloud
        .servers()
        .map(({ id }) => id)
        .sort(),
      [serverId, String(restoredServerId)].sort(),
    );
    cloud.removeServer(String(restoredServerId));
    // where nobody answers any more, the next run finds it
    cloud.faults.add(lost);
    const world = new World({}, line => lines.push(line), cloud.environment);
    await inventoryOf(world.session({})).restoredServers("anybody");
    const away = new Driver(world);
    const { inputs } = await away.check("ServerRestore", undefined, { owner: "shop/prod/back", imageId });
    cloud.faults.add({ method: "GET", path: /\/servers\/detail/, status: 503, times: 20 });
    await assert.rejects(away.create("ServerRestore", inputs));
    cloud.faults.clear();
    const begun = cloud.servers().length;
    const state = await restore({ imageId });
    assert.deepEqual([cloud.servers().length, begun], [2, 2]);
    assert.match(lines.join("\n"), new RegExp(`adopting server ${state.restoredServerId}`));
  });

  it("moves the floating IP to the new server", async () => {
    const { imageId } = await backup();
    const address = cloud.addFloatingIp("203.0.113.7");
    const state = await restore({ imageId, floatingIp: "203.0.113.7" });
    assert.equal(address.port_id, state.restoredServerId);
  });

  it("rebuilds a server where overwriting is allowed, once, and never removes it", async () => {
    const { imageId } = await backup();
    const state = await restore({ imageId, serverId, overwrite: true, deletionPolicy: "delete" });
    assert.equal(cloud.servers()[0]?.imageId, imageId);
    const rebuilds = () =>
      cloud.requests.filter(({ method, path }) => method === "POST" && path.endsWith("/action")).length;
    const before = rebuilds();
    await restore({ imageId, serverId, overwrite: true });
    assert.equal(rebuilds(), before, "the state was lost, not the rebuilt disk");
    await gone(state);
    assert.equal(cloud.servers().length, 1);
    await restore({ imageId, serverId, overwrite: true });
    assert.equal(rebuilds(), before + 1, "another restore rebuilds anew");
  });

  it("says that a rebuild failed, and does it again in the next run", async () => {
    const { imageId } = await backup();
    cloud.nextServerFails("no space left");
    const given = { imageId, serverId, overwrite: true };
    await assert.rejects(restore(given), /rebuilding server .*: it went to 'ERROR': no space left/);
    await restore(given);
    assert.deepEqual([cloud.servers()[0]?.status, cloud.servers()[0]?.imageId], ["ACTIVE", imageId]);
  });

  it("refuses what cannot work before it makes anything", async () => {
    const { imageId } = await backup();
    const volumeBacked = await made("ServerBackup", {
      owner: "shop/prod/db",
      serverId: await booting(),
      schedule: "0 * * * *",
    });
    const before = cloud.requests.length;
    const refused: [Properties, RegExp][] = [
      [{}, /^imageId: one of imageId, snapshotIds and backupOwner is required$/],
      [{ imageId: "nothing" }, /^imageId: image nothing does not exist$/],
      [{ snapshotIds: ["nothing"] }, /^snapshotIds: snapshot nothing does not exist$/],
      [{ backupOwner: "shop/prod/nobody" }, /^backupOwner: shop\/prod\/nobody has no good point of a server/],
      [{ imageId, backupOwner: "shop/prod/web" }, /^backupOwner: give ids or backupOwner, not both$/],
      [{ imageId, flavor: "huge" }, /^flavor: there is no flavor 'huge'; there are small, tiny$/],
      [
        { imageId, networks: [{ networkId: "gone" }] },
        /^networks\.0\.networkId: network gone does not exist/,
      ],
      [{ imageId, networks: [{}] }, /^networks\[0\]: give networkId or portId/],
      [{ imageId, floatingIp: "203.0.113.9" }, /^floatingIp: the project has no floating IP 203\.0\.113\.9$/],
      [{ imageId, serverId }, /^overwrite: must be true: all that is on the disk/],
      [{ imageId, overwrite: true }, /^overwrite: is for serverId/],
      [{ imageId, serverId, overwrite: true, flavor: "tiny" }, /^flavor: is for a new server/],
      [{ imageId, serverId: "gone", overwrite: true }, /^serverId: server gone does not exist/],
      [
        { imageId: volumeBacked.imageId, serverId, overwrite: true },
        /^imageId: the point is snapshots of volumes, from which no server is rebuilt/,
      ],
    ];
    for (const [given, words] of refused) {
      const [first, ...more] = await refusalsOf(given);
      assert.match(first ?? "", words);
      assert.deepEqual(more, []);
    }
    const asked = cloud.requests
      .slice(before)
      .filter(({ method, path }) => method !== "GET" && !path.includes("/auth/"));
    assert.deepEqual(asked, []);
    const image = cloud.images().find(({ id }) => id === imageId);
    assert.ok(image);
    image.size = 3 * 2 ** 30;
    assert.match(
      String(await refusalsOf({ imageId, flavor: "tiny" })),
      /'tiny' has a disk of 1 GiB, the image needs 3/,
    );
    await assert.rejects(restore({ imageId, flavor: "small", keyName: "gone" }), /Invalid key_name provided/);
    assert.equal(cloud.servers().length, 2);
  });
});
