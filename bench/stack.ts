import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import path from "node:path";

const root = path.resolve(__dirname, "..");

/** The command of the Pulumi CLI where it is on PATH, else of the embedded engine. */
export interface EngineCommand {
  /** For people: "pulumi v3.260.0" or "embedded". */
  name: string;
  isPulumi: boolean;
  command: string[];
}

/** The engine that the benchmarks run on. */
export function findEngine(): EngineCommand {
  const version = spawnSync("pulumi", ["version"], { encoding: "utf8" });
  if (version.status === 0)
    return { name: `pulumi ${version.stdout.trim()}`, isPulumi: true, command: ["pulumi"] };
  const cli = path.join(root, "dist/provider/hosts/cli.js");
  return { name: "embedded", isPulumi: false, command: [process.execPath, cli, "engine"] };
}

/** What one run of the engine took. */
export interface Measured {
  /** Wall-clock time of the whole command. */
  seconds: number;
  /** CPU time of the engine, the program and the provider together. */
  cpuSeconds: number;
  /** Highest resident memory of the provider process, in bytes. */
  providerBytes: number;
  startedAt: number;
  endedAt: number;
  output: string;
}

/** A stack of one of the programs below `programs/`, in a folder of its own. */
export class BenchStack {
  private readonly environment: NodeJS.ProcessEnv;

  constructor(
    readonly engine: EngineCommand,
    /** Where project, state and logs are kept. */
    readonly directory: string,
    program: string,
    environment: NodeJS.ProcessEnv,
  ) {
    cpSync(path.join(__dirname, "programs", program), directory, { recursive: true });
    symlinkSync(path.join(root, "node_modules"), path.join(directory, "node_modules"));
    for (const folder of ["backend", "home", "state"]) mkdirSync(path.join(directory, folder));
    this.environment = {
      ...process.env,
      PULUMI_BACKEND_URL: `file://${path.join(directory, "backend")}`,
      PULUMI_HOME: path.join(directory, "home"),
      PULUMI_CONFIG_PASSPHRASE: "bench",
      PULUMI_SKIP_UPDATE_CHECK: "true",
      PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK: "true",
      OSBACKUP_STATE_DIRECTORY: path.join(directory, "state"),
      ...environment,
    };
    if (engine.isPulumi) this.must(["stack", "init", "bench"]);
  }

  /** `skipCheckpoints` is for the real engine, which otherwise writes the whole state twice a resource. */
  up(options: { skipCheckpoints?: boolean } = {}): Promise<Measured> {
    const arguments_ = ["up", "--yes", "--skip-preview", "--stack", "bench", ...this.quiet()];
    return this.measure(arguments_, options.skipCheckpoints ? { PULUMI_SKIP_CHECKPOINTS: "true" } : {});
  }

  /** From now on its processes have these variables too. */
  set(more: NodeJS.ProcessEnv): void {
    Object.assign(this.environment, more);
  }

  /** From now on nothing is loaded into its processes. */
  withoutProbe(): void {
    delete this.environment.NODE_OPTIONS;
  }

  destroy(): Promise<Measured> {
    return this.measure(["destroy", "--yes", "--skip-preview", "--stack", "bench", ...this.quiet()]);
  }

  /** The resources of the state, as the engine keeps them. */
  resources(): StoredResource[] {
    const { deployment } = JSON.parse(this.must(["stack", "export", "--stack", "bench"])) as {
      deployment: { resources?: StoredResource[] };
    };
    return deployment.resources ?? [];
  }

  private quiet(): string[] {
    return this.engine.isPulumi ? ["--non-interactive", "--suppress-progress", "--color", "never"] : [];
  }

  private must(arguments_: string[]): string {
    const [command, ...before] = this.engine.command as [string, ...string[]];
    const { status, stdout, stderr } = spawnSync(command, [...before, ...arguments_], {
      cwd: this.directory,
      env: this.environment,
      encoding: "utf8",
      maxBuffer: 256 << 20,
    });
    if (status !== 0) throw new Error(`${arguments_.slice(0, 2).join(" ")} ended with ${status}\n${stderr}`);
    return stdout;
  }

  /** Runs the engine; the shell's `times` tells what all processes below it used. */
  private async measure(arguments_: string[], more: NodeJS.ProcessEnv = {}): Promise<Measured> {
    const times = path.join(this.directory, "times");
    const script = 'file=$1; shift; "$@"; code=$?; times >"$file"; exit $code';
    const startedAt = Date.now();
    const child = spawn("sh", ["-c", script, "sh", times, ...this.engine.command, ...arguments_], {
      cwd: this.directory,
      env: { ...this.environment, ...more },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    const take = (part: Buffer) => {
      output += part;
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    let providerBytes = 0;
    const sampling = setInterval(() => {
      providerBytes = Math.max(providerBytes, peakOfProvider(this.directory));
    }, 250);
    const code = await new Promise(resolve => child.on("close", resolve));
    clearInterval(sampling);
    const endedAt = Date.now();
    if (code !== 0) throw new Error(`${arguments_[0]} ended with ${code}\n${output.slice(-4000)}`);
    return {
      seconds: (endedAt - startedAt) / 1000,
      cpuSeconds: childSeconds(readFileSync(times, "utf8")),
      providerBytes,
      startedAt,
      endedAt,
      output,
    };
  }
}

/** One resource of a deployment file. */
export interface StoredResource {
  urn: string;
  type: string;
  inputs?: Record<string, unknown>;
  outputs?: Record<string, unknown>;
  [key: string]: unknown;
}

/** The second line of the shell's `times`: user and system time of its children, as "1m2.345s 0m0.678s". */
export function childSeconds(times: string): number {
  return [...(times.split("\n")[1] ?? "").matchAll(/(\d+)m([\d.]+)s/g)]
    .map(([, minutes, seconds]) => 60 * Number(minutes) + Number(seconds))
    .reduce((sum, part) => sum + part, 0);
}

/** Peak resident memory of the dynamic provider process that runs in this folder; 0 while there is none. */
function peakOfProvider(directory: string): number {
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const words = readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0");
      if (!words.some(word => word.includes("cmd/dynamic-provider"))) continue;
      if (!readFileSync(`/proc/${entry}/environ`, "utf8").includes(`PULUMI_HOME=${directory}/`)) continue;
      const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${entry}/status`, "utf8")) ?? [];
      return Number(kilobytes ?? 0) * 1024;
    } catch {
      // It has ended meanwhile.
    }
  }
  return 0;
}
