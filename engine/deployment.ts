import { randomUUID } from "node:crypto";
import { Checkpoint, withoutDangling } from "./checkpoint";
import type { ConfigMap, Project } from "./config";
import type { EngineEvent, Op } from "./events";
import { DependencyGraph } from "./graph";
import { type Goal, isStackUrn, type Registered, type Registrar, startMonitor, Terminating } from "./monitor";
import { type Base, PlanError, Planner, type Prefetched } from "./planner";
import { Policies } from "./policies";
import type { PolicyPackSource } from "./policy-pack";
import { startProgram } from "./program";
import { eachSecretText, equal, makeSecret, type Properties } from "./property";
import type { Protocol } from "./protocol";
import { PartialFailure, type Provider, ProviderHost, type StartProvider } from "./provider-host";
import type { Deployment, ResourceState, StateWriter } from "./state";
import { keepSecrets, ProtectedError, refreshStep, type Step, type StepContext } from "./steps";
import { makeUrn, nameOf, PROVIDER_TYPE, type Urn } from "./urn";

/** What runs a stack's program and its providers. */
export interface Hosts {
  startProgram: typeof startProgram;
  startProvider: StartProvider;
}

/** Each in a process of its own, as under the Pulumi CLI. */
export const processes: Hosts = { startProgram, startProvider: options => ProviderHost.start(options) };

/** One run over a stack. */
export interface DeploymentOptions {
  protocol: Protocol;
  project: Project;
  stack: string;
  environment: NodeJS.ProcessEnv;
  config: ConfigMap;
  before: Deployment;
  writer: StateWriter;
  /** Where the state goes; undefined in a preview. */
  statePath: string | undefined;
  /** "program" runs the program; "none" stands for an empty one. */
  source: "program" | "none";
  /** Read every resource first; "only": and do nothing else. */
  refresh: boolean | "only";
  dryRun: boolean;
  parallel: number;
  continueOnError: boolean;
  hosts: Hosts;
  /** What judges the program's resources. */
  policyPacks: PolicyPackSource[];
  emit(event: EngineEvent): void;
  /** Told every secret text, to be masked on the display. */
  mask(text: string): void;
}

/** How a run ended. */
export interface DeploymentResult {
  result: "succeeded" | "failed" | "cancelled";
  /** How many resources got each operation; the halves of replacements and the default provider are not counted. */
  changes: Partial<Record<Op, number>>;
  /** The stack's outputs; undefined when the stack resource is gone. */
  outputs: Properties | undefined;
  /** The stack's outputs before the run. */
  outputsBefore: Properties | undefined;
  /** How many times the state was written. */
  checkpointWrites: number;
}

/** Does one run: plans in the order of registration, works in parallel, keeps the state on the disk. */
export class DeploymentRun implements Registrar {
  private readonly checkpoint: Checkpoint;
  private readonly context: StepContext;
  private readonly policies: Policies | undefined;
  private base: Base;
  private planner: Planner;
  private readonly changes: Partial<Record<Op, number>> = {};
  private readonly goals = new Map<Urn, { protect?: boolean; retainOnDelete?: boolean }>();
  /** Steps whose outputs the program may still register. */
  private readonly finished = new Map<Urn, Step>();
  private stackOutputs: { urn: Urn; outputs: Properties } | undefined;
  /** One planning after the other. */
  private planning: Promise<unknown> = Promise.resolve();
  private readonly running = new Set<Promise<void>>();
  private readonly waiting: (() => void)[] = [];
  private free: number;
  private stopped: "no" | "failed" | "cancelled" = "no";
  private killed = false;
  private sawError = false;
  private readonly erroredUrns = new Set<Urn>();
  private readonly skipped = new Set<Urn>();
  private readonly erroredStates: ResourceState[] = [];
  private notifyStopped: () => void = () => {};
  private readonly untilStopped = new Promise<void>(resolve => {
    this.notifyStopped = resolve;
  });
  private providerReference: Promise<string> | undefined;
  private providerHost: { config: Properties; host: Promise<Provider> } | undefined;
  private providerConfig: Properties | undefined;
  private monitor: { address: string; stop(): void } | undefined;
  private program: { ended: Promise<unknown>; kill(): void } | undefined;

  constructor(private readonly options: DeploymentOptions) {
    const { dryRun } = options;
    this.free = options.parallel;
    this.checkpoint = new Checkpoint(options.statePath, options.writer, options.before);
    this.context = {
      dryRun,
      checkpoint: this.checkpoint,
      host: () => this.host(),
      emit: options.emit,
      secretsIn: properties => eachSecretText(properties, options.mask),
    };
    this.policies = options.policyPacks.length > 0 ? new Policies(options.emit) : undefined;
    this.base = makeBase(options.before.resources);
    this.planner = this.makePlanner();
    for (const state of options.before.resources) {
      this.context.secretsIn(state.inputs);
      if (state.outputs) this.context.secretsIn(state.outputs);
    }
  }

  /** Starts nothing new; what runs may finish. */
  cancel(): void {
    this.stop("cancelled");
  }

  /** Ends the program and the provider at once, whatever they are doing. */
  async kill(): Promise<void> {
    this.killed = true;
    this.stop("cancelled");
    this.program?.kill();
    this.monitor?.stop();
    await this.policies?.stop();
    await (await this.providerHost?.host.catch(() => undefined))?.stop();
  }

  /** Does the run. */
  async run(): Promise<DeploymentResult> {
    const { options } = this;
    const outputsBefore = this.options.before.resources.find(state => isStackUrn(state.urn))?.outputs;
    try {
      this.monitor = await startMonitor(options.protocol, this);
      await this.startPolicies(this.monitor.address);
      if (options.refresh) await this.refresh();
      if (options.refresh !== "only" && !this.isStopped()) {
        if (!options.refresh) this.warnOfPending();
        if (options.source === "program") await this.runProgram();
        // A program may end before its resources are made; nothing is deleted before it is known that they were.
        await Promise.all(this.running);
        if (!this.isStopped()) await this.deleteUnwanted();
        await Promise.all(this.running);
        await this.finishStackOutputs();
        await this.judgeStack();
      }
    } catch (error) {
      this.fail(error as Error);
      await Promise.allSettled(this.running);
    } finally {
      await this.checkpoint.close().catch(error => this.fail(error as Error));
      this.program?.kill();
      this.monitor?.stop();
      const host = await this.providerHost?.host.catch(() => undefined);
      await host?.stop();
      await this.policies?.stop();
    }
    const failed = this.sawError || this.planner.failed || this.stopped === "failed";
    return {
      result: failed ? "failed" : this.stopped === "cancelled" ? "cancelled" : "succeeded",
      changes: this.changes,
      outputs: this.checkpoint.deployment().resources.find(state => isStackUrn(state.urn))?.outputs,
      outputsBefore,
      checkpointWrites: this.checkpoint.writes,
    };
  }

  // ---- what the program asks for ----

  register(goal: Goal): Promise<Registered> {
    this.context.secretsIn(goal.inputs);
    let prefetched: Promise<Prefetched> | undefined;
    if (goal.custom && !this.isStopped()) {
      prefetched = this.planner.prefetch(goal, this.registerProvider());
      prefetched?.catch(() => {});
    }
    const registered = this.planning.then(() => this.planAndStart(goal, prefetched));
    this.planning = registered.then(
      () => {},
      () => {},
    );
    return registered.then(started => started.done);
  }

  async registerOutputs(urn: Urn, outputs: Properties): Promise<void> {
    if (isStackUrn(urn)) {
      this.context.secretsIn(outputs);
      this.stackOutputs = { urn, outputs };
      return;
    }
    if (this.isStopped()) throw new Terminating();
    await this.setOutputs(urn, outputs);
  }

  log(event: Extract<EngineEvent, { type: "log" }>): void {
    // The SDK sends a debug line or more for every resource.
    if (event.severity === "debug") return;
    this.options.emit(event);
  }

  private async planAndStart(
    goal: Goal,
    prefetched: Promise<Prefetched> | undefined,
  ): Promise<{ done: Promise<Registered> }> {
    if (this.isStopped()) throw new Terminating();
    const inherited = goal.parent ? this.goals.get(goal.parent) : undefined;
    const protect = goal.protect ?? inherited?.protect;
    const retainOnDelete = goal.retainOnDelete ?? inherited?.retainOnDelete;
    const full: Goal = {
      ...goal,
      ...(protect === undefined ? {} : { protect }),
      ...(retainOnDelete === undefined ? {} : { retainOnDelete }),
    };
    try {
      const provider = full.custom ? await this.registerProvider() : undefined;
      const steps = await this.planner.plan(full, provider, prefetched);
      const urn = steps[0]?.urn as Urn;
      this.goals.set(urn, full);
      return await this.startChain(steps);
    } catch (error) {
      if (error instanceof Terminating) throw error;
      this.fail(
        error as Error,
        makeUrn(this.options.stack, this.options.project.name, goal.parent, goal.type, goal.name),
      );
      throw new Terminating();
    }
  }

  /** The default provider is a resource too: it carries the configuration that deletes and refreshes go by. */
  private registerProvider(): Promise<string> {
    this.providerReference ??= (async () => {
      const { stack, project } = this.options;
      const inputs = this.configuredInputs();
      this.providerConfig = inputs;
      const goal: Goal = {
        type: PROVIDER_TYPE,
        name: "default",
        custom: true,
        inputs,
        dependencies: [],
        propertyDependencies: {},
        ignoreChanges: [],
        replaceOnChanges: [],
        additionalSecretOutputs: [],
        aliases: [],
      };
      const steps = await this.planner.plan(goal, undefined);
      const fresh = steps[0]?.fresh as ResourceState;
      this.providerConfig = fresh.inputs;
      if (steps[0]?.op === "create") fresh.id = randomUUID();
      const { done } = await this.startChain(steps);
      await done;
      return `${makeUrn(stack, project.name, undefined, PROVIDER_TYPE, "default")}::${fresh.id}`;
    })();
    this.providerReference.catch(() => {});
    return this.providerReference;
  }

  private configuredInputs(): Properties {
    const inputs: Properties = {};
    for (const [key, { value, secret }] of Object.entries(this.options.config)) {
      inputs[key] = secret ? makeSecret(value) : value;
    }
    return inputs;
  }

  /** The process that does the work, with the configuration in force: the program's, or else the state's. */
  private host(): Promise<Provider> {
    const stored = this.base.resources.find(state => state.type === PROVIDER_TYPE)?.inputs;
    return this.startHost(this.providerConfig ?? stored ?? {});
  }

  /** Starts the process unless it runs with this very configuration. */
  private startHost(config: Properties): Promise<Provider> {
    if (this.providerHost && equal(this.providerHost.config, config)) return this.providerHost.host;
    const previous = this.providerHost?.host;
    const { options } = this;
    const host = options.hosts.startProvider({
      protocol: options.protocol,
      directory: options.project.programDirectory,
      project: options.project.name,
      environment: options.environment,
      engineAddress: this.monitor?.address ?? "",
      config,
      onLine: line => this.childLine(line),
    });
    host.catch(() => {});
    this.providerHost = { config, host };
    void previous?.then(old => Promise.all(this.running).finally(() => old.stop())).catch(() => {});
    return host;
  }

  private childLine(line: string): void {
    this.options.emit({ type: "log", severity: "info", message: line });
  }

  private async runProgram(): Promise<void> {
    const { options } = this;
    const program = options.hosts.startProgram({
      protocol: options.protocol,
      project: options.project,
      stack: options.stack,
      config: options.config,
      environment: options.environment,
      address: this.monitor?.address as string,
      dryRun: options.dryRun,
      parallel: options.parallel,
      onLine: line => this.childLine(line),
    });
    this.program = program;
    // It will be needed as soon as the program registers something, so both start together.
    void this.startHost(this.configuredInputs());
    const end = await Promise.race([program.ended, this.untilStopped]);
    await this.planning;
    if (!end) {
      // Whatever it still waits for is answered with "terminating"; most programs end by themselves then.
      await Promise.race([program.ended, new Promise(resolve => setTimeout(resolve, 2000).unref())]);
      return;
    }
    if (!end.ok) {
      if (end.message && !this.isStopped()) this.error(end.message);
      this.stop("failed");
    }
  }

  // ---- doing it ----

  private async startPolicies(engineAddress: string): Promise<void> {
    const { options } = this;
    const packs = await this.policies?.start(options.policyPacks, {
      project: options.project.name,
      stack: options.stack,
      config: options.config,
      dryRun: options.dryRun,
      environment: options.environment,
      engineAddress,
      onLine: line => this.childLine(line),
    });
    for (const { name, version, location } of packs ?? [])
      options.emit({ type: "policy-pack", name, version, location });
  }

  /** Policies judge the stack unless a step or the program failed: then it is not what was asked for. */
  private async judgeStack(): Promise<void> {
    const { policies } = this;
    if (!policies) return;
    if (!this.sawError && !this.isStopped()) {
      if (!(await policies.allowStack())) this.planner.failed = true;
    }
    if (policies.violated.length === 0) return;
    const nothing = this.options.dryRun ? "; nothing was made" : "";
    this.error(`forbidden by mandatory policies: ${policies.violated.join(", ")}${nothing}`);
  }

  /** Waits for a free worker, then does the steps one after the other; resolves when they have been started. */
  private async startChain(steps: Step[]): Promise<{ done: Promise<Registered> }> {
    const last = steps[steps.length - 1] as Step;
    const subject = steps.find(step => step.fresh)?.fresh as ResourceState;
    if (steps.some(step => this.needsFailed(step))) {
      this.skipped.add(last.urn);
      return { done: Promise.resolve({ urn: subject.urn, outputs: {}, result: "skipped" }) };
    }
    await this.acquire();
    const done = this.runChain(steps)
      .then((ok): Registered => {
        const result = ok ? "success" : "failed";
        if (!ok && !this.options.continueOnError) throw new Terminating();
        return {
          urn: subject.urn,
          ...(subject.id ? { id: subject.id } : {}),
          // A failed one gives the program nothing, but for what it has half made.
          outputs: ok || subject.initErrors ? (subject.outputs ?? {}) : {},
          result,
        };
      })
      .finally(() => this.release());
    const settled = done.then(
      () => {},
      () => {},
    );
    this.running.add(settled);
    void settled.then(() => this.running.delete(settled));
    return { done };
  }

  private needsFailed(step: Step): boolean {
    const state = step.fresh ?? step.old;
    if (!state || this.erroredUrns.size + this.skipped.size === 0) return false;
    const needs = [
      state.parent,
      ...(state.dependencies ?? []),
      ...Object.values(state.propertyDependencies ?? {}).flat(),
    ];
    return needs.some(urn => urn !== undefined && (this.erroredUrns.has(urn) || this.skipped.has(urn)));
  }

  private async runChain(steps: Step[]): Promise<boolean> {
    for (const step of steps) {
      if (this.isStopped()) return false;
      if (!(await this.runStep(step, "stop"))) return false;
    }
    return true;
  }

  /** Does one step and keeps the books; false when it failed. */
  private async runStep(step: Step, onError: "stop" | "ignore"): Promise<boolean> {
    const { context } = this;
    const fresh = step.fresh;
    const state = (fresh ?? step.old) as ResourceState;
    const internal = state.type === PROVIDER_TYPE;
    const event = {
      op: step.op,
      urn: step.urn,
      resourceType: state.type,
      name: nameOf(state.urn),
      logical: step.logical,
      internal,
      ...(step.diff ? { diff: step.diff } : {}),
      ...(step.replaceKeys && step.replaceKeys.length > 0 ? { replaceKeys: step.replaceKeys } : {}),
      ...(step.retained ? { retained: true } : {}),
    };
    const started = Date.now();
    let error: Error | undefined;
    try {
      await this.noteBegin(step);
      this.options.emit({ type: "step-begin", ...event });
      await step.apply(context);
    } catch (thrown) {
      error = thrown as Error;
    }
    // Of what was cut off nobody knows how far it got: it stays a pending operation.
    if (this.killed) return false;
    const recorded = !error || error instanceof PartialFailure;
    if (fresh && step.op !== "replace" && recorded) {
      keepSecrets(fresh, message =>
        this.options.emit({ type: "log", severity: "warning", message, urn: step.urn }),
      );
      if (fresh.outputs) context.secretsIn(fresh.outputs);
      // A half-done update keeps the old inputs, so that the next run sees what is still to be done.
      if (error && step.op === "update" && step.old) fresh.inputs = { ...step.old.inputs };
    }
    try {
      await this.noteEnd(step, recorded);
    } catch (thrown) {
      error ??= thrown as Error;
    }
    if (!error) {
      if (step.logical && fresh) this.finished.set(step.urn, step);
      const op = step.op === "refresh" ? (step.found?.op ?? "same") : step.op;
      const counts = step.logical || (step.op === "refresh" && this.options.refresh === "only");
      if (counts && !internal) this.changes[op] = (this.changes[op] ?? 0) + 1;
    }
    this.options.emit({
      type: "step-end",
      ...event,
      ok: !error,
      seconds: (Date.now() - started) / 1000,
      ...(step.found ? { result: step.found.op } : {}),
    });
    if (!error) return true;
    this.sawError = true;
    this.error(messageOf(error), step.urn);
    if (onError === "ignore") return false;
    if (this.options.continueOnError || error instanceof ProtectedError) {
      this.erroredUrns.add(step.urn);
      this.erroredStates.push(state, ...(step.old ? [step.old] : []));
    } else this.stop("failed");
    return false;
  }

  private async noteBegin(step: Step): Promise<void> {
    const { checkpoint } = this;
    if (step.op === "create" || step.op === "create-replacement") {
      await checkpoint.begin(step.fresh as ResourceState, "creating");
    } else if (step.op === "update") await checkpoint.begin(step.fresh as ResourceState, "updating");
    else if (step.op === "delete" || step.op === "delete-replaced") {
      await checkpoint.begin(step.old as ResourceState, "deleting");
    }
  }

  private async noteEnd(step: Step, done: boolean): Promise<void> {
    const { checkpoint } = this;
    const { old, fresh } = step;
    switch (step.op) {
      case "same":
        if (done && old && fresh) await checkpoint.end({ done: old, fresh, write: mustWrite(old, fresh) });
        return;
      case "create":
      case "create-replacement": {
        const replaced = old?.pendingReplacement ? { done: old } : {};
        await checkpoint.end({
          operation: fresh as ResourceState,
          ...(done ? { fresh: fresh as ResourceState, ...replaced } : {}),
          write: true,
        });
        return;
      }
      case "update":
        await checkpoint.end({
          operation: fresh as ResourceState,
          ...(done ? { done: old as ResourceState, fresh: fresh as ResourceState } : {}),
          write: true,
        });
        return;
      case "delete":
      case "delete-replaced": {
        const gone = done && !old?.pendingReplacement ? { done: old as ResourceState } : {};
        await checkpoint.end({ operation: old as ResourceState, ...gone, write: true });
        return;
      }
      case "remove-pending-replace":
        await checkpoint.end({ done: old as ResourceState, write: true });
        return;
      case "replace":
      case "refresh":
    }
  }

  private async setOutputs(urn: Urn, outputs: Properties): Promise<void> {
    const step = this.finished.get(urn);
    const fresh = step?.fresh;
    if (!fresh)
      throw new Error(`registering outputs: ${urn} is not being registered, or its outputs are already`);
    this.finished.delete(urn);
    this.context.secretsIn(outputs);
    const before = step.old?.outputs ?? {};
    fresh.outputs = outputs;
    await this.checkpoint.outputs(fresh, !(step.old && equal(before, outputs)));
  }

  /** The stack's outputs are kept to the end; a run that failed keeps those of the one before that it did not set. */
  private async finishStackOutputs(): Promise<void> {
    const registered = this.stackOutputs;
    if (!registered || !this.finished.has(registered.urn)) return;
    const failed = this.sawError || this.isStopped() || this.planner.failed;
    const before = this.base.byUrn.get(registered.urn)?.outputs ?? {};
    await this.setOutputs(registered.urn, failed ? { ...before, ...registered.outputs } : registered.outputs);
  }

  private async deleteUnwanted(): Promise<void> {
    const { base } = this;
    const steps = this.planner.planDeletes(base.resources);
    const byState = new Map(steps.map(step => [step.old as ResourceState, step]));
    const blocked = new Set<ResourceState>();
    for (const wave of base.graph.deletionOrder(new Set(byState.keys()))) {
      for (const state of this.erroredStates)
        for (const needed of base.graph.allDependenciesOf(state)) blocked.add(needed);
      await Promise.all(
        wave
          .filter(state => !blocked.has(state))
          .map(async state => {
            await this.acquire();
            try {
              if (!this.isStopped()) await this.runStep(byState.get(state) as Step, "stop");
            } finally {
              this.release();
            }
          }),
      );
      if (this.isStopped()) return;
    }
  }

  private async refresh(): Promise<void> {
    const steps = this.base.resources.map(state =>
      refreshStep(state, message =>
        this.options.emit({ type: "log", severity: "warning", message, urn: state.urn }),
      ),
    );
    const failures = await Promise.all(
      steps.map(async step => {
        await this.acquire();
        try {
          return this.isStopped() || (await this.runStep(step, "ignore"));
        } finally {
          this.release();
        }
      }),
    );
    const found = steps
      .map(step => step.found?.state)
      .filter((state): state is ResourceState => state !== undefined);
    for (const state of found) keepSecrets(state, () => {});
    const resources = withoutDangling(found, this.base.resources);
    this.base = makeBase(resources);
    this.planner = this.makePlanner();
    await this.checkpoint.rebase(resources);
    if (failures.includes(false)) this.stop("failed");
  }

  private makePlanner(): Planner {
    const { options } = this;
    return new Planner({
      stack: options.stack,
      project: options.project.name,
      dryRun: options.dryRun,
      policies: this.policies,
      base: this.base,
      host: () => this.host(),
      error: (message, urn) => this.error(message, urn),
      info: (message, urn) => options.emit({ type: "log", severity: "info", message, urn }),
    });
  }

  private warnOfPending(): void {
    const { before, dryRun, emit } = this.options;
    if (dryRun || before.pendingOperations.length === 0) return;
    const list = before.pendingOperations.map(
      ({ resource, type }) => `${resource.urn}, interrupted while ${type}`,
    );
    emit({
      type: "log",
      severity: "warning",
      message: `the last run was cut off with ${list.length} operation(s) pending: ${list.join("; ")}; what they left is not known; look at the resources, then run refresh --clear-pending-creates`,
    });
  }

  // ---- stopping ----

  private isStopped(): boolean {
    return this.stopped !== "no";
  }

  private stop(why: "failed" | "cancelled"): void {
    if (this.stopped === "no") this.stopped = why;
    this.notifyStopped();
    for (const next of this.waiting.splice(0)) next();
  }

  private fail(error: Error, urn?: Urn): void {
    if (error instanceof Terminating) return;
    if (!(error instanceof PlanError)) this.error(messageOf(error), urn);
    this.sawError = true;
    this.stop("failed");
  }

  private error(message: string, urn?: Urn): void {
    this.sawError = true;
    this.options.emit({ type: "log", severity: "error", message, ...(urn ? { urn } : {}) });
  }

  private async acquire(): Promise<void> {
    if (this.free > 0) this.free--;
    else await new Promise<void>(resolve => this.waiting.push(resolve));
  }

  private release(): void {
    const next = this.waiting.shift();
    if (next) next();
    else this.free++;
  }
}

const makeBase = (resources: ResourceState[]): Base => ({
  resources,
  byUrn: new Map(resources.filter(state => !state.delete).map(state => [state.urn, state])),
  graph: new DependencyGraph(resources),
});

const messageOf = (error: Error): string =>
  error instanceof PartialFailure && error.reasons.length > 0 ? error.reasons.join("; ") : error.message;

/** Whether a "same" step changed something that belongs on the disk at once. */
function mustWrite(old: ResourceState, fresh: ResourceState): boolean {
  const facts = (state: ResourceState) =>
    JSON.stringify([
      state.urn,
      state.parent,
      state.provider,
      state.protect === true,
      state.retainOnDelete === true,
      state.customTimeouts,
      [...(state.dependencies ?? [])].sort(),
    ]);
  return facts(old) !== facts(fresh) || !equal(old.inputs, fresh.inputs);
}
