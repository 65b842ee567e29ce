import {
  type Deployment,
  dependenciesOf,
  followAliases,
  type OperationType,
  type PendingOperation,
  type ResourceState,
  type StateWriter,
  verifyIntegrity,
  writeFileDurably,
} from "./state";
import type { Urn } from "./urn";

/**
 * The stack's state while a run changes it: what is finished, what of the state before is still valid, and what is
 * under way. Every change that matters is on the disk before `begin` or `end` resolves; changes that come while the
 * disk is busy share the next write.
 */
export class Checkpoint {
  private readonly fresh: ResourceState[] = [];
  private readonly gone = new Set<ResourceState>();
  private readonly pending = new Map<ResourceState, PendingOperation>();
  private base: ResourceState[];
  private dirty = false;
  private writing: Promise<void> | undefined;
  private queued: Promise<void> | undefined;
  private filtersDangling = false;
  /** How many times the state file was written. */
  writes = 0;

  /** `path` undefined keeps everything in memory: a preview. */
  constructor(
    private readonly path: string | undefined,
    private readonly writer: StateWriter,
    private readonly before: Deployment,
  ) {
    this.base = before.resources;
  }

  /** Replaces the state that the run started from, after a refresh. */
  async rebase(resources: ResourceState[]): Promise<void> {
    this.base = resources;
    for (const state of resources) this.writer.changed(state);
    await this.save();
  }

  /** Notes that an operation is about to start. */
  async begin(state: ResourceState, type: OperationType): Promise<void> {
    this.pending.set(state, { resource: { ...state }, type });
    await this.save();
  }

  /** Notes that an operation is over: `done` leaves the state, `fresh` enters it. Without `write` it waits for the next. */
  async end(change: {
    operation?: ResourceState;
    done?: ResourceState;
    fresh?: ResourceState;
    write: boolean;
  }): Promise<void> {
    if (change.operation) this.pending.delete(change.operation);
    if (change.done) this.gone.add(change.done);
    if (change.fresh) {
      this.fresh.push(change.fresh);
      this.writer.changed(change.fresh);
    }
    if (change.write) await this.save();
    else this.dirty = true;
  }

  /** Notes that a finished resource got its outputs. */
  async outputs(state: ResourceState, write: boolean): Promise<void> {
    this.writer.changed(state);
    if (write) await this.save();
    else this.dirty = true;
  }

  /** Makes references to resources that a refresh found gone disappear from what is written. */
  filterDangling(): void {
    this.filtersDangling = true;
  }

  /** The state as it stands. */
  deployment(): Deployment {
    let resources = [...this.fresh, ...this.base].filter(state => !this.gone.has(state));
    if (this.filtersDangling) resources = withoutDangling(resources);
    const creating = this.before.pendingOperations.filter(operation => operation.type === "creating");
    return {
      resources: followAliases(resources),
      pendingOperations: [...this.pending.values(), ...creating],
    };
  }

  /** Writes what has not been written. */
  async close(): Promise<void> {
    if (this.dirty) await this.save();
    await this.queued;
    await this.writing;
  }

  private save(): Promise<void> {
    this.dirty = false;
    if (this.path === undefined) return Promise.resolve();
    if (!this.writing) {
      this.writing = this.write().finally(() => {
        this.writing = undefined;
      });
      return this.writing;
    }
    this.queued ??= this.writing
      .catch(() => {})
      .then(() => {
        this.queued = undefined;
        return this.save();
      });
    return this.queued;
  }

  private async write(): Promise<void> {
    const deployment = this.deployment();
    const text = this.writer.write(deployment);
    this.writes++;
    await writeFileDurably(this.path as string, text);
    verifyIntegrity(deployment);
  }
}

/** Drops references to resources that are not in the list; a child whose parent is gone moves to its grandparent. */
export function withoutDangling(resources: ResourceState[]): ResourceState[] {
  const present = new Set<Urn>();
  const parents = new Map<Urn, Urn | undefined>();
  const originalParents = new Map(resources.map(state => [state.urn, state.parent]));
  return resources.map(state => {
    let parent = state.parent;
    if (parent && !present.has(parent)) parent = parents.get(parent) ?? originalParents.get(parent);
    parents.set(state.urn, parent);
    present.add(state.urn);
    const broken = parent !== state.parent || [...dependenciesOf(state)].some(urn => !present.has(urn));
    if (!broken) return state;
    const { parent: _, ...rest } = state;
    const kept: ResourceState = { ...rest, ...(parent ? { parent } : {}) };
    if (state.dependencies) kept.dependencies = state.dependencies.filter(urn => present.has(urn));
    if (state.propertyDependencies) {
      kept.propertyDependencies = Object.fromEntries(
        Object.entries(state.propertyDependencies).map(([key, urns]) => [
          key,
          urns.filter(urn => present.has(urn)),
        ]),
      );
    }
    return kept;
  });
}
