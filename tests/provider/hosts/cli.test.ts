import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { toMetadata, toTags } from "../../../provider/base/marks";
import { Driver } from "../../../provider/driver/driver";
import { World } from "../../../provider/driver/world";
import { resolveCloud, Sessions, snapshots } from "../../../provider/openstack";
import { until } from "../../until";
import { newRepository, password, tidyUp, volume } from "../restic/fixture";

const root = join(__dirname, "..", "..", "..");

describe("osbackup", function () {
  this.timeout(60_000);
  let cloud: Devcloud;

  before(async () => {
    cloud = await startDevcloud();
  });
  after(async () => {
    await cloud.stop();
    await tidyUp();
  });

  /** Runs the built command line; `environment` stands beside the cloud's. */
  async function osbackup(
    words: string[],
    environment: Record<string, string> = {},
  ): Promise<{ code: number | null; out: string; err: string }> {
    const child = spawn(process.execPath, ["dist/provider/hosts/cli.js", ...words], {
      cwd: root,
      env: { PATH: process.env.PATH, HOME: "/nonexistent", ...cloud.environment, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [out, err] = ["", ""];
    child.stdout.on("data", chunk => (out += chunk));
    child.stderr.on("data", chunk => (err += chunk));
    const code = await new Promise<number | null>(resolve => child.once("close", resolve));
    return { code, out, err };
  }

  const session = () => new Sessions().open(resolveCloud({ directory: "/" }, cloud.environment));

  describe("ends with", () => {
    for (const [what, code, said, words] of [
      ["0 after the help", 0, /^Usage: osbackup/, ["--help"]],
      ["0 after the version", 0, /^\d+\.\d+\.\d+\n$/, ["--version"]],
      ["2 after an unknown command", 2, /unknown command 'lst'.*list/s, ["lst"]],
      ["2 after an unknown option", 2, /unknown option '--jsno'.*--json/s, ["list", "--jsno"]],
      [
        "2 after a size that is none",
        2,
        /'0' is invalid.*whole number from 1 on/s,
        ["restore", "x", "--size", "0"],
      ],
      [
        "0 after a schedule in words",
        0,
        /^every day at 02:30 Europe\/Prague\n {2}\d{4}-\d\d-\d\d 02:30 Europe\/Prague \(/,
        ["schedule", "30 2 * * *", "--zone", "Europe/Prague", "--count", "1"],
      ],
      ["1 after a schedule that is none", 1, /"25" is no hour/, ["schedule", "7@mon-fri@25"]],
      [
        "0 after a copy set in words",
        0,
        /^copy set "weekly": .*keeping the last 7/,
        ["schedule", "7@*@2", "--snapmanager"],
      ],
      ["2 where an argument is missing", 2, /missing required argument 'stack'/, ["sweep"]],
      ["2 after a port that is none", 2, /'abc' is invalid.*0 to 65535/s, ["devcloud", "--port", "abc"]],
      ["1 where the work failed", 1, /^osbackup: .*nowhere/m, ["list", "--cloud", "nowhere"]],
    ] as [string, number, RegExp, string[]][])
      it(what, async () => {
        const ended = await osbackup(words);
        assert.match(ended.out + ended.err, said);
        assert.equal(ended.code, code, ended.err);
      });
  });

  it("tells adopt, convert and sweep as JSON too", async () => {
    const swept = await osbackup(["sweep", "shop/prod", "--json"]);
    assert.deepEqual([swept.code, JSON.parse(swept.out)], [0, []]);
    const { id: volumeId } = await cloud.addVolume({ name: "left" });
    const left = { "managed-by": "pulumi-openstack-backup", "osbackup-role": "temporary" };
    const owner = "shop/left/x";
    const expires = { "osbackup-owner": owner, "osbackup-expires-at": "2026-11-20T10:00:00Z" };
    const row = cloud.volumes().find(({ id }) => id === volumeId);
    Object.assign(row?.metadata ?? {}, left, expires);
    const told = (removed: boolean) => [{ volumeId, owner, expiresAt: "2026-11-20T10:00:00Z", removed }];
    assert.deepEqual(
      JSON.parse((await osbackup(["sweep", "shop/left", "--dry-run", "--json"])).out),
      told(false),
    );
    assert.deepEqual(JSON.parse((await osbackup(["sweep", "shop/left", "--json"])).out), told(true));
    assert.ok(!cloud.volumes().some(({ id }) => id === volumeId));
    const file = "examples/snapmanager/snap_sched.yml";
    const { program, notes } = JSON.parse((await osbackup(["convert", file, "--offline", "--json"])).out);
    assert.match(program, /new SnapshotSchedule/);
    assert.match(notes[0], /schedules, .*servers/);
  });

  it("completes commands and options in a shell", async () => {
    const script = await osbackup(["complete", "bash"]);
    assert.match(script.out, /complete .*osbackup/);
    assert.match((await osbackup(["complete", "--", "des"])).out, /^describe\b/m);
    assert.match((await osbackup(["complete", "--", "list", "--"])).out, /^--repository\b/m);
  });

  it("has every command in docs/cli.md, and nothing there that it has not", async () => {
    const { out } = await osbackup(["--help"]);
    const commands = [...out.matchAll(/^ {2}([a-z-]+) (?:\[|<)/gm)].map(([, name]) => name);
    const text = readFileSync(join(root, "docs/cli.md"), "utf8");
    const told = [...text.matchAll(/^### ([a-z-]+)$/gm)].map(([, name]) => name);
    assert.deepEqual(told.sort(), commands.filter(name => name !== "help").sort());
    for (const [, command = "", words = ""] of text.matchAll(/npx osbackup ([a-z-]+)((?: [^\n#`]*)?)/g)) {
      // the engine has commands of its own
      const [first = ""] = words.trim().split(" ");
      const asked = command === "engine" && first !== "" ? ["engine", first, "--help"] : ["help", command];
      const help = (await osbackup(asked)).out;
      for (const [option] of words.matchAll(/--[a-z-]+/g))
        assert.ok(help.includes(option), `${command} ${option}`);
    }
  });

  it("doctor says what works here, and ends with 1 where something does not", async () => {
    const well = await osbackup(["doctor"]);
    assert.equal(well.code, 0, well.out);
    assert.match(well.out, /^ok {4}restic: restic \d+\.\d+|^ok {4}restic: \d+\.\d+/m);
    assert.match(well.out, /^ok {4}reading volumes: /m);
    assert.match(well.out, /^ok {4}cloud: project [0-9a-f]{32}, block storage http.*, microversion 3\.\d+$/m);
    assert.match(well.out, /^ok {4}quota: \d+ of \d+ snapshots, \d+ of \d+ GiB$/m);
    const ill = await osbackup(["doctor"], { OS_PASSWORD: "not-the-one" });
    assert.equal(ill.code, 1);
    assert.match(ill.out, /^ok {4}restic/m);
    assert.match(ill.out, /^FAIL {2}cloud: .*401/m);
    assert.ok(!`${ill.out}${ill.err}`.includes("not-the-one"));
    assert.equal(ill.out.match(/^FAIL/gm)?.length, 1, "one login failure is said once");

    const { path } = await newRepository();
    const words = ["doctor", "--json", "--repository", path];
    const told = await osbackup(words, { RESTIC_PASSWORD: password });
    const findings = JSON.parse(told.out) as { what: string; state: string; says: string }[];
    assert.deepEqual(
      findings.map(({ what }) => what),
      ["restic", "reading volumes", "cloud", "login", "quota", "servers", "mover", "repository"],
    );
    assert.equal(findings.at(-1)?.says, `${path} opens, 0 snapshots`);
    const closed = await osbackup(words, { RESTIC_PASSWORD: "not-the-one" });
    assert.equal(closed.code, 1);
    assert.match(closed.out, /"state": "FAIL",\n\s+"says": ".*password/);
    assert.ok(!closed.out.includes("not-the-one"));
  });

  it("describe says all that is known of a point, and verify reads one to its end", async () => {
    const mark = { owner: "shop/prod/orders", set: "orders", role: "recovery-point" as const };
    const at = "2026-11-22T10:00:00Z";
    const { id: volumeId } = await cloud.addVolume({ name: "orders" });
    const made = await snapshots.create(session(), {
      volumeId,
      name: "backup-orders",
      force: true,
      metadata: toMetadata({ ...mark, slot: at, takenAt: at, time: at }),
    });
    const snapshot = await osbackup(["describe", made.id.slice(0, 13)], { TZ: "Europe/Prague" });
    assert.equal(snapshot.code, 0, snapshot.err);
    for (const line of [
      `Point:   ${made.id}`,
      "Where:   Cinder snapshot",
      "Name:    backup-orders",
      "Taken:   2026-11-22 11:00 Europe/Prague (2026-11-22 10:00 UTC)",
      `Volume:  ${volumeId}`,
      `  npx osbackup restore ${made.id}    # a new volume beside ${volumeId}`,
    ])
      assert.ok(snapshot.out.split("\n").includes(line), `${line}\n${snapshot.out}`);
    const none = await osbackup(["describe", "nothing"]);
    assert.deepEqual(
      [none.code, none.err.trim()],
      [1, "osbackup: there is no recovery point nothing, see `osbackup list`"],
    );

    const { repository, path } = await newRepository();
    const source = await volume({ a: Buffer.alloc(300_000, "a") });
    const kept = await repository.backup({
      directory: source,
      host: "pg",
      tags: toTags({ ...mark, slot: at, takenAt: at, time: at }),
    });
    const restic = { RESTIC_PASSWORD: password };
    const described = await osbackup(["describe", kept.snapshotId.slice(0, 6), "--repository", path], restic);
    assert.match(described.out, /Where: +restic snapshot/);
    for (const which of [[kept.snapshotId.slice(0, 8)], ["--owner", mark.owner]]) {
      const { code, out, err } = await osbackup(["verify", ...which, "--repository", path], restic);
      assert.equal(code, 0, err);
      assert.match(out, /^point [0-9a-f]{8} is whole: 0\.3 MiB read in /);
    }
    const packs = join(path, "data");
    for (const folder of readdirSync(packs))
      for (const pack of readdirSync(join(packs, folder))) {
        const file = join(packs, folder, pack);
        const bytes = readFileSync(file);
        chmodSync(file, 0o600);
        writeFileSync(file, bytes.fill(0, 0, 64));
      }
    const damaged = await osbackup(["verify", kept.snapshotId, "--repository", path], restic);
    assert.equal(damaged.code, 1, damaged.out);
    assert.match(damaged.err, /^osbackup: dumping \/ of snapshot /);
    const both = await osbackup(["verify", "--repository", path], restic);
    assert.match(both.err, /give the id of a point, or --owner/);
    await snapshots.remove(session(), made.id);
    await until("the snapshot to go", () => !cloud.snapshots().some(({ id }) => id === made.id));
  });

  it("adopt gives a snapshot to a set, whose next run counts it and lets it go in its turn", async () => {
    const { id: volumeId } = await cloud.addVolume({ name: "ledger" });
    const taken = await cloud.addSnapshot({
      volumeId,
      name: "by hand",
      createdAt: Date.parse("2026-11-20T10:00:00Z"),
    });
    const owner = "shop/prod/ledger";
    const given = { owner, volumeId, schedule: "0 * * * *", retention: { keepLast: 2 } };
    const driver = (now: string) =>
      new Driver(new World({}, () => {}, { ...cloud.environment, OSBACKUP_NOW: now }));
    const first = driver("2026-11-22T10:10:00Z");
    const { inputs } = await first.check("CinderSnapshot", undefined, given);
    const { id, outputs } = await first.create("CinderSnapshot", inputs);
    const slip = await osbackup(["adopt", taken.id, "--owner", "shop/prod/ledgers"]);
    assert.match(slip.err, /no set shop\/prod\/ledgers has points yet, did you mean 'shop\/prod\/ledger'\?/);
    const { id: another } = await cloud.addVolume({ name: "another" });
    const foreign = await cloud.addSnapshot({ volumeId: another, name: "of another" });
    const wrong = await osbackup(["adopt", foreign.id, "--owner", owner]);
    assert.match(wrong.err, /the points of shop\/prod\/ledger are of volume .*, this one is of /);
    const adopted = await osbackup(["adopt", taken.id, "--owner", owner]);
    assert.equal(adopted.code, 0, adopted.err);
    assert.match(adopted.out, /snapshot .* of 2026-11-20T10:00:00Z belongs to shop\/prod\/ledger now/);
    const other = await osbackup(["adopt", taken.id, "--owner", "shop/prod/other"]);
    assert.match(other.err, /belongs to shop\/prod\/ledger already/);
    assert.match((await osbackup(["adopt", "gone", "--owner", owner])).err, /has no snapshot or image gone/);
    assert.match(
      (await osbackup(["adopt", taken.id, "--owner", "x"])).err,
      /the owner is <project>\/<stack>\/<resource>/,
    );

    const state = { ...inputs, ...outputs };
    const second = driver("2026-11-22T11:10:00Z");
    const next = (await second.check("CinderSnapshot", state, given)).inputs;
    const later = await second.update("CinderSnapshot", id, state, next);
    assert.ok(!cloud.snapshots().some(row => row.id === taken.id));
    await driver("2026-11-22T11:20:00Z").delete("CinderSnapshot", id, { ...next, ...later });
  });

  it("list shows the points of the cloud and of a repository, as a table and as JSON", async () => {
    const mark = { owner: "shop/prod/pg", set: "pg", role: "recovery-point" as const };
    const at = "2026-11-22T10:00:00Z";
    const { id: volumeId } = await cloud.addVolume({ name: "pg" });
    const made = await snapshots.create(session(), {
      volumeId,
      name: "backup-pg",
      force: true,
      metadata: toMetadata({ ...mark, slot: at, takenAt: at, time: at }),
    });
    const foreign = await snapshots.create(session(), {
      volumeId,
      name: "foreign",
      force: true,
      metadata: {},
    });
    const { repository, path } = await newRepository();
    const tags = toTags({ ...mark, slot: at, takenAt: at, time: at });
    const source = await volume({ a: Buffer.from("a") });
    const kept = await repository.backup({ directory: source, host: "pg", tags });
    await repository.backup({ directory: source, host: "foreign", tags: ["nightly"] });

    const words = ["list", "--repository", path];
    const shown = await osbackup(words, { RESTIC_PASSWORD: password });
    assert.equal(shown.code, 0, shown.err);
    const rows = shown.out
      .trimEnd()
      .split("\n")
      .map(row => row.split(/ {2,}/));
    assert.deepEqual(rows[0], ["where", "owner", "of", "slot", "takenAt", "age", "size", "status", "id"]);
    assert.deepEqual(rows.slice(1), [
      ["cinder", mark.owner, "pg", at, at, rows[1]?.[5], "1 GiB", "available", made.id],
      ["restic", mark.owner, "-", at, at, rows[1]?.[5], "-", "good", kept.snapshotId.slice(0, 8)],
    ]);
    assert.match(rows[1]?.[5] ?? "", /^\d+ (min|h|d)$/);
    cloud.addServer({ name: "web" });
    const image = cloud.addImage({
      name: "of web",
      properties: toMetadata({ ...mark, owner: "shop/prod/web" }),
    });
    cloud.addImage({ name: "foreign", properties: {} });
    const withImages = await osbackup([...words, "--owner", "shop/prod/web"], { RESTIC_PASSWORD: password });
    assert.match(withImages.out, new RegExp(`^glance +shop/prod/web .* active +${image.id}$`, "m"));
    assert.equal(withImages.out.trimEnd().split("\n").length, 2);
    assert.ok(!shown.out.includes(foreign.id));
    const json = JSON.parse((await osbackup([...words, "--json"], { RESTIC_PASSWORD: password })).out);
    assert.deepEqual(
      json
        .filter(({ where }: { where: string }) => where !== "glance")
        .map(({ where, id }: { where: string; id: string }) => [where, id]),
      rows.slice(1).map(row => [row[0], row[8]]),
    );
    const others = await osbackup([...words, "--owner", "shop/prod/pgs"], { RESTIC_PASSWORD: password });
    assert.equal(others.code, 1);
    assert.match(
      others.err,
      /no recovery point of shop\/prod\/pgs, did you mean 'shop\/prod\/pg'\?; there are points of shop\/prod\/pg, shop\/prod\/web\n/,
    );
  });

  it("sweep removes what is over, and with --all what is not, of this stack alone", async () => {
    const add = async (owner: string, expiresAt: string) =>
      (
        await cloud.addVolume({
          name: "temporary",
          metadata: { ...toMetadata({ owner, set: "pg", role: "temporary", expiresAt }) },
        })
      ).id;
    const over = await add("shop/prod/pg-volume", "2020-01-01T00:00:00Z");
    const young = await add("shop/prod/pg-volume", "2999-01-01T00:00:00Z");
    const other = await add("shop/staging/pg-volume", "2020-01-01T00:00:00Z");
    const there = () => [over, young, other].filter(id => cloud.volumes().some(one => one.id === id));

    const told = await osbackup(["sweep", "shop/prod", "--all", "--dry-run"]);
    assert.equal(told.code, 0, told.err);
    assert.deepEqual(
      told.out.trimEnd().split("\n").sort(),
      [
        `would remove temporary volume ${over} of shop/prod/pg-volume, expires 2020-01-01T00:00:00Z`,
        `would remove temporary volume ${young} of shop/prod/pg-volume, expires 2999-01-01T00:00:00Z`,
      ].sort(),
    );
    assert.deepEqual(there(), [over, young, other]);
    assert.equal((await osbackup(["sweep", "shop/prod"])).code, 0);
    assert.deepEqual(there(), [young, other]);
    assert.equal((await osbackup(["sweep", "shop/prod", "--all"])).code, 0);
    assert.deepEqual(there(), [other]);
    assert.equal((await osbackup(["sweep", "shop/prod", "--all"])).out, "nothing to sweep in shop/prod\n");

    const stuck = await add("shop/prod/pg-volume", "2020-01-01T00:00:00Z");
    const refused = cloud.faults.add({
      method: "DELETE",
      path: new RegExp(`/volumes/${stuck}`),
      status: 403,
    });
    const failed = await osbackup(["sweep", "shop/prod"]);
    assert.ok(refused.hits > 0);
    assert.equal(failed.code, 1);
    assert.match(failed.out, new RegExp(stuck));
    refused.remove();
  });
});
