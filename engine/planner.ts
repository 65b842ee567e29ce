import type { DependencyGraph } from "./graph";
import type { Alias, Goal } from "./monitor";
import type { Policies } from "./policies";
import type { Subject } from "./policy-pack";
import {
  equal,
  type Path,
  type Properties,
  parsePath,
  pathContains,
  resetPath,
  UNKNOWN,
  withoutSecrets,
} from "./property";
import type { CheckFailure, Provider } from "./provider-host";
import { type ResourceState, withoutUndefined } from "./state";
import {
  createStep,
  deleteStep,
  diffResource,
  type ResourceDiff,
  removePendingReplaceStep,
  replaceStep,
  type Step,
  sameStep,
  updateStep,
} from "./steps";
import { makeUrn, nameOf, PROVIDER_TYPE, qualifiedType, STACK_TYPE, typeOf, type Urn } from "./urn";

/** The state that a run starts from, indexed. */
export interface Base {
  resources: ResourceState[];
  /** By URN, without those that wait for deletion. */
  byUrn: Map<Urn, ResourceState>;
  graph: DependencyGraph;
}

/** What the planner needs of the run. */
export interface PlannerContext {
  stack: string;
  project: string;
  dryRun: boolean;
  base: Base;
  /** What judges the resources; undefined without policy packs. */
  policies: Policies | undefined;
  host(): Promise<Provider>;
  error(message: string, urn: Urn): void;
  info(message: string, urn: Urn): void;
}

/** A resource cannot be planned; the reason has been told. */
export class PlanError extends Error {
  override name = "PlanError";
}

/** What the provider said of a resource. */
export interface Prefetched {
  /** The state that it was compared with. */
  old: ResourceState | undefined;
  inputs: Properties;
  failures: CheckFailure[];
  diff?: ResourceDiff;
  /** Paths of ignoreChanges that could not be followed. */
  lost: string[];
}

interface DiffOutcome {
  changes: boolean;
  replaceKeys: string[];
  deleteBeforeReplace: boolean;
}

/** Decides, one resource after the other, what must be done to get from the base to what the program asks for. */
export class Planner {
  private readonly seen = new Set<Urn>();
  private readonly prefetched = new Set<Urn>();
  private readonly operated = {
    created: new Set<Urn>(),
    same: new Set<Urn>(),
    updated: new Set<Urn>(),
    replaced: new Set<Urn>(),
    deleted: new Set<Urn>(),
  };
  /** Old URN to the new one of the resource found under it, and back. */
  private readonly newUrnOf = new Map<Urn, Urn>();
  private readonly oldUrnOf = new Map<Urn, Urn>();
  private readonly condemned = new Set<ResourceState>();
  private readonly dependentKeys = new Map<Urn, string[]>();
  /** The first call to each provider, by its text. */
  private readonly firstCalls = new Map<string, Promise<void>>();
  private provider: ResourceState | undefined;
  /** Set when an error let the preview go on. */
  failed = false;

  constructor(private readonly context: PlannerContext) {}

  /**
   * Starts to check and diff a resource before its turn to be planned, because the answers of the provider seldom
   * depend on what is planned before. Undefined where they might.
   */
  prefetch(goal: Goal, ready: Promise<unknown>): Promise<Prefetched> | undefined {
    const { base, stack, project } = this.context;
    if (!goal.custom || goal.aliases.length > 0 || (goal.parent && this.oldUrnOf.has(goal.parent)))
      return undefined;
    const urn = makeUrn(stack, project, goal.parent, goal.type, goal.name);
    if (this.prefetched.has(urn)) return undefined;
    this.prefetched.add(urn);
    const old = base.byUrn.get(urn);
    const key = String(goal.inputs.__provider);
    const first = this.firstCalls.get(key);
    const work = async (): Promise<Prefetched> => {
      await ready;
      // The provider's host configures a provider on its first call and does not make others wait for that.
      await first;
      return this.ask(goal, urn, old);
    };
    const prefetched = work();
    const settled = prefetched.then(
      () => {},
      () => {},
    );
    if (!first) this.firstCalls.set(key, settled);
    return prefetched;
  }

  private async ask(goal: Goal, urn: Urn, old: ResourceState | undefined): Promise<Prefetched> {
    const host = await this.context.host();
    const { inputs, lost } = old ? ignoreChanges(goal, old) : { inputs: goal.inputs, lost: [] };
    const checked = await host.check(urn, old?.inputs ?? {}, inputs);
    // What policies change in the inputs counts in the diff.
    const diff =
      old && checked.failures.length === 0 && !this.context.policies
        ? await diffResource(host, old, checked.inputs, goal.ignoreChanges)
        : undefined;
    return { old, lost, ...checked, ...(diff ? { diff } : {}) };
  }

  /** The steps for one registration, to be done one after the other. Throws PlanError. */
  async plan(goal: Goal, provider: string | undefined, prefetched?: Promise<Prefetched>): Promise<Step[]> {
    const { context } = this;
    const urn = makeUrn(context.stack, context.project, goal.parent, goal.type, goal.name);
    if (this.seen.has(urn)) {
      const message = `duplicate resource URN "${urn}"; try giving it a unique name`;
      context.error(message, urn);
      throw new PlanError(message);
    }
    this.seen.add(urn);
    const { old, invalid } = this.findOld(urn, goal);
    const alias = this.oldUrnOf.get(urn);
    const fresh = withoutUndefined<ResourceState>({
      urn,
      custom: goal.custom,
      type: goal.type,
      inputs: goal.inputs,
      parent: goal.parent,
      protect: goal.protect,
      dependencies: goal.dependencies,
      provider,
      propertyDependencies:
        Object.keys(goal.propertyDependencies).length > 0 ? goal.propertyDependencies : undefined,
      additionalSecretOutputs: goal.additionalSecretOutputs,
      aliases: alias ? [alias] : undefined,
      customTimeouts: goal.customTimeouts,
      retainOnDelete: goal.retainOnDelete,
      created: old?.created,
      modified: old?.modified,
      ignoreChanges: goal.ignoreChanges,
      replaceOnChanges: goal.replaceOnChanges,
    });
    const recreating = old !== undefined && this.operated.deleted.has(urn);

    let answer: Prefetched | undefined;
    if (goal.custom && goal.type !== PROVIDER_TYPE) {
      const needed = recreating ? undefined : old;
      answer = recreating ? undefined : await prefetched;
      if (!answer || answer.old !== needed) answer = await this.ask(goal, urn, needed);
      fresh.inputs = answer.inputs;
      if (answer.lost.length > 0) {
        const paths = answer.lost.join(", ");
        context.info(`cannot ignore changes in added or removed elements of the path: "${paths}"`, urn);
      }
    }
    const refused = answer ? this.reportFailures(fresh, answer.failures) : false;
    if (refused || invalid) throw new PlanError(`resource ${urn} is invalid`);

    const subject: Subject = {
      state: fresh,
      deleteBeforeReplace: goal.deleteBeforeReplace,
      provider: goal.custom ? this.provider : undefined,
    };
    if (goal.type === PROVIDER_TYPE) this.provider = fresh;
    await this.judgeByPolicies(subject);
    if (context.policies && answer?.old) {
      answer.diff = await diffResource(await context.host(), answer.old, fresh.inputs, goal.ignoreChanges);
    }

    // A deletion planned while the provider was being asked counts, too.
    if (old && this.operated.deleted.has(urn)) {
      this.operated.deleted.delete(urn);
      this.operated.replaced.add(urn);
      const replaceKeys = this.dependentKeys.get(urn) ?? [];
      return [replaceStep(old, fresh, []), createStep(fresh, { old, markOld: false, replaceKeys })];
    }
    if (!old) {
      this.operated.created.add(urn);
      return [createStep(fresh)];
    }
    return this.planExisting(goal, subject, old, this.judge(goal, old, fresh, answer?.diff));
  }

  /** Lets policies mend the inputs, then forbid the resource; a preview goes on to show what else they forbid. */
  private async judgeByPolicies(subject: Subject): Promise<void> {
    const { policies, dryRun, error } = this.context;
    if (!policies) return;
    const { urn } = subject.state;
    let isAllowed: boolean;
    try {
      await policies.remediate(subject);
      isAllowed = await policies.allow(subject);
    } catch (cause) {
      const message = `running the policies: ${(cause as Error).message}`;
      error(message, urn);
      throw new PlanError(message);
    }
    if (isAllowed) return;
    this.failed = true;
    if (!dryRun) throw new PlanError(`policies forbid resource ${urn}`);
  }

  /** Deletions of what the program did not ask for and of what was replaced, in waves that may run together. */
  planDeletes(states: ResourceState[]): Step[] {
    const steps: Step[] = [];
    for (const state of states) {
      if (state.delete) {
        if (this.condemned.has(state)) continue;
        this.operated.deleted.add(state.urn);
        steps.push(deleteStep(state, "later"));
      } else if (!this.isOperatedOn(state.urn)) {
        this.operated.deleted.add(state.urn);
        steps.push(state.pendingReplacement ? removePendingReplaceStep(state) : deleteStep(state));
      }
    }
    return steps;
  }

  private isOperatedOn(urn: Urn): boolean {
    const current = this.newUrnOf.get(urn) ?? urn;
    const { same, updated, replaced } = this.operated;
    return same.has(current) || updated.has(current) || replaced.has(current);
  }

  private async planExisting(
    goal: Goal,
    subject: Subject,
    old: ResourceState,
    diff: DiffOutcome,
  ): Promise<Step[]> {
    const fresh = subject.state;
    const { urn } = fresh;
    const hasInitErrors = (old.initErrors?.length ?? 0) > 0;

    if (diff.changes || old.pendingReplacement) {
      if (diff.replaceKeys.length > 0 || old.pendingReplacement) {
        return this.planReplacement(goal, subject, old, diff);
      }
      this.operated.updated.add(urn);
      return [updateStep(old, fresh, goal.ignoreChanges)];
    }
    if (hasInitErrors) {
      this.operated.updated.add(urn);
      return [updateStep(old, fresh, goal.ignoreChanges)];
    }
    this.operated.same.add(urn);
    return [sameStep(old, fresh)];
  }

  private async planReplacement(
    goal: Goal,
    subject: Subject,
    old: ResourceState,
    diff: DiffOutcome,
  ): Promise<Step[]> {
    const { context } = this;
    const fresh = subject.state;
    const { urn } = fresh;
    if (fresh.protect && old.protect) {
      const message =
        `unable to replace resource "${urn}" as it is currently marked for protection; ` +
        "to unprotect it, remove the protect option from the program and run up";
      context.error(message, urn);
      this.failed = true;
      if (!context.dryRun) throw new PlanError(message);
    }
    this.operated.replaced.add(urn);
    if (goal.custom) {
      const host = await context.host();
      const checked = await host.check(urn, {}, goal.inputs);
      if (this.reportFailures(fresh, checked.failures))
        throw new PlanError(`resource ${urn} has check errors`);
      fresh.inputs = checked.inputs;
      // The real engine forgets here what a policy has mended, and mends it in the next update.
      await context.policies?.remediate(subject, false);
    }
    const { replaceKeys } = diff;
    if (!(goal.deleteBeforeReplace ?? diff.deleteBeforeReplace)) {
      return [createStep(fresh, { old, markOld: true, replaceKeys }), replaceStep(old, fresh, replaceKeys)];
    }

    const steps: Step[] = [];
    for (const dependent of (await this.dependentReplacements(old)).reverse()) {
      const { state, keys } = dependent;
      if (this.condemned.has(state)) continue;
      this.dependentKeys.set(state.urn, keys);
      if (!state.delete && state.protect) {
        const message = `unable to replace resource "${state.urn}" as part of replacing "${urn}" as it is currently marked for protection`;
        context.error(message, urn);
        this.failed = true;
        throw new PlanError(message);
      }
      steps.push(state.delete ? deleteStep(state) : deleteStep(state, "now"));
      this.operated.deleted.add(state.urn);
      this.condemned.add(state);
    }
    // A resource that an earlier run deleted and could not make again is not deleted twice.
    if (!old.pendingReplacement) steps.push(deleteStep(old, "now"));
    return [
      ...steps,
      replaceStep(old, fresh, replaceKeys),
      createStep(fresh, { old, markOld: false, replaceKeys }),
    ];
  }

  /** What needs `root` in a way that makes it need replacing too once `root` is gone, in dependency order. */
  private async dependentReplacements(
    root: ResourceState,
  ): Promise<{ state: ResourceState; keys: string[] }[]> {
    const result: { state: ResourceState; keys: string[] }[] = [];
    const replaced = new Set<Urn>([root.urn]);
    const done = new Set(Object.values(this.operated).flatMap(set => [...set]));
    for (const state of this.context.base.graph.dependingOn(root, done)) {
      if (!state.custom || state.type === PROVIDER_TYPE) continue;
      const inputs: Properties = {};
      let affected = false;
      for (const [key, value] of Object.entries(state.inputs)) {
        const depends = (state.propertyDependencies?.[key] ?? []).some(urn => replaced.has(urn));
        if (depends) affected = true;
        inputs[key] = depends ? UNKNOWN : value;
      }
      if (!affected) continue;
      const ignore = state.ignoreChanges ?? [];
      const raw = await diffResource(await this.context.host(), state, inputs, ignore);
      const keys = replaceKeysOf(raw, state.replaceOnChanges ?? [], false);
      if (keys.length === 0) continue;
      result.push({ state, keys });
      replaced.add(state.urn);
    }
    return result;
  }

  /** What the provider's diff means under the resource's options. Without one the inputs decide. */
  private judge(
    goal: Goal,
    old: ResourceState,
    fresh: ResourceState,
    raw: ResourceDiff | undefined,
  ): DiffOutcome {
    if (!raw)
      return { changes: !equal(old.inputs, fresh.inputs), replaceKeys: [], deleteBeforeReplace: false };
    const hasInitErrors = (old.initErrors?.length ?? 0) > 0;
    const replaceKeys =
      raw.changes || hasInitErrors ? replaceKeysOf(raw, goal.replaceOnChanges, hasInitErrors) : raw.replaces;
    const forced = replaceKeys.includes(INIT_ERROR);
    return { changes: raw.changes || forced, replaceKeys, deleteBeforeReplace: raw.deleteBeforeReplace };
  }

  private reportFailures(state: ResourceState, failures: CheckFailure[]): boolean {
    for (const { property, reason } of failures) {
      // the CLI prints it in plain text, a secret one too: a provider must name no such property
      const value = property ? state.inputs[property] : undefined;
      const shown = value === undefined ? "" : ` value ${JSON.stringify(withoutSecrets(value))}`;
      const subject = `${typeOf(state.urn)} resource "${nameOf(state.urn)}"`;
      const message = property
        ? `${subject}: property ${property}${shown} has a problem: ${reason}`
        : `${subject} has a problem: ${reason}`;
      this.context.error(message, state.urn);
    }
    return failures.length > 0;
  }

  private findOld(urn: Urn, goal: Goal): { old?: ResourceState; invalid: boolean } {
    let invalid = false;
    const taken = this.newUrnOf.get(urn);
    if (taken) {
      this.context.error(
        `duplicate resource URN "${urn}" conflicting with alias on resource with URN "${taken}"`,
        urn,
      );
      invalid = true;
    }
    for (const candidate of [urn, ...this.aliasUrns(urn, goal)]) {
      const old = this.context.base.byUrn.get(candidate);
      if (!old) continue;
      if (candidate !== urn) {
        const other = this.seen.has(candidate) ? candidate : this.newUrnOf.get(candidate);
        if (other) {
          this.context.error(
            `duplicate resource alias "${candidate}" applied to both "${urn}" and "${other}"`,
            urn,
          );
          invalid = true;
        }
        this.newUrnOf.set(candidate, urn);
        this.oldUrnOf.set(urn, candidate);
      }
      return { old, invalid };
    }
    return { invalid };
  }

  private aliasUrns(urn: Urn, goal: Goal): Urn[] {
    const own = goal.aliases.map(alias => this.aliasUrn(alias, goal));
    const parentAlias = goal.parent && this.oldUrnOf.get(goal.parent);
    if (!goal.parent || !parentAlias) return [...new Set(own)];
    // A child named after its parent is looked for under the parent's old name too.
    const parentName = nameOf(goal.parent);
    const inherited = (type: string, name: string): Urn => {
      const aliased = name.startsWith(parentName)
        ? nameOf(parentAlias) + name.slice(parentName.length)
        : name;
      const [, , stack] = parentAlias.split("::")[0]?.split(":") ?? [];
      return makeUrn(stack ?? this.context.stack, this.context.project, parentAlias, type, aliased);
    };
    const all = [...own, inherited(goal.type, goal.name)];
    for (const alias of own) all.push(inherited(typeOf(alias), nameOf(alias)));
    return [...new Set(all)].filter(alias => alias !== urn);
  }

  private aliasUrn(alias: Alias, goal: Goal): Urn {
    if (alias.urn) return alias.urn;
    let parent = alias.parent ? (this.oldUrnOf.get(alias.parent) ?? alias.parent) : goal.parent;
    if (alias.noParent || (parent && qualifiedType(parent) === STACK_TYPE)) parent = undefined;
    return makeUrn(
      alias.stack ?? this.context.stack,
      alias.project ?? this.context.project,
      parent,
      alias.type ?? goal.type,
      alias.name ?? goal.name,
    );
  }
}

/** The path that stands for a failed initialisation in replaceOnChanges. */
const INIT_ERROR = "#initerror";

/** The keys that force a replacement: the provider's, and changed ones that replaceOnChanges names. */
function replaceKeysOf(
  diff: { replaces: string[]; changedKeys: string[] },
  replaceOnChanges: string[],
  hasInitErrors: boolean,
): string[] {
  const paths = replaceOnChanges.map(parsePath).filter((path): path is Path => path !== undefined);
  const keys = new Set(diff.replaces);
  for (const key of diff.changedKeys) {
    const keyPath = parsePath(key);
    if (keyPath && paths.some(path => pathContains(path, keyPath))) keys.add(key);
  }
  if (hasInitErrors && paths.some(path => pathContains(path, [INIT_ERROR]))) keys.add(INIT_ERROR);
  return [...keys];
}

/** The goal's inputs with ignored properties as they were, and the paths that could not be followed. */
function ignoreChanges(goal: Goal, old: ResourceState): { inputs: Properties; lost: string[] } {
  if (goal.ignoreChanges.length === 0) return { inputs: goal.inputs, lost: [] };
  const inputs = structuredClone(goal.inputs);
  const lost = goal.ignoreChanges.filter(text => {
    const path = parsePath(text);
    return path !== undefined && !resetPath(path, old.inputs, inputs);
  });
  return { inputs, lost };
}
