import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { makeExt4Image } from "../../devcloud";
import { type DeploymentFile, Display, Engine, type EngineOptions, type RunResult } from "../../engine";
import { processes } from "../../engine/deployment";
import { type EngineStack, passphrase, pulumiStack } from "../engine/engine-stacks";
import { addSnapshots, quicken } from "../quick-restic/quick-repository";
import { inThisProcess } from "./in-this-process";
import { type PlayedCloud, type StartCloud, startPlayedDevcloud } from "./played-cloud";

/** What a stack goes through: three slots of two sets and of a server's images, a restore, and its end. */
export const stages = ["first", "second", "third", "restore", "destroy"] as const;
export type Stage = (typeof stages)[number];

const clock: Record<Stage, string> = {
  first: "2026-11-22T10:10:00Z",
  second: "2026-11-22T11:10:00Z",
  third: "2026-11-22T12:10:00Z",
  restore: "2026-11-22T12:20:00Z",
  destroy: "2026-11-22T12:30:00Z",
};

export const password = "fault-matrix-password";
export const sets = ["alpha", "beta"] as const;
export const repositoryRoot = path.join(__dirname, "../..");

/** How a run is run. */
export interface RunOptions {
  /** Whether the provider is in a process of its own, which can be killed. Default false. */
  ownProcess?: boolean;
  /** Aborted as SIGINT does it. */
  signal?: AbortSignal;
  /** The repository's password, if another one than the right one is to be given. */
  password?: string;
  /** The clock, where it is not that of the stage. */
  now?: string;
  /** What the program is told beside what it is always told. */
  declared?: object;
  onEngine?(engine: Engine): void;
}

/** What there is beside the stack, and who runs it. */
export interface ScenarioOptions {
  /** Where the provider is from: this package, or a copy of it with a defect. */
  packageDirectory?: string;
  realCli?: boolean;
  /** Default: a devcloud that is quick, with a hundred objects of others. */
  startCloud?: StartCloud;
}

/** How a run ended, and all that it said. */
export interface Ran {
  result: RunResult["result"];
  exitCode: number;
  output: string;
  /** As it was said: the embedded engine's display masks what is secret. The CLI's own is all that is heard of that. */
  unmasked: string;
}

/** One folder in which the scenario is played: a cloud, a repository, a project with its state. */
export class Scenario {
  readonly repository: string;
  readonly wrapper: string;
  private cloudNow: PlayedCloud | undefined;
  private readonly crypters: NonNullable<EngineOptions["crypters"]> = new Map();
  private volumes: Record<string, string> = {};
  private serverId: string | undefined;
  /** The stack on the real CLI, where that runs it. */
  private pulumi: EngineStack | undefined;
  private readonly pulumiEnvironment: NodeJS.ProcessEnv = {};

  private constructor(
    readonly root: string,
    private readonly packageDirectory: string,
    private readonly bringUp: StartCloud,
  ) {
    this.repository = path.join(root, "now/repository");
    this.wrapper = path.join(root, "calls");
  }

  get cloud(): PlayedCloud {
    if (!this.cloudNow) throw new Error("the scenario's cloud is not up");
    return this.cloudNow;
  }

  /** Makes a folder with all that is there before the first run. */
  static async make(
    root: string,
    {
      packageDirectory = repositoryRoot,
      realCli = false,
      startCloud = startPlayedDevcloud,
    }: ScenarioOptions = {},
  ): Promise<Scenario> {
    const made = new Scenario(root, packageDirectory, startCloud);
    for (const name of ["now/project", "home", "tmp", "mnt", "bin", "calls", "saved"])
      mkdirSync(path.join(root, name), { recursive: true });
    made.writeProject();
    made.writeWrapper();
    await made.startCloud();
    await made.addVolumes();
    made.serverId = made.cloud.addServer();
    await made.addForeign();
    if (realCli) await made.beginOnRealCli();
    else await made.engine(made.environment("first")).begin();
    return made;
  }

  /** Everything that the CLI keeps is in a folder of what is saved and loaded. */
  private async beginOnRealCli(): Promise<void> {
    const directory = path.join(this.root, "now/pulumi");
    mkdirSync(directory);
    Object.assign(this.pulumiEnvironment, this.environment("first"));
    this.pulumi = await pulumiStack({
      project: path.join(this.root, "now/project"),
      directory,
      environment: this.pulumiEnvironment,
    });
  }

  private writeProject(): void {
    const project = path.join(this.root, "now/project");
    const program = JSON.stringify(path.join(__dirname, "program.cjs"));
    writeFileSync(path.join(project, "Pulumi.yaml"), "name: faults\nruntime: nodejs\nmain: index.js\n");
    writeFileSync(path.join(project, "package.json"), JSON.stringify({ private: true, main: "index.js" }));
    writeFileSync(
      path.join(project, "index.js"),
      `require(${program}).declare(require("pulumi-openstack-backup"), require("./declared.json"));\n`,
    );
    symlinkSync(path.join(this.packageDirectory, "node_modules"), path.join(project, "node_modules"), "dir");
  }

  /** A restic that counts its calls, and does what a file beside it says before, after or in place of one. */
  private writeWrapper(): void {
    const real = execFileSync("sh", ["-c", "command -v restic"], { encoding: "utf8" }).trim();
    const script = `#!/bin/sh
dir='${this.wrapper}' real='${real}' command=other
for word in "$@"; do
  case $word in init|cat|snapshots|backup|tag|forget|unlock|list|restore|dump|ls|stats|check|find) command=$word; break;; esac
done
echo "$command" >>"$dir/made"
if [ -e "$dir/$command.pass" ] && mv "$dir/$command.pass" "$dir/$command.passed.$$" 2>/dev/null; then :
elif [ -e "$dir/$command.always" ]; then : >"$dir/met"; . "$dir/$command.always"
elif [ -e "$dir/$command.once" ] && mv "$dir/$command.once" "$dir/met" 2>/dev/null; then . "$dir/met"
fi
exec "$real" "$@"
`;
    writeFileSync(path.join(this.root, "bin/restic"), script, { mode: 0o755 });
  }

  private async addVolumes(): Promise<void> {
    for (const name of sets) {
      const files = path.join(this.root, `tmp/${name}`);
      mkdirSync(files);
      for (let number = 0; number < 4; number++)
        writeFileSync(path.join(files, `${name}-${number}`), Buffer.alloc(50_000, name + number));
      const imageFile = path.join(this.root, `tmp/${name}.img`);
      await makeExt4Image(imageFile, { fromDirectory: files, sizeMib: 8 });
      this.volumes[name] = await this.cloud.addVolume({ name, imageFile });
      rmSync(files, { recursive: true });
      rmSync(imageFile);
    }
    this.serverId = this.cloud.addServer();
  }

  /** Near-equal to the stack's own in all but one thing each. */
  private async addForeign(): Promise<void> {
    const own = { "managed-by": "pulumi-openstack-backup", "osbackup-role": "recovery-point" };
    const slot = { "osbackup-slot": "2026-11-22T10:00:00Z", "osbackup-time": "2026-11-22T10:00:00Z" };
    const marks = (index: number): Record<string, string> => {
      const set = sets[index % 2] ?? "alpha";
      const owner = `faults/dev/${set}-snapshot`;
      return [
        { ...own, ...slot, "osbackup-owner": `faults/dev2/${set}-snapshot`, "osbackup-set": set },
        { ...own, ...slot, "osbackup-owner": `faults/de/${set}-snapshot`, "osbackup-set": set },
        { ...own, ...slot, "osbackup-owner": `${owner}2`, "osbackup-set": set },
        { ...own, ...slot, "osbackup-owner": owner.toUpperCase(), "osbackup-set": set },
        { ...own, ...slot, "managed-by": "pulumi-openstack-backup2", "osbackup-owner": owner },
        { ...slot, "osbackup-owner": owner, "osbackup-set": set, "osbackup-role": "recovery-point" },
        { "managed-by": "pulumi-openstack-backup" },
        {},
      ][index % 8] as Record<string, string>;
    };
    const { foreign } = this.cloud.measures;
    const other = await this.cloud.addVolume({ name: "alpha" });
    for (let index = 0; index < foreign.snapshots; index++) {
      const ofOurs = index % 5 === 0;
      const name = `backup-${sets[index % 2]}-20261122T1${index % 3}0000Z`;
      const volumeId = ofOurs ? (this.volumes[sets[index % 2] ?? ""] ?? "") : other;
      const metadata = marks(index);
      await this.cloud.addSnapshot({ volumeId, name, metadata, ...(ofOurs && { status: "error" }) });
    }
    const restic = (...args: string[]) =>
      execFileSync("restic", ["-q", "-r", this.repository, "--no-cache", ...args], {
        env: { ...process.env, RESTIC_PASSWORD: password },
        input: "of somebody else",
        encoding: "utf8",
      });
    restic("init");
    quicken(this.repository, password);
    restic("backup", "--stdin", "--host", "alpha", "--time", "2026-11-22 10:00:00");
    const tagOf = ([key, value]: [string, string]) =>
      `${key.replace("osbackup-", "")}=${value.replace("-snapshot", "-backup").replace("-SNAPSHOT", "-BACKUP")}`;
    const pattern = JSON.parse(restic("cat", "snapshot", ...snapshotFiles(this.repository)));
    const others = Array.from({ length: foreign.copies - 1 }, (_, index) => ({
      ...pattern,
      hostname: sets[index % 2] ?? "",
      tags: Object.entries(marks(index)).map(tagOf),
    }));
    addSnapshots(this.repository, password, others);
  }

  async startCloud(): Promise<void> {
    this.cloudNow = await this.bringUp(path.join(this.root, "now/cloud"));
  }

  async stopCloud(): Promise<void> {
    await this.cloudNow?.stop();
    this.cloudNow = undefined;
  }

  /** Keeps all that is there now under a name; the cloud goes down and up. */
  async save(name: string): Promise<void> {
    await this.stopCloud();
    copy(path.join(this.root, "now"), path.join(this.root, "saved", name));
    await this.startCloud();
  }

  /** Everything as it was when it was saved. */
  async load(name: string): Promise<void> {
    await this.stopCloud();
    copy(path.join(this.root, "saved", name), path.join(this.root, "now"));
    for (const folder of ["tmp", "mnt"]) this.empty(folder);
    await this.startCloud();
  }

  /** Forgets restic's calls and what its stand-in was told. */
  forgetCalls(): void {
    this.empty("calls");
  }

  private empty(folder: string): void {
    rmSync(path.join(this.root, folder), { recursive: true, force: true });
    mkdirSync(path.join(this.root, folder));
  }

  /** The environment of whatever runs. */
  environment(stage: Stage, now = clock[stage]): NodeJS.ProcessEnv {
    return {
      ...this.cloud.environment,
      PATH: `${path.join(this.root, "bin")}:${pathOfThis}:/usr/sbin:/sbin`,
      HOME: path.join(this.root, "home"),
      TMPDIR: path.join(this.root, "tmp"),
      OSBACKUP_MOUNT_DIRECTORY: path.join(this.root, "mnt"),
      OSBACKUP_NOW: now,
      PULUMI_CONFIG_PASSPHRASE: passphrase,
      OS_CONNECT_RETRIES: "2",
      OS_CONNECT_RETRY_DELAY: "0.02",
      OS_API_TIMEOUT: String(this.cloud.measures.apiTimeoutSeconds),
      OSBACKUP_LOCK_WAIT_SECONDS: "2",
    };
  }

  /** One run of the engine. */
  async run(stage: Stage, options: RunOptions = {}, kind?: "preview" | "refresh"): Promise<Ran> {
    const environment = this.environment(stage, options.now);
    // what asks this process asks it as it would ask a process of the run's own
    Object.assign(process.env, environment);
    const declared = {
      url: this.repository,
      password: options.password ?? password,
      volumes: this.volumes,
      serverId: this.serverId,
      restores: stage === "restore",
      timeoutSeconds: this.cloud.measures.waitSeconds,
      restoreSeconds: this.cloud.measures.restoreSeconds,
      ...options.declared,
    };
    const project = path.join(this.root, "now/project");
    writeFileSync(path.join(project, "declared.json"), JSON.stringify(declared));
    if (this.pulumi) {
      Object.assign(this.pulumiEnvironment, environment);
      const ran = await this.pulumi.run(
        kind ?? (stage === "destroy" ? "destroy" : "up"),
        kind === "preview" ? ["expectNoChanges"] : stage === "destroy" ? [] : ["continueOnError"],
      );
      return {
        result: ran.exitCode === 0 ? "succeeded" : "failed",
        exitCode: ran.exitCode,
        output: ran.output,
        unmasked: ran.output,
      };
    }
    const load = createRequire(path.join(this.packageDirectory, "package.json"));
    const { declare } = load(path.join(__dirname, "program.cjs"));
    const program = () => declare(load("./dist/sdk/index.js"), declared);
    const lines: string[] = [];
    const display = new Display(line => lines.push(line), { diff: false, json: false });
    const engine = this.engine(environment, {
      onEvent: event => display.show(event),
      onSecret: text => display.mask.add(text),
      ...(options.signal && { signal: options.signal }),
      hosts: {
        ...inThisProcess(this.packageDirectory, program),
        ...(options.ownProcess && { startProvider: processes.startProvider }),
      },
    });
    options.onEngine?.(engine);
    const operation = kind ?? (stage === "destroy" ? "destroy" : "up");
    const result = await engine[operation]({ expectNoChanges: kind === "preview", continueOnError: true });
    display.finish(result, result.dryRun);
    const unmasked = result.events.flatMap(event => (event.type === "log" ? [event.message] : []));
    return {
      result: result.result,
      exitCode: result.exitCode,
      output: lines.join("\n"),
      unmasked: unmasked.join("\n"),
    };
  }

  /** The stack's state with secrets in the clear. */
  exportState(stage: Stage): Promise<DeploymentFile> {
    return (this.pulumi ?? this.engine(this.environment(stage))).exportStack({ showSecrets: true });
  }

  private engine(environment: NodeJS.ProcessEnv, more: Partial<EngineOptions> = {}): Engine {
    return new Engine({
      directory: path.join(this.root, "now/project"),
      stack: "dev",
      stateDirectory: path.join(this.root, "now/state"),
      environment,
      crypters: this.crypters,
      ...more,
    });
  }

  /** The file that the engine's state is in. */
  get stateFile(): string {
    return path.join(this.root, "now/state/faults/dev.json");
  }

  sourceId(set: (typeof sets)[number]): string {
    return this.volumes[set] ?? "";
  }

  /** The commands of restic that were called. */
  resticCalls(): string[] {
    const file = path.join(this.wrapper, "made");
    return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
  }

  async remove(): Promise<void> {
    await this.stopCloud();
    unmount(this.root);
    rmSync(this.root, { recursive: true, force: true });
  }
}

const pathOfThis = process.env.PATH ?? "";

function copy(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  execFileSync("cp", ["-a", "--sparse=always", from, to]);
}

/** The names of the snapshots in the repository, without asking restic, and without what a killed one was writing. */
export const snapshotFiles = (repository: string): string[] =>
  readdirSync(path.join(repository, "snapshots")).filter(name => /^[0-9a-f]{64}$/.test(name));

/** Takes away the mounts that a case has left which did not come to its end. */
export function unmount(root: string): void {
  for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n")) {
    const [, where = ""] = line.split(" ");
    if (where.startsWith(root)) execFileSync("umount", [where]);
  }
}
