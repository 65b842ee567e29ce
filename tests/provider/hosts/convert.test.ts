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
});
