import { isDeepStrictEqual } from "node:util";
import { preflightOf } from "../operations/preflight";
import { type Checked, check, lacksWhatItFollows } from "../resources/check";
import { type Difference, diff } from "../resources/diff";
import { registry } from "../resources/registry";
import {
  type Context,
  type Fresh,
  metaOf,
  type Place,
  type ResourceType,
  type State,
} from "../resources/resource";
import { hasUnknown, unknown } from "../resources/unknown";
import type { World } from "./world";

/** The inputs, or the state, of one resource. */
export type Properties = Record<string, unknown>;

/**
 * What every host does with the resources of one run besides speaking its engine's language: looks before it says what
 * will happen, sweeps before it makes, and knows what this run has made already.
 */
export class Driver {
  /** What this run has created or taken over, by type and id, with its inputs. */
  private readonly created = new Map<string, Properties>();

  constructor(private readonly world: World) {}

  /** The checked inputs of a resource, or why they are refused. `olds` is its state, where it has one. */
  async check(name: string, olds: Properties | undefined, news: Properties): Promise<Checked> {
    const { inputs, refusals } = await check(typeOf(name), olds, news, this.contextOf(news));
    return { inputs, refusals: [...this.world.refusals, ...refusals] };
  }

  /** What changes, and what drifted in the world. */
  diff(name: string, state: Properties, inputs: Properties): Promise<Difference> {
    return diff(typeOf(name), state, inputs, this.contextOf(inputs));
  }

  /** What the coming run will do, in words. Values that are not known yet are left out. */
  async plan(name: string, state: Properties | undefined, inputs: Properties): Promise<string[]> {
    // what a retention keeps cannot be said while a part of it is not known
    if (hasUnknown(inputs.retention) && inputs.retention !== unknown)
      return ["what will be kept and removed is not known before the run: a part of retention is not"];
    const known = Object.fromEntries(Object.entries(inputs).filter(([, value]) => value !== unknown));
    const lines = await typeOf(name).plan?.(state as State | undefined, known, this.contextOf(inputs));
    return lines ?? [];
  }

  /** Says what the coming run will do, or why that cannot be said now. */
  async sayPlan(name: string, state: Properties | undefined, inputs: Properties): Promise<void> {
    const context = this.contextOf(inputs);
    if ("points" in typeOf(name).outputs.shape) await this.sayPreflight(inputs, context);
    try {
      for (const line of await this.plan(name, state, inputs)) context.log(line);
    } catch (error) {
      context.warn(`what will be kept and removed cannot be said now: ${(error as Error).message}`);
    }
  }

  /** Says what a difference comes to: drift, the plan, and what a replacement takes away. */
  async sayDifference(
    name: string,
    { changed, replaces, drift }: Difference,
    state: Properties,
    inputs: Properties,
  ): Promise<void> {
    const context = this.contextOf(inputs);
    for (const line of drift) context.log(`drift: ${line}`);
    // of its replacement the engine asks anew, as of a new resource, and hears the plan then
    if (replaces.length > 0) await this.sayLeaving(name, state, context);
    else if (changed.length + drift.length > 0) await this.sayPlan(name, state, inputs);
  }

  /** Says what may go wrong for all sets of the login; a cloud that cannot be asked is told of elsewhere. */
  private async sayPreflight(inputs: Properties, { warn }: Context): Promise<void> {
    try {
      for (const line of await preflightOf(this.world.session(inputs as Place)).warnings()) warn(line);
    } catch {
      // as the plan says next
    }
  }

  /** Of any other delete than a replacement's the engine tells the provider nothing before. */
  private async sayLeaving(name: string, state: Properties, context: Context): Promise<void> {
    try {
      const line = await typeOf(name).leaving?.(state as State, context);
      if (line) context.log(line);
    } catch (error) {
      context.warn(`what its replacement removes cannot be said now: ${(error as Error).message}`);
    }
  }

  async create(name: string, inputs: Properties): Promise<Fresh<Properties>> {
    const type = typeOf(name);
    // the engine skips what depends on a failed resource; where it does not, this is no reason to stop all others
    if (lacksWhatItFollows(type, inputs))
      throw new Error("what it is made from failed in this run: see the error of its snapshot or volume");
    const context = await this.swept(type, inputs);
    const make = () => type.create(inputs, context);
    const { id, outputs } = await this.signalled(name, undefined, inputs, make, fresh => fresh.outputs);
    this.created.set(`${name} ${id}`, inputs);
    return { id, outputs };
  }

  /** Undefined where it is gone. */
  read(name: string, id: string, state: Properties): Promise<Fresh<Properties> | undefined> {
    return typeOf(name).read(id, state as State, this.contextOf(state));
  }

  async update(name: string, id: string, state: Properties, inputs: Properties): Promise<Properties> {
    const type = typeOf(name);
    const context = await this.swept(type, inputs);
    const change = () => type.update(id, state as State, inputs, context);
    return this.signalled(name, state, inputs, change, outputs => outputs);
  }

  async delete(name: string, id: string, state: Properties): Promise<void> {
    const type = typeOf(name);
    const context = this.contextOf(state);
    if (isReplacedByItself(type, this.created.get(`${name} ${id}`), state))
      context.log("its replacement has taken over what it made: nothing is removed");
    else await type.delete(id, state as State, context);
    await this.world.signals.of(name, state, context.warn)?.gone();
  }

  /** Tells others how an operation on a set begins and ends. */
  private async signalled<T>(
    name: string,
    state: Properties | undefined,
    inputs: Properties,
    act: () => Promise<T>,
    outputsOf: (done: T) => Properties,
  ): Promise<T> {
    const signals = this.world.signals.of(name, inputs, this.contextOf(inputs).warn);
    signals?.begun(state);
    try {
      const done = await act();
      await signals?.succeeded(state, outputsOf(done));
      return done;
    } catch (error) {
      await signals?.failed(error);
      throw error;
    }
  }

  /** The context of an operation that makes something: what a dead run left is swept first, once per run. */
  private async swept(type: ResourceType, inputs: Properties): Promise<Context> {
    const context = this.contextOf(inputs);
    if ("cloud" in type.inputs.shape) {
      const place = inputs as Properties & Place & { owner: string };
      await this.world
        .swept(place.owner, place)
        .catch(error => context.warn(`the sweep failed: ${(error as Error).message}`));
    }
    return context;
  }

  private contextOf(properties: Properties): Context {
    const owner = typeof properties.owner === "string" ? properties.owner : "";
    return this.world.context(owner.split("/").slice(2).join("/") || owner);
  }
}

/** The resource type of that name. */
export function typeOf(name: string): ResourceType {
  const type = registry[name];
  if (!type) throw new Error(`pulumi-openstack-backup has no resource type '${name}'`);
  return type;
}

/**
 * `pulumi up --replace` creates a resource anew from the same inputs, which adopts what is there, and deletes the old one
 * afterwards: that would remove the adopted points.
 */
function isReplacedByItself(
  type: ResourceType,
  successor: Properties | undefined,
  state: Properties,
): boolean {
  if (!successor) return false;
  const identity = Object.entries(type.inputs.shape).filter(([, field]) => metaOf(field).replaceOnChanges);
  return identity.every(([key]) => isDeepStrictEqual(successor[key], state[key]));
}
