import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { World } from "../../../provider/driver/world";
import { registry } from "../../../provider/resources/registry";
import type { ResourceType, State } from "../../../provider/resources/resource";
import { openRepository } from "../../../provider/restic";
import { type Held, Lifecycle } from "../../lifecycle";
import { until } from "../../until";
import { locksOf, newRepository, password, tidyUp } from "../restic/fixture";
import { RecordedRestic } from "./recorded-restic";

describe("ResticRepository", function () {
  this.timeout(60_000);
  let work: string;
  let url: string;
  let recorded: RecordedRestic | undefined;

  beforeEach(async () => {
    work = mkdtempSync(`${tmpdir()}/osbackup-repository-`);
    url = (await newRepository()).path;
  });
  afterEach(() => {
    recorded?.restore();
    rmSync(work, { recursive: true, force: true });
  });
  after(tidyUp);

  const due = (kind: "check" | "prune" | "copy") => ({
    owner: "shop/prod/repository",
    url,
    password,
    [`${kind}Schedule`]: "hourly",
    ...(kind === "copy" ? { copyTo: { url: `${work}/second`, password } } : {}),
  });

  const begin = () => new Lifecycle({ OSBACKUP_NOW: "2026-11-22T10:10:00Z" });

  for (const kind of ["check", "prune", "copy"] as const) {
    it(`ends a ${kind} at its deadline`, async () => {
      recorded = new RecordedRestic(work);
      recorded.instead(kind, "exec sleep 60");
      if (kind === "copy") await aPoint();
      await assert.rejects(begin().up("ResticRepository", { ...due(kind), timeoutSeconds: 1 }), {
        name: "ResticError",
        kind: "timeout",
      });
      assert.deepEqual(await locksOf(url), []);
    });

    it(`ends a ${kind} when the run is cancelled`, async () => {
      recorded = new RecordedRestic(work);
      recorded.instead(kind, "exec sleep 60");
      if (kind === "copy") await aPoint();
      const run = begin();
      const outcome = assert.rejects(run.up("ResticRepository", due(kind)), {
        name: "ResticError",
        kind: "cancelled",
      });
      const seen: string[] = [];
      await until(kind, () => seen.push(...(recorded?.commands() ?? [])) > 0 && seen.includes(kind));
      run.abort(new Error("cancelled by the test"));
      await outcome;
    });
  }

  describe("that was there before", () => {
    const type = registry.ResticRepository as ResourceType;
    const context = () => new World({}, () => {}, process.env).context("repository");
    let held: Held;

    /** The next run of the stack, in a process of its own. */
    const upAgain = (more = {}): Promise<Held> => {
      const run = begin();
      run.keep("ResticRepository", held.owner, held);
      return run.up("ResticRepository", { owner: "shop/prod/repository", url, password, ...more });
    };
    const drift = async () => (await type.drift?.(held as State, held, context()))?.join() ?? "";

    beforeEach(async () => {
      held = await begin().up("ResticRepository", { owner: "shop/prod/repository", url, password });
      assert.equal(await drift(), "");
      renameSync(url, `${url}-unmounted`);
      mkdirSync(url);
    });

    it("is not made anew where it is gone, however it is asked for", async () => {
      const gone = new RegExp(
        `^repository ${held.repositoryId.slice(0, 8)} is not at ${url} any more; is it mounted\\?`,
      );
      assert.match(await drift(), gone);
      for (const more of [{}, { initialise: false }, { checkSchedule: "hourly" }])
        await assert.rejects(upAgain(more), { message: gone });
      await assert.rejects(type.read(held.owner, held as State, context()), { message: gone });
      assert.deepEqual(readdirSync(url), []);

      rmSync(url, { recursive: true });
      renameSync(`${url}-unmounted`, url);
      assert.equal((await upAgain()).repositoryId, held.repositoryId);
      assert.equal(await drift(), "");
    });

    it("is not made at another place either, by an update", async () => {
      const elsewhere = `${work}/elsewhere`;
      await assert.rejects(upAgain({ url: elsewhere }), {
        message: new RegExp(`^there is no repository at ${elsewhere}; is it mounted\\?`),
      });
      assert.ok(!existsSync(elsewhere));
    });

    it("is refused where another one stands in its place", async () => {
      await openRepository({ url, password }).ensureInitialised();
      const other = /^at \S+ is another repository, [0-9a-f]{8}, not [0-9a-f]{8}; is the right one mounted\?/;
      assert.match(await drift(), other);
      await assert.rejects(upAgain(), { message: other });
      await assert.rejects(type.read(held.owner, held as State, context()), { message: other });
    });

    it("is taken as it is by a state that did not know its id", async () => {
      rmSync(url, { recursive: true });
      renameSync(`${url}-unmounted`, url);
      const { repositoryId, ...before } = held;
      held = before;
      assert.equal((await upAgain()).repositoryId, repositoryId);
    });
  });

  async function aPoint(): Promise<void> {
    await openRepository({ url, password }).backup({ directory: __dirname, host: "h", tags: ["t"] });
  }
});
