import { type ChildProcess, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { type DeploymentFile, Engine, type RunResult } from "../../engine";
import type { Case, Operation } from "./cases";

const repository = join(__dirname, "..", "..");
/** The passphrase of all stacks of the tests. */
export const passphrase = "correct horse";

/** What one operation came to, without what differs from run to run. */
export interface Outcome {
  do: Operation["do"];
  exitCode: number;
  /** The steps of each resource in their order; "!" marks one that failed. */
  steps: Record<string, string[]>;
  /** How many resources got each operation. */
  changes: Record<string, number>;
  /** The calls that the provider got, by resource; or all that change something and which came before which. */
  calls: Record<string, string[]> | string[];
  /** The state afterwards, sorted by URN. */
  state: object[];
}

/** An engine with one stack of one program in a directory of its own. */
export interface Runner {
  run(operation: Operation): Promise<Outcome>;
  /** The state with secrets in the clear. */
  exportStack(): Promise<DeploymentFile>;
  importStack(file: DeploymentFile): Promise<void>;
  close(): Promise<void>;
}

/** The directories of a case: a copy of the programs, the provider's cloud. */
function makeDirectories(program: string) {
  const root = mkdtempSync(join(tmpdir(), "osbackup-engine-"));
  cpSync(join(__dirname, "programs"), root, { recursive: true });
  symlinkSync(join(repository, "node_modules"), join(root, "node_modules"), "dir");
  const cloud = join(root, "cloud");
  mkdirSync(cloud);
  return { root, cloud, program: join(root, program) };
}

/** The environment of the program and the provider: nothing of the tests' own but PATH and what node needs. */
function makeEnvironment(cloud: string): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    FILES_DIRECTORY: cloud,
    PULUMI_CONFIG_PASSPHRASE: passphrase,
    // The compiler checks the programs with everything else.
    PULUMI_NODEJS_TRANSPILE_ONLY: "true",
  };
}

/** The embedded engine, in this process. */
export async function embeddedRunner({
  program,
  ordered,
}: Pick<Case, "program" | "ordered">): Promise<Runner> {
  const directories = makeDirectories(program);
  const environment = makeEnvironment(directories.cloud);
  const calls = new CallLog(directories.cloud, ordered);
  const engine = new Engine({
    directory: directories.program,
    stack: "dev",
    stateDirectory: join(directories.root, "state"),
    environment,
    parallel: ordered ? 1 : 16,
  });
  return {
    async run(operation) {
      if (operation.do === "cloud") {
        editCloud(directories.cloud, operation.files);
        return emptyOutcome(operation);
      }
      if (operation.do === "config") {
        if (operation.value === undefined) await engine.removeConfig(operation.key);
        else
          await engine.setConfig(operation.key, {
            value: operation.value,
            secret: operation.secret === true,
          });
        return emptyOutcome(operation);
      }
      if (operation.edition !== undefined) environment.EDITION = String(operation.edition);
      const flags = Object.fromEntries((operation.flags ?? []).map(flag => [flag, true]));
      const result = await engine[operation.do](flags);
      const state = await engine.exportStack({ showSecrets: true });
      return {
        do: operation.do,
        exitCode: result.exitCode,
        steps: embeddedSteps(result, operation.do === "preview"),
        changes: sortKeys(result.changes as Record<string, number>),
        calls: calls.take(state),
        state: normaliseState(state),
      };
    },
    exportStack: () => engine.exportStack({ showSecrets: true }),
    importStack: file => engine.importStack(file),
    async close() {
      rmSync(directories.root, { recursive: true, force: true });
    },
  };
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

/** The real CLI with a file backend. */
export async function pulumiRunner({ program, ordered }: Pick<Case, "program" | "ordered">): Promise<Runner> {
  const directories = makeDirectories(program);
  const backend = join(directories.root, "backend");
  mkdirSync(backend);
  const calls = new CallLog(directories.cloud, ordered);
  const environment: NodeJS.ProcessEnv = {
    ...makeEnvironment(directories.cloud),
    PULUMI_HOME: join(directories.root, "home"),
    PULUMI_BACKEND_URL: `file://${backend}`,
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DEBUG_COMMANDS: "true",
  };
  const cli = (args: string[]) =>
    execute("pulumi", [...args, "--non-interactive"], { cwd: directories.program, env: environment });
  const must = async (args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await cli(args);
    if (code !== 0) throw new Error(`pulumi ${args.join(" ")}: exit code ${code}\n${stdout}${stderr}`);
    return stdout;
  };
  await must(["stack", "init", "dev"]);
  const exportStack = async () =>
    JSON.parse(await must(["stack", "export", "--show-secrets"])) as DeploymentFile;
  return {
    async run(operation) {
      if (operation.do === "cloud") {
        editCloud(directories.cloud, operation.files);
        return emptyOutcome(operation);
      }
      if (operation.do === "config") {
        const { key, value, secret } = operation;
        if (value === undefined) await must(["config", "rm", key]);
        else await must(["config", "set", key, value, secret ? "--secret" : "--plaintext"]);
        return emptyOutcome(operation);
      }
      if (operation.edition !== undefined) environment.EDITION = String(operation.edition);
      const log = join(directories.root, "events.json");
      rmSync(log, { force: true });
      const names = {
        refresh: "--refresh",
        expectNoChanges: "--expect-no-changes",
        continueOnError: "--continue-on-error",
      };
      const { code } = await cli([
        operation.do,
        ...(operation.do === "preview" ? [] : ["--yes", "--skip-preview"]),
        ...["--event-log", log, "--parallel", ordered ? "1" : "16"],
        ...(operation.flags ?? []).map(flag => names[flag]),
      ]);
      const state = await exportStack();
      return {
        do: operation.do,
        exitCode: code,
        ...pulumiSteps(readFileSync(log, "utf8")),
        calls: calls.take(state),
        state: normaliseState(state),
      };
    },
    exportStack,
    async importStack(file) {
      const path = join(directories.root, "import.json");
      writeFileSync(path, JSON.stringify(file));
      await must(["stack", "import", "--file", path]);
    },
    async close() {
      rmSync(directories.root, { recursive: true, force: true });
    },
  };
}

/** Runs a command to its end. */
export function execute(
  command: string,
  args: string[],
  options: { cwd: string; env: NodeJS.ProcessEnv; onStart?(child: ChildProcess): void },
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (data: Buffer) => {
      stdout += data;
    });
    child.stderr.on("data", (data: Buffer) => {
      stderr += data;
    });
    child.on("error", reject);
    child.on("close", code => resolve({ code: code ?? -1, stdout, stderr }));
    options.onStart?.(child);
  });
}

interface CliEvent {
  resourcePreEvent?: { metadata: { op: string; urn: string } };
  resOpFailedEvent?: { metadata: { op: string; urn: string } };
  summaryEvent?: { resourceChanges?: Record<string, number> };
}

function pulumiSteps(log: string): Pick<Outcome, "steps" | "changes"> {
  const steps: Record<string, string[]> = {};
  let changes: Record<string, number> = {};
  for (const line of log.split("\n").filter(Boolean)) {
    const event = JSON.parse(line) as CliEvent;
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

function editCloud(cloud: string, files: Record<string, object | string | null>): void {
  for (const [file, content] of Object.entries(files)) {
    const path = join(cloud, file);
    if (content === null) rmSync(path);
    else writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  }
}

const emptyOutcome = (operation: Operation): Outcome => ({
  do: operation.do,
  exitCode: 0,
  steps: {},
  changes: {},
  calls: [],
  state: [],
});

/** Reads the provider's calls since the last look. */
class CallLog {
  private needs = new Map<string, Set<string>>();

  constructor(
    private readonly cloud: string,
    private readonly ordered: boolean | undefined,
  ) {}

  take(state: DeploymentFile): Outcome["calls"] {
    const path = join(this.cloud, "calls.log");
    const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n").filter(Boolean) : [];
    rmSync(path, { force: true });
    if (this.ordered) return this.order(lines, state);
    const calls: Record<string, string[]> = {};
    for (const line of lines) {
      const label = labelOf(line);
      calls[label] = [...(calls[label] ?? []), line];
    }
    return sortKeys(calls);
  }

  /** Which call that changes something came before which other, of resources that need each other. */
  private order(lines: string[], state: DeploymentFile): string[] {
    const name = (urn: string) => urn.split("::").pop() ?? "";
    for (const resource of state.deployment.resources ?? []) {
      const known = this.needs.get(name(resource.urn)) ?? new Set();
      for (const urn of resource.dependencies ?? []) known.add(name(urn));
      this.needs.set(name(resource.urn), known);
    }
    const reaches = (from: string, to: string): boolean =>
      from === to || [...(this.needs.get(from) ?? [])].some(next => reaches(next, to));
    const changes = lines.filter(line => /^(create|update|delete) /.test(line));
    const pairs = changes.flatMap((first, index) =>
      changes
        .slice(index + 1)
        .filter(later => reaches(labelOf(first), labelOf(later)) || reaches(labelOf(later), labelOf(first)))
        .map(later => `${first} before ${later}`),
    );
    return [...changes, ...pairs].sort();
  }
}

const labelOf = (call: string): string => call.replace(/^\S+ /, "").replace(/-\d+$/, "");

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** The resources of a state without times, random ids and places in the source, sorted. */
export function normaliseState(file: DeploymentFile): object[] {
  const providerId = /^(urn:pulumi:[^:]+::[^:]+::pulumi:providers:pulumi-nodejs::default)::.*$/;
  const clean = (value: Json): Json => {
    if (typeof value === "string") return value.replace(providerId, "$1::<id>");
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(clean);
    if (typeof value.plaintext === "string") return { secret: clean(JSON.parse(value.plaintext) as Json) };
    return sortKeys(Object.fromEntries(Object.entries(value).map(([key, item]) => [key, clean(item)])));
  };
  const pending = (file.deployment.pending_operations ?? []).map(({ type, resource }) => ({
    type,
    urn: resource.urn,
  }));
  const resources = (file.deployment.resources ?? []).map(resource => {
    const { created, modified, sourcePosition, stackTrace, ...rest } = resource as typeof resource & {
      sourcePosition?: string;
      stackTrace?: object[];
    };
    const state = clean(rest as unknown as Json) as { [key: string]: Json };
    if (state.type === "pulumi:providers:pulumi-nodejs") state.id = "<id>";
    if (Array.isArray(state.dependencies)) state.dependencies.sort();
    for (const list of Object.values((state.propertyDependencies ?? {}) as Record<string, string[]>))
      list.sort();
    return state;
  });
  const key = (state: { [key: string]: Json }) => `${state.urn} ${state.delete === true} ${state.id}`;
  resources.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  return pending.length > 0 ? [...resources, { pending }] : resources;
}

function sortKeys<T>(object: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}
