import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, makeExt4Image, startDevcloud } from "../../devcloud";
import { openRepository } from "../../provider/restic";
import { findPulumi, passphrase } from "../engine/engine-stacks";
import { until } from "../until";

const password = "slow-stack-password";
const cli = path.join(__dirname, "../../dist/provider/hosts/cli.js");

/** How a command line calls an engine. */
export interface EngineCommand {
  name: string;
  command: [string, ...string[]];
  up: string[];
  /** What a person says when a lock was left; nothing where the engine sees by itself that its owner is dead. */
  cancel: string[];
  isPresent: boolean;
}

export const engineCommands: EngineCommand[] = [
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

/** How a process ended: `code` is null where a signal ended it. */
export interface Ended {
  code: number | null;
  said: string;
}

/** A stack with one set, whose restic writes so slowly that a test can come in its middle. */
export class SlowStack {
  private readonly children: ChildProcess[] = [];

  private constructor(
    readonly cloud: Devcloud,
    readonly root: string,
    private readonly engine: EngineCommand,
    /** Of all that runs; changes made to it count in the next run. */
    readonly environment: NodeJS.ProcessEnv,
  ) {}

  /** Its volume has 160 MiB; restic writes 2 of them a second, or as many as are asked for. */
  static async make(engine: EngineCommand, mibPerSecond = 2): Promise<SlowStack> {
    const root = await mkdtemp(path.join(tmpdir(), "osbackup-slow-"));
    for (const name of ["project", "backend", "home", "files", "bin"]) await mkdir(path.join(root, name));
    const cloud = await startDevcloud();
    const environment = {
      ...cloud.environment,
      PATH: `${path.join(root, "bin")}:${process.env.PATH}`,
      HOME: path.join(root, "home"),
      OSBACKUP_MOUNT_DIRECTORY: path.join(root, "mnt"),
      OSBACKUP_STATE_DIRECTORY: path.join(root, "backend"),
      OSBACKUP_NOW: "2026-11-22T10:10:00Z",
      PULUMI_CONFIG_PASSPHRASE: passphrase,
      PULUMI_HOME: path.join(root, "home", "pulumi"),
      PULUMI_BACKEND_URL: `file://${path.join(root, "backend")}`,
      PULUMI_SKIP_UPDATE_CHECK: "true",
    };
    const made = new SlowStack(cloud, root, engine, environment);
    await made.write(mibPerSecond);
    if (engine.command[0] === "pulumi") {
      const { code, said } = await made.run(["stack", "init", "dev"]);
      if (code !== 0) throw new Error(said);
    }
    return made;
  }

  private async write(mibPerSecond: number): Promise<void> {
    for (let index = 0; index < 40; index++)
      await writeFile(path.join(this.root, "files", `${index}`), randomBytes(4 << 20));
    const image = path.join(this.root, "volume.img");
    await makeExt4Image(image, { fromDirectory: path.join(this.root, "files"), sizeMib: 200 });
    const { id } = await this.cloud.addVolume({ name: "large", imageFile: image });
    const project = path.join(this.root, "project");
    await symlink(path.join(__dirname, "../../node_modules"), path.join(project, "node_modules"), "dir");
    await writeFile(path.join(project, "Pulumi.yaml"), "name: slow\nruntime: nodejs\nmain: index.js\n");
    await writeFile(path.join(project, "package.json"), JSON.stringify({ private: true, main: "index.js" }));
    await writeFile(
      path.join(project, "index.js"),
      `const { ResticRepository, VolumeBackup } = require("pulumi-openstack-backup");
       const repository = new ResticRepository("repository", { url: ${JSON.stringify(this.url)}, password: ${JSON.stringify(password)},
         environment: { RESTIC_PROGRESS_FPS: "1" } });
       new VolumeBackup("set", { volumeId: ${JSON.stringify(id)}, schedule: "0 * * * *", repository });`,
    );
    const restic = which("restic");
    await writeFile(
      path.join(this.root, "bin", "restic"),
      `#!/bin/sh\ncase " $* " in *" backup "*) exec ${restic} --limit-upload=${mibPerSecond * 1000} "$@";; esac\nexec ${restic} "$@"\n`,
      { mode: 0o755 },
    );
  }

  /** The repository's folder. */
  get url(): string {
    return path.join(this.root, "repository");
  }

  /** From now on restic is as fast as it is. */
  async hurry(): Promise<void> {
    await rm(path.join(this.root, "bin", "restic"));
  }

  start(args: string[]): { child: ChildProcess; ended: Promise<Ended> } {
    const [command, ...before] = this.engine.command;
    const child = spawn(command, [...before, ...args], {
      cwd: path.join(this.root, "project"),
      env: this.environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.children.push(child);
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", text => (said += text));
    return { child, ended: new Promise(resolve => child.once("close", code => resolve({ code, said }))) };
  }

  run(args: string[]): Promise<Ended> {
    return this.start(args).ended;
  }

  /** Until restic is in the middle of a backup. */
  async untilBackup(): Promise<void> {
    await until("restic's start", () =>
      this.processes().some(({ command }) => / backup /.test(command) && /restic/.test(command)),
    );
  }

  /** Processes that belong to this stack: they have its HOME. */
  processes(): { pid: number; command: string; cpuSeconds: number }[] {
    return readdirSync("/proc")
      .filter(name => /^\d+$/.test(name))
      .flatMap(name => {
        try {
          const variables = `\0${readFileSync(`/proc/${name}/environ`, "latin1")}`;
          if (!variables.includes(`\0HOME=${this.root}/home\0`)) return [];
          const command = readFileSync(`/proc/${name}/cmdline`, "latin1").replaceAll("\0", " ").trim();
          // Pulumi's language host is Pulumi's own.
          if (command === "" || command.includes("pulumi-language-nodejs")) return [];
          const words = readFileSync(`/proc/${name}/stat`, "latin1")
            .replace(/^.*\) /, "")
            .split(" ");
          return [{ pid: Number(name), command, cpuSeconds: (Number(words[11]) + Number(words[12])) / 100 }];
        } catch {
          return [];
        }
      });
  }

  /** The slot and the flaws of each point in the repository. */
  async points(): Promise<string[][]> {
    const snapshots = await openRepository({ url: this.url, password }).snapshots();
    return snapshots.map(({ tags }) => tags.filter(tag => /^slot=|^partial$|^unproven$/.test(tag)));
  }

  async close(): Promise<void> {
    for (const child of this.children) if (child.exitCode === null) child.kill("SIGKILL");
    await this.cloud.stop();
    await rm(this.root, { recursive: true, force: true });
  }
}

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
