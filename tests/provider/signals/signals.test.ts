import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { Driver, type Properties } from "../../../provider/driver/driver";
import { World } from "../../../provider/driver/world";

describe("signals", function () {
  this.timeout(30_000);
  let cloud: Devcloud;
  let work: string;
  let server: Server;
  let heard: { path: string; body: string }[];
  /** What the address does with a request; by default it answers 200. */
  let answer: "ok" | "error" | "silence";
  let lines: string[];
  let volumeId: string;

  const now = "2026-11-28T03:00:00Z";

  beforeEach(async () => {
    [heard, lines, answer] = [[], [], "ok"];
    work = mkdtempSync(path.join(tmpdir(), "osbackup-signals-"));
    cloud = await startDevcloud({ statusDelayMs: 10 });
    volumeId = (await cloud.addVolume({ name: "data", sizeGib: 1 })).id;
    server = createServer((request, response) => {
      let body = "";
      request.on("data", chunk => (body += chunk));
      request.on("end", () => {
        heard.push({ path: String(request.url).replace(/rid=[0-9a-f-]{36}/, "rid=R"), body });
        if (answer !== "silence") response.writeHead(answer === "ok" ? 200 : 500).end();
      });
    });
    await new Promise<void>(listening => server.listen(0, "127.0.0.1", listening));
  });
  afterEach(async () => {
    server.closeAllConnections();
    server.close();
    await cloud.stop();
    rmSync(work, { recursive: true, force: true });
  });

  const address = (rest: string) => `http://127.0.0.1:${(server.address() as AddressInfo).port}${rest}`;
  const everything = () => ({
    "openstackbackup:pingUrl": address("/ping/a-key-nobody-must-see/{set}?create=1"),
    "openstackbackup:webhookUrl": address("/hook/a-key-nobody-must-see"),
    "openstackbackup:metricsDirectory": work,
  });
  const driverWith = (config: Record<string, string>, at = now) =>
    new Driver(new World(config, line => lines.push(line), { ...cloud.environment, OSBACKUP_NOW: at }));
  const set = (more: Properties = {}): Properties => ({
    owner: "shop/prod/db-snapshot",
    set: "db",
    volumeId,
    schedule: "30 2 * * *",
    retention: { keepLast: 3 },
    ...more,
  });

  async function created(config: Record<string, string>, given: Properties) {
    const driver = driverWith(config);
    const { inputs, refusals } = await driver.check("CinderSnapshot", undefined, given);
    assert.deepEqual(refusals, []);
    const { id, outputs } = await driver.create("CinderSnapshot", inputs);
    return { id, inputs, state: { ...inputs, ...outputs } };
  }

  const ping = (end: string) => `/ping/a-key-nobody-must-see/shop-prod-db${end}?create=1&rid=R`;
  const metrics = () => readFileSync(path.join(work, "osbackup-shop-prod-db-snapshot.prom"), "utf8");
  const numbers = () =>
    Object.fromEntries(
      [...metrics().matchAll(/^openstack_backup_(\w+)\{.*\} (\S+)$/gm)].map(([, name, value]) => [
        name,
        value,
      ]),
    );

  it("say nothing where none is on", async () => {
    await created({}, set());
    assert.deepEqual([heard, readdirSync(work)], [[], []]);
  });

  it("tell of a run's begin and success, with the set's numbers", async () => {
    await created(everything(), set());
    assert.deepEqual(
      heard.map(({ path: where }) => where),
      [ping("/start"), ping("")],
    );
    const at = (text: string) => String(Date.parse(text) / 1000);
    assert.deepEqual(numbers(), {
      info: "1",
      last_success_timestamp_seconds: at(now),
      newest_point_timestamp_seconds: at(now),
      next_due_timestamp_seconds: at("2026-11-29T02:30:00Z"),
      rpo_target_seconds: "86400",
      recovery_points: "1",
    });
    assert.match(
      metrics(),
      new RegExp(
        `^openstack_backup_info\\{stack="shop/prod",set="db",resource="db-snapshot",type="CinderSnapshot",of="${volumeId}"\\} 1$`,
        "m",
      ),
    );
    assert.deepEqual(readdirSync(work), ["osbackup-shop-prod-db-snapshot.prom"]);
  });

  it("tell of a failure: its words, in the chat too, and the last success stays", async () => {
    const { id, inputs, state } = await created(everything(), set());
    heard = [];
    const later = driverWith(everything(), "2026-11-29T03:00:00Z");
    const next = await later.check("CinderSnapshot", state, inputs);
    const gone = "f0000000-0000-4000-8000-000000000000";
    await assert.rejects(later.update("CinderSnapshot", id, state, { ...next.inputs, volumeId: gone }));
    assert.deepEqual(
      heard.map(({ path: where }) => where),
      [ping("/start"), ping("/fail"), "/hook/a-key-nobody-must-see"],
    );
    assert.match(heard[1]?.body ?? "", /f0000000/);
    assert.match(JSON.parse(heard[2]?.body ?? "{}").text, /^Backup of db in shop\/prod failed: .*volume/);
    assert.equal(numbers().last_success_timestamp_seconds, String(Date.parse(now) / 1000));
    assert.equal(numbers().last_failure_timestamp_seconds, String(Date.parse("2026-11-29T03:00:00Z") / 1000));
  });

  it("are none of an update that is of no new slot", async () => {
    const { id, inputs, state } = await created(everything(), set());
    heard = [];
    await driverWith(everything()).update("CinderSnapshot", id, state, {
      ...inputs,
      retention: { keepLast: 9 },
    });
    assert.deepEqual(heard, []);
  });

  it("leave the success of a set whose copy is awaited to the copy, and its points, which may be taken back", async () => {
    await created(everything(), set({ awaitsCopy: true }));
    assert.deepEqual(
      heard.map(({ path: where }) => where),
      [ping("/start")],
    );
    assert.deepEqual(Object.keys(numbers()), [
      "info",
      "last_success_timestamp_seconds",
      "next_due_timestamp_seconds",
      "rpo_target_seconds",
    ]);
  });

  it("tell of a repository that fails, for the sets that are skipped with it", async () => {
    const driver = driverWith(everything());
    const given = { owner: "shop/prod/store", url: path.join(work, "store"), password: "a-long-password" };
    const { inputs } = await driver.check("ResticRepository", undefined, given);
    const { id, outputs } = await driver.create("ResticRepository", inputs);
    assert.equal(heard.length, 0);
    rmSync(path.join(work, "store"), { recursive: true });
    await assert.rejects(driver.update("ResticRepository", id, { ...inputs, ...outputs }, inputs));
    assert.deepEqual(
      heard.map(({ path: where }) => where),
      ["/hook/a-key-nobody-must-see"],
    );
    assert.match(
      JSON.parse(heard[0]?.body ?? "{}").text,
      /^Repository store in shop\/prod failed: repository /,
    );
    const file = readFileSync(path.join(work, "osbackup-shop-prod-store.prom"), "utf8");
    assert.match(file, /^openstack_backup_last_failure_timestamp_seconds\{.*type="ResticRepository"\} \d+$/m);
  });

  it("stop asking an address that fails, also where many sets ask at once", async () => {
    answer = "error";
    const driver = driverWith({ "openstackbackup:pingUrl": everything()["openstackbackup:pingUrl"] });
    const made = Array.from({ length: 12 }, async (_, place) => {
      const given = set({ owner: `shop/prod/s${place}`, set: `s${place}` });
      const { inputs } = await driver.check("CinderSnapshot", undefined, given);
      await driver.create("CinderSnapshot", inputs);
    });
    await Promise.all(made);
    assert.ok(heard.length <= 12, `${heard.length} requests`);
    assert.equal(lines.filter(line => /it is not tried again in this run$/.test(line)).length, 1);
  });

  it("go with the set", async () => {
    const { id, state } = await created(everything(), set());
    await driverWith(everything()).delete("CinderSnapshot", id, { ...state, deletionPolicy: "delete" });
    assert.deepEqual(readdirSync(work), []);
  });

  it("never fail a backup, and give an address up after three failures", async () => {
    answer = "error";
    const config = { ...everything(), "openstackbackup:metricsDirectory": path.join(work, "not-there") };
    const driver = driverWith(config);
    for (const name of ["a", "b", "c", "d", "e"]) {
      const { inputs } = await driver.check(
        "CinderSnapshot",
        undefined,
        set({ owner: `shop/prod/${name}`, set: name }),
      );
      await driver.create("CinderSnapshot", inputs);
    }
    const warned = lines.filter(line => line.startsWith("warning:"));
    assert.equal(heard.length, 3);
    // the same is said once
    assert.equal(warned.filter(line => /pingUrl: it answered HTTP 500/.test(line)).length, 2);
    assert.match(
      warned.filter(line => /pingUrl/.test(line)).at(-1) ?? "",
      /it answered HTTP 500; it is not tried again in this run$/,
    );
    assert.equal(warned.filter(line => /metricsDirectory: .*ENOENT/.test(line)).length, 3);
    assert.ok(!lines.join().includes("nobody-must-see"));
  });

  it("do not wait for an address that is silent for longer than five seconds each", async () => {
    answer = "silence";
    const begun = Date.now();
    await created({ "openstackbackup:pingUrl": everything()["openstackbackup:pingUrl"] }, set());
    assert.ok(Date.now() - begun < 14_000);
    assert.match(lines.join("\n"), /pingUrl: no answer in 5 s/);
  });

  it("are refused in the preview where they cannot be", async () => {
    const config = {
      "openstackbackup:pingUrl": "https://hc.example.com/a-key-nobody-must-see",
      "openstackbackup:webhookUrl": "hooks.example.com/a-key-nobody-must-see",
      "openstackbackup:metricsDirectory": "metrics",
    };
    const { refusals } = await driverWith(config).check("CinderSnapshot", undefined, set());
    assert.deepEqual(
      refusals.map(({ property, reason }) => `${property} ${reason}`),
      [
        "openstackbackup:webhookUrl is no http:// or https:// address",
        "openstackbackup:pingUrl needs {set} in its path: with one check for all, the success of one set would hide the failure of another",
        "openstackbackup:metricsDirectory is no whole path: 'metrics'",
      ],
    );
  });
});
