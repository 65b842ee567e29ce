import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { type DeploymentFile, Display, Engine, type RunOptions, type RunResult } from "../../engine";

/** The passphrase of all stacks of the tests. */
export const passphrase = "correct horse";

export type RunKind = "up" | "preview" | "refresh" | "destroy";

export type RunFlag = "refresh" | "expectNoChanges" | "continueOnError";

/** How one run ended. */
export interface Ran {
  exitCode: number;
  /** The steps of each resource in their order; "!" marks one that failed. */
  steps: Record<string, string[]>;
  /** How many resources got each operation. */
  changes: Record<string, number>;
  /** What the user saw. */
  output: string;
}

/** The stack "dev" of one project folder on one engine. */
export interface EngineStack {
  run(kind: RunKind, flags?: RunFlag[]): Promise<Ran>;
  setConfig(key: string, value: string, secret: boolean): Promise<void>;
  removeConfig(key: string): Promise<void>;
  exportStack(options: { showSecrets: boolean }): Promise<DeploymentFile>;
  importStack(file: DeploymentFile): Promise<void>;
}

/** Where a stack is, and how it is run. */
export interface StackPlace {
  /** The folder of Pulumi.yaml. */
  project: string;
  /** An existing folder for everything that the engine keeps. */
  directory: string;
  /** Of the program and the provider; changes made to it later count in the next run. */
  environment: NodeJS.ProcessEnv;
  /** How many operations run at once. Default 16. */
  parallel?: number;
}

/** A stack on the embedded engine, in this process. `policies` are those of `pulumiStack`. */
export async function embeddedStack(
  { project, directory, environment, parallel = 16 }: StackPlace,
  policies: string[] = [],
): Promise<EngineStack> {
  const policyPacks = readPolicies(policies);
  let display: Display | undefined;
  const engine = new Engine({
    directory: project,
    stack: "dev",
    stateDirectory: join(directory, "state"),
    environment,
    parallel,
    onEvent: event => display?.show(event),
    onSecret: text => display?.mask.add(text),
  });
  return {
    async run(kind, flags = []) {
      const lines: string[] = [];
      display = new Display(line => lines.push(line), { diff: false, json: false });
      const result = await engine[kind]({
        ...Object.fromEntries(flags.map(flag => [flag, true])),
        policyPacks,
      });
      display.finish(result, result.dryRun);
      return {
        exitCode: result.exitCode,
        steps: embeddedSteps(result, result.dryRun),
        changes: sortKeys(result.changes as Record<string, number>),
        output: lines.join("\n"),
      };
    },
    setConfig: (key, value, secret) => engine.setConfig(key, { value, secret }),
    async removeConfig(key) {
      await engine.removeConfig(key);
    },
    exportStack: options => engine.exportStack(options),
    importStack: file => engine.importStack(file),
  };
}

/** The packs that the flags name, in order, each with its configuration. */
function readPolicies(flags: string[]): NonNullable<RunOptions["policyPacks"]> {
  const valuesOf = (name: string) =>
    flags.flatMap((value, index) => (flags[index - 1] === name ? value.split(",") : []));
  const files = valuesOf("--policy-pack-config");
  return valuesOf("--policy-pack").map((directory, index) => {
    const configFile = files[index];
    return { directory, ...(configFile ? { configFile } : {}) };
  });
}

function embeddedSteps(result: RunResult, preview: boolean): Record<string, string[]> {
  const steps: Record<string, string[]> = {};
  for (const event of result.events) {
    if (event.type !== "step-end") continue;
    const list = steps[event.urn] ?? [];
    // The real CLI reports a failure in a preview as a diagnostic only.
    list.push(event.ok || preview ? event.op : `${event.op}!`);
    steps[event.urn] = list;
  }
  return sortKeys(steps);
}

/** The directory of the real CLI on PATH; undefined when there is none. */
export function findPulumi(): string | undefined {
  return (process.env.PATH ?? "").split(delimiter).find(directory => existsSync(join(directory, "pulumi")));
}

/** A stack on the real CLI with a file backend. With `policies` (`--policy-pack …`), an `up` begins with its preview, where they judge. */
export async function pulumiStack(
  { project, directory, environment, parallel = 16 }: StackPlace,
  policies: string[] = [],
): Promise<EngineStack> {
  const backend = join(directory, "backend");
  mkdirSync(backend);
  Object.assign(environment, {
    PULUMI_HOME: join(directory, "home"),
    PULUMI_BACKEND_URL: `file://${backend}`,
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DEBUG_COMMANDS: "true",
  });
  const cli = (args: string[], input?: string) =>
    execute("pulumi", [...args, "--non-interactive"], { cwd: project, env: environment, input });
  const must = async (args: string[], input?: string): Promise<string> => {
    const { code, stdout, stderr } = await cli(args, input);
    if (code !== 0) throw new Error(`pulumi ${args.join(" ")}: exit code ${code}\n${stdout}${stderr}`);
    return stdout;
  };
  await must(["stack", "init", "dev"]);
  const names = {
    refresh: "--refresh",
    expectNoChanges: "--expect-no-changes",
    continueOnError: "--continue-on-error",
  };
  return {
    async run(kind, runFlags = []) {
      const log = join(directory, "events.json");
      rmSync(log, { force: true });
      const { code, stdout, stderr } = await cli([
        kind,
        ...(kind === "preview" ? [] : ["--yes"]),
        ...(kind === "preview" || policies.length > 0 ? [] : ["--skip-preview"]),
        ...["--event-log", log, "--parallel", String(parallel)],
        ...runFlags.map(flag => names[flag]),
        ...(kind === "preview" || kind === "up" ? policies : []),
      ]);
      return { exitCode: code, ...pulumiSteps(readFileSync(log, "utf8")), output: stdout + stderr };
    },
    async setConfig(key, value, secret) {
      // A value may look like a flag or be empty; a secret is in no process list.
      await must(["config", "set", key, secret ? "--secret" : "--plaintext"], value);
    },
    async removeConfig(key) {
      await must(["config", "rm", key]);
    },
    async exportStack({ showSecrets }) {
      const text = await must(["stack", "export", ...(showSecrets ? ["--show-secrets"] : [])]);
      return JSON.parse(text) as DeploymentFile;
    },
    async importStack(file) {
      const path = join(directory, "import.json");
      writeFileSync(path, JSON.stringify(file));
      await must(["stack", "import", "--file", path]);
    },
  };
}

interface CliEvent {
  preludeEvent?: object;
  resourcePreEvent?: { metadata: { op: string; urn: string } };
  resOpFailedEvent?: { metadata: { op: string; urn: string } };
  summaryEvent?: { resourceChanges?: Record<string, number> };
}

function pulumiSteps(log: string): Pick<Ran, "steps" | "changes"> {
  let steps: Record<string, string[]> = {};
  let changes: Record<string, number> = {};
  for (const line of log.split("\n").filter(Boolean)) {
    const event = JSON.parse(line) as CliEvent;
    // With policies an `up` begins with its preview.
    if (event.preludeEvent) {
      steps = {};
      changes = {};
    }
    const begun = event.resourcePreEvent?.metadata;
    if (begun) {
      const list = steps[begun.urn] ?? [];
      list.push(begun.op);
      steps[begun.urn] = list;
    }
    const failed = event.resOpFailedEvent?.metadata;
    if (failed) {
      const list = steps[failed.urn] ?? [];
      list[list.lastIndexOf(failed.op)] = `${failed.op}!`;
    }
    changes = event.summaryEvent?.resourceChanges ?? changes;
  }
  return { steps: sortKeys(steps), changes: sortKeys(changes) };
}

/** Runs a command to its end. */
export function execute(
  command: string,
  args: string[],
  options: {
    cwd: string;
    env: NodeJS.ProcessEnv;
    input?: string | undefined;
    onStart?(child: ChildProcess): void;
  },
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env,
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout?.on("data", (data: Buffer) => {
      stdout += data;
    });
    child.stderr?.on("data", (data: Buffer) => {
      stderr += data;
    });
    child.on("error", reject);
    child.on("close", code => resolve({ code: code ?? -1, stdout, stderr }));
    child.stdin?.end(options.input);
    options.onStart?.(child);
  });
}

/** The same record with its keys in order. */
export function sortKeys<T>(object: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The engines that a stack can run on here, by what tests call them. */
export const engines: [string, typeof embeddedStack][] = [
  ["the embedded engine", embeddedStack],
  ...(findPulumi() ? [["the real CLI", pulumiStack] as [string, typeof embeddedStack]] : []),
];
