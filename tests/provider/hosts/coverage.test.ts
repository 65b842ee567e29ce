import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { Driver } from "../../../provider/driver/driver";
import { World } from "../../../provider/driver/world";

const root = path.join(__dirname, "..", "..", "..");

describe("osbackup coverage", function () {
  this.timeout(60_000);
  let cloud: Devcloud;
  let work: string;
  let ids: Record<"db" | "cache" | "logs", string>;

  before(async () => {
    work = mkdtempSync(path.join(tmpdir(), "osbackup-coverage-"));
    cloud = await startDevcloud({ statusDelayMs: 10 });
    const add = async (name: string, metadata = {}) =>
      (await cloud.addVolume({ name, sizeGib: 1, metadata })).id;
    ids = {
      db: await add("db"),
      cache: await add("cache|a", {
        backup: "none",
        "backup-reason": "rebuilt",
        "backup-until": "2099-01-01",
      }),
      logs: await add("logs"),
    };
    const driver = new Driver(new World({}, () => {}, cloud.environment));
    const { inputs } = await driver.check("CinderSnapshot", undefined, {
      owner: "shop/prod/db-snapshot",
      set: "db",
      volumeId: ids.db,
    });
    await driver.create("CinderSnapshot", inputs);
  });
  after(async () => {
    await cloud.stop();
    rmSync(work, { recursive: true, force: true });
  });

  const run = (...words: string[]) =>
    new Promise<{ code: number; out: string; err: string }>(resolve =>
      execFile(
        process.execPath,
        [path.join(root, "dist/provider/hosts/cli.js"), "coverage", ...words],
        { env: { PATH: process.env.PATH, HOME: "/nonexistent", ...cloud.environment } },
        (error, out, err) => resolve({ code: Number(error?.code ?? 0), out, err }),
      ),
    );

  function state(name: string, resources: { type: string; outputs: object }[]): string {
    const file = path.join(work, name);
    const stored = resources.map(({ type, outputs }, place) => ({
      urn: `urn:pulumi:prod::shop::x::r${place}`,
      type: `pulumi-nodejs:dynamic/openstackbackup:${type}`,
      outputs,
    }));
    writeFileSync(file, JSON.stringify({ version: 3, deployment: { resources: stored } }));
    return file;
  }

  it("names what has no point, and what is left out, and ends with 1", async () => {
    const { code, out, err } = await run();
    assert.equal(code, 1, err);
    assert.equal(
      out,
      `unprotected  volume logs (${ids.logs})
left out     volume cache|a (${ids.cache}): rebuilt, until 2099-01-01
1 of 3 protected, 1 unprotected, 1 left out, 0 twice; 0 sets match nothing
`,
    );
  });

  it("learns sets that have no point yet from states, and ends with 0 where nothing is missing", async () => {
    const file = state("one.json", [
      {
        type: "CinderSnapshot",
        outputs: { owner: "shop/prod/logs-snapshot", set: "logs", volumeId: ids.logs },
      },
      {
        type: "ResticBackup",
        outputs: { owner: "shop/prod/db-backup", set: "db", source: { volumeId: ids.db } },
      },
    ]);
    const { code, out, err } = await run("--state", file);
    assert.equal(code, 0, err);
    assert.match(out, /^2 of 3 protected, 0 unprotected, 1 left out, 0 twice; 0 sets match nothing$/m);
  });

  it("takes points that a set left behind for no protection, where its stack's state is given", async () => {
    const file = state("left.json", [
      {
        type: "CinderSnapshot",
        outputs: { owner: "shop/prod/logs-snapshot", set: "logs", volumeId: ids.logs },
      },
    ]);
    const { out } = await run("--state", file);
    assert.match(out, new RegExp(`^unprotected  volume db \\(${ids.db}\\)$`, "m"));
    const empty = path.join(work, "empty.json");
    writeFileSync(empty, JSON.stringify({ version: 3, deployment: { manifest: {} } }));
    assert.match((await run("--state", empty)).out, /^1 of 3 protected/m);
  });

  it("says in Markdown who is protected twice, and which set matches nothing", async () => {
    const file = state("two.json", [
      { type: "CinderSnapshot", outputs: { owner: "other/prod/again", volumeId: ids.db } },
      { type: "CinderSnapshot", outputs: { owner: "other/prod/old", volumeId: "gone" } },
    ]);
    const { code, out } = await run("--state", file, "--markdown");
    assert.equal(code, 1);
    assert.equal(
      out,
      `**Backup coverage:** 1 of 3 protected, 1 unprotected, 1 left out, 1 twice; 1 sets match nothing

| State | Kind | Name | Id | Sets, or why |
|---|---|---|---|---|
| unprotected | volume | logs | \`${ids.logs}\` |  |
| twice | volume | db | \`${ids.db}\` | other/prod/again, shop/prod/db |
| left out | volume | cache\\|a | \`${ids.cache}\` | rebuilt, until 2099-01-01 |
| no match | set | other/prod/old | \`gone\` | snapshots |
`,
    );
  });

  it("gives it all as JSON, and says of a file that is no state what is wanted", async () => {
    const { out } = await run("--json");
    assert.deepEqual(
      JSON.parse(out)
        .things.map(({ state }: { state: string }) => state)
        .sort(),
      ["left out", "protected", "unprotected"],
    );
    const file = path.join(work, "none.json");
    writeFileSync(file, "{}");
    const { code, err } = await run("--state", file);
    assert.equal(code, 1);
    assert.match(err, /has no deployment: give what `pulumi stack export` prints/);
  });
});
