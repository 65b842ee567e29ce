import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import path from "node:path";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { Driver } from "../../../provider/driver/driver";
import { World } from "../../../provider/driver/world";
import { findTool } from "../../../provider/movers/local/commands";
import { skips } from "../../needs";

const root = path.join(__dirname, "..", "..", "..");

describe("osbackup restore of a server", function () {
  this.timeout(60_000);
  let cloud: Devcloud;
  let serverId: string;

  beforeEach(async () => {
    cloud = await startDevcloud({ statusDelayMs: 10 });
    serverId = cloud.addServer({ name: "web" }).id;
  });
  afterEach(() => cloud.stop());

  const restore = (...words: string[]): Promise<{ code: number; out: string; err: string }> =>
    new Promise(resolve => {
      const env = { PATH: process.env.PATH, ...cloud.environment };
      const all = ["dist/provider/hosts/cli.js", "restore", ...words];
      execFile(process.execPath, all, { cwd: root, env }, (error, out, err) =>
        resolve({ code: Number(error?.code ?? 0), out, err }),
      );
    });

  async function point(type: string, of: string) {
    const driver = new Driver(new World({}, () => {}, cloud.environment));
    const given = { owner: "shop/prod/set", serverId: of };
    const { inputs, refusals } = await driver.check(type, undefined, given);
    assert.deepEqual(refusals, []);
    return (await driver.create(type, inputs)).outputs;
  }

  it("boots a new one of an image, each time another", async () => {
    const { imageId } = await point("ServerBackup", serverId);
    const first = await restore(String(imageId), "--name", "again", "--floating-ip", "203.0.113.9");
    assert.deepEqual([first.code, cloud.servers().length], [1, 1]);
    assert.match(first.err, /floatingIp: the project has no floating IP 203\.0\.113\.9/);
    for (const count of [2, 3]) {
      const { code, out, err } = await restore(String(imageId), "--name", "again");
      assert.equal(code, 0, err);
      assert.match(err, /will boot server 'again' from image:/);
      assert.match(out, /server [0-9a-f-]{36}: data of .*, 10\.0\.0\./);
      assert.equal(cloud.servers().length, count);
    }
    const told = await restore(String(imageId), "--network", "none", "--json");
    const { restoredServerId, addresses } = JSON.parse(told.out);
    assert.deepEqual(addresses, []);
    assert.ok(cloud.servers().some(({ id }) => id === restoredServerId));
  });

  it("rebuilds one in place, where it is said yes to", async () => {
    const { imageId } = await point("ServerBackup", serverId);
    const asked = await restore(String(imageId), "--in-place", "web");
    assert.deepEqual([asked.code, cloud.servers()[0]?.imageId === imageId], [1, false]);
    assert.match(
      asked.err,
      /the disk of server web \(.*\) is overwritten, what was written since is lost: give --yes/,
    );
    const { code, out, err } = await restore(String(imageId), "--in-place", "web", "--yes");
    assert.equal(code, 0, err);
    assert.match(out, /server web has the data of /);
    assert.equal(cloud.servers()[0]?.imageId, imageId);
  });

  it("refuses an option that means nothing for the point, and takes the beginning of an id", async () => {
    const { imageId } = await point("ServerBackup", serverId);
    const volume = await cloud.addVolume({ name: "data", sizeGib: 1, sizeBytes: 4096, attachedTo: serverId });
    const { volumes } = await point("ServerSnapshot", serverId);
    const [{ snapshotId = "" } = {}] = volumes as { snapshotId: string }[];
    for (const [words, refusal] of [
      [[String(imageId), "--size", "5"], /--size is for a new volume, and this point becomes a server/],
      [[String(imageId), "--in-place", "web", "--yes", "--flavor", "small"], /--flavor is for a new server/],
      [[snapshotId, "--flavor", "small"], /--flavor is for servers, and this point becomes a volume/],
      [["abcd1234", "--repository", "/srv/nothing", "--in-place", "web"], /--in-place is for servers/],
      [["00000000"], /no point in the cloud begins with 00000000, see `osbackup list`/],
      [
        [snapshotId, "--server", "--flavor", "small"],
        /imageId: is required: snapshot .* is of \/dev\/vdb that no server boots from/,
      ],
    ] as const) {
      const { code, err } = await restore(...words);
      assert.equal(code, 1);
      assert.match(err, refusal);
    }
    assert.deepEqual([cloud.servers().length, cloud.volumes().length], [1, 1]);
    const { code, err } = await restore(snapshotId.slice(0, 8));
    assert.equal(code, 0, err);
    assert.ok(cloud.volumes().some(({ snapshot_id }) => snapshot_id === snapshotId));
    assert.ok(volume);
  });

  it("makes one with all volumes of a point, of which any snapshot is the name", async () => {
    const { id } = cloud.addServer({ name: "db", bootsFromVolume: true });
    for (const name of ["root", "data"])
      await cloud.addVolume({ name, sizeGib: 1, sizeBytes: 4096, attachedTo: id });
    const { volumes } = await point("ServerSnapshot", id);
    const [, data] = (volumes as { snapshotId: string }[]).map(({ snapshotId }) => snapshotId);
    const { code, err } = await restore(String(data), "--server", "--flavor", "small");
    assert.equal(code, 0, err);
    const back = cloud.servers().find(({ name }) => name.startsWith("restore-"));
    assert.equal(cloud.attachments().filter(({ instance }) => instance === back?.id).length, 2);
    const foreign = await cloud.addSnapshot({ volumeId: cloud.volumes()[0]?.id ?? "", name: "foreign" });
    const refused = await restore(foreign.id, "--server", "--flavor", "small");
    assert.match(refused.err, /is no part of a whole point of a server; restore it into a volume/);
  });

  it("asks at a terminal which point is meant, and elsewhere for its id", async function () {
    if (!findTool("script")) skips(this, "this machine has no `script` to make a terminal");
    const { imageId } = await point("ServerBackup", serverId);
    const asked = await restore();
    assert.deepEqual(
      [asked.code, asked.err.trim()],
      [1, "osbackup: give the id of a point, as `osbackup list` shows it"],
    );
    const env = { PATH: process.env.PATH, TERM: "xterm", ...cloud.environment };
    const words = `${process.execPath} dist/provider/hosts/cli.js restore --name chosen`;
    const terminal = spawn("script", ["--quiet", "--return", "--command", words, "/dev/null"], {
      cwd: root,
      env,
    });
    let said = "";
    terminal.stdout.on("data", chunk => {
      const asks = !said.includes("Which recovery point?");
      said += chunk;
      if (asks && said.includes("Which recovery point?")) terminal.stdin.write("\r");
    });
    const code = await new Promise(resolve => terminal.once("close", resolve));
    assert.equal(code, 0, said);
    assert.match(said, new RegExp(`shop/prod/set {2}glance {2}active {2}${String(imageId).slice(0, 8)}`));
    assert.equal(cloud.servers().find(({ name }) => name === "chosen")?.imageId, imageId);
  });
});
