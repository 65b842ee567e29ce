import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, makeExt4Image, startDevcloud } from "../../../devcloud";
import { aptHook } from "../../../provider/hosts/apt-hook";
import { ownServerId, type Surroundings } from "../../../provider/movers/server/own-server";
import { skips } from "../../needs";

const root = path.join(__dirname, "..", "..", "..");

interface Ended {
  code: number;
  out: string;
  err: string;
}

const run = (program: string, words: string[], env: NodeJS.ProcessEnv): Promise<Ended> =>
  new Promise(resolve =>
    execFile(program, words, { cwd: root, env }, (error, out, err) =>
      resolve({ code: Number(error?.code ?? 0), out, err }),
    ),
  );

describe("osbackup server-backup", function () {
  this.timeout(120_000);
  let cloud: Devcloud;

  beforeEach(async () => {
    cloud = await startDevcloud({ statusDelayMs: 10 });
  });
  afterEach(() => cloud.stop());

  const backup = (...words: string[]) =>
    run(process.execPath, ["dist/provider/hosts/cli.js", "server-backup", ...words], {
      PATH: process.env.PATH,
      ...cloud.environment,
    });
  const types = () => cloud.images().map(({ properties }) => properties.backup_type);

  it("keeps the newest images of a type, those that the script made among them, by the script's words", async () => {
    const { id } = cloud.addServer({ name: "web" });
    const old = cloud.addImage({
      name: `backup-snapshot-2026-11-01-daily-web-${id}`,
      properties: { backup_type: "daily", instance_uuid: id, image_type: "backup" },
    });
    old.created_at = "2026-11-01T01:01:00Z";
    for (let day = 0; day < 2; day++) {
      const { code, err } = await backup("daily", "2", "--server", "web");
      assert.equal(code, 0, err);
      assert.match(err, /took image [0-9a-f]{8} of .* of server web; keeps 2|keeps 2, removed 1/);
    }
    assert.deepEqual(types(), ["daily", "daily"]);
    assert.ok(!cloud.images().some(image => image.id === old.id), "the script's went in its turn");
    const { code, out } = await backup("--server", id, "--json");
    assert.equal(code, 0);
    const [done] = JSON.parse(out);
    assert.deepEqual(
      [done.serverId, done.server, done.removed, cloud.images().some(({ id }) => id === done.imageId)],
      [id, "web", [], true],
    );
    assert.deepEqual(types().sort(), ["daily", "daily", "manual"]);
  });

  it("backs up all servers, and the others where one fails", async () => {
    const [web] = [cloud.addServer({ name: "web" }), cloud.addServer({ name: "db" })];
    cloud.setTaskState(web.id, "image_uploading");
    const { code, err } = await backup("weekly", "4", "--all", "--timeout", "2");
    assert.equal(code, 1);
    assert.match(err, /osbackup: server web: .*task_state image_uploading/);
    assert.match(err, /1 of 2 servers backed up/);
    assert.deepEqual(types(), ["weekly"]);
  });

  it("refuses what it cannot do", async () => {
    cloud.addServer({ name: "web_1" });
    const none = await backup("--server", "web");
    assert.equal(none.code, 1);
    assert.match(none.err, /there is no server 'web', did you mean 'web_1'\?|there is no server 'web'/);
    assert.equal((await backup("daily", "0")).code, 2);
    assert.deepEqual(cloud.images(), []);
  });
});

describe("a server's own id", () => {
  let directory: string;
  let service: Server;
  let nowhere: Surroundings;
  const id = "3f1d5a7e-1c2b-4d3e-8f90-0123456789ab";

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "osbackup-own-id-"));
    service = createServer((request, response) => {
      response.statusCode = request.url === "/meta_data.json" ? 200 : 404;
      response.end(JSON.stringify({ uuid: id, name: "web" }));
    });
    await new Promise<void>(resolve => service.listen(0, "127.0.0.1", resolve));
    nowhere = {
      metadataUrl: `http://127.0.0.1:${(service.address() as AddressInfo).port}/nothing`,
      configDrive: path.join(directory, "no-drive"),
      productUuid: path.join(directory, "no-dmi"),
      instanceId: path.join(directory, "no-cloud-init"),
    };
  });
  after(async () => {
    await new Promise(resolve => service.close(resolve));
    await rm(directory, { recursive: true });
  });

  it("is told by the metadata service", async () => {
    const metadataUrl = nowhere.metadataUrl.replace("nothing", "meta_data.json");
    assert.equal(await ownServerId({ ...nowhere, metadataUrl }), id);
  });

  it("is told by the firmware, or by what cloud-init noted", async () => {
    const file = path.join(directory, "uuid");
    await writeFile(file, `${id.toUpperCase()}\n`);
    assert.equal(await ownServerId({ ...nowhere, productUuid: file }), id);
    assert.equal(await ownServerId({ ...nowhere, instanceId: file }), id);
  });

  it("is told by the config drive", async function () {
    if (process.getuid?.() !== 0 || !existsSync("/dev/loop-control"))
      skips(this, "mounting a config drive needs root and loop devices");
    const files = path.join(directory, "drive", "openstack", "latest");
    await mkdir(files, { recursive: true });
    await writeFile(path.join(files, "meta_data.json"), JSON.stringify({ uuid: id }));
    const configDrive = path.join(directory, "config-2.img");
    await makeExt4Image(configDrive, { fromDirectory: path.join(directory, "drive"), sizeMib: 16 });
    assert.equal(await ownServerId({ ...nowhere, configDrive }), id);
    assert.ok(!(await readFile("/proc/mounts", "utf8")).includes("osbackup-config-drive-"));
  });

  it("is asked for where nobody tells it, with what each way said", async () => {
    const notes = path.join(directory, "notes");
    await writeFile(notes, "i-am-not-a-uuid\n");
    await assert.rejects(
      ownServerId({ ...nowhere, instanceId: notes }),
      /metadata service: HTTP 404; config drive: ENOENT; DMI: ENOENT; cloud-init: it names no id\); name it with --server/,
    );
  });
});

describe("osbackup install-apt-hook", () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "osbackup-apt-"));
  });
  after(() => rm(directory, { recursive: true }));

  const given = { file: "", type: "apt", rotation: 5 };

  it("writes a setting that apt reads, and that goes on where the backup fails unless it is strict", async () => {
    const file = path.join(directory, "05osbackup");
    const { code, out } = await run(
      process.execPath,
      ["dist/provider/hosts/cli.js", "install-apt-hook", "--file", file, "--openrc", "/root/my openrc"],
      { PATH: process.env.PATH },
    );
    assert.equal(code, 0);
    assert.match(out, /before apt changes packages it runs/);
    const text = await readFile(file, "utf8");
    assert.match(
      text,
      /DPkg::Pre-Invoke \{ "\(\. '\/root\/my openrc' && .* server-backup apt 5\) \|\| true"; \};/,
    );
    const apt = await run("apt-config", ["-c", file, "dump", "DPkg::Pre-Invoke"], {
      PATH: process.env.PATH,
    }).catch(() => undefined);
    if (apt?.code === 0) assert.match(apt.out, /DPkg::Pre-Invoke:: "\(\. '\/root\/my openrc' && /);
    assert.doesNotMatch(aptHook({ ...given, strict: true }), /\|\| true/);
    assert.match(aptHook({ ...given, cloud: "prod cloud" }), /--cloud 'prod cloud'/);
  });

  it("runs as apt's shell runs it, and its end is the backup's where it is strict", async () => {
    const line = (strict: boolean) =>
      /\{ "(.*)"; \};/.exec(aptHook({ ...given, strict, openrc: path.join(directory, "none") }))?.[1] ?? "";
    assert.notEqual((await run("sh", ["-c", line(true)], { PATH: "/usr/bin:/bin" })).code, 0);
    assert.equal((await run("sh", ["-c", line(false)], { PATH: "/usr/bin:/bin" })).code, 0);
  });

  it("refuses a path that apt's settings cannot hold", () => {
    assert.throws(() => aptHook({ ...given, openrc: '/root/a"b' }), /paths have a quote or backslash/);
  });
});
