import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { removeUntilGone } from "../../../provider/cinder/remove";
import { volumeKind } from "../../../provider/cinder/watch";
import { resolveCloud, volumes } from "../../../provider/openstack";
import { type Session, Sessions } from "../../../provider/openstack/session";
import {
  ensureTemporaryVolume,
  releaseTemporaryVolumes,
  type TemporaryVolumeSpec,
} from "../../../provider/operations/temporary-volume";

const owner = "shop/prod/pg-volume";

describe("a volume that stays in 'creating'", () => {
  let cloud: Devcloud;
  let lines: string[];

  beforeEach(async () => {
    cloud = await startDevcloud();
    lines = [];
  });
  afterEach(() => cloud.stop());

  /** A session of its own, as a new run has. */
  const newSession = (): Session =>
    new Sessions().open(resolveCloud({ directory: "/" }, { HOME: "/nonexistent", ...cloud.environment }));

  const context = () => ({ now: new Date(), log: (line: string) => lines.push(line) });

  async function specOf(timeoutSeconds: number): Promise<TemporaryVolumeSpec> {
    const source = await cloud.addVolume({ name: "pg" });
    const { id: snapshotId } = await cloud.addSnapshot({ volumeId: source.id });
    return { owner, set: "pg", snapshotId, timeoutSeconds, expiresAfterSeconds: 3600 };
  }

  const remedyOf = (id: string) =>
    new RegExp(`openstack volume set --state error ${id}.*openstack volume delete ${id}`);

  const temporary = () => cloud.volumes().filter(({ metadata }) => metadata["osbackup-role"] === "temporary");

  const deletesOf = (id: string) =>
    cloud.requests.filter(({ method, path }) => method === "DELETE" && path.endsWith(id)).length;

  it("is given up early by a removal, with the administrator's remedy", async () => {
    cloud.faults.stuck("creating volume");
    const session = newSession();
    const { id } = await volumes.create(session, { sizeGib: 1, name: "left", metadata: {} });
    const begun = Date.now();
    await assert.rejects(removeUntilGone(session, volumeKind, id, { timeoutSeconds: 60 }), remedyOf(id));
    assert.ok(Date.now() - begun < 12_000, `took ${Date.now() - begun} ms`);
  }).timeout(70_000);

  it("costs its maker one timeout, and is named with its status and the remedy", async () => {
    const spec = await specOf(2);
    cloud.faults.stuck("creating volume");
    const begun = Date.now();
    const error = await ensureTemporaryVolume(newSession(), spec, context()).then(
      () => assert.fail("it should have failed"),
      (failure: Error) => failure,
    );
    const took = Date.now() - begun;
    const [stuck] = temporary();
    assert.match(error.message, /is 'creating'/);
    assert.match(error.message, remedyOf(stuck?.id ?? ""));
    assert.equal(deletesOf(stuck?.id ?? ""), 1);
    assert.ok(took < 4_000, `took ${took} ms`);
  });

  it("is waited for once by the next run, which makes a new one in its place and succeeds", async () => {
    const spec = await specOf(2);
    cloud.faults.stuck("creating volume", 1);
    await assert.rejects(ensureTemporaryVolume(newSession(), spec, context()));
    const [stuck] = temporary();

    const session = newSession();
    const { volume, made } = await ensureTemporaryVolume(session, spec, context());
    assert.equal(made, true);
    assert.notEqual(volume.id, stuck?.id);
    assert.match(lines.join("\n"), remedyOf(stuck?.id ?? ""));
    await releaseTemporaryVolumes(session, spec, { volumeId: volume.id });
    assert.deepEqual(
      temporary().map(({ id }) => id),
      [stuck?.id],
    );

    const begun = Date.now();
    const again = await ensureTemporaryVolume(session, spec, context());
    assert.ok(again.made && Date.now() - begun < 1_500, `took ${Date.now() - begun} ms`);
  });

  it("fails a release that has nothing else to remove", async () => {
    const spec = await specOf(2);
    cloud.faults.stuck("creating volume", 1);
    const session = newSession();
    await assert.rejects(ensureTemporaryVolume(session, spec, context()));
    await assert.rejects(releaseTemporaryVolumes(session, spec), remedyOf(temporary()[0]?.id ?? ""));
  });
});
