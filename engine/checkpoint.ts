import {
  type Deployment,
  followAliases,
  type OperationType,
  type PendingOperation,
  type ResourceState,
  type StateWriter,
  verifyIntegrity,
  withoutUndefined,
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

  /** The state as it stands. */
  deployment(): Deployment {
    const resources = [...this.fresh, ...this.base].filter(state => !this.gone.has(state));
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

/**
 * Drops references to resources that are not in the list; a child whose parent is gone moves to its grandparent.
 * Like the real engine it drops properties that depend on nothing from propertyDependencies on the way.
 */
export function withoutDangling(resources: ResourceState[], before: ResourceState[]): ResourceState[] {
  const present = new Set<Urn>();
  const parents = new Map(before.map(state => [state.urn, state.parent]));
  return resources.map(state => {
    const { parent: oldParent, dependencies, propertyDependencies, ...rest } = state;
    let parent = oldParent;
    while (parent && !present.has(parent)) parent = parents.get(parent);
    present.add(state.urn);
    const known = (urns: Urn[]) => urns.filter(urn => present.has(urn));
    const properties = Object.entries(propertyDependencies ?? {})
      .map(([key, urns]) => [key, known(urns)] as const)
      .filter(([, urns]) => urns.length > 0);
    return withoutUndefined<ResourceState>({
      ...rest,
      parent,
      dependencies: dependencies && known(dependencies),
      propertyDependencies: properties.length > 0 ? Object.fromEntries(properties) : undefined,
    });
  });
}
