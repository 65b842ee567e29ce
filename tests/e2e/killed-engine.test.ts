import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Devcloud, makeExt4Image, startDevcloud } from "../../devcloud";
import { openRepository } from "../../provider/restic";
import { findPulumi, passphrase } from "../engine/engine-stacks";
import { until } from "../until";

const password = "killed-engine-password";
const cli = path.join(__dirname, "../../dist/provider/hosts/cli.js");

/** How the two engines are called, and what they say to the run after a kill. */
const engines = [
  {
    name: "the embedded engine",
    command: [process.execPath, cli, "engine"],
    up: ["up", "--yes", "--stack", "dev"],
    cancel: [],
    isPresent: true,
  },
  {
    name: "the real CLI",
    command: ["pulumi"],
    up: ["up", "--yes", "--skip-preview", "--non-interactive", "--stack", "dev"],
    cancel: ["cancel", "--yes", "--non-interactive", "--stack", "dev"],
    isPresent: findPulumi() !== undefined,
  },
];

for (const engine of engines)
  describe(`Killed in the middle of a backup, ${engine.name}`, () => {
    let cloud: Devcloud;
    let root: string;
    let environment: NodeJS.ProcessEnv;
    let project: string;
    let url: string;
    const children: ChildProcess[] = [];

    before(async function () {
      if (!engine.isPresent) return;
      this.timeout(120_000);
      root = await mkdtemp(path.join(tmpdir(), "osbackup-killed-"));
      project = path.join(root, "project");
      url = path.join(root, "repository");
      for (const name of ["project", "backend", "home", "files"]) await mkdir(path.join(root, name));
      cloud = await startDevcloud();
      for (let index = 0; index < 40; index++)
        await writeFile(path.join(root, "files", `${index}`), randomBytes(4 << 20));
      const image = path.join(root, "volume.img");
      await makeExt4Image(image, { fromDirectory: path.join(root, "files"), sizeMib: 200 });
      const { id } = await cloud.addVolume({ name: "large", imageFile: image });
      await symlink(path.join(__dirname, "../../node_modules"), path.join(project, "node_modules"), "dir");
      await writeFile(path.join(project, "Pulumi.yaml"), "name: killed\nruntime: nodejs\nmain: index.js\n");
      await writeFile(
        path.join(project, "package.json"),
        JSON.stringify({ private: true, main: "index.js" }),
      );
      await writeFile(
        path.join(project, "index.js"),
        `const { ResticRepository, VolumeBackup } = require("pulumi-openstack-backup");
         const repository = new ResticRepository("repository", { url: ${JSON.stringify(url)}, password: ${JSON.stringify(password)},
           environment: { RESTIC_PROGRESS_FPS: "1" } });
         new VolumeBackup("set", { volumeId: ${JSON.stringify(id)}, schedule: "0 * * * *", repository });`,
      );
      // restic writes so slowly that the kill comes in its middle
      const bin = path.join(root, "bin");
      await mkdir(bin);
      await writeFile(
        path.join(bin, "restic"),
        `#!/bin/sh\ncase " $* " in *" backup "*) exec ${which("restic")} --limit-upload=2000 "$@";; esac\nexec ${which("restic")} "$@"\n`,
        { mode: 0o755 },
      );
      environment = {
        ...cloud.environment,
        PATH: `${bin}:${process.env.PATH}`,
        HOME: path.join(root, "home"),
        OSBACKUP_MOUNT_DIRECTORY: path.join(root, "mnt"),
        OSBACKUP_STATE_DIRECTORY: path.join(root, "backend"),
        OSBACKUP_NOW: "2026-11-22T10:10:00Z",
        PULUMI_CONFIG_PASSPHRASE: passphrase,
        PULUMI_HOME: path.join(root, "home", "pulumi"),
        PULUMI_BACKEND_URL: `file://${path.join(root, "backend")}`,
        PULUMI_SKIP_UPDATE_CHECK: "true",
      };
    });
    after(async () => {
      if (!engine.isPresent) return;
      for (const child of children) if (child.exitCode === null) child.kill("SIGKILL");
      await cloud.stop();
      await rm(root, { recursive: true, force: true });
    });

    /** Processes that belong to this test: they have its HOME. */
    function ours(): { pid: number; command: string; cpuSeconds: number }[] {
      return readdirSync("/proc")
        .filter(name => /^\d+$/.test(name))
        .flatMap(name => {
          try {
            if (!`\0${readFileSync(`/proc/${name}/environ`, "latin1")}`.includes(`\0HOME=${root}/home\0`))
              return [];
            const command = readFileSync(`/proc/${name}/cmdline`, "latin1").replaceAll("\0", " ").trim();
            // Pulumi's language host is Pulumi's own.
            if (command === "" || command.includes("pulumi-language-nodejs")) return [];
            const words = readFileSync(`/proc/${name}/stat`, "latin1")
              .replace(/^.*\) /, "")
              .split(" ");
            return [
              { pid: Number(name), command, cpuSeconds: (Number(words[11]) + Number(words[12])) / 100 },
            ];
          } catch {
            return [];
          }
        });
    }

    function start(args: string[]): {
      child: ChildProcess;
      ended: Promise<{ code: number | null; said: string }>;
    } {
      const [command, ...before] = engine.command as [string, ...string[]];
      const child = spawn(command, [...before, ...args], {
        cwd: project,
        env: environment,
        stdio: ["ignore", "pipe", "pipe"],
      });
      children.push(child);
      let said = "";
      for (const stream of [child.stdout, child.stderr]) stream?.on("data", text => (said += text));
      return { child, ended: new Promise(resolve => child.once("close", code => resolve({ code, said }))) };
    }

    const run = (args: string[]) => start(args).ended;

    const title = "leaves no process 10 s later, and the next run finds what it left";
    if (!engine.isPresent) {
      it(`${title} (skipped: no pulumi on PATH)`);
      return;
    }
    it(title, async function () {
      this.timeout(180_000);
      if (engine.command[0] === "pulumi") assert.equal((await run(["stack", "init", "dev"])).code, 0);
      const { child } = start(engine.up);
      await until("restic's start", () =>
        ours().some(({ command }) => / backup /.test(command) && /restic/.test(command)),
      );
      await sleep(1500);
      child.kill("SIGKILL");
      child.stdout?.destroy();
      child.stderr?.destroy();
      const killed = Date.now();
      let left = ours();
      const before = new Map(left.map(({ pid, cpuSeconds }) => [pid, cpuSeconds]));
      for (; left.length > 0 && Date.now() - killed < 10_000; left = ours()) {
        for (const { pid, cpuSeconds, command } of left)
          assert.ok(
            cpuSeconds - (before.get(pid) ?? cpuSeconds) < 5,
            `${command} used ${cpuSeconds} s of CPU`,
          );
        await sleep(200);
      }
      assert.deepEqual(
        left.map(({ command }) => command),
        [],
      );
      console.log(`      all ended ${((Date.now() - killed) / 1000).toFixed(1)} s after the kill`);

      await rm(path.join(root, "bin", "restic"));
      let next = await run(engine.up);
      if (engine.cancel.length > 0) {
        assert.match(next.said, /the stack is currently locked by 1 lock\(s\)/);
        assert.match(next.said, /pulumi cancel/);
        assert.equal((await run(engine.cancel)).code, 0);
        next = await run(engine.up);
      } else assert.match(next.said, /taking over the lock of stack "dev": process \d+ of \S+, .*, is gone/);
      if (process.env.KILLED_OUTPUT) await writeFile(process.env.KILLED_OUTPUT, next.said);
      assert.equal(next.code, 0, next.said);

      const snapshots = await openRepository({ url, password }).snapshots();
      assert.deepEqual(
        snapshots.map(({ tags }) => tags.filter(tag => /^slot=|^partial$|^unproven$/.test(tag))),
        [["slot=2026-11-22T10:00:00Z"]],
      );
      assert.deepEqual(await readdir(path.join(url, "locks")), []);
      assert.equal(cloud.snapshots().length, 1);
      assert.deepEqual(
        cloud.volumes().map(({ name }) => name),
        ["large"],
      );
      assert.deepEqual(cloud.attachments(), []);
      const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
      assert.deepEqual(
        mounts.filter(line => line.includes(root)),
        [],
      );
      const loops = readdirSync("/sys/block").filter(name => name.startsWith("loop"));
      for (const name of loops) {
        const file = await readBacking(name);
        assert.ok(!file.startsWith(cloud.directory), `${name} holds ${file}`);
      }
    });
  });

const readBacking = async (loop: string): Promise<string> => {
  try {
    return readFileSync(`/sys/block/${loop}/loop/backing_file`, "utf8");
  } catch {
    return "";
  }
};

function which(program: string): string {
  const found = (process.env.PATH ?? "")
    .split(path.delimiter)
    .map(folder => path.join(folder, program))
    .find(file => {
      try {
        return readFileSync(file).length > 0;
      } catch {
        return false;
      }
    });
  if (!found) throw new Error(`${program} is not on PATH`);
  try {
    return readlinkSync(found).startsWith("/") ? readlinkSync(found) : found;
  } catch {
    return found;
  }
}
