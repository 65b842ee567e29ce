import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { dynamicProvider, ProviderRun } from "../../../provider/hosts/dynamic";

const providerText = "exports.handler=()=>42";

describe("dynamicProvider", () => {
  let cloud: Devcloud;
  let volumeId: string;
  const environment = { ...process.env };
  const provider = dynamicProvider("CinderSnapshot", new ProviderRun());

  before(async () => {
    cloud = await startDevcloud();
    volumeId = (await cloud.addVolume({ name: "pg", sizeBytes: 1 << 20 })).id;
    Object.assign(process.env, cloud.environment);
  });
  after(async () => {
    for (const key of Object.keys(process.env)) if (!(key in environment)) delete process.env[key];
    Object.assign(process.env, environment);
    await cloud.stop();
  });

  async function checked(
    now: string,
    olds: Record<string, unknown> = {},
    more: Record<string, unknown> = {},
  ) {
    process.env.OSBACKUP_NOW = now;
    const given = {
      owner: "shop/prod/pg",
      volumeId,
      schedule: "0 * * * *",
      retention: { keepLast: 1 },
      timeoutSeconds: 2,
      __provider: providerText,
      ...more,
    };
    const { inputs, failures } = await provider.check(olds, given);
    assert.deepEqual(failures, []);
    return { ...inputs, __provider: providerText } as Record<string, unknown>;
  }

  /** The provider of another run. */
  const nextRun = () => dynamicProvider("CinderSnapshot", new ProviderRun());

  /** What the provider prints meanwhile. */
  async function printed(act: () => Promise<unknown>): Promise<string[]> {
    const { log } = console;
    const lines: string[] = [];
    console.log = line => lines.push(line);
    await act().finally(() => {
      console.log = log;
    });
    return lines;
  }

  it("stores a partial failure with its id and all inputs, and the next update finishes it", async () => {
    const first = await checked("2026-11-22T10:05:00Z");
    const created = await provider.create(first);
    const old = created.outs.snapshotId as string;
    const state = { ...created.outs, __provider: providerText };
    const second = await checked("2026-11-22T11:05:00Z", first);
    assert.deepEqual(await provider.diff(created.id, state, second), { changes: true, replaces: [] });

    cloud.faults.busyDelete(old, 100);
    const failure = await provider.update(created.id, state, second).then(
      () => assert.fail("the update should have failed"),
      (error: Error & { id: string; properties: Record<string, unknown>; reasons: string[] }) => error,
    );
    assert.equal(failure.id, "shop/prod/pg");
    assert.equal(failure.reasons.length, 1);
    assert.match(
      failure.reasons[0] ?? "",
      new RegExp(`1 old point could not be removed: removing snapshot ${old}: not gone after 2 s`),
    );
    assert.equal(
      failure.properties.__provider,
      providerText,
      "without it the resource could never be deleted",
    );
    for (const key of Object.keys(second)) assert.deepEqual(failure.properties[key], second[key], key);
    assert.equal(cloud.snapshots().length, 2);

    cloud.faults.clear();
    const repaired = await provider.update(created.id, failure.properties, second);
    assert.equal(cloud.snapshots().length, 1);
    assert.equal((repaired.outs.points as unknown[]).length, 1);
    assert.equal((repaired.outs.removed as { snapshotId: string }[])[0]?.snapshotId, old);
    assert.equal("__provider" in repaired.outs, false, "the host adds it itself");
  }).timeout(30_000);

  it("reads a set back, and forgets it once nothing is left", async () => {
    const inputs = await checked("2026-11-22T12:05:00Z");
    const created = await provider.create(inputs);
    const state = { ...created.outs, __provider: providerText };
    assert.equal((await provider.read(created.id, state)).id, created.id);
    const next = nextRun();
    await next.delete(created.id, state);
    assert.deepEqual(await next.read(created.id, state), {});
    assert.equal(cloud.snapshots().length, 0);
  });

  it("removes nothing when a resource is replaced by itself, and the old points when it moves to another volume", async () => {
    const owner = "shop/prod/replaced";
    const inputs = await checked("2026-11-22T13:05:00Z", {}, { owner });
    const first = await provider.create(inputs);
    const again = await provider.create(inputs);
    assert.equal(again.outs.snapshotId, first.outs.snapshotId);
    await provider.delete(first.id, first.outs);
    assert.equal(cloud.snapshots().filter(({ volume_id }) => volume_id === volumeId).length, 1);

    const other = (await cloud.addVolume({ name: "moved", sizeBytes: 1 << 20 })).id;
    const moved = await checked("2026-11-22T13:05:00Z", first.outs, { owner, volumeId: other });
    const lines = await printed(() => provider.diff(again.id, again.outs, moved));
    assert.deepEqual(lines, [
      `[replaced] will remove 1 recovery point of volume ${volumeId}: ${String(first.outs.snapshotId).slice(0, 8)} of 2026-11-22T13:00:00Z`,
    ]);
    // of the replacement the engine asks without the old inputs
    const anew = () => checked("2026-11-22T13:05:00Z", {}, { owner, volumeId: other });
    assert.deepEqual(await printed(anew), [
      "[replaced] will take the recovery point of 2026-11-22T13:00:00Z; keeps 1",
    ]);
    await provider.create(moved);
    await provider.delete(again.id, again.outs);
    assert.deepEqual(
      cloud.snapshots().map(({ volume_id }) => volume_id),
      [other],
    );
  });

  it("names a type that it does not have", () => {
    assert.throws(() => dynamicProvider("Nothing"), /has no resource type 'Nothing'/);
  });
});
