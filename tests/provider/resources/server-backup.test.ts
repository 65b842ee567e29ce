import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { Driver, type Properties } from "../../../provider/driver/driver";
import { World } from "../../../provider/driver/world";

describe("ServerBackup", function () {
  this.timeout(60_000);
  let cloud: Devcloud;
  let lines: string[];

  beforeEach(async () => {
    cloud = await startDevcloud({ statusDelayMs: 20 });
    lines = [];
  });
  afterEach(() => cloud.stop());

  const at = (now: string) =>
    new Driver(
      new World({}, line => lines.push(line), {
        ...cloud.environment,
        OSBACKUP_NOW: `2026-11-27T${now}:00Z`,
      }),
    );
  const inputsOf = (serverId: string): Properties => ({
    owner: "shop/prod/web-daily",
    serverId,
    schedule: "0 * * * *",
    retention: { keepLast: 2 },
    backupType: "daily",
    timeoutSeconds: 10,
  });

  /** What a run makes of the set. */
  async function up(now: string, given: Properties, state?: Properties): Promise<Properties> {
    const driver = at(now);
    const { inputs, refusals } = await driver.check("ServerBackup", state, given);
    assert.deepEqual(refusals, []);
    if (state)
      return { ...inputs, ...(await driver.update("ServerBackup", String(state.owner), state, inputs)) };
    return { ...inputs, ...(await driver.create("ServerBackup", inputs)).outputs };
  }
  const slots = () =>
    cloud
      .images()
      .map(({ status, properties }) => `${properties["osbackup-slot"] ?? "foreign"} ${status}`)
      .sort();

  it("keeps the newest images of its own server and type, and removes the oldest once a newer one is active", async () => {
    const { id } = cloud.addServer({ name: "web" });
    let state = await up("10:10", inputsOf(id));
    const [first] = cloud.images();
    assert.deepEqual(
      [first?.properties.backup_type, first?.properties.instance_uuid, first?.status],
      ["daily", id, "active"],
    );
    assert.match(first?.name ?? "", /^backup-web-daily-20261127T100000Z-[0-9a-f]{8}$/);
    state = await up("11:10", inputsOf(id), state);
    state = await up("12:10", inputsOf(id), state);
    assert.deepEqual(slots(), ["2026-11-27T11:00:00Z active", "2026-11-27T12:00:00Z active"]);
    assert.match(
      lines.at(-1) ?? "",
      /took image .* of server .*; keeps 2, removed 1: .* of 2026-11-27T10:00:00Z/,
    );
    assert.equal((state.points as object[]).length, 2);
  });

  it("counts an image that Nova gave up for nothing, and takes the slot's image again", async () => {
    const { id } = cloud.addServer({ name: "web" });
    const state = await up("10:10", inputsOf(id));
    for (let hour = 11; hour <= 13; hour++) {
      cloud.nextImageStatus("queued");
      await assert.rejects(
        up(`${hour}:10`, { ...inputsOf(id), retention: { keepLast: 1 } }, state),
        /it is still 'queued', and Nova does nothing with the server any more; undone: image /,
      );
    }
    assert.deepEqual(slots(), ["2026-11-27T10:00:00Z active"], "the good one stays, nothing else");
    cloud.nextImageStatus("killed");
    await assert.rejects(up("14:10", inputsOf(id), state), /it went to 'killed'/);
    await up("14:20", inputsOf(id), state);
    assert.deepEqual(slots(), ["2026-11-27T10:00:00Z active", "2026-11-27T14:00:00Z active"]);
  }).timeout(120_000);

  it("waits for a server that is busy, or fails where it is told to", async () => {
    const { id } = cloud.addServer({ name: "web" });
    cloud.setTaskState(id, "image_uploading");
    await assert.rejects(
      up("10:10", { ...inputsOf(id), whileBusy: "fail" }),
      /Cannot 'createImage' instance .* while it is in task_state image_uploading/,
    );
    setTimeout(() => cloud.setTaskState(id, null), 1500);
    await up("10:10", inputsOf(id));
    assert.equal(cloud.images().length, 1);
  });

  it("makes one point of a server that boots from a volume, and leaves nothing where a volume is refused", async () => {
    const { id } = cloud.addServer({ name: "db", bootsFromVolume: true });
    for (const _ of ["root", "data"]) await cloud.addVolume({ sizeGib: 1, sizeBytes: 4096, attachedTo: id });
    cloud.setQuota("demo", { snapshots: 1 });
    await assert.rejects(
      up("10:10", inputsOf(id)),
      /Quota exceeded.*undone: the snapshots of the server's other volumes/,
    );
    assert.deepEqual([cloud.images().length, cloud.snapshots().length], [0, 0]);
    cloud.setQuota("demo", { snapshots: -1 });
    let state = await up("10:20", inputsOf(id));
    assert.equal((state.snapshotIds as string[]).length, 2);
    for (const hour of [11, 12, 13]) state = await up(`${hour}:10`, inputsOf(id), state);
    assert.deepEqual([cloud.images().length, cloud.snapshots().length], [2, 4]);
    await at("13:20").delete("ServerBackup", "shop/prod/web-daily", { ...state, deletionPolicy: "delete" });
    assert.deepEqual([cloud.images().length, cloud.snapshots().length], [0, 0]);
  });

  it("lists images and snapshots once a run, however many sets boot from volumes", async () => {
    const sets: Properties[] = [];
    for (let index = 0; index < 30; index++) {
      const { id } = cloud.addServer({ name: `db-${index}`, bootsFromVolume: true });
      await cloud.addVolume({ sizeGib: 1, sizeBytes: 4096, attachedTo: id });
      sets.push({ ...inputsOf(id), owner: `shop/prod/db-${index}`, retention: { keepLast: 1 } });
    }
    const first = at("10:10");
    const states = await Promise.all(
      sets.map(async given => {
        const { inputs } = await first.check("ServerBackup", undefined, given);
        return { ...inputs, ...(await first.create("ServerBackup", inputs)).outputs } as Properties;
      }),
    );
    cloud.requests.length = 0;
    const second = at("11:10");
    await Promise.all(
      states.map(async (state, index) => {
        const { inputs } = await second.check("ServerBackup", state, sets[index] ?? {});
        assert.deepEqual((await second.diff("ServerBackup", state, inputs)).drift, []);
        await second.update("ServerBackup", String(state.owner), state, inputs);
      }),
    );
    assert.deepEqual([cloud.images().length, cloud.snapshots().length], [30, 30]);
    const listings = cloud.requests.filter(
      ({ method, path }) => method === "GET" && /\/images\?|\/snapshots\/detail\?limit=1000$/.test(path),
    );
    // the images, the project's snapshots, and those by which many removals are proven
    assert.ok(listings.length <= 8, listings.map(({ path }) => path).join("\n"));
  });

  it("says of an image that was removed by hand that it has vanished, and takes it again", async () => {
    const { id } = cloud.addServer({ name: "web" });
    const state = await up("10:10", inputsOf(id));
    cloud.removeImage(String(state.imageId));
    const driver = at("10:20");
    const { inputs } = await driver.check("ServerBackup", state, inputsOf(id));
    assert.match((await driver.diff("ServerBackup", state, inputs)).drift.join(), /image .* has vanished/);
    await up("10:20", inputsOf(id), state);
    assert.deepEqual(slots(), ["2026-11-27T10:00:00Z active"]);
  });

  it("says in the preview that it will fail where its server is gone", async () => {
    const { id } = cloud.addServer({ name: "web" });
    const state = await up("10:10", inputsOf(id));
    cloud.removeServer(id);
    const driver = at("11:10");
    const { inputs, refusals } = await driver.check("ServerBackup", state, inputsOf(id));
    assert.deepEqual(refusals, [], "a failed check would stop the whole run");
    const plan = String(await driver.plan("ServerBackup", state, inputs));
    assert.match(plan, /will take the image of .*, and will fail: server .* does not exist in project/);
  });

  it("keeps its images when it is renamed, and those of others alone", async () => {
    const { id } = cloud.addServer({ name: "web" });
    const state = await up("10:10", inputsOf(id));
    const other = await up("10:10", { ...inputsOf(id), owner: "shop/staging/web-daily" });
    const renamed = await up("10:20", { ...inputsOf(id), owner: "shop/prod/www-daily" }, state);
    assert.equal(renamed.imageId, state.imageId);
    await at("10:30").delete("ServerBackup", "shop/prod/www-daily", { ...renamed, deletionPolicy: "delete" });
    assert.deepEqual(
      cloud.images().map(({ id }) => id),
      [other.imageId],
    );
  });

  it("takes images of the nova backup script into its rotation where it is told to, and else says that they are there", async () => {
    const { id } = cloud.addServer({ name: "web" });
    const byScript = (created_at: string, backup_type: string, instance_uuid = id) =>
      Object.assign(
        cloud.addImage({
          name: `backup-snapshot-${created_at.slice(0, 10)}-${backup_type}-web-${instance_uuid}`,
          properties: { backup_type, instance_uuid, image_type: "backup" },
        }),
        { created_at },
      );
    const [old, newer] = [
      byScript("2026-11-25T01:01:00Z", "daily"),
      byScript("2026-11-26T01:01:00Z", "daily"),
    ];
    const others = [
      byScript("2026-11-01T01:01:00Z", "weekly"),
      byScript("2026-11-01T01:01:00Z", "daily", "another"),
    ];
    const ids = () => cloud.images().map(image => image.id);
    await up("10:10", inputsOf(id));
    assert.match(lines.join("\n"), /createBackup made 2 images of server .* adoptImages: true takes them/);
    assert.equal(ids().length, 5);

    const adopting = { ...inputsOf(id), owner: "shop/prod/web-adopting", adoptImages: true };
    const driver = at("11:10");
    const { inputs } = await driver.check("ServerBackup", undefined, adopting);
    const plan = (await driver.plan("ServerBackup", undefined, inputs)).join("\n");
    assert.match(plan, new RegExp(`removes 1: ${old.id.slice(0, 8)} of 2026-11-25T01:01:00Z`));
    const state = await up("11:10", adopting);
    assert.ok(!ids().includes(old.id));
    assert.deepEqual(
      (state.points as { imageId: string }[]).map(({ imageId }) => imageId),
      [state.imageId, newer.id],
    );
    assert.deepEqual(
      others.filter(({ id }) => !ids().includes(id)),
      [],
    );
    assert.equal(newer.properties["osbackup-owner"], "shop/prod/web-adopting");
  });

  it("says whether the guest's file systems were at rest, and fails where that is required and not known", async () => {
    const { id } = cloud.addServer({ name: "web" });
    const server = cloud.servers().find(row => row.id === id);
    assert.ok(server);
    const consistency = async (quiesce: string) => {
      const given = { ...inputsOf(id), owner: `shop/prod/${cloud.images().length}`, quiesce };
      const state = await up("10:10", given);
      const image = cloud.images().find(row => row.id === state.imageId);
      assert.equal(image?.properties["osbackup-consistency"], state.consistency);
      return state.consistency;
    };
    const required = async () => {
      const given = { ...inputsOf(id), owner: "shop/prod/required", quiesce: "require" };
      const { refusals } = await at("10:10").check("ServerBackup", undefined, given);
      return refusals.map(({ property, reason }) => `${property}: ${reason}`).join();
    };
    assert.equal(await consistency("try"), "crash");
    assert.match(
      await required(),
      /^quiesce: quiesce is 'require', and the image of server web lacks hw_qemu_guest_agent=yes and os_require_quiesce=yes/,
    );
    const properties: Record<string, string> = { hw_qemu_guest_agent: "yes" };
    const image = cloud.addImage({ name: "debian", properties });
    server.imageId = image.id;
    assert.equal(await consistency("try"), "crash", "that a freeze failed is told to nobody");
    assert.match(await required(), /lacks os_require_quiesce=yes:/);
    image.properties.os_require_quiesce = "true";
    assert.equal(await consistency("require"), "filesystem");
    assert.equal(await consistency("off"), "crash");
    server.imageId = "gone";
    server.status = "SHUTOFF";
    assert.equal(await consistency("require"), "filesystem");

    server.status = "ACTIVE";
    const given = { ...inputsOf(id), owner: "shop/prod/later", retention: { keepLast: 1 } };
    const state = await up("10:10", given);
    await assert.rejects(up("11:10", { ...given, quiesce: "require" }, state), /quiesce is 'require'/);
    assert.ok(
      cloud.images().some(row => row.id === state.imageId),
      "the older image stays",
    );
  });

  it("takes the slot's image of another server that it is given, and touches none of the first one's", async () => {
    const [web, db] = [cloud.addServer({ name: "web" }), cloud.addServer({ name: "db" })];
    const first = await up("10:10", { ...inputsOf(web.id), deletionPolicy: "delete" });
    // the engine makes the replacement first, then deletes what it replaces
    const driver = at("10:20");
    const { inputs } = await driver.check("ServerBackup", first, {
      ...inputsOf(db.id),
      deletionPolicy: "delete",
    });
    assert.match(
      String(await driver.plan("ServerBackup", undefined, inputs)),
      /^will take the image of .* of server/,
    );
    const { outputs } = await driver.create("ServerBackup", inputs);
    assert.notEqual(outputs.imageId, first.imageId);
    await driver.delete("ServerBackup", String(first.owner), first);
    assert.deepEqual(
      cloud.images().map(({ properties }) => properties.instance_uuid),
      [db.id],
    );
  });

  it("refuses a server that is not there", async () => {
    cloud.addServer({ name: "web" });
    const { refusals } = await at("10:10").check(
      "ServerBackup",
      undefined,
      inputsOf("00000000-0000-4000-8000-00000000dead"),
    );
    assert.match(refusals.map(({ reason }) => reason).join(), /does not exist in project/);
  });
});
