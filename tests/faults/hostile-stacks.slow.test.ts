import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { engineCommands } from "../e2e/slow-stack";
import { passphrase } from "../engine/engine-stacks";
import { tidyUp } from "../provider/restic/fixture";
import { HostilePlace, hourOf, password, slotOf } from "./hostile-set";

const projects = ["alpha", "beta"] as const;

for (const engine of engineCommands)
  describe(`Two stacks with one repository, ${engine.name}`, () => {
    let place: HostilePlace;
    const children: ChildProcess[] = [];

    before(async function () {
      if (!engine.isPresent) return;
      this.timeout(60_000);
      place = await HostilePlace.open();
    });
    after(async () => {
      for (const child of children) if (child.exitCode === null) child.kill("SIGKILL");
      await place?.close();
      await tidyUp();
    });

    const title = "are run at the same time, slot after slot, and have the points that each alone would have";
    if (!engine.isPresent) {
      it(`${title} (skipped: no pulumi on PATH)`);
      return;
    }

    /** A project whose set has the name that the other one's has. */
    async function write(name: string): Promise<void> {
      const project = path.join(place.directory, name);
      for (const folder of ["", "backend", "home"])
        await mkdir(path.join(project, folder), { recursive: true });
      await symlink(path.join(__dirname, "../../node_modules"), path.join(project, "node_modules"), "dir");
      await writeFile(path.join(project, "Pulumi.yaml"), `name: ${name}\nruntime: nodejs\nmain: index.js\n`);
      await writeFile(
        path.join(project, "package.json"),
        JSON.stringify({ private: true, main: "index.js" }),
      );
      const repository = JSON.stringify({ url: place.url, password });
      const retention = "retention: { keepLast: 2 }";
      await writeFile(
        path.join(project, "index.js"),
        `const { ResticRepository, VolumeBackup } = require("pulumi-openstack-backup");
         const repository = new ResticRepository("repository", ${repository});
         new VolumeBackup("set", { volumeId: ${JSON.stringify(await place.addVolume(name))}, schedule: "0 * * * *",
           repository, snapshot: { ${retention} }, ${retention} });`,
      );
    }

    function run(name: string, args: string[], now: string): Promise<{ code: number | null; said: string }> {
      const project = path.join(place.directory, name);
      const child = spawn(engine.command[0], [...engine.command.slice(1), ...args], {
        cwd: project,
        env: {
          ...place.cloud.environment,
          PATH: process.env.PATH,
          HOME: path.join(project, "home"),
          OSBACKUP_MOUNT_DIRECTORY: process.env.OSBACKUP_MOUNT_DIRECTORY,
          OSBACKUP_STATE_DIRECTORY: path.join(project, "backend"),
          OSBACKUP_NOW: now,
          PULUMI_CONFIG_PASSPHRASE: passphrase,
          PULUMI_HOME: path.join(project, "home", "pulumi"),
          PULUMI_BACKEND_URL: `file://${path.join(project, "backend")}`,
          PULUMI_SKIP_UPDATE_CHECK: "true",
        },
        stdio: ["ignore", "pipe", "pipe"],
      });
      children.push(child);
      let said = "";
      for (const stream of [child.stdout, child.stderr]) stream.on("data", text => (said += text));
      return new Promise(resolve => child.once("close", code => resolve({ code, said })));
    }

    it(title, async function () {
      this.timeout(180_000);
      for (const name of projects) {
        await write(name);
        if (engine.command[0] === "pulumi") await run(name, ["stack", "init", "dev"], hourOf(1));
      }
      for (let hour = 1; hour <= 4; hour++) {
        const both = await Promise.all(projects.map(name => run(name, engine.up, hourOf(hour))));
        for (const { code, said } of both) {
          assert.equal(code, 0, said);
          assert.ok(!said.includes(password));
        }
      }
      for (const name of projects) {
        assert.deepEqual(await place.resticSlots(`${name}/dev/set-backup`), [3, 4].map(slotOf));
        assert.deepEqual(place.cinderSlots(`${name}/dev/set-snapshot`), [2, 3, 4].map(slotOf));
      }
      await place.assertNothingTemporary();
      assert.deepEqual(await readdir(path.join(place.url, "keys")).then(keys => keys.length), 1);
      assert.match(place.restic("check"), /no errors were found/);
    });
  });
