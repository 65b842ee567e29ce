import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, startDevcloud } from "../../devcloud";
import { type EngineStack, engines, passphrase, type Ran } from "../engine/engine-stacks";

for (const [engine, open] of engines)
  describe(`The examples of servers on ${engine}`, function () {
    this.timeout(120_000);
    let cloud: Devcloud;
    let root: string;
    let project: string;
    let stack: EngineStack;
    const environment: NodeJS.ProcessEnv = {};

    beforeEach(async () => {
      root = await mkdtemp(path.join(tmpdir(), "osbackup-schedule-"));
      cloud = await startDevcloud({ statusDelayMs: 5 });
      await cp(path.join(__dirname, "../../examples"), path.join(root, "examples"), { recursive: true });
      await writeFile(path.join(root, "package.json"), JSON.stringify({ private: true }));
      await symlink(path.join(__dirname, "../../node_modules"), path.join(root, "node_modules"), "dir");
      for (const name of ["engine", "home"]) await mkdir(path.join(root, name));
      Object.assign(environment, {
        PATH: process.env.PATH,
        HOME: path.join(root, "home"),
        PULUMI_CONFIG_PASSPHRASE: passphrase,
        PULUMI_NODEJS_TRANSPILE_ONLY: "true",
        ...cloud.environment,
      });
      await begin("snapmanager");
    });

    async function begin(example: string): Promise<void> {
      project = path.join(root, "examples", example);
      const directory = path.join(root, "engine", example);
      await mkdir(directory);
      stack = await open({ project, directory, environment });
    }

    afterEach(async () => {
      await cloud.stop();
      await rm(root, { recursive: true, force: true });
    });

    async function server(
      name: string,
      volumes: number,
      metadata: Record<string, string> = {},
    ): Promise<string> {
      const { id } = cloud.addServer({ name, metadata });
      for (let index = 0; index < volumes; index++)
        await cloud.addVolume({ name: `${name}-${index}`, sizeGib: 1, sizeBytes: 1 << 20, attachedTo: id });
      return id;
    }

    async function run(kind: "up" | "preview" | "destroy", at: string, exitCode = 0): Promise<Ran> {
      environment.OSBACKUP_NOW = at;
      const ran = await stack.run(kind);
      assert.equal(ran.exitCode, exitCode, ran.output);
      return ran;
    }

    /** "<copy set> <slot>" of each snapshot of a server, sorted. */
    const taken = (name: string) =>
      cloud
        .snapshots()
        .filter(({ name: called }) => called?.includes(`-${name}-`))
        .map(({ metadata }) => `${metadata["osbackup-set"]?.split("-")[0]} ${metadata["osbackup-slot"]}`)
        .sort();

    it("takes what is due of the servers that are there, says what it keeps, and leaves it to a server that is gone", async () => {
      const web = await server("web.example.com", 2);
      await server("db.example.com", 1);
      await server("other.example.com", 1);
      // Friday, 13:30 in Prague: the slot of 03:00 there
      const preview = await run("preview", "2026-11-27T12:30:00Z");
      assert.match(
        preview.output,
        /will take the recovery point of 2026-11-27T02:00:00Z of all volumes of server web\.example\.com; keeps 1/,
      );
      assert.equal(cloud.snapshots().length, 0);

      const first = await run("up", "2026-11-27T12:30:00Z");
      assert.match(
        first.output,
        /hourly of web\.example\.com: 1 point of 2 volumes, newest 2026-11-27T12:30:00Z, next 2026-11-27T14:00:00Z/,
      );
      assert.deepEqual(taken("web.example.com"), [
        "hourly 2026-11-27T02:00:00Z",
        "hourly 2026-11-27T02:00:00Z",
      ]);
      assert.deepEqual(taken("db.example.com"), [
        "hourly 2026-11-27T02:00:00Z",
        "weekly 2026-11-22T01:04:00Z",
      ]);
      assert.deepEqual(taken("other.example.com"), []);

      // nothing is due: nothing is asked but what is there
      cloud.requests.length = 0;
      await run("up", "2026-11-27T12:45:00Z");
      assert.deepEqual(
        cloud.requests.filter(({ method, path }) => method !== "GET" && path.startsWith("/volume")),
        [],
      );

      // the server is deleted; its points stay
      cloud.removeServer(web);
      await writeFile(
        path.join(project, "snap_sched.yml"),
        "4@sun@2: [db.example.com]\n7@mon-fri@1,3,15,20: [db.example.com]\n",
      );
      const third = await run("up", "2026-11-27T14:30:00Z");
      assert.match(third.output, /deletionPolicy is 'retain': 1 recovery point stays/);
      assert.equal(taken("web.example.com").length, 2);
      assert.deepEqual(
        taken("db.example.com").filter(text => text.startsWith("hourly")),
        ["hourly 2026-11-27T02:00:00Z", "hourly 2026-11-27T14:00:00Z"],
      );
    });

    it("covers the servers of every project that the login has a role in, where it is told to", async () => {
      await cloud.stop();
      const users = [{ name: "demo", roles: { demo: ["member" as const], second: ["member" as const] } }];
      cloud = await startDevcloud({ statusDelayMs: 5, users });
      Object.assign(environment, cloud.environmentOf("demo", "demo"));
      await server("web", 1);
      const far = cloud.addServer({ name: "far", project: "second" });
      await cloud.addVolume({ sizeGib: 1, sizeBytes: 1 << 20, attachedTo: far.id, project: "second" });
      await writeFile(path.join(project, "snap_sched.yml"), "7@mon-fri@1,3,15,20: [web, far]\n");
      const alone = await stack.run("preview");
      assert.match(alone.output, /there is no server 'far'/);
      await stack.setConfig("allProjects", "true", false);
      await run("up", "2026-11-27T12:30:00Z");
      assert.deepEqual(
        cloud
          .snapshots()
          .map(({ project_id }) => project_id)
          .sort(),
        cloud
          .servers()
          .map(({ project_id }) => project_id)
          .sort(),
      );
      await stack.setConfig("onSourceDelete", "delete", false);
      await run("up", "2026-11-27T12:40:00Z");
      await run("destroy", "2026-11-27T12:50:00Z");
      assert.deepEqual(cloud.snapshots(), []);
    });

    it("covers a server that joins, keeps the points of one that is renamed, and gives others the general set", async () => {
      await writeFile(path.join(project, "snap_sched.yml"), "7@mon-fri@1,3,15,20: [web]\n");
      const web = await server("web", 1);
      await stack.setConfig("general", "true", false);
      await run("up", "2026-11-27T12:30:00Z");
      await server("late", 1);
      cloud.renameServer(web, "www");
      await writeFile(path.join(project, "snap_sched.yml"), "7@mon-fri@1,3,15,20: [www]\n");
      const second = await run("up", "2026-11-27T14:30:00Z");
      // 15:15 in Prague
      assert.deepEqual(taken("late"), ["general 2026-11-27T14:15:00Z"]);
      assert.match(second.output, /hourly of www: 2 points of 1 volume/);
    });

    it("refuses what is wrong in the file before anything is made", async () => {
      await server("web", 1);
      for (const [text, words] of [
        ["7@mon-fri@1: [wed]\n", /line 1: there is no server 'wed', did you mean 'web'\?.*unknownServers/],
        ["# all of it is gone\n", /snap_sched\.yml has no schedule in it: all its sets would end/],
        ["7@mon-fri@25: [web]\n", /snap_sched\.yml, line 1, column 1: .*"25" is no hour/],
        [
          "7@mon-sun:14\n  - web\n",
          /snap_sched\.yml, line 1, column 1: no colon ends the schedule '7@mon-sun:14'; write `7@mon-sun@14:`/,
        ],
      ] as const) {
        await writeFile(path.join(project, "snap_sched.yml"), text);
        const { exitCode, output } = await stack.run("up");
        assert.notEqual(exitCode, 0, output);
        assert.match(output, words);
        assert.ok(!/\n\s+at .*\(/.test(output), output);
      }
      assert.deepEqual(cloud.snapshots(), []);
    });

    it("rotate the images of a server by their types, and leave them to it", async () => {
      await begin("server-backup");
      await server("web", 0);
      await stack.setConfig("server", "web", false);
      const preview = await run("preview", "2026-11-27T01:30:00Z");
      assert.match(preview.output, /will take the image of 2026-11-27T01:01:00Z of server web; keeps 1/);
      assert.equal(cloud.images().length, 0);
      const types = () =>
        cloud
          .images()
          .map(
            ({ properties, status }) => `${properties.backup_type} ${properties["osbackup-slot"]} ${status}`,
          )
          .sort();
      await run("up", "2026-11-27T01:30:00Z");
      const first = [
        "daily 2026-11-27T01:01:00Z active",
        "monthly 2026-11-01T03:01:00Z active",
        "weekly 2026-11-22T02:01:00Z active",
        "yearly 2026-01-01T04:01:00Z active",
      ];
      assert.deepEqual(types(), first);
      const second = await run("up", "2026-11-28T01:30:00Z");
      assert.match(second.output, /daily: 2 images, newest/);
      assert.deepEqual(
        types(),
        ["daily 2026-11-27T01:01:00Z active", "daily 2026-11-28T01:01:00Z active", ...first.slice(1)].sort(),
      );
      const destroyed = await run("destroy", "2026-11-28T02:00:00Z");
      assert.match(destroyed.output, /deletionPolicy is 'retain': 2 images stay/);
      assert.equal(types().length, 5);
    });

    it("say in a sentence that the cloud is away, ten times in a row, and lose nothing", async () => {
      await server("web", 1);
      await writeFile(path.join(project, "snap_sched.yml"), "7@mon-fri@1,3,15,20: [web]\n");
      await run("up", "2026-11-27T12:30:00Z");
      const before = cloud.snapshots().map(({ id }) => id);
      const { OS_AUTH_URL } = environment;
      environment.OS_AUTH_URL = "http://127.0.0.1:9/identity/v3";
      environment.OS_CONNECT_RETRIES = "0";
      for (let hour = 14; hour < (engine === "the real CLI" ? 16 : 24); hour++) {
        environment.OSBACKUP_NOW = `2026-11-27T${hour}:30:00Z`;
        const { exitCode, output } = await stack.run("up");
        assert.notEqual(exitCode, 0);
        assert.match(output, /ECONNREFUSED/);
        assert.ok(!/\n\s+at .*\(/.test(output), output);
      }
      environment.OS_AUTH_URL = OS_AUTH_URL;
      delete environment.OS_CONNECT_RETRIES;
      await run("up", "2026-11-28T12:30:00Z");
      const after = cloud.snapshots().map(({ id }) => id);
      assert.deepEqual(
        before.filter(id => !after.includes(id)),
        [],
      );
      assert.equal(after.length, before.length + 1);
    });

    it("bring a server back that is gone, from its newest image of a type", async () => {
      await begin("server-backup");
      const id = await server("web", 0);
      await stack.setConfig("server", "web", false);
      await run("up", "2026-11-27T01:30:00Z");
      cloud.removeServer(id);
      // days later, when many slots are due of a server that is not there
      const lost = await run("up", "2026-11-29T01:30:00Z", 1);
      assert.match(lost.output, /0 servers are called 'web'/);
      await stack.setConfig("server", id, false);
      await stack.setConfig("restore", "daily", false);
      const preview = await run("preview", "2026-11-29T01:40:00Z");
      assert.match(
        preview.output,
        /will boot server 'restore-restored' from image:.* captured at 2026-11-27T01:30:00Z/,
      );
      assert.equal(cloud.servers().length, 0);
      await run("up", "2026-11-29T01:40:00Z");
      const [back] = cloud.servers();
      const daily = cloud.images().find(({ properties }) => properties.backup_type === "daily");
      assert.deepEqual([back?.status, back?.imageId], ["ACTIVE", daily?.id]);
      await run("up", "2026-11-30T01:40:00Z");
      assert.deepEqual(
        cloud.servers().map(row => row.id),
        [back?.id],
      );
      const destroyed = await run("destroy", "2026-11-30T02:00:00Z");
      assert.match(destroyed.output, /server restore-restored stays: deletionPolicy is 'retain'/);
      assert.equal(cloud.servers().length, 1);
    });

    it("rebuild a server, once, and say in the preview what is lost", async () => {
      await begin("server-backup");
      await server("web", 0);
      await stack.setConfig("server", "web", false);
      await run("up", "2026-11-27T01:30:00Z");
      await stack.setConfig("restore", "daily", false);
      await stack.setConfig("overwrite", "true", false);
      const preview = await run("preview", "2026-11-27T05:00:00Z");
      assert.match(
        preview.output,
        /will overwrite the disk of server web with image:.*: what was written to it since is lost/,
      );
      await run("up", "2026-11-27T05:00:00Z");
      const daily = cloud.images().find(({ properties }) => properties.backup_type === "daily");
      assert.equal(cloud.servers()[0]?.imageId, daily?.id);
      const rebuilds = () =>
        cloud.requests.filter(({ method, path }) => method === "POST" && path.endsWith("/action")).length;
      const before = rebuilds();
      await run("up", "2026-11-27T06:00:00Z");
      assert.equal(rebuilds(), before);
    });

    it("bring a whole server back with all its volumes", async () => {
      await begin("whole-server");
      const { id } = cloud.addServer({ name: "db", bootsFromVolume: true });
      for (const name of ["root", "data"])
        await cloud.addVolume({ name, sizeGib: 1, sizeBytes: 1 << 20, attachedTo: id });
      await stack.setConfig("server", "db", false);
      const first = await run("up", "2026-11-27T06:30:00Z");
      assert.match(first.output, /2026-11-27 06:30 UTC {2}[0-9a-f-]{36} {2}kept for last 1 of 4/);
      cloud.removeServer(id);
      for (const [key, value] of Object.entries({ server: id, restore: "true", flavor: "small" }))
        await stack.setConfig(key, value, false);
      const preview = await run("preview", "2026-11-27T12:30:00Z");
      assert.match(preview.output, /will boot server 'restore-restored' with 2 new volumes from cinder:/);
      await run("up", "2026-11-27T12:30:00Z");
      const [back] = cloud.servers();
      const attached = cloud.attachments().filter(({ instance }) => instance === back?.id);
      assert.deepEqual([cloud.servers().length, attached.length], [1, 2]);
      // two of the set's point, which stays, and none of a server that is gone
      assert.equal(cloud.snapshots().length, 2);
    });

    it("refuse a server that is not there", async () => {
      await begin("server-backup");
      await server("web", 0);
      await stack.setConfig("server", "wbe", false);
      const { exitCode, output } = await stack.run("up");
      assert.notEqual(exitCode, 0);
      assert.match(output, /0 servers are called 'wbe', see `openstack server list`/);
    });
  });
