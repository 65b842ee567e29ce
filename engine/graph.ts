import { dependenciesOf, type ResourceState } from "./state";
import type { Urn } from "./urn";

/** Who needs whom in a list of resources where everything comes after what it needs. */
export class DependencyGraph {
  private readonly position: Map<ResourceState, number>;
  private readonly children = new Map<Urn, ResourceState[]>();

  constructor(private readonly resources: ResourceState[]) {
    this.position = new Map(resources.map((state, index) => [state, index]));
    const parentOf = new Map(resources.map(state => [state.urn, state.parent]));
    for (const state of resources) {
      for (let up = state.parent; up; up = parentOf.get(up)) {
        const list = this.children.get(up);
        if (list) list.push(state);
        else this.children.set(up, [state]);
      }
    }
  }

  /** Everything that needs the resource, directly or not, in dependency order. */
  dependingOn(root: ResourceState, ignore: ReadonlySet<Urn>): ResourceState[] {
    const reached = new Set<Urn>([root.urn]);
    const result: ResourceState[] = [];
    for (const state of this.resources.slice((this.position.get(root) ?? 0) + 1)) {
      if (ignore.has(state.urn) || ![...dependenciesOf(state)].some(urn => reached.has(urn))) continue;
      result.push(state);
      reached.add(state.urn);
    }
    return result;
  }

  /** What the resource directly needs: its dependencies (of a component, also all in it), its provider, its parent. */
  dependenciesOf(state: ResourceState): Set<ResourceState> {
    const result = new Set<ResourceState>();
    const needed = dependenciesOf(state);
    const end = this.position.get(state) ?? this.resources.length;
    for (let index = end - 1; index >= 0; index--) {
      const candidate = this.resources[index] as ResourceState;
      if (needed.has(candidate.urn)) {
        result.add(candidate);
        if (!candidate.custom) {
          for (const child of this.children.get(candidate.urn) ?? []) {
            if ((this.position.get(child) ?? end) < end) result.add(child);
          }
        }
      }
      if (candidate.urn === state.parent) result.add(candidate);
    }
    return result;
  }

  /** Everything the resource needs, directly or not. */
  allDependenciesOf(state: ResourceState): Set<ResourceState> {
    const result = new Set<ResourceState>();
    const visit = (from: ResourceState) => {
      for (const next of this.dependenciesOf(from)) {
        if (result.has(next)) continue;
        result.add(next);
        visit(next);
      }
    };
    visit(state);
    return result;
  }

  /** Groups of resources that may be deleted together, dependents before what they need. */
  deletionOrder(condemned: ReadonlySet<ResourceState>): ResourceState[][] {
    const waves: ResourceState[][] = [];
    const depth = new Map<ResourceState, number>();
    for (const state of this.resources) {
      if (!condemned.has(state)) continue;
      let level = 0;
      for (const needed of this.dependenciesOf(state)) {
        const below = depth.get(needed);
        if (below !== undefined) level = Math.max(level, below + 1);
      }
      depth.set(state, level);
      const wave = waves[level];
      if (wave) wave.push(state);
      else waves[level] = [state];
    }
    return waves.reverse();
  }
}
