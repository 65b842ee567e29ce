import { World } from "../provider/hosts/world";
import { check } from "../provider/resources/check";
import { diff } from "../provider/resources/diff";
import { registry } from "../provider/resources/registry";
import type { State } from "../provider/resources/resource";

/** Properties of a resource as a program gives them. */
export type Properties = { owner: string } & Record<string, unknown>;

/** What a host holds of one resource: its inputs and outputs. Tests read single fields of many types. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type Held = Record<string, any>;

/** Thrown by `Lifecycle.up` when check refuses the inputs. */
export class Refused extends Error {
  constructor(readonly refusals: { property: string; reason: string }[]) {
    super(refusals.map(({ property, reason }) => `${property}: ${reason}`).join("; "));
  }
}

/** Calls the resources as a host does, without an engine: check, then create or update; and keeps what they return. */
export class Lifecycle {
  /** What the resources said. */
  readonly lines: string[] = [];
  private readonly world: World;
  private readonly held = new Map<string, { type: string; id: string; state: Held }>();

  /** `environment` holds OS_* and may hold OSBACKUP_NOW. */
  constructor(environment: Record<string, string | undefined>) {
    this.world = new World({}, line => this.lines.push(line), environment);
  }

  /** Ends what runs, as the host does when its engine is gone. */
  abort(reason: Error): void {
    this.world.abort.abort(reason);
  }

  /** Creates or updates the resource of this owner and returns its state. */
  async up(type: string, properties: Properties): Promise<Held> {
    const resource = this.typeOf(type);
    const before = this.held.get(`${type} ${properties.owner}`);
    const context = this.world.context(properties.owner);
    const { inputs, refusals } = await check(resource, before?.state, properties, context);
    if (refusals.length > 0) throw new Refused(refusals);
    const fresh = before
      ? { id: before.id, outputs: await resource.update(before.id, before.state as State, inputs, context) }
      : await resource.create(inputs, context);
    const state = { ...inputs, ...fresh.outputs };
    this.held.set(`${type} ${properties.owner}`, { type, id: fresh.id, state });
    return state;
  }

  /** What a preview says of the resource of this owner: its drift and its plan. */
  async preview(type: string, properties: Properties): Promise<{ drift: string[]; plan: string[] }> {
    const resource = this.typeOf(type);
    const before = this.held.get(`${type} ${properties.owner}`)?.state as State | undefined;
    const context = this.world.context(properties.owner);
    const { inputs, refusals } = await check(resource, before, properties, context);
    if (refusals.length > 0) throw new Refused(refusals);
    const drift = before ? (await diff(resource, before, inputs, context)).drift : [];
    return { drift, plan: (await resource.plan?.(before, inputs, context)) ?? [] };
  }

  /** Takes over what an earlier run holds, as a host does from its stored state; `owner` is its name from now on. */
  keep(type: string, id: string, state: Held, owner: string = state.owner): void {
    this.held.set(`${type} ${owner}`, { type, id, state });
  }

  /** Deletes everything that is held, the newest first. */
  async down(): Promise<void> {
    for (const [key, { type, id, state }] of [...this.held].reverse()) {
      await this.typeOf(type).delete(id, state as State, this.world.context(key));
      this.held.delete(key);
    }
  }

  private typeOf(name: string) {
    const type = registry[name];
    if (!type) throw new Error(`there is no resource type ${name}`);
    return type;
  }
}
