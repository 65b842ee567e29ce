import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type ConfigMap, type ConfigValue, fullKey, type Project, readProject, StackConfig } from "./config";
import { DeploymentRun, type Hosts, processes } from "./deployment";
import type { EngineEvent, LogEvent, Op } from "./events";
import { lockStack } from "./lock";
import type { PolicyPackSource } from "./policy-pack";
import type { Properties } from "./property";
import { loadProtocol } from "./protocol";
import { Crypter, passphraseFrom } from "./secrets";
import {
  type Deployment,
  type DeploymentFile,
  readDeployment,
  readStateFile,
  StateWriter,
  verifyIntegrity,
  writeFileDurably,
} from "./state";

/** Where and how to run. */
export interface EngineOptions {
  /** The directory of Pulumi.yaml, or one below it. */
  directory: string;
  /** Name of the stack. */
  stack: string;
  /** Directory of the states; default OSBACKUP_STATE_DIRECTORY, else `.osbackup/state` in the project. */
  stateDirectory?: string;
  /** Default PULUMI_CONFIG_PASSPHRASE, else the file that PULUMI_CONFIG_PASSPHRASE_FILE names. */
  passphrase?: string;
  /** Environment of the program and the provider; default this process's. */
  environment?: NodeJS.ProcessEnv;
  /** Configuration on top of Pulumi.<stack>.yaml; short keys are the project's. */
  config?: ConfigMap;
  /** How many operations run at once; default 16. */
  parallel?: number;
  /** Default: processes of their own. A test of a thousand runs has no time to start two for each. */
  hosts?: Hosts;
  /** Those that engines of the same passphrase have opened before, by salt: a derivation takes some tenths of a second. */
  crypters?: Map<string, Promise<Crypter>>;
  onEvent?: (event: EngineEvent) => void;
  /** Told each secret text once, before it can appear in an event. */
  onSecret?: (text: string) => void;
  /** Aborting finishes what runs and starts nothing new. */
  signal?: AbortSignal;
}

/** Options of one run. */
export interface RunOptions {
  /** Read every resource before planning. */
  refresh?: boolean;
  /** Fail when there is anything to change. */
  expectNoChanges?: boolean;
  /** Go on with what does not depend on a failed resource. */
  continueOnError?: boolean;
  /** Only show what would be done. */
  dryRun?: boolean;
  /** Of a refresh: forget creations that were cut off. */
  clearPendingCreates?: boolean;
  /** Policy packs that judge an `up` or a preview; paths count from the engine's directory. */
  policyPacks?: { directory: string; configFile?: string }[];
  /** Of an `up` with policy packs: let them judge only what is being done, not first what would be. */
  skipPreview?: boolean;
}

/** How a run ended. */
export interface RunResult {
  result: "succeeded" | "failed" | "cancelled";
  /** Whether it was planned only: of a preview, and of an `up` that did not get beyond its planning. */
  dryRun: boolean;
  /** Number of resources by operation. */
  changes: Partial<Record<Op, number>>;
  events: EngineEvent[];
  /** The stack's outputs after and before; secrets are in their wrappers. */
  outputs: Properties;
  outputsBefore: Properties;
  /** Warnings and errors. */
  diagnostics: LogEvent[];
  exitCode: number;
  seconds: number;
  /** How many times the state file was written. */
  checkpointWrites: number;
}

/** Exit codes, the Pulumi CLI's. */
export const exitCodes = { ok: 0, failed: 1, changes: 7, cancelled: 8 } as const;

type Operation = "up" | "preview" | "refresh" | "destroy";

/**
 * Runs Pulumi stacks of dynamic resources where there is no Pulumi CLI. The state is Pulumi's own: take it over with
 * `exportStack` and `pulumi stack import` at any time.
 */
export class Engine {
  readonly project: Project;
  private readonly environment: NodeJS.ProcessEnv;
  private readonly statesDirectory: string;
  private readonly statePath: string;
  private readonly lockPath: string;
  private current: DeploymentRun | undefined;
  private readonly crypters: Map<string, Promise<Crypter>>;

  constructor(private readonly options: EngineOptions) {
    if (!/^[A-Za-z0-9._-]+$/.test(options.stack)) {
      throw new Error(`opening stack "${options.stack}": a name may hold letters, digits, ".", "_" and "-"`);
    }
    this.crypters = options.crypters ?? new Map();
    this.project = readProject(options.directory);
    this.environment = options.environment ?? process.env;
    const states =
      options.stateDirectory ??
      this.environment.OSBACKUP_STATE_DIRECTORY ??
      join(this.project.directory, ".osbackup", "state");
    this.statesDirectory = join(resolve(this.project.directory, states), this.project.name);
    const base = join(this.statesDirectory, options.stack);
    this.statePath = `${base}.json`;
    this.lockPath = `${base}.lock`;
  }

  /** Names of the project's stacks that have a state or a configuration. */
  stacks(): string[] {
    const namesIn = (directory: string, pattern: RegExp) =>
      existsSync(directory) ? readdirSync(directory).flatMap(file => pattern.exec(file)?.[1] ?? []) : [];
    const found = [
      ...namesIn(this.statesDirectory, /^(.+)\.json$/),
      ...namesIn(this.project.directory, /^Pulumi\.(.+)\.ya?ml$/),
    ];
    return [...new Set(found)].sort();
  }

  /** Begins the stack with an empty state; one that is there stays as it is. */
  async begin(): Promise<void> {
    if (!existsSync(this.statePath)) await this.importStack(await this.exportStack());
  }

  /** Makes the cloud as the program says. */
  up(options: RunOptions = {}): Promise<RunResult> {
    return this.run("up", options);
  }

  /** Shows what `up` would do. */
  preview(options: RunOptions = {}): Promise<RunResult> {
    return this.run("preview", { ...options, dryRun: true });
  }

  /** Reads every resource and puts into the state what is there. */
  refresh(options: RunOptions = {}): Promise<RunResult> {
    return this.run("refresh", options);
  }

  /** Deletes every resource of the stack. */
  destroy(options: RunOptions = {}): Promise<RunResult> {
    return this.run("destroy", options);
  }

  /** Ends a run at once, leaving pending operations in the state. */
  async kill(): Promise<void> {
    await this.current?.kill();
  }

  /** The state as `pulumi stack import` takes it; with `showSecrets` in the clear. */
  async exportStack(options: { showSecrets?: boolean } = {}): Promise<DeploymentFile> {
    const file = readStateFile(this.statePath);
    if (!file) {
      const { crypter } = await this.openCrypter(undefined);
      return JSON.parse(
        new StateWriter(crypter).write({ resources: [], pendingOperations: [] }),
      ) as DeploymentFile;
    }
    return options.showSecrets ? reveal(file, await this.stateCrypter(file)) : file;
  }

  /** Replaces the state by an exported one, also of the real CLI's. */
  async importStack(file: DeploymentFile): Promise<void> {
    await this.locked(async () => {
      const from = await this.stateCrypter(file);
      const deployment = readDeployment(file, from);
      verifyIntegrity(deployment);
      const wrong = deployment.resources.find(state => state.urn.split("::")[1] !== this.project.name);
      if (wrong)
        throw new Error(
          `importing a state: ${wrong.urn} belongs to another project than "${this.project.name}"`,
        );
      const stack = deployment.resources.find(
        state => state.urn.split("::")[0] !== `urn:pulumi:${this.options.stack}`,
      );
      if (stack)
        throw new Error(
          `importing a state: ${stack.urn} belongs to another stack than "${this.options.stack}"`,
        );
      const { crypter } = await this.openCrypter(undefined);
      await writeFileDurably(this.statePath, new StateWriter(crypter).write(deployment));
    });
  }

  /** The stack's outputs; secrets are in their wrappers. */
  async stackOutputs(): Promise<Properties> {
    const file = readStateFile(this.statePath);
    if (!file) return {};
    const { resources } = readDeployment(file, await this.stateCrypter(file));
    return resources.find(state => state.type === "pulumi:pulumi:Stack")?.outputs ?? {};
  }

  /** All configuration values in the clear, defaults of Pulumi.yaml and `config` of the options included. */
  async configuration(): Promise<ConfigMap> {
    const file = StackConfig.read(this.project, this.options.stack);
    const crypter = file.hasSecrets ? (await this.openCrypter(file)).crypter : undefined;
    const extra: ConfigMap = {};
    for (const [key, value] of Object.entries(this.options.config ?? {}))
      extra[fullKey(this.project.name, key)] = value;
    return { ...this.project.defaults, ...file.values(crypter), ...extra };
  }

  /** Writes one value to Pulumi.<stack>.yaml. */
  async setConfig(key: string, value: ConfigValue): Promise<void> {
    const file = StackConfig.read(this.project, this.options.stack);
    const crypter = value.secret ? (await this.openCrypter(file)).crypter : undefined;
    file.set(key, value, crypter);
    await file.save();
  }

  /** Removes one value from Pulumi.<stack>.yaml; false when it was not there. */
  async removeConfig(key: string): Promise<boolean> {
    const file = StackConfig.read(this.project, this.options.stack);
    if (!file.remove(key)) return false;
    await file.save();
    return true;
  }

  private async run(operation: Operation, run: RunOptions): Promise<RunResult> {
    const started = Date.now();
    let events: EngineEvent[] = [];
    const emit = (event: EngineEvent) => {
      events.push(event);
      this.options.onEvent?.(event);
    };
    let dryRun = run.dryRun ?? false;
    const plansFirst =
      operation === "up" && !dryRun && !run.skipPreview && (run.policyPacks ?? []).length > 0;
    const work = async () => {
      if (!plansFirst) return this.deploy(operation, run, dryRun, emit);
      const earlier = [...events];
      emit({ type: "pass", dryRun: true });
      const planned = await this.deploy(operation, run, true, emit);
      if (planned.result !== "succeeded") {
        dryRun = true;
        return planned;
      }
      // What was planned is told once more as it is done.
      events = earlier;
      emit({ type: "pass", dryRun: false });
      return this.deploy(operation, run, false, emit);
    };
    const warn = (message: string) => emit({ type: "log", severity: "warning", message });
    const result = dryRun ? await work() : await this.locked(work, warn);

    const changed = Object.entries(result.changes).some(([op, count]) => op !== "same" && (count ?? 0) > 0);
    let exitCode: number = result.result === "succeeded" ? exitCodes.ok : exitCodes.failed;
    let outcome = result.result;
    if (exitCode === exitCodes.ok && run.expectNoChanges && changed) {
      emit({
        type: "log",
        severity: "error",
        message: dryRun
          ? "no changes were expected but changes are proposed"
          : "no changes were expected but changes occurred",
      });
      outcome = "failed";
      exitCode = exitCodes.changes;
    }
    return {
      result: outcome,
      dryRun,
      changes: result.changes,
      events,
      outputs: result.outputs ?? {},
      outputsBefore: result.outputsBefore ?? {},
      diagnostics: events.filter(
        (event): event is LogEvent =>
          event.type === "log" && (event.severity === "warning" || event.severity === "error"),
      ),
      exitCode,
      seconds: (Date.now() - started) / 1000,
      checkpointWrites: result.checkpointWrites,
    };
  }

  private async deploy(
    operation: Operation,
    run: RunOptions,
    dryRun: boolean,
    emit: (event: EngineEvent) => void,
  ) {
    const { options } = this;
    const protocol = loadProtocol(this.project.programDirectory);
    const file = readStateFile(this.statePath);
    const config = await this.configuration();
    for (const { value, secret } of Object.values(config)) if (secret) options.onSecret?.(value);
    const salt = file?.deployment.secrets_providers?.state?.salt;
    const { crypter } = await this.openCrypter(undefined, { stateSalt: salt, save: !dryRun });
    const writer = new StateWriter(crypter);
    const before: Deployment = file
      ? readDeployment(file, await this.stateCrypter(file), (urn, clear, sealed) => {
          // A ciphertext of another key would be worthless in the new file.
          if (salt === crypter.salt) writer.remember(urn, clear, sealed);
        })
      : { resources: [], pendingOperations: [] };
    if (run.clearPendingCreates) before.pendingOperations = [];

    const deployment = new DeploymentRun({
      protocol,
      project: this.project,
      stack: options.stack,
      environment: this.environment,
      config,
      before,
      writer,
      statePath: dryRun ? undefined : this.statePath,
      source: operation === "destroy" ? "none" : "program",
      refresh: operation === "refresh" ? "only" : (run.refresh ?? false),
      dryRun,
      parallel: options.parallel ?? 16,
      continueOnError: run.continueOnError ?? false,
      hosts: options.hosts ?? processes,
      policyPacks: operation === "up" || operation === "preview" ? this.policyPacks(run) : [],
      emit,
      mask: text => options.onSecret?.(text),
    });
    this.current = deployment;
    const cancel = () => deployment.cancel();
    if (options.signal?.aborted) cancel();
    options.signal?.addEventListener("abort", cancel);
    try {
      return await deployment.run();
    } finally {
      options.signal?.removeEventListener("abort", cancel);
      this.current = undefined;
    }
  }

  private policyPacks(run: RunOptions): PolicyPackSource[] {
    const absolute = (path: string) => resolve(this.options.directory, path);
    return (run.policyPacks ?? []).map(({ directory, configFile }) => ({
      directory: absolute(directory),
      location: directory,
      ...(configFile ? { configFile: absolute(configFile) } : {}),
    }));
  }

  private async locked<T>(work: () => Promise<T>, warn: (line: string) => void = () => {}): Promise<T> {
    const release = lockStack(this.lockPath, this.options.stack, warn);
    try {
      return await work();
    } finally {
      release();
    }
  }

  /** The crypter of the stack's settings; a stack without a salt gets one, which is written there if `save` says so. */
  private async openCrypter(
    given: StackConfig | undefined,
    options: { stateSalt?: string | undefined; save?: boolean } = {},
  ): Promise<{ crypter: Crypter }> {
    const config = given ?? StackConfig.read(this.project, this.options.stack);
    if (config.salt) return { crypter: await this.crypterFor(config.salt) };
    const crypter = options.stateSalt
      ? await this.crypterFor(options.stateSalt)
      : await Crypter.create(this.passphrase());
    this.crypters.set(crypter.salt, Promise.resolve(crypter));
    config.salt = crypter.salt;
    if (!given && options.save !== false) await config.save();
    return { crypter };
  }

  private async stateCrypter(file: DeploymentFile): Promise<Crypter | undefined> {
    const salt = file.deployment?.secrets_providers?.state?.salt;
    return salt ? this.crypterFor(salt) : undefined;
  }

  private crypterFor(salt: string): Promise<Crypter> {
    let crypter = this.crypters.get(salt);
    if (!crypter) {
      crypter = Crypter.open(this.passphrase(), salt);
      this.crypters.set(salt, crypter);
    }
    return crypter;
  }

  private passphrase(): string {
    const passphrase = this.options.passphrase ?? passphraseFrom(this.environment);
    if (passphrase === undefined) {
      throw new Error(
        "opening the stack's secrets: set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE (it may be empty)",
      );
    }
    return passphrase;
  }
}

/** A copy of the file with every secret's ciphertext replaced by its plaintext, as --show-secrets does. */
function reveal(file: DeploymentFile, crypter: Crypter | undefined): DeploymentFile {
  const text = JSON.stringify(file, (_key, value: unknown) => {
    const sealed = value as { ciphertext?: unknown } | null;
    if (typeof sealed !== "object" || sealed === null || typeof sealed.ciphertext !== "string" || !crypter)
      return value;
    const { ciphertext, ...rest } = sealed;
    return { ...rest, plaintext: crypter.decrypt(ciphertext as string) };
  });
  return JSON.parse(text) as DeploymentFile;
}

/** Reads a deployment file that `exportStack` or the CLI wrote. */
export function readExport(path: string): DeploymentFile {
  if (path !== "-" && !existsSync(path)) throw new Error(`importing a state: there is no ${path}`);
  return JSON.parse(readFileSync(path === "-" ? 0 : path, "utf8")) as DeploymentFile;
}
