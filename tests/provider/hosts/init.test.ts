import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, startDevcloud } from "../../../devcloud";

const root = path.join(__dirname, "..", "..", "..");
const cli = path.join(root, "dist/provider/hosts/cli.js");

/** Each stack is made by `osbackup init`, configured by the words that it prints, and previewed by the embedded engine. */
describe("osbackup init", function () {
  this.timeout(120_000);
  let cloud: Devcloud;
  let directory: string;

  before(async () => {
    cloud = await startDevcloud({ statusDelayMs: 5 });
    directory = await mkdtemp(path.join(tmpdir(), "osbackup-init-"));
    await symlink(path.join(root, "node_modules"), path.join(directory, "node_modules"), "dir");
    await mkdir(path.join(directory, "home"));
  });
  after(async () => {
    await cloud.stop();
    await rm(directory, { recursive: true });
  });

  const run = (
    words: string[],
    cwd = directory,
    input = "",
  ): Promise<{ code: number; out: string; err: string }> =>
    new Promise(resolve => {
      const env = {
        PATH: process.env.PATH,
        HOME: path.join(directory, "home"),
        PULUMI_CONFIG_PASSPHRASE: "a passphrase",
        PULUMI_NODEJS_TRANSPILE_ONLY: "true",
        OSBACKUP_NOW: "2026-11-27T12:00:00Z",
        ...cloud.environment,
      };
      const child = execFile(process.execPath, [cli, ...words], { cwd, env }, (error, out, err) =>
        resolve({ code: Number(error?.code ?? 0), out, err }),
      );
      child.stdin?.end(input);
    });

  /** Sets the configuration and has the preview. */
  async function preview(
    stack: string,
    config: Record<string, string>,
    secrets: Record<string, string> = {},
  ) {
    const folder = path.join(directory, stack);
    for (const [key, value] of Object.entries(config))
      assert.equal((await run(["engine", "config", "set", key, value], folder)).code, 0);
    for (const [key, value] of Object.entries(secrets)) {
      const set = await run(["engine", "config", "set", "--secret", key], folder, value);
      assert.equal(set.code, 0, set.err);
    }
    const { code, out, err } = await run(["engine", "preview"], folder);
    assert.equal(code, 0, out + err);
    assert.doesNotMatch(out, /Could not find a package\.json/);
    return out;
  }

  it("makes a stack for a volume, and asks for what it lacks", async () => {
    const volume = await cloud.addVolume({ name: "data", sizeGib: 1, sizeBytes: 4096 });
    const { code, out } = await run(["init", "backup", "--volume", volume.id]);
    assert.equal(code, 0);
    assert.match(out, /^made backup: Pulumi\.dev\.yaml, Pulumi\.yaml, index\.ts, package\.json\. Next:$/m);
    assert.match(out, /pulumi config set repositoryUrl … {4}# /);
    assert.match(out, /pulumi config set --secret repositoryPassword/);
    const said = await preview(
      "backup",
      { repositoryUrl: path.join(directory, "repository") },
      { repositoryPassword: "a-long-password" },
    );
    assert.match(said, /\[volume-snapshot\] will take the recovery point/);
    const again = await run(["init", "backup", "--volume", volume.id]);
    assert.deepEqual([again.code, again.err.trim()], [1, "osbackup: backup is not empty: give a new folder"]);
  });

  it("makes a stack for a server, which runs as it is", async () => {
    cloud.addServer({ name: "web" });
    assert.equal((await run(["init", "images", "--server", "web"])).code, 0);
    assert.match(await preview("images", {}), /\[server-daily\] will take the image of .* of server web/);
  });

  it("makes stacks of the files of other systems, which preview at once", async () => {
    const file = async (name: string, text: string) => {
      await writeFile(path.join(directory, name), text);
      return name;
    };
    const volume = await cloud.addVolume({ name: "pg", sizeGib: 1, sizeBytes: 4096 });
    const web = cloud.addServer({ name: "www" });
    await cloud.addVolume({ sizeGib: 1, sizeBytes: 4096, attachedTo: web.id });

    await run(["init", "schedules", "--from", await file("snap_sched.yml", "7@mon-fri@1,3: [www]\n")]);
    await rm(path.join(directory, "snap_sched.yml"));
    assert.match(await preview("schedules", {}), /of all volumes of server www/);

    const made = await run([
      "init",
      "cron",
      "--from",
      await file("crontab", "1 1 * * * /root/backup.sh daily 3\n"),
    ]);
    assert.match(made.out, /pulumi config set server … {4}# name or id/);
    assert.match(
      await preview("cron", { server: "www" }),
      /\[server-daily\] will take the image of .* of server www/,
    );

    const manifest = [
      "apiVersion: backups.k8s.bnerd.com/v1",
      "kind: VolumeSnapshotBackup",
      "metadata: {name: pg, namespace: shop}",
      "spec:",
      "  volumeClaimRef: {name: data}",
      "  openstack: {autoDiscover: false}",
      `  repository: {type: local, url: ${path.join(directory, "operators")}}`,
      "  retention: {keepLast: 10}",
    ].join("\n");
    await run(["init", "operator", "--from", await file("backup.yml", manifest)]);
    const said = await preview(
      "operator",
      { "shop-data-volumeId": volume.id },
      { repositoryPassword: "a-long-password", repositoryEnvironment: "{}" },
    );
    assert.match(said, /\[shop-data-snapshot\] will take the recovery point/);
    assert.deepEqual([cloud.snapshots(), cloud.images()], [[], []]);
  });

  it("writes what is to be installed where the package is not found", async () => {
    const far = await mkdtemp(path.join(tmpdir(), "osbackup-init-far-"));
    const { code, out } = await run(["init", path.join(far, "stack"), "--server", "web"]);
    assert.equal(code, 0);
    assert.match(out, /npm install/);
    const { dependencies } = JSON.parse(await readFile(path.join(far, "stack", "package.json"), "utf8"));
    assert.ok("pulumi-openstack-backup" in dependencies);
    await rm(far, { recursive: true });
  });

  it("refuses a stack for nothing, or for two things", async () => {
    for (const words of [[], ["--server", "web", "--volume", "x"]]) {
      const { code, err } = await run(["init", "nothing", ...words]);
      assert.deepEqual(
        [code, err.trim()],
        [1, "osbackup: say what the stack is for: --volume <id>, --server <name or id> or --from <file>"],
      );
    }
  });
});
