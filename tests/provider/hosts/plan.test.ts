import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { leavingOf, leavingText } from "../../../provider/hosts/plan";
import { resourcesOf } from "../../../provider/hosts/stack-state";
import { Lifecycle } from "../../lifecycle";

const cli = path.join(__dirname, "../../../dist/provider/hosts/cli.js");
const stored = (type: string, name: string, outputs: object) => ({
  urn: `urn:pulumi:prod::shop::openstack-backup:index:VolumeBackup$pulumi-nodejs:dynamic/openstackbackup:${type}::${name}`,
  type: `pulumi-nodejs:dynamic/openstackbackup:${type}`,
  outputs: { owner: `shop/prod/${name}`, ...outputs },
});

describe("osbackup plan --destroy", () => {
  let cloud: Devcloud;
  let work: string;

  before(async () => {
    cloud = await startDevcloud();
    work = mkdtempSync(path.join(tmpdir(), "osbackup-plan-"));
  });
  after(async () => {
    await cloud.stop();
    rmSync(work, { recursive: true, force: true });
  });

  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [cli, ...args], {
      env: { PATH: process.env.PATH, HOME: work, ...cloud.environment },
    });

  it("counts what the cloud has, not what the state remembers, and what stays", async () => {
    const volumeId = (await cloud.addVolume({ name: "pg", sizeBytes: 1 << 20 })).id;
    const given = { owner: "shop/prod/pg-snapshot", volumeId, schedule: "0 * * * *" };
    const ids: string[] = [];
    for (const hour of [10, 11]) {
      const run = new Lifecycle({ ...cloud.environment, OSBACKUP_NOW: `2026-11-22T${hour}:10:00Z` });
      ids.unshift((await run.up("CinderSnapshot", given)).snapshotId);
    }
    const resources = [
      stored("CinderSnapshot", "pg-snapshot", { set: "pg", deletionPolicy: "delete", points: [] }),
      stored("TemporaryVolume", "pg-volume", { set: "pg" }),
      stored("ResticBackup", "pg-backup", {
        set: "pg",
        deletionPolicy: "retain",
        points: [{ resticSnapshotId: "a".repeat(64) }],
      }),
      stored("VolumeRestore", "restored", { deletionPolicy: "delete", volumeId: "b".repeat(36) }),
      { urn: "urn:pulumi:prod::shop::pulumi:pulumi:Stack::shop-prod", type: "pulumi:pulumi:Stack" },
    ];
    const file = path.join(work, "state.json");
    writeFileSync(file, JSON.stringify({ version: 3, deployment: { resources } }));
    const whole = await run("plan", "--destroy", "--state", file);
    assert.equal(
      whole.stdout,
      [
        `- pg-snapshot: 2 Cinder points go: ${ids.map(id => id.slice(0, 8)).join(", ")}`,
        '  pg-backup: 1 restic point stay (deletionPolicy is "retain")',
        "- restored: 1 restored volume go: bbbbbbbb",
        "3 go, 1 stay\n",
      ].join("\n"),
    );
    const one = JSON.parse((await run("plan", "--destroy", "--json", "--state", file, "pg")).stdout);
    assert.deepEqual(
      one.map(({ name, removes, stays }: Record<string, string[]>) => [name, removes?.length, stays?.length]),
      [
        ["pg-snapshot", 2, 0],
        ["pg-volume", 0, 0],
        ["pg-backup", 0, 1],
      ],
    );
    await assert.rejects(run("plan", "--destroy", "--state", file, "other"), {
      code: 1,
      stderr: /no set or resource other/,
    });
  });

  it("goes by the state where the cloud cannot be asked, and says so", async () => {
    const { error } = console;
    const said: string[] = [];
    console.error = line => said.push(line);
    try {
      const points = [{ snapshotId: "c".repeat(36) }];
      const [resource] = resourcesOf({
        deployment: {
          resources: [stored("CinderSnapshot", "pg-snapshot", { deletionPolicy: "delete", points })],
        },
      });
      assert.ok(resource);
      const leaving = await leavingOf(resource, () => Promise.reject(new Error("no route")));
      assert.equal(leavingText([leaving]), "- pg-snapshot: 1 Cinder point go: cccccccc\n1 go, 0 stay");
      assert.match(said.join(), /as the state knows it, the cloud was not asked: no route/);
    } finally {
      console.error = error;
    }
  });

  it("says what a state is, and what a port is", async () => {
    const file = path.join(work, "no-state.json");
    writeFileSync(file, "{}");
    await assert.rejects(run("plan", "--destroy", "--state", file), {
      code: 1,
      stderr: /pulumi stack export/,
    });
    await assert.rejects(run("plan", "--state", file), { code: 2, stderr: /--destroy/ });
    for (const port of ["abc", "65536", "-1", "1.5"])
      await assert.rejects(run("devcloud", `--port=${port}`), {
        code: 2,
        stderr: /A port is a whole number from 0 to 65535/,
      });
  });
});
