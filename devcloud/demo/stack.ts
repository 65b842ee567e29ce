import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What a run of the engine printed, and how it ended. */
export interface Run {
  code: number | null;
  output: string;
}

/** One stack of a project, driven by `pulumi` where it is on PATH, else by the embedded engine. */
export class Stack {
  /** For people. */
  readonly engine: string;
  private readonly isPulumi: boolean;

  constructor(
    /** The folder of Pulumi.yaml. */
    private readonly project: string,
    readonly name: string,
    private readonly environment: NodeJS.ProcessEnv,
    private readonly show: (line: string) => void,
  ) {
    const version = spawnSync("pulumi", ["version"], { encoding: "utf8", env: environment });
    this.isPulumi = version.status === 0;
    this.engine = this.isPulumi
      ? `pulumi ${version.stdout.trim()}`
      : "the embedded engine (no pulumi on PATH)";
  }

  /** Makes the stack with its configuration. */
  async configure(config: Record<string, string>, secrets: Record<string, string>): Promise<void> {
    if (this.isPulumi) await this.must(["stack", "init", this.name], { quiet: true });
    for (const [key, value] of Object.entries(config)) await this.setConfig(key, value);
    for (const [key, value] of Object.entries(secrets)) await this.setConfig(key, value, true);
  }

  /** Sets one key; a secret goes in by standard input, which no process list shows. */
  async setConfig(key: string, value: string, secret = false): Promise<void> {
    const arguments_ = ["config", "set", key, ...(secret ? ["--secret"] : [value]), "--stack", this.name];
    await this.must(arguments_, { quiet: true, ...(secret ? { input: value } : {}) });
  }

  async preview(now: string, options: { expectNoChanges?: boolean } = {}): Promise<string> {
    const more = options.expectNoChanges ? ["--expect-no-changes"] : [];
    return this.must(["preview", "--stack", this.name, ...this.plain(), ...more], { now });
  }

  async up(now: string): Promise<string> {
    return this.must(["up", "--yes", "--skip-preview", "--stack", this.name, ...this.plain()], { now });
  }

  async destroy(now: string): Promise<string> {
    return this.must(["destroy", "--yes", "--skip-preview", "--stack", this.name, ...this.plain()], { now });
  }

  /** Begins an `up` and kills it with all of its processes, without a warning, when `when` says so. */
  async upKilled(now: string, when: () => boolean): Promise<"killed" | "ended before"> {
    const child = this.begin(["up", "--yes", "--skip-preview", "--stack", this.name, ...this.plain()], {
      now,
    });
    const ended = this.end(child, { quiet: true });
    while (child.exitCode === null && !when()) await new Promise(resolve => setTimeout(resolve, 5));
    if (child.exitCode !== null) return "ended before";
    for (const pid of [...descendants(child.pid as number), child.pid as number]) kill(pid);
    await ended;
    return "killed";
  }

  /** Takes the lock from a run that is known to be dead. Only the real engine asks for that. */
  async unlock(): Promise<void> {
    if (this.isPulumi) await this.must(["cancel", "--yes", "--stack", this.name], { quiet: true });
  }

  private plain(): string[] {
    return this.isPulumi ? ["--non-interactive", "--suppress-progress", "--color", "never"] : [];
  }

  private async must(
    arguments_: string[],
    options: { now?: string; quiet?: boolean; input?: string },
  ): Promise<string> {
    const { code, output } = await this.end(this.begin(arguments_, options), options);
    if (code !== 0)
      throw new Error(`${this.engine}: ${arguments_.slice(0, 2).join(" ")} ended with ${code}\n${output}`);
    return output;
  }

  private begin(arguments_: string[], options: { now?: string; input?: string }): ChildProcess {
    const environment = { ...this.environment, ...(options.now ? { OSBACKUP_NOW: options.now } : {}) };
    const [command, before] = this.isPulumi
      ? ["pulumi", []]
      : [process.execPath, [join(__dirname, "..", "..", "provider", "hosts", "cli.js"), "engine"]];
    const child = spawn(command, [...before, ...arguments_], {
      cwd: this.project,
      env: environment,
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    if (options.input !== undefined) child.stdin?.end(options.input);
    return child;
  }

  private end(child: ChildProcess, options: { quiet?: boolean }): Promise<Run> {
    return new Promise((resolve, reject) => {
      let output = "";
      let line = "";
      const take = (part: Buffer) => {
        output += part;
        line += part;
        const lines = line.split("\n");
        line = lines.pop() as string;
        if (!options.quiet) for (const whole of lines) if (whole.trim() !== "") this.show(whole);
      };
      child.stdout?.on("data", take);
      child.stderr?.on("data", take);
      child.on("error", reject);
      child.on("close", code => resolve({ code, output }));
    });
  }
}

/** Every process below `pid`, children before their parents. */
function descendants(pid: number): number[] {
  const parents = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      parents.set(parent, [...(parents.get(parent) ?? []), Number(entry)]);
    } catch {
      // It has ended meanwhile.
    }
  }
  const below = (of: number): number[] => (parents.get(of) ?? []).flatMap(child => [...below(child), child]);
  return below(pid);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}
