import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, makeExt4Image, startDevcloud } from "../../devcloud";
import { readiness } from "../../provider/movers/local";
import { type EngineStack, engines, execute, passphrase, type Ran } from "../engine/engine-stacks";
import { skips } from "../needs";

const passwords = { near: randomBytes(12).toString("hex"), offsite: randomBytes(12).toString("hex") };

for (const [engine, open] of engines)
  describe(`The examples of repositories on ${engine}`, function () {
    this.timeout(180_000);
    let cloud: Devcloud;
    let root: string;
    let stack: EngineStack;
    const environment: NodeJS.ProcessEnv = {};

    before(async function () {
      const { ok, missing } = await readiness();
      if (!ok)
        skips(this, `this machine cannot read volumes: ${missing.map(({ remedy }) => remedy).join("; ")}`);
    });

    beforeEach(async () => {
      root = await mkdtemp(path.join(tmpdir(), "osbackup-repositories-"));
      cloud = await startDevcloud({ statusDelayMs: 5 });
      await cp(path.join(__dirname, "../../examples"), path.join(root, "examples"), { recursive: true });
      await writeFile(path.join(root, "package.json"), JSON.stringify({ private: true }));
      await symlink(path.join(__dirname, "../../node_modules"), path.join(root, "node_modules"), "dir");
      for (const name of ["engine", "home"]) await mkdir(path.join(root, name));
      Object.assign(environment, {
        PATH: process.env.PATH,
        HOME: path.join(root, "home"),
        OSBACKUP_MOUNT_DIRECTORY: path.join(root, "mnt"),
        PULUMI_CONFIG_PASSPHRASE: passphrase,
        PULUMI_NODEJS_TRANSPILE_ONLY: "true",
        ...cloud.environment,
      });
    });

    afterEach(async () => {
      await cloud.stop();
      await rm(root, { recursive: true, force: true });
    });

    async function begin(example: string, config: Record<string, string>): Promise<void> {
      const directory = path.join(root, "engine", example);
      await mkdir(directory);
      stack = await open({ project: path.join(root, "examples", example), directory, environment });
      for (const [key, value] of Object.entries(config))
        await stack.setConfig(key, value, key.endsWith("Password"));
    }

    async function run(kind: "up" | "preview" | "destroy", at: string): Promise<Ran> {
      environment.OSBACKUP_NOW = at;
      const ran = await stack.run(kind);
      assert.equal(ran.exitCode, 0, ran.output);
      return ran;
    }

    async function volume(name: string, metadata: Record<string, string> = {}): Promise<string> {
      const files = path.join(root, `${name}.files`);
      await mkdir(files);
      await writeFile(path.join(files, "name"), name);
      const imageFile = path.join(root, `${name}.img`);
      await makeExt4Image(imageFile, { fromDirectory: files, sizeMib: 16 });
      return (await cloud.addVolume({ name, imageFile, metadata, attachedTo: true })).id;
    }

    /** Owners of what restic itself sees. */
    async function ownersIn(url: string, password: string): Promise<string[]> {
      const env = { PATH: process.env.PATH, HOME: environment.HOME, RESTIC_PASSWORD: password };
      const words = ["--repo", url, "snapshots", "--no-lock", "--json"];
      const { code, stdout, stderr } = await execute("restic", words, { cwd: root, env });
      assert.equal(code, 0, stderr);
      return (JSON.parse(stdout) as { tags: string[] }[])
        .flatMap(({ tags }) => tags.filter(tag => tag.startsWith("owner=")))
        .map(tag => tag.slice("owner=".length))
        .sort();
    }

    it("cover each volume that is tagged, one that comes later too, and leave the points of one that goes", async () => {
      const url = path.join(root, "repository");
      const [web, db] = [await volume("web", { backup: "daily" }), await volume("db", { backup: "daily" })];
      await volume("scratch");
      await begin("many-volumes", { repositoryUrl: url, repositoryPassword: passwords.near });
      const owner = (id: string) => `openstack-backup-many-volumes/dev/volume-${id}-backup`;
      const first = await run("up", "2026-11-27T12:00:00Z");
      assert.match(first.output, /scratch/);
      assert.deepEqual(await ownersIn(url, passwords.near), [owner(web), owner(db)].sort());

      const late = await volume("late", { backup: "daily" });
      const row = cloud.volumes().find(({ id }) => id === web);
      assert.ok(row);
      delete row.metadata.backup;
      await run("up", "2026-11-27T12:30:00Z");
      assert.deepEqual(await ownersIn(url, passwords.near), [owner(web), owner(db), owner(late)].sort());
      assert.deepEqual(
        cloud
          .snapshots()
          .map(({ volume_id }) => volume_id)
          .sort(),
        [db, late].sort(),
        "of one that left only the repository has its points",
      );
    });

    it("read the volumes on a server of the cloud, as a tenant without its storage does", async function () {
      if (process.getuid?.() !== 0) skips(this, "this user may not make loop devices");
      await cloud.stop();
      const deviceDirectory = path.join(root, "by-id");
      cloud = await startDevcloud({ statusDelayMs: 5, deviceDirectory });
      const runner = cloud.addServer({ name: "runner" });
      Object.assign(environment, cloud.environment, { OSBACKUP_DEVICE_DIRECTORY: deviceDirectory });
      const url = path.join(root, "repository");
      for (const name of ["web", "db", "files"]) await volume(name, { backup: "daily" });
      const config = { repositoryUrl: url, repositoryPassword: passwords.near };
      await begin("many-volumes", { ...config, mover: "auto", serverId: runner.id });
      const ran = await run("up", "2026-11-27T12:00:00Z");
      assert.match(ran.output, new RegExp(`mover 'server': this is server ${runner.id}`));
      assert.equal((await ownersIn(url, passwords.near)).length, 3);
      const attached = cloud.attachments().filter(({ instance }) => instance === runner.id);
      assert.deepEqual([attached, await readdir(deviceDirectory)], [[], []]);
      const byCinder = cloud.requests.filter(
        ({ method, path }) => method === "POST" && /\/volume\/v3\/[^/]+\/attachments$/.test(path),
      );
      assert.deepEqual(byCinder, []);
    });

    it("copy a set to a second repository, and restore from there with the first one gone", async () => {
      const [nearUrl, offsiteUrl] = [path.join(root, "near"), path.join(root, "offsite")];
      const volumeId = await volume("data");
      await begin("two-repositories", {
        nearUrl,
        nearPassword: passwords.near,
        offsiteUrl,
        offsitePassword: passwords.offsite,
        volumeId,
      });
      await run("up", "2026-11-27T04:30:00Z");
      const later = await run("up", "2026-11-27T05:10:00Z");
      assert.match(later.output, /copy, due since 2026-11-27T05:00:00Z/);
      const owner = "openstack-backup-two-repositories/dev/data-backup";
      assert.ok((await ownersIn(offsiteUrl, passwords.offsite)).includes(owner));

      await rm(nearUrl, { recursive: true });
      await stack.setConfig("restore", "latest", false);
      environment.OSBACKUP_NOW = "2026-11-27T05:20:00Z";
      const { exitCode, output } = await stack.run("up", ["continueOnError"]);
      assert.notEqual(exitCode, 0);
      assert.match(output, /repository [0-9a-f]{8} is not at .* any more/);
      const restored = cloud.volumes().find(({ metadata }) => metadata["osbackup-role"] === "restored");
      const copy = path.join(root, "copy");
      const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
      await execute("debugfs", ["-R", `dump /name ${copy}`, cloud.imagePath(restored?.id ?? "")], {
        cwd: root,
        env,
      });
      assert.equal(await readFile(copy, "utf8"), "data");
      for (const secret of Object.values(passwords)) assert.ok(!output.includes(secret));
    });
  });
