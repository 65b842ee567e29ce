import { isDeepStrictEqual } from "node:util";
import { check, lacksWhatItFollows } from "../resources/check";
import { diff } from "../resources/diff";
import { registry } from "../resources/registry";
import { type Context, metaOf, PartialFailure, type Refusal, type ResourceType } from "../resources/resource";
import { unknownValue } from "../resources/unknown";
import { configurationKeys } from "./configuration-keys";
import { endWithEngine, engineAddress } from "./engine-watch";
import { World } from "./world";

/**
 * The face of the registry that Pulumi's dynamic provider host drives. A resource's state holds a constant that only
 * requires this module by name, so an upgrade of the package takes effect at once for every stored resource.
 */

type Properties = Record<string, unknown>;

/** Everything that the dynamic host calls. */
interface DynamicProvider {
  configure(request: { config: { get(key: string): string | undefined } }): Promise<void>;
  check(
    olds: Properties,
    news: Properties,
  ): Promise<{ inputs: Properties; failures: { property: string; reason: string }[] }>;
  diff(id: string, olds: Properties, news: Properties): Promise<{ changes: boolean; replaces: string[] }>;
  create(inputs: Properties): Promise<{ id: string; outs: Properties }>;
  read(id: string, props: Properties): Promise<{ id?: string; props?: Properties }>;
  update(id: string, olds: Properties, news: Properties): Promise<{ outs: Properties }>;
  delete(id: string, props: Properties): Promise<void>;
}

/** What one process keeps between the calls of all resource types. */
export class ProviderProcess {
  private started: World | undefined;
  /** What it has created or taken over, by type and id, with its inputs. */
  readonly created = new Map<string, Properties>();

  /** The first configuration counts. */
  configure(config: { get(key: string): string | undefined }): void {
    this.started ??= startWorld(config);
  }

  /** Without a configuration the environment is enough. */
  private get world(): World {
    this.started ??= new World({}, line => console.log(line));
    return this.started;
  }

  contextOf(properties: Properties): Context {
    const owner = typeof properties.owner === "string" ? properties.owner : "";
    return this.world.context(owner.split("/").slice(2).join("/") || owner);
  }

  /** The context of an operation that makes something: what a dead run left is swept first, once per run. */
  async begin(type: ResourceType, properties: Properties): Promise<Context> {
    const context = this.contextOf(properties);
    if ("cloud" in type.inputs.shape) {
      const place = properties as { owner: string; cloud?: string; region?: string };
      await this.world
        .swept(place.owner, place)
        .catch(error => context.warn(`the sweep failed: ${(error as Error).message}`));
    }
    return context;
  }
}

const thisProcess = new ProviderProcess();

/** The provider of one resource type. `run` is the process that it works in: this one. */
export function dynamicProvider(name: string, run = thisProcess): DynamicProvider {
  const type = registry[name];
  if (!type) throw new Error(`pulumi-openstack-backup has no resource type '${name}'`);
  return {
    // The host does not wait for this before the first calls: the configuration is stored before any await.
    async configure({ config }) {
      run.configure(config);
    },

    async check(olds, news) {
      return clean(async () => {
        const context = run.contextOf(news);
        const before = bare(olds);
        const { inputs, refusals } = await check(type, before, bare(news), context);
        if (refusals.length === 0 && Object.keys(before).length === 0)
          await explain(type, undefined, inputs, context);
        return { inputs, failures: refusals.map(shownRefusal) };
      });
    },

    async diff(_id, olds, news) {
      return clean(async () => {
        const context = run.contextOf(news);
        const { changed, replaces, drift } = await diff(type, bare(olds), bare(news), context);
        for (const line of drift) context.log(`drift: ${line}`);
        const changes = changed.length > 0 || drift.length > 0;
        if (replaces.length > 0) {
          await sayLeaving(type, bare(olds), context);
          await explain(type, undefined, bare(news), context);
        } else if (changes) await explain(type, bare(olds), bare(news), context);
        return { changes, replaces };
      });
    },

    async create(inputs) {
      return clean(async () => {
        requireWhatItFollows(type, inputs);
        const context = await run.begin(type, inputs);
        const { id, outputs } = await type.create(bare(inputs), context);
        run.created.set(`${name} ${id}`, inputs);
        return { id, outs: { ...bare(inputs), ...outputs } };
      }, inputs);
    },

    async read(id, props) {
      return clean(async () => {
        const fresh = await type.read(id, bare(props), run.contextOf(props));
        return fresh ? { id: fresh.id, props: { ...bare(props), ...fresh.outputs } } : {};
      });
    },

    async update(id, olds, news) {
      return clean(async () => {
        const context = await run.begin(type, news);
        return { outs: { ...bare(news), ...(await type.update(id, bare(olds), bare(news), context)) } };
      }, news);
    },

    async delete(id, props) {
      return clean(async () => {
        const context = run.contextOf(props);
        if (isReplacedByItself(type, run.created.get(`${name} ${id}`), props))
          context.log("its replacement has taken over what it made: nothing is removed");
        else await type.delete(id, bare(props), context);
      });
    },
  };
}

/**
 * `pulumi up --replace` creates a resource anew from the same inputs, which adopts what is there, and deletes the old one
 * afterwards: that would remove the adopted points.
 */
function isReplacedByItself(
  type: ResourceType,
  successor: Properties | undefined,
  props: Properties,
): boolean {
  if (!successor) return false;
  const identity = Object.entries(type.inputs.shape).filter(([, field]) => metaOf(field).replaceOnChanges);
  return identity.every(([key]) => isDeepStrictEqual(successor[key], props[key]));
}

function startWorld(config: { get(key: string): string | undefined }): World {
  const found: Record<string, string> = {};
  for (const key of configurationKeys) {
    const value = config.get(key);
    if (value !== undefined) found[key] = value;
  }
  const started = new World(found, line => console.log(line));
  endWithEngine(engineAddress(), reason => started.abort.abort(reason));
  return started;
}

/** Says what the coming run will do, in the preview. Values that are not known yet are left out. */
async function explain(
  type: ResourceType,
  state: Properties | undefined,
  inputs: Properties,
  context: Context,
): Promise<void> {
  const known = Object.fromEntries(Object.entries(inputs).filter(([, value]) => value !== unknownValue));
  try {
    for (const line of (await type.plan?.(state, known, context)) ?? []) context.log(line);
  } catch (error) {
    context.warn(`what will be kept and removed cannot be said now: ${(error as Error).message}`);
  }
}

/** The engine skips what depends on a failed resource; where it does not, this is no reason to stop all others. */
function requireWhatItFollows(type: ResourceType, inputs: Properties): void {
  if (lacksWhatItFollows(type, inputs))
    throw new Error("what it is made from failed in this run: see the error of its snapshot or volume");
}

/** Says what a replacement takes away. Of any other delete the engine tells the provider nothing before. */
async function sayLeaving(type: ResourceType, state: Properties, context: Context): Promise<void> {
  try {
    const line = await type.leaving?.(state, context);
    if (line) context.log(line);
  } catch (error) {
    context.warn(`what its replacement removes cannot be said now: ${(error as Error).message}`);
  }
}

/**
 * A refusal as the engine prints it. It shows the value of the property that a failure names, a secret one in plain text
 * too, so the name stands in the reason and the failure names none.
 */
function shownRefusal({ property, reason }: Refusal): Refusal {
  return { property: "", reason: property === "" ? reason : `property ${property}: ${reason}` };
}

/** Without the host's own properties. */
function bare(properties: Properties | undefined): Properties {
  const { __provider, ...rest } = properties ?? {};
  return rest;
}

/**
 * Errors as the host passes them on: it prints the stack, so the stack is the message. A partial failure carries all of
 * the inputs with `__provider`, which the host does not add: without it the resource could never be deleted.
 */
async function clean<T>(act: () => Promise<T>, inputs?: Properties): Promise<T> {
  try {
    return await act();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const shown = new Error(message);
    shown.stack = message;
    if (error instanceof PartialFailure && inputs)
      Object.assign(shown, {
        id: error.fresh.id,
        properties: { ...inputs, ...error.fresh.outputs },
        reasons: [message],
      });
    throw shown;
  }
}
