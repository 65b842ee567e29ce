import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, startDevcloud } from "../../../devcloud";

const root = path.join(__dirname, "..", "..", "..");

describe("osbackup convert", function () {
  this.timeout(60_000);
  let cloud: Devcloud;
  let directory: string;
  let file: string;

  before(async () => {
    cloud = await startDevcloud();
    directory = await mkdtemp(path.join(tmpdir(), "osbackup-convert-"));
    file = path.join(directory, "snap_sched.yml");
    for (const [name, volumes] of [
      ["web", 2],
      ["db", 3],
    ] as const) {
      const { id } = cloud.addServer({ name });
      for (let index = 0; index < volumes; index++)
        await cloud.addVolume({ sizeGib: 1, sizeBytes: 4096, attachedTo: id });
    }
  });
  after(async () => {
    await cloud.stop();
    await rm(directory, { recursive: true });
  });

  async function convert(
    text: string,
    ...words: string[]
  ): Promise<{ code: number; out: string; err: string }> {
    await writeFile(file, text);
    const env = { PATH: process.env.PATH, HOME: directory, ...cloud.environment };
    return new Promise(resolve =>
      execFile(
        process.execPath,
        ["dist/provider/hosts/cli.js", "convert", file, ...words],
        { cwd: root, env },
        (error, out, err) => resolve({ code: Number(error?.code ?? 0), out, err }),
      ),
    );
  }

  const text = "7@mon-fri@1,3: [web, db]\n4@sun@2: [db]\n0@mon-sun@5: [web]\n";

  it("prints the program, counts what it covers, and says each schedule in words", async () => {
    const { code, out, err } = await convert(text);
    assert.equal(code, 0, err);
    assert.match(err, /^3 schedules, 2 servers, 5 volumes$/m);
    assert.match(
      err,
      /^ {2}4@sun@2 is "weekly": every Sunday at 02:04 Europe\/Prague, keeping the last 4; db$/m,
    );
    assert.match(err, /^ {2}0@mon-sun@5 is "daily": takes no new points; web$/m);
    assert.match(err, /rbd snap ls volumes\/volume-<id>/);
    assert.match(out, /^import \{ SnapshotSchedule \} from "pulumi-openstack-backup";/);
    assert.ok(out.includes(`file: ${JSON.stringify(file)}`));
  });

  it("ends with 1 where the file is wrong, or names a server that is not there", async () => {
    const wrong = await convert("7@mon-sun:14\n  - web\n");
    assert.deepEqual([wrong.code, wrong.out], [1, ""]);
    assert.match(wrong.err, /snap_sched\.yml, line 1, column 1: no colon ends the schedule/);
    const unknown = await convert("7@mon-fri@1: [webb]\n");
    assert.equal(unknown.code, 1);
    assert.match(unknown.err, /there is no server 'webb', did you mean 'web'\?/);
    const offline = await convert("7@mon-fri@1: [webb]\n", "--offline");
    assert.equal(offline.code, 0);
    assert.match(offline.err, /^1 schedule, 1 server; volumes are not counted offline$/m);
  });

  it("reads manifests of the operator, and names each field that has no meaning here", async () => {
    const manifest = `apiVersion: v1
kind: Secret
stringData: {RESTIC_PASSWORD: never-to-be-seen}
---
apiVersion: backups.k8s.bnerd.com/v1
kind: VolumeSnapshotBackup
metadata: {name: pg, namespace: shop}
spec:
  volumeClaimRef: {name: pg-data}
  openstack: {credentialsSecretRef: {name: os}, autoDiscover: true}
  snapshot: {force: false, retention: {keepLast: 3}}
  temporaryVolume: {storageClass: fast, timeout: 300}
  repository: {type: s3, url: "s3:host/bucket"}
  exclude: ["lost+found", "*.tmp"]
  retention: {keepDaily: 7, keepHourly: 3}
`;
    const { code, out, err } = await convert(manifest);
    assert.equal(code, 0, err);
    for (const words of [
      "1 set, of s3:host/bucket",
      "left out: a Secret in line 1",
      "pg: spec.openstack.credentialsSecretRef is left out: the login is that of clouds.yaml, OS_* or the stack's configuration",
      "pg: spec.temporaryVolume.storageClass is left out: give temporaryVolume.volumeType, the Cinder type of that class",
      "pg: spec.retention.keepHourly is left out: the operator has no such field (line 15)",
    ])
      assert.ok(err.split("\n").includes(words), `${words}\n${err}`);
    assert.match(out, /new VolumeBackup\("shop-pg-data"/);
    assert.match(out, /force: false/);
    assert.match(
      out,
      /volumeId: getClaimVolumeOutput\(\{ name: "pg-data", namespace: "shop" \}\)\.volumeId,/,
    );
    const given = await convert(manifest.replace("autoDiscover: true", "autoDiscover: false"));
    assert.match(given.out, /volumeId: config\.require\("shop-pg-data-volumeId"\)/);
    assert.match(out, /keepDaily: 7\n/);
    assert.ok(!(out + err).includes("never-to-be-seen"));

    const wrong = await convert(manifest.replace("timeout: 300", "timeout: soon"));
    assert.equal(wrong.code, 1);
    assert.match(
      wrong.err,
      /snap_sched\.yml, line 12, column 41: spec\.temporaryVolume\.timeout: .*expected number/,
    );
    const none = await convert(manifest.replace('{type: s3, url: "s3:host/bucket"}', "{type: s3}"));
    assert.match(none.err, /line 13: spec\.repository\.url: |spec\.repository\.url: /);
  });

  it("reads the cron lines of the nova backup script, in every form of theirs", async () => {
    const crontab = `# m h dom mon dow command
MAILTO=root
CRON_TZ=Europe/Prague
1 1 * * * root /root/openstack-backup.sh daily 7 > /dev/null 2>&1
1 2 * * 0 /root/openstack-backup.sh weekly 4
1 3 1 * * . /root/openrc && /usr/local/bin/nova-backup monthly 12
@yearly /root/openstack-backup.sh yearly 2 # the last
5 5 * * * /root/openstack-backup.sh
17 * * * * root cd / && run-parts --report /etc/cron.hourly
`;
    const { code, out, err } = await convert(crontab);
    assert.equal(code, 0, err);
    for (const line of [
      '"daily": { schedule: "1 1 * * *", rotation: 7 },',
      '"weekly": { schedule: "1 2 * * 0", rotation: 4 },',
      '"monthly": { schedule: "1 3 1 * *", rotation: 12 },',
      '"yearly": { schedule: "0 0 1 1 *", rotation: 2 },',
      '"manual": { schedule: "5 5 * * *", rotation: 7 },',
      'timeZone: "Europe/Prague",',
    ])
      assert.ok(out.includes(line), `${line}\n${out}`);
    assert.match(err, /^ {2}daily: every day at 01:01 Europe\/Prague, keeping the last 7$/m);
    assert.match(err, /left out, no call of the script: line 9$/m);

    for (const [text, words] of [
      [
        "1 1 * * * /root/backup.sh daily 7\n2 2 * * * /root/backup.sh daily 4\n",
        /line 2: type 'daily' is in line 1 too/,
      ],
      ["1 1 * * * /root/backup.sh daily 0\n", /line 1: the rotation of 'daily' must be a whole number/],
      ["61 1 * * * /root/backup.sh daily\n", /snap_sched\.yml, line 1: /],
      ["# nothing\n", /snap_sched\.yml: there is no schedule in it/],
      ["1 1 * * * /root/clean.sh\n", /no line calls a script whose name has "backup" or "snapshot"/],
    ] as const)
      assert.match((await convert(text)).err, words);
  });
});
