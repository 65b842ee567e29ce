import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { snapshotKind, waitForRemoval, waitForStatus } from "../../../provider/cinder/watch";
import { resolveCloud, type Session, Sessions, snapshots } from "../../../provider/openstack";

describe("watch", () => {
  let devcloud: Devcloud;
  let session: Session;
  let volumeId: string;

  beforeEach(async () => {
    devcloud = await startDevcloud({ statusDelayMs: 300 });
    session = new Sessions().open(resolveCloud({}, devcloud.environment));
    volumeId = (await devcloud.addVolume({ sizeGib: 1, sizeBytes: 1 << 20 })).id;
  });

  afterEach(() => devcloud.stop());

  const options = { doing: "testing", timeoutSeconds: 30 };
  const begin = () =>
    snapshots.create(session, {
      volumeId,
      name: "point",
      metadata: { "managed-by": "pulumi-openstack-backup" },
    });
  const available = ({ id }: { id: string }) =>
    waitForStatus(session, snapshotKind, id, "available", options);
  const several = <T>(count: number, make: () => Promise<T>) =>
    Promise.all(Array.from({ length: count }, make));

  /** The GETs of snapshots since the last call of this, ids left out. */
  function asked(): string[] {
    const lines = devcloud.requests
      .splice(0)
      .filter(({ method }) => method === "GET")
      .map(({ path }) => path.replace(/^.*?(?=snapshots)/, "").replace(/[0-9a-f-]{36}/, "<id>"));
    return lines.filter(line => line.startsWith("snapshots"));
  }

  it("asks for the newest alone while many are made", async () => {
    const begun = await several(20, begin);
    asked();
    await Promise.all(begun.map(available));
    const lines = asked();
    assert.deepEqual([...new Set(lines)], ["snapshots/detail?limit=50"]);
    assert.ok(lines.length <= 5, `${lines.length} listings for one wait of 0.3 s`);
  });

  async function removed(count: number): Promise<string[]> {
    const made = await Promise.all((await several(count, begin)).map(available));
    await Promise.all(made.map(({ id }) => snapshots.remove(session, id)));
    asked();
    const ends = await Promise.all(made.map(({ id }) => waitForRemoval(session, snapshotKind, id, options)));
    assert.deepEqual(new Set(ends.map(({ gone }) => gone)), new Set([true]));
    return asked();
  }
  const leaving = /^snapshots\/detail\?limit=1000&status=deleting&metadata=/;

  it("asks for those on their way out, and once for each that has left", async () => {
    const lines = await removed(12);
    assert.equal(lines.filter(line => line === "snapshots/<id>").length, 12);
    const rest = lines.filter(line => line !== "snapshots/<id>");
    assert.ok(rest.length <= 5, `${rest.length} listings for one wait of 0.3 s`);
    for (const line of rest) assert.match(line, leaving);
  });

  it("lists all of the project once where many have left", async () => {
    const lines = await removed(40);
    const all = lines.filter(line => line === "snapshots/detail?limit=1000");
    assert.ok(all.length >= 1 && lines.length < 20, lines.join("\n"));
  });

  it("asks for each again where that listing fails", async () => {
    devcloud.faults.add({ method: "GET", path: /snapshots\/detail\?limit=1000$/, status: 404, times: 1 });
    const lines = await removed(40);
    assert.ok(lines.filter(line => line === "snapshots/<id>").length >= 20, lines.join("\n"));
  });

  it("tells one that is put back from those that are gone", async () => {
    const made = await Promise.all((await several(5, begin)).map(available));
    const busy = made[2]?.id ?? "";
    devcloud.faults.busyDelete(busy, 1);
    await Promise.all(made.map(({ id }) => snapshots.remove(session, id)));
    const ends = await Promise.all(made.map(({ id }) => waitForRemoval(session, snapshotKind, id, options)));
    const gone = { gone: true };
    assert.deepEqual(ends, [gone, gone, { gone: false, status: "available" }, gone, gone]);
  });

  it("ends the waits for others where one object cannot be looked at", async () => {
    const [lost, found] = await several(2, begin);
    assert.ok(lost && found);
    devcloud.faults.add({ path: new RegExp(`/snapshots/${lost.id}`), status: 500 });
    const failed = assert.rejects(
      waitForStatus(session, snapshotKind, lost.id, "available", { ...options, timeoutSeconds: 4 }),
      new RegExp(
        `what became of snapshot ${lost.id} is not known; .*reading snapshot ${lost.id}: .*HTTP 500`,
      ),
    );
    const soon = { ...options, timeoutSeconds: 2 };
    await waitForStatus(session, snapshotKind, found.id, "available", soon);
    await failed;
  });

  it("ends every wait for the same object", async () => {
    const begun = await begin();
    const [first, second] = await Promise.all([available(begun), available(begun)]);
    assert.equal(first.status, "available");
    assert.equal(second.status, "available");
  });

  it("asks less often the longer a wait lasts", async () => {
    devcloud.faults.stuck("creating snapshot");
    const begun = await begin();
    asked();
    await assert.rejects(
      waitForStatus(session, snapshotKind, begun.id, "available", { ...options, timeoutSeconds: 4 }),
      { name: "WaitError", timedOut: true },
    );
    const times = asked().length;
    assert.ok(times > 8 && times < 25, `asked ${times} times in 4 s`);
  });
});
