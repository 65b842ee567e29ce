import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { toMetadata } from "../../../provider/base/marks";
import { World } from "../../../provider/driver/world";
import { volumes } from "../../../provider/openstack";

describe("the sweep before a run", () => {
  let cloud: Devcloud;
  let world: World;
  let lines: string[];

  beforeEach(async () => {
    cloud = await startDevcloud();
    lines = [];
    world = new World({}, line => lines.push(line), cloud.environment);
  });
  afterEach(async () => {
    assert.deepEqual(cloud.faults.unmet(), []);
    await cloud.stop();
  });

  const metadata = toMetadata({
    owner: "shop/prod/pg-volume",
    set: "pg",
    role: "temporary",
    expiresAt: "2020-01-01T00:00:00Z",
  });

  async function swept(): Promise<number> {
    const begun = Date.now();
    await world.swept("shop/prod/pg", {});
    return Date.now() - begun;
  }

  const deletesOf = (id: string) =>
    cloud.requests.filter(({ method, path }) => method === "DELETE" && path.endsWith(id)).length;

  it("removes what a dead run of this stack left and whose time is over, and nothing else", async () => {
    const mark = {
      owner: "shop/prod/pg-volume",
      set: "pg",
      role: "temporary" as const,
      expiresAt: "2020-01-01T00:00:00Z",
    };
    const add = async (name: string, given: object) =>
      (await cloud.addVolume({ name, metadata: { ...toMetadata({ ...mark, ...given }) } })).id;
    const expired = [
      await add("temporary-pg", {}),
      await add("other set", { owner: "shop/prod/other-volume" }),
    ];
    const spared = [
      await add("young", { expiresAt: "2999-01-01T00:00:00Z" }),
      await add("another stack", { owner: "shop/production/pg-volume" }),
      await add("another project", { owner: "shop2/prod/pg-volume" }),
      await add("restored", { role: "restored" }),
      (await cloud.addVolume({ name: "temporary-pg", metadata: { "osbackup-role": "temporary" } })).id,
      (
        await cloud.addVolume({
          name: "temporary-pg",
          metadata: { ...metadata, "managed-by": "pulumi-openstack-backup-fork" },
        })
      ).id,
      (
        await cloud.addVolume({
          name: "temporary-pg",
          description: "temporary volume of backup set pg",
        } as never)
      ).id,
    ];
    await swept();
    assert.deepEqual(
      cloud
        .volumes()
        .map(({ id }) => id)
        .sort(),
      spared.sort(),
    );
    for (const id of expired) assert.match(lines.join("\n"), new RegExp(`swept temporary volume ${id}`));
    assert.equal(lines.length, expired.length);
    // once per run
    const requests = cloud.requests.length;
    await swept();
    assert.equal(cloud.requests.length, requests);
  });

  it("tries a volume stuck in 'creating' once, names the remedy, and removes the others", async () => {
    cloud.faults.stuck("creating volume", 1);
    const stuck = await volumes.create(world.session({}), { sizeGib: 1, name: "stuck", metadata });
    const { id: last } = await cloud.addVolume({ name: "last", metadata });
    const took = await swept();
    assert.ok(took < 5_000, `took ${took} ms`);
    assert.deepEqual(
      cloud.volumes().map(({ id }) => id),
      [stuck.id],
    );
    assert.equal(deletesOf(stuck.id), 1);
    const said = lines.join("\n");
    assert.match(said, new RegExp(`warning: temporary volume ${stuck.id} .*set --state error ${stuck.id}`));
    assert.match(said, new RegExp(`swept temporary volume ${last}`));
  });

  it("tries one in any status that forbids a removal once", async () => {
    const session = world.session({});
    cloud.faults.nextVolumeStatus("maintenance");
    const { id } = await volumes.create(session, { sizeGib: 1, name: "stuck", metadata });
    while ((await volumes.get(session, id)).status === "creating")
      await new Promise(resolve => setTimeout(resolve, 20));
    await swept();
    assert.equal(deletesOf(id), 1);
    assert.match(lines.join("\n"), new RegExp(`is still 'maintenance': .*set --state error ${id}`));
  });

  it("removes the others where the first one's removal fails", async () => {
    const { id: first } = await cloud.addVolume({ name: "first", metadata });
    const { id: last } = await cloud.addVolume({ name: "last", metadata });
    cloud.faults.add({ method: "DELETE", path: new RegExp(`/volumes/${first}`), status: 403 });
    await swept();
    assert.deepEqual(
      cloud.volumes().map(({ id }) => id),
      [first],
    );
    assert.match(lines.join("\n"), new RegExp(`warning: temporary volume ${first} .*HTTP 403`));
    assert.match(lines.join("\n"), new RegExp(`swept temporary volume ${last}`));
  });

  it("delays a run by 10 s at most, although many removals hang", async () => {
    for (let count = 0; count < 30; count++) await cloud.addVolume({ name: `left-${count}`, metadata });
    cloud.faults.stuck("deleting volume");
    const took = await swept();
    assert.ok(took < 11_500, `took ${took} ms`);
    assert.equal(lines.filter(line => line.startsWith("warning: ")).length, 30);
  }).timeout(60_000);
});
