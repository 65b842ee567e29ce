import { strict as assert } from "node:assert";
import { afterCancel } from "../../provider/base/undo-list";
import { registry } from "../../provider/resources/registry";
import { openRepository } from "../../provider/restic";
import { skips } from "../needs";
import { type CloudObject, type CloudUnderTest, reaches } from "./clouds";
import type { PassedRequest } from "./fault-proxy";
import { repositoryPassword, rows } from "./rows";
import { type Held, type Properties, Scene, type StackRun } from "./stack-run";

/** How a call fails while a resource is made. */
type Failure = "answered 500" | "answer lost" | "killed";

/** What every resource type promises, whatever it is. */
export function describeLifecycles(
  getCloud: () => CloudUnderTest,
  { mover, attached, servers }: { mover: () => string | undefined; attached: boolean; servers: boolean },
): void {
  it("has a row for every type of the registry", () => {
    assert.deepEqual(Object.keys(rows).sort(), Object.keys(registry).sort());
  });

  const possible = Object.entries(rows).filter(
    ([, row]) => (attached || !row.attached) && (servers || !row.needsServers),
  );
  for (const [type, row] of possible) {
    describe(type, () => {
      let scene: Scene;
      let lastOfTheKilled = 0;
      const patience = afterCancel.seconds;

      beforeEach(async function () {
        const missing = row.moves ? mover() : undefined;
        if (missing) skips(this, missing);
        scene = await Scene.open(getCloud());
      });

      afterEach(async () => {
        await scene?.close();
      });

      async function created(): Promise<{ inputs: Properties; held: Held }> {
        const given = await row.inputs(scene);
        await scene.begin();
        const inputs = await scene.run().accepted(type, given);
        return { inputs, held: await scene.run().createAccepted(type, inputs) };
      }

      it("makes one when it is created twice", async () => {
        const { inputs, held } = await created();
        const first = await scene.made();
        assert.equal(first.length, row.objects);
        const again = await scene.run().createAccepted(type, inputs);
        assert.equal(again.id, held.id);
        assert.deepEqual(ids(await scene.made()), ids(first));
        assert.equal(await resticSnapshots(inputs), row.moves ? 1 : 0);
      });

      it("is changed in place and deleted twice, and is then gone", async () => {
        const { inputs, held } = await created();
        const changed = await scene.run().update(held, { ...inputs, ...row.changed });
        assert.deepEqual(await differences(scene.run(), changed, row.changed), { changed: [], drift: [] });
        await scene.run().delete(changed);
        assert.deepEqual(await scene.made(), []);
        await scene.run().delete(changed);
        const found = await scene.run().read(changed);
        assert.equal(found === undefined, row.staysReadable === undefined);
      });

      it("has nothing to do when nothing has changed", async () => {
        const { inputs, held } = await created();
        assert.deepEqual(await differences(scene.run(), held, inputs), { changed: [], drift: [] });
        const read = await scene.run().read(held);
        assert.equal(read?.id, held.id);
      });

      const failedReads = row.failedReads.map(({ how }) => how).join(", ");
      it(`takes nothing for gone when a read fails by ${failedReads}`, async () => {
        const { held } = await created();
        for (const { how, fail, error } of row.failedReads) {
          const read = scene.run().read(await fail(scene, held));
          if (error) await assert.rejects(read, error, how);
          else {
            assert.deepEqual(await read, held, how);
            // It holds whatever the cloud says, because the cloud is not asked.
            assert.equal(scene.cloud.faults.mend().length, 1, how);
          }
        }
      });

      it("refuses unknown properties and wrong types by their names", async () => {
        const given = await row.inputs(scene);
        const unknown = await scene.run().check(type, { ...given, xxxxxxxxxx: "red" });
        assert.deepEqual(unknown.refusals, [
          { property: "xxxxxxxxxx", reason: `${type} has no property 'xxxxxxxxxx'` },
        ]);
        const wrong = await scene.run().check(type, { ...given, ...row.wrong });
        assert.deepEqual(
          wrong.refusals.map(({ property }) => property),
          Object.keys(row.wrong),
        );
      });

      it("does nothing when it is cancelled before it begins", async () => {
        const inputs = await scene.run().accepted(type, await row.inputs(scene));
        await scene.begin();
        const run = scene.run();
        run.world.abort.abort(new Error("cancelled by the test"));
        await assert.rejects(run.createAccepted(type, inputs), /cancelled/);
        assert.deepEqual(await scene.made(), []);
      });

      if (row.objects > 0)
        it("takes nothing for gone when a removal is answered 500", async () => {
          const { held } = await created();
          const made = await scene.made();
          scene.cloud.faults.inject({
            harm: { status: 500 },
            match: row.removal ?? /^\w+ \/volume/,
            times: 100,
          });
          await assert.rejects(scene.run().delete(held), /HTTP 500, (cinder|nova)/);
          assert.deepEqual(scene.cloud.faults.mend(), []);
          assert.deepEqual(await scene.made(), made);
          await scene.run().delete(held);
          assert.deepEqual(await scene.made(), []);
        });

      it("deletes nothing that is not its own", async () => {
        const { held } = await created();
        const strangers = await strangersOf(scene, held);
        const foreign = await foreignRestic(held);
        await scene.run().delete(held);
        await foreign?.remain();
        const left = ids(await scene.made());
        assert.deepEqual(left, strangers.sort());
        for (const object of await scene.made()) await removeBehind(scene, object);
      });

      if (row.objects === 0 && !row.moves) return;
      it("stops soon when it is cancelled, and goes on in the next run", async () => {
        const inputs = await scene.run().accepted(type, await row.inputs(scene));
        await scene.begin();
        const run = scene.run();
        const cancel = { before: () => run.world.abort.abort(new Error("cancelled by the test")) };
        scene.cloud.faults.inject({ harm: cancel, match: row.firstLook ?? /^GET .*\/volumes\/[0-9a-f-]+$/ });
        const begun = Date.now();
        const outcome = await settled(run.createAccepted(type, inputs));
        assert.match(String(outcome), /cancelled/);
        assert.ok(Date.now() - begun < 20_000);
        await scene.cloud.faults.idle();
        assert.equal((await scene.made()).length, row.keptWhenCancelled ?? 0);
        await converges(inputs, scene.run());
      });

      let calls: string[] | undefined;
      for (const failure of ["answered 500", "answer lost", "killed"] as const) {
        it(`leaves nothing unowned and converges when a call is ${failure}`, async function () {
          this.timeout(300_000);
          const given = await row.inputs(scene);
          const inputs = await scene.run().accepted(type, given);
          await scene.begin();
          calls ??= await callsOf(inputs);
          for (const call of calls) {
            if (row.moves && !isWorthABackup(call, failure)) continue;
            await failsAndConverges(inputs, call, failure);
          }
        });
      }

      /** What is asked of the cloud when nothing fails. */
      async function callsOf(inputs: Properties): Promise<string[]> {
        const beginning = scene.cloud.faults.requests.length;
        const held = await scene.run().createAccepted(type, inputs);
        const kinds = kindsOf(scene.cloud.faults.requests.slice(beginning));
        await scene.run().delete(held);
        return kinds;
      }

      async function failsAndConverges(inputs: Properties, call: string, failure: Failure): Promise<void> {
        const { faults } = scene.cloud;
        const run = scene.run();
        const match = patternOf(call);
        if (failure === "answered 500") faults.inject({ harm: { status: 500 }, match });
        // More often than the client repeats what may be repeated.
        else if (failure === "answer lost") faults.inject({ harm: { lost: "answer" }, match, times: 3 });
        else faults.inject({ harm: { before: () => kill(run) }, match });
        const begun = Date.now();
        const outcome = await settled(run.createAccepted(type, inputs));
        const seconds = (Date.now() - begun) / 1000;
        if (failure === "killed") {
          const fromTheDead = faults.requests.slice(lastOfTheKilled).filter(({ status }) => status !== 0);
          assert.deepEqual(fromTheDead, [], call);
        }
        const unmet = faults.mend();
        // A real cloud may be asked once more or less for what it is waited for.
        if (scene.cloud.kind === "devcloud") assert.deepEqual(unmet, [], `${call} ${failure}`);
        afterCancel.seconds = patience;
        // The next process starts later than a request ends that a killed one had sent.
        await faults.idle();
        const left = await scene.made();
        const where = `${call} ${failure}: ${outcome instanceof Error ? outcome.message : "made"}`;
        assert.ok(seconds < 60, `${where}, after ${seconds} s`);
        // Nova marks no snapshots; theirs is a name with a digest of the set and its run
        for (const object of left)
          if (object.kind !== "attachment" && !/^snapshot for backup-image-.*-[0-9a-f]{8}$/.test(object.name))
            assert.match(object.metadata["osbackup-owner"] ?? "", new RegExp(`^${scene.stack}/`), where);
        if (outcome instanceof Error && failure === "answered 500") assert.deepEqual(left, [], where);
        await converges(inputs, scene.run(), where);
      }

      /** No request of it gets through any more, so that what it would undo stays; and it does not try for long. */
      function kill(run: StackRun): void {
        afterCancel.seconds = 0.5;
        run.world.abort.abort(new Error("killed by the test"));
        scene.cloud.faults.inject({ harm: { lost: "request" }, times: Number.POSITIVE_INFINITY });
        lastOfTheKilled = scene.cloud.faults.requests.length;
      }

      /** A next run makes exactly one, and deleting it leaves nothing. */
      async function converges(inputs: Properties, run: StackRun, where?: string): Promise<void> {
        scene.cloud.faults.clear();
        const held = await run.createAccepted(type, inputs);
        assert.equal((await scene.made()).length, row.objects, where);
        assert.equal(await resticSnapshots(inputs), row.moves ? 1 : 0, where);
        await scene.run().delete(held);
        assert.deepEqual(await scene.made(), [], where);
      }
    });
  }
}

const ids = (objects: CloudObject[]): string[] => objects.map(({ id }) => id).sort();

async function settled(work: Promise<Held>): Promise<Held | Error> {
  return work.catch((error: Error) => error);
}

/** What `diff` finds for the state's own inputs with some changed ones. */
async function differences(run: StackRun, held: Held, given: Properties) {
  const shape = registry[held.type]?.inputs.shape ?? {};
  const inputs = Object.fromEntries(Object.entries(held.state).filter(([key]) => key in shape));
  const { changed, drift } = await run.diff(held, { ...inputs, ...given });
  return { changed, drift };
}

/** restic snapshots of this resource in its repository. */
async function resticSnapshots(inputs: Properties): Promise<number> {
  const { repository, owner } = inputs as { repository?: { url: string }; owner: string };
  if (!repository) return 0;
  const opened = openRepository({ url: repository.url, password: repositoryPassword });
  return (await opened.snapshots({ tags: [`owner=${owner}`] })).length;
}

/** A backup takes seconds: only its attachment is tried, for its volume comes and goes as a TemporaryVolume does. */
function isWorthABackup(call: string, failure: Failure): boolean {
  return (
    failure === "killed" ? /^(POST .*\/attachments$|DELETE .*\/attachments\/)/ : /^POST .*\/attachments$/
  ).test(call);
}

/** The different calls in the order of their first use, ids left out. */
function kindsOf(requests: PassedRequest[]): string[] {
  const kinds = requests.map(({ method, path }) => {
    const plain = path.replace(/\?.*/, "").replace(/[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{32}\b/g, "<id>");
    return `${method} ${plain}`;
  });
  return [...new Set(kinds)];
}

function patternOf(kind: string): RegExp {
  const escaped = kind.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("<id>", "[0-9a-f-]+");
  return new RegExp(`^${escaped}(\\?|$)`);
}

/**
 * Snapshots that others have in the resource's repository, marked much like its own; all of them are there after its
 * deletion, and nothing else.
 */
async function foreignRestic({ type, state }: Held): Promise<{ remain(): Promise<void> } | undefined> {
  const access = type === "ResticRepository" ? state : (state.repository as Properties | undefined);
  if (access === undefined) return undefined;
  const repository = openRepository({ url: String(access.url), password: repositoryPassword });
  const mark = ["managed-by=pulumi-openstack-backup", "role=recovery-point"];
  const owner = `owner=${state.owner}`;
  const markings = [
    [],
    [owner],
    [owner, mark[1] as string],
    [...mark, `${owner}2`],
    [...mark, owner.replace(/^owner=[^/]+\/[^/]+/, "owner=contract/production")],
    ["managed-by=pulumi-openstack-backup-fork", mark[1] as string, owner],
  ];
  const made: string[] = [];
  for (const tags of markings)
    made.push((await repository.backup({ directory: __dirname, host: "foreign", tags })).snapshotId);
  return {
    async remain() {
      const left = (await repository.snapshots()).map(({ id }) => id);
      assert.deepEqual(left.sort(), made.sort());
    },
  };
}

/** Objects that look much like the resource's own and are not; their ids. */
async function strangersOf(scene: Scene, held: Held): Promise<string[]> {
  const { demo, backend } = scene.cloud;
  const [first] = (held.state.volumes ?? []) as { volumeId: string }[];
  const volumeId = held.state.volumeId ?? first?.volumeId;
  const isSnapshot = held.type === "CinderSnapshot" || held.type === "ServerSnapshot";
  const mark = {
    "managed-by": "pulumi-openstack-backup",
    "osbackup-role": isSnapshot ? "recovery-point" : "temporary",
  };
  const owner = String(held.state.owner);
  const markings: Record<string, string>[] = [
    {},
    { "osbackup-owner": owner },
    { ...mark, "osbackup-owner": `${owner}2` },
    { ...mark, "osbackup-owner": owner.replace(/^[^/]+\/[^/]+/, "contract/production") },
  ];
  const made: string[] = [];
  for (const metadata of markings) {
    const source = held.state.snapshotId && !isSnapshot ? held.state.snapshotId : undefined;
    const body = isSnapshot
      ? { snapshot: { volume_id: volumeId, metadata } }
      : {
          volume: source ? { snapshot_id: source, metadata } : { size: 1, volume_type: backend, metadata },
        };
    const kind = isSnapshot ? "snapshot" : "volume";
    const { id } = (await demo.call("POST", "volumev3", `/${kind}s`, body)).body[kind];
    await reaches(demo, `/${kind}s/${id}`, "available");
    made.push(id);
  }
  return made;
}

async function removeBehind(scene: Scene, object: CloudObject): Promise<void> {
  const path = `/${object.kind}s/${object.id}`;
  await scene.cloud.demo.call("DELETE", "volumev3", path);
  await reaches(scene.cloud.demo, path, "gone");
}
