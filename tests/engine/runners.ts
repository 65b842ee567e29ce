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
import { join } from "node:path";
import type { DeploymentFile } from "../../engine";
import type { Case, Operation } from "./cases";
import {
  type EngineStack,
  embeddedStack,
  passphrase,
  pulumiStack,
  type Ran,
  type StackPlace,
  sortKeys,
} from "./engine-stacks";
import { textsBelow } from "./secret-search";

const repository = join(__dirname, "..", "..");
/** What one operation came to, without what differs from run to run. */
export interface Outcome extends Omit<Ran, "output"> {
  do: Operation["do"];
  /** The calls that the provider got, by resource; or all that change something and which came before which. */
  calls: Record<string, string[]> | string[];
  /** The state afterwards, sorted by URN. */
  state: object[];
}

type CaseProgram = Pick<Case, "program" | "ordered">;

/** An engine with one stack of one program in a directory of its own. */
export interface Runner {
  run(operation: Operation): Promise<Outcome>;
  /** The state with secrets in the clear. */
  exportStack(): Promise<DeploymentFile>;
  importStack(file: DeploymentFile): Promise<void>;
  /** Every file that the engine keeps, by its path. */
  kept(): Map<string, string>;
  close(): Promise<void>;
}

/** The directories of a case: a copy of the programs, the provider's cloud, what the engine keeps. */
function makeDirectories(program: string) {
  const root = mkdtempSync(join(tmpdir(), "osbackup-engine-"));
  cpSync(join(__dirname, "programs"), root, { recursive: true });
  symlinkSync(join(repository, "node_modules"), join(root, "node_modules"), "dir");
  const cloud = join(root, "cloud");
  const engine = join(root, "engine");
  for (const directory of [cloud, engine]) mkdirSync(directory);
  return { root, cloud, engine, program: join(root, program) };
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

/** A case on the embedded engine. */
export const embeddedRunner = (entry: CaseProgram): Promise<Runner> => startRunner(entry, embeddedStack);

/** A case on the real CLI. */
export const pulumiRunner = (entry: CaseProgram): Promise<Runner> => startRunner(entry, pulumiStack);

async function startRunner(
  { program, ordered }: CaseProgram,
  open: (place: StackPlace) => Promise<EngineStack>,
): Promise<Runner> {
  const directories = makeDirectories(program);
  const environment = makeEnvironment(directories.cloud);
  const calls = new CallLog(directories.cloud, ordered);
  const stack = await open({
    project: directories.program,
    directory: directories.engine,
    environment,
    parallel: ordered ? 1 : 16,
  });
  const exportStack = () => stack.exportStack({ showSecrets: true });
  return {
    async run(operation) {
      if (operation.do === "cloud") {
        editCloud(directories.cloud, operation.files);
        return emptyOutcome(operation);
      }
      if (operation.do === "config") {
        const { key, value, secret } = operation;
        if (value === undefined) await stack.removeConfig(key);
        else await stack.setConfig(key, value, secret === true);
        return emptyOutcome(operation);
      }
      if (operation.edition !== undefined) environment.EDITION = String(operation.edition);
      const { output, exitCode, ...ran } = await stack.run(operation.do, operation.flags);
      const state = await exportStack();
      return {
        do: operation.do,
        exitCode,
        ...ran,
        calls: calls.take(state),
        state: normaliseState(state),
      };
    },
    exportStack,
    importStack: file => stack.importStack(file),
    kept() {
      const config = join(directories.program, "Pulumi.dev.yaml");
      return textsBelow(directories.engine).set(config, readFileSync(config, "utf8"));
    },
    async close() {
      rmSync(directories.root, { recursive: true, force: true });
    },
  };
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
