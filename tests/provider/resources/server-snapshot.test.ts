import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { Driver, type Properties } from "../../../provider/driver/driver";
import { World } from "../../../provider/driver/world";

describe("ServerSnapshot", function () {
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
  const calls = () => cloud.requests.filter(({ path }) => !path.startsWith("/identity")).length;

  async function servers(count: number): Promise<string[]> {
    const ids: string[] = [];
    for (let index = 0; index < count; index++) {
      const { id } = cloud.addServer({ name: `server-${index}` });
      ids.push(id);
      for (const _ of ["root", "data"])
        await cloud.addVolume({ sizeGib: 1, sizeBytes: 4096, attachedTo: id });
    }
    return ids;
  }

  const inputsOf = (serverId: string): Properties => ({
    owner: `shop/prod/${serverId}`,
    serverId,
    schedule: "0 * * * *",
    retention: { keepLast: 1 },
  });

  /** One run of many sets, as many at a time as the engine has. */
  async function up(
    driver: Driver,
    sets: readonly { inputs: Properties; state?: Properties }[],
  ): Promise<Properties[]> {
    const states: Properties[] = [];
    const queue = sets.entries();
    const lane = async () => {
      for (const [index, { inputs: given, state }] of queue) {
        const { inputs, refusals } = await driver.check("ServerSnapshot", state, given);
        assert.deepEqual(refusals, []);
        if (!state) {
          states[index] = { ...inputs, ...(await driver.create("ServerSnapshot", inputs)).outputs };
          continue;
        }
        const { changed, drift } = await driver.diff("ServerSnapshot", state, inputs);
        states[index] =
          changed.length + drift.length === 0
            ? state
            : { ...inputs, ...(await driver.update("ServerSnapshot", String(inputs.owner), state, inputs)) };
      }
    };
    await Promise.all(Array.from({ length: 16 }, lane));
    return states;
  }

  it("costs at most 2.5 calls a volume where 100 servers are due, and two listings where none of them is", async () => {
    const given = (await servers(100)).map(id => ({ inputs: inputsOf(id) }));
    const first = await up(at("10:10"), given);
    const sets = first.map((state, index) => ({ inputs: given[index]?.inputs as Properties, state }));

    cloud.requests.length = 0;
    const second = await up(at("10:20"), sets);
    assert.deepEqual(second, first);
    assert.ok(calls() <= 2, `${calls()} calls with nothing due`);

    cloud.requests.length = 0;
    const third = await up(at("11:10"), sets);
    assert.equal(third.filter(({ slot }) => slot === "2026-11-27T11:00:00Z").length, 100);
    assert.equal(cloud.snapshots().length, 200);
    // a snapshot is made and an older one removed, and both are waited for
    assert.ok(calls() <= 2.5 * 200, `${calls()} calls for 200 volumes`);
  });

  it("refuses a server that is not there, or has no volumes", async () => {
    const { id: bare } = cloud.addServer({ name: "bare" });
    for (const [serverId, words] of [
      [
        "00000000-0000-4000-8000-00000000dead",
        /does not exist in project .*, look it up with `openstack server list`/,
      ],
      [bare, /has no volumes, so there is nothing to take/],
    ] as const) {
      const { refusals } = await at("10:10").check("ServerSnapshot", undefined, inputsOf(serverId));
      assert.deepEqual(
        refusals.map(({ property }) => property),
        ["serverId"],
      );
      assert.match(refusals[0]?.reason ?? "", words);
    }
  });

  it("keeps the points of a server that is gone, and says that there is nothing to take", async () => {
    const [id = ""] = await servers(1);
    const [state = {}] = await up(at("10:10"), [{ inputs: inputsOf(id) }]);
    cloud.removeServer(id);
    await assert.rejects(up(at("11:10"), [{ inputs: inputsOf(id), state }]), /has no volumes/);
    assert.equal(cloud.snapshots().length, 2);
  });

  it("keeps what other servers' points are when ten runs in a row fail on one volume", async () => {
    const [id = ""] = await servers(1);
    const [state = {}] = await up(at("10:10"), [{ inputs: inputsOf(id) }]);
    const good = cloud.snapshots().map(({ id }) => id);
    for (let hour = 11; hour <= 20; hour++) {
      cloud.faults.nextSnapshotStatus("error");
      await assert.rejects(up(at(`${hour}:10`), [{ inputs: inputsOf(id), state }]), /'error'/);
    }
    assert.deepEqual(
      cloud.snapshots().map(({ id }) => id),
      good,
    );
    await up(at("21:10"), [{ inputs: inputsOf(id), state }]);
    assert.equal(
      cloud.snapshots().filter(({ metadata }) => metadata["osbackup-slot"] === "2026-11-27T21:00:00Z").length,
      2,
    );
  });

  it("takes the slot's point of another server that it is given, and touches none of the first one's", async () => {
    const [web = "", db = ""] = await servers(2);
    const owner = "shop/prod/set";
    const made = async (serverId: string) => {
      const driver = at("10:10");
      const { inputs } = await driver.check("ServerSnapshot", undefined, { ...inputsOf(serverId), owner });
      return { ...inputs, ...(await driver.create("ServerSnapshot", inputs)).outputs } as Properties;
    };
    const first = await made(web);
    await made(db);
    assert.equal(cloud.snapshots().length, 4);
    await at("10:20").delete("ServerSnapshot", owner, first);
    const ofServer = (id: string) =>
      cloud
        .attachments()
        .filter(({ instance }) => instance === id)
        .map(({ volume_id }) => volume_id);
    assert.deepEqual(
      cloud
        .snapshots()
        .map(({ volume_id }) => volume_id)
        .sort(),
      ofServer(db).sort(),
    );
  });
});
