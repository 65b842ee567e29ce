import type { Checkpoint } from "./checkpoint";
import type { EngineEvent, Op } from "./events";
import {
  type Change,
  changedKeys,
  isSecret,
  makeSecret,
  type Properties,
  parsePath,
  resetPath,
  withoutSecrets,
} from "./property";
import { PartialFailure, type Provider } from "./provider-host";
import { type ResourceState, withoutUndefined } from "./state";
import { nameOf, PROVIDER_TYPE, type Urn } from "./urn";

/** What steps need of the run they belong to. */
export interface StepContext {
  dryRun: boolean;
  checkpoint: Checkpoint;
  host(): Promise<Provider>;
  emit(event: EngineEvent): void;
  /** Told every secret value that enters a state, to be masked on the display. */
  secretsIn(properties: Properties): void;
}

/** One change of one resource. */
export interface Step {
  readonly op: Op;
  readonly urn: Urn;
  readonly old?: ResourceState;
  readonly fresh?: ResourceState;
  /** False for the halves of a replacement. */
  readonly logical: boolean;
  readonly diff?: Record<string, Change>;
  readonly replaceKeys?: string[];
  readonly retained?: boolean;
  /** Of a refresh: what it found, and the state it found (undefined when the resource is gone). */
  found?: { op: Op; state: ResourceState | undefined };
  /** Does it. A PartialFailure counts as done for the state and as failed for the run. */
  apply(context: StepContext): Promise<void>;
}

/** A resource that may not be deleted; the run goes on with what does not depend on it and fails at the end. */
export class ProtectedError extends Error {
  constructor(urn: Urn) {
    super(
      `resource "${urn}" cannot be deleted because it is protected; ` +
        "to unprotect it, remove the protect option from the program and run up",
    );
    this.name = "ProtectedError";
  }
}

const now = () => new Date().toISOString();
const outputsOf = (state: ResourceState): Properties => state.outputs ?? {};
const isProvider = (state: ResourceState): boolean => state.type === PROVIDER_TYPE;
const timeout = (state: ResourceState, operation: "create" | "update" | "delete" | "read"): number =>
  state.customTimeouts?.[operation] ?? 0;

/** The difference of two states' inputs, as the display shows it. */
export const inputDiff = (old: ResourceState, fresh: ResourceState): Record<string, Change> =>
  Object.fromEntries(changedKeys(old.inputs, fresh.inputs));

/** Nothing changes but what the engine itself keeps. */
export function sameStep(old: ResourceState, fresh: ResourceState): Step {
  return {
    op: "same",
    urn: fresh.urn,
    old,
    fresh,
    logical: true,
    async apply() {
      if (old.id) fresh.id = old.id;
      if (old.outputs) fresh.outputs = old.outputs;
    },
  };
}

/** Makes the resource; as the first or second half of a replacement if `replacing` is given. */
export function createStep(
  fresh: ResourceState,
  replacing?: { old: ResourceState; markOld: boolean; replaceKeys: string[] },
): Step {
  return {
    op: replacing ? "create-replacement" : "create",
    urn: fresh.urn,
    ...(replacing ? { old: replacing.old, replaceKeys: replacing.replaceKeys } : {}),
    fresh,
    logical: !replacing,
    async apply(context) {
      let failure: PartialFailure | undefined;
      if (isProvider(fresh) || (fresh.custom && context.dryRun)) fresh.outputs = { ...fresh.inputs };
      else if (fresh.custom) {
        const host = await context.host();
        try {
          const { id, outputs } = await host.create(fresh.urn, fresh.inputs, timeout(fresh, "create"));
          fresh.id = id;
          fresh.outputs = outputs;
        } catch (error) {
          failure = acceptPartial(error, fresh);
        }
      }
      fresh.created = now();
      fresh.modified = fresh.created;
      if (replacing?.markOld) replacing.old.delete = true;
      if (failure) throw failure;
    },
  };
}

/** Changes the resource in place. */
export function updateStep(old: ResourceState, fresh: ResourceState, ignoreChanges: string[]): Step {
  return {
    op: "update",
    urn: fresh.urn,
    old,
    fresh,
    logical: true,
    diff: inputDiff(old, fresh),
    async apply(context) {
      if (old.id) fresh.id = old.id;
      let failure: PartialFailure | undefined;
      if (isProvider(fresh) || (fresh.custom && context.dryRun)) fresh.outputs = { ...fresh.inputs };
      else if (fresh.custom) {
        const host = await context.host();
        try {
          fresh.outputs = await host.update(
            fresh.urn,
            old.id ?? "",
            { inputs: old.inputs, outputs: outputsOf(old) },
            fresh.inputs,
            timeout(fresh, "update"),
            ignoreChanges,
          );
        } catch (error) {
          failure = acceptPartial(error, fresh);
          if (failure) fresh.id = old.id as string;
        }
      }
      if (fresh.custom) fresh.modified = now();
      if (failure) throw failure;
    },
  };
}

/** Takes over what a partly failed operation left; rethrows any other error. */
function acceptPartial(error: unknown, fresh: ResourceState): PartialFailure {
  if (!(error instanceof PartialFailure)) throw error;
  fresh.id = error.id;
  fresh.outputs = error.properties;
  fresh.initErrors = error.reasons;
  return error;
}

/** Stands for a replacement as a whole; does nothing itself. */
export function replaceStep(old: ResourceState, fresh: ResourceState, replaceKeys: string[]): Step {
  return {
    op: "replace",
    urn: fresh.urn,
    old,
    fresh,
    logical: true,
    diff: inputDiff(old, fresh),
    replaceKeys,
    async apply() {},
  };
}

/** Removes the resource; `replacing` as part of a replacement, "now" before its successor is made. */
export function deleteStep(old: ResourceState, replacing?: "now" | "later"): Step {
  const retained = old.retainOnDelete === true;
  return {
    op: replacing ? "delete-replaced" : "delete",
    urn: old.urn,
    old,
    logical: !replacing,
    retained,
    async apply(context) {
      if (!replacing && old.protect) throw new ProtectedError(old.urn);
      if (!context.dryRun && !retained && old.custom && !isProvider(old)) {
        const host = await context.host();
        await host.delete(old.urn, old.id ?? "", old.inputs, outputsOf(old), timeout(old, "delete"));
      }
      if (replacing === "now") old.pendingReplacement = true;
    },
  };
}

/** Forgets a resource that was deleted to be replaced and is not wanted any more. */
export const removePendingReplaceStep = (old: ResourceState): Step => ({
  op: "remove-pending-replace",
  urn: old.urn,
  old,
  logical: false,
  async apply() {},
});

/** Reads the resource and compares what is there with what was asked for. */
export function refreshStep(old: ResourceState, warn: (message: string) => void): Step {
  const step: Step = {
    op: "refresh",
    urn: old.urn,
    old,
    logical: false,
    found: { op: "same", state: old },
    async apply(context) {
      if (!old.custom || isProvider(old) || old.pendingReplacement) return;
      const host = await context.host();
      let read: { id: string; inputs?: Properties; outputs: Properties } | undefined;
      let initErrors: string[] = [];
      try {
        read = await host.read(old.urn, old.id ?? "", old.inputs, outputsOf(old), timeout(old, "read"));
      } catch (error) {
        if (!(error instanceof PartialFailure)) throw error;
        initErrors = error.reasons;
        read = { id: error.id, outputs: error.properties };
        warn(`the refreshed resource is not in order: ${initErrors.join("; ")}`);
      }
      if (!read) {
        step.found = { op: "delete", state: undefined };
        return;
      }
      const inputs = read.inputs ?? old.inputs;
      const changed =
        changedKeys(old.inputs, inputs).size > 0 || changedKeys(outputsOf(old), read.outputs).size > 0;
      const { initErrors: _, ...kept } = old;
      const state = withoutUndefined<ResourceState>({
        ...kept,
        id: read.id,
        inputs,
        outputs: read.outputs,
        initErrors: initErrors.length > 0 ? initErrors : undefined,
        modified: changed ? now() : old.modified,
      });
      const diff = await diffResource(host, { ...state, inputs }, old.inputs, old.ignoreChanges ?? []);
      step.found = { op: diff.changes ? "update" : "same", state };
    },
  };
  return step;
}

/** What differs between a resource and what is asked for; `changedKeys` only where the provider has no diff. */
export interface ResourceDiff {
  changes: boolean;
  replaces: string[];
  deleteBeforeReplace: boolean;
  changedKeys: string[];
}

/** The provider's diff; where it has none, the difference of the inputs. */
export async function diffResource(
  host: Provider,
  old: ResourceState,
  news: Properties,
  ignoreChanges: string[],
): Promise<ResourceDiff> {
  const outputs = outputsOf(old);
  const diff = await host.diff(old.urn, old.id ?? "", { inputs: old.inputs, outputs }, news, ignoreChanges);
  const { replaces, deleteBeforeReplace } = diff;
  if (diff.changes !== "unknown") {
    return { changes: diff.changes === "some", replaces, deleteBeforeReplace, changedKeys: [] };
  }
  const keys = [...inputChanges(old.inputs, news, ignoreChanges).keys()];
  return { changes: keys.length > 0, replaces, deleteBeforeReplace, changedKeys: keys };
}

function inputChanges(olds: Properties, news: Properties, ignoreChanges: string[]): Map<string, Change> {
  const compared = structuredClone(withoutSecrets(news)) as Properties;
  const before = withoutSecrets(olds) as Properties;
  for (const text of ignoreChanges) {
    const path = parsePath(text);
    if (path) resetPath(path, before, compared);
  }
  return changedKeys(before, compared);
}

/** Makes secret what the program or the inputs say is secret; true of every state that a step leaves. */
export function keepSecrets(state: ResourceState, warn: (message: string) => void): void {
  const { outputs } = state;
  if (!outputs) return;
  for (const key of state.additionalSecretOutputs ?? []) {
    if (key === "id") warn(`the "id" of ${nameOf(state.urn)} cannot be made secret`);
    else if (outputs[key] !== undefined) outputs[key] = makeSecret(outputs[key]);
  }
  for (const [key, value] of Object.entries(outputs)) {
    if (isSecret(state.inputs[key])) outputs[key] = makeSecret(value);
  }
}
