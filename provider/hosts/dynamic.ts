import { Driver, type Properties, typeOf } from "../driver/driver";
import { World } from "../driver/world";
import { configurationKeys } from "../openstack/cloud-settings";
import { PartialFailure, type Refusal } from "../resources/resource";
import { configKey, signalKeys } from "../signals/settings";
import { endWithEngine, engineAddress } from "./engine-watch";
import { fromPulumi, toPulumi } from "./pulumi-values";
import { wordsOf } from "./remedy";

/**
 * The face of the registry that Pulumi's dynamic provider host drives. A resource's state holds a constant that only
 * requires this module by name, so an upgrade of the package takes effect at once for every stored resource.
 */

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

/** What one run of the provider has around it. */
interface Surroundings {
  print(line: string): void;
  environment: NodeJS.ProcessEnv;
  /** Told once how the run is called off. */
  begun(abort: (reason: Error) => void): void;
}

/** A process of its own, which ends with its engine. */
const ownProcess: Surroundings = {
  print: line => console.log(line),
  environment: process.env,
  begun: abort => endWithEngine(engineAddress(), abort),
};

/** One run of the provider: its driver stands when the configuration is known, and without one at the first call. */
export class ProviderRun {
  private started: Driver | undefined;

  constructor(private readonly around: Surroundings = ownProcess) {}

  /** The first configuration counts. */
  configure(config: { get(key: string): string | undefined }): void {
    this.started ??= this.start(config);
  }

  /** Without a configuration the environment is enough. */
  get driver(): Driver {
    this.started ??= new Driver(this.world({}));
    return this.started;
  }

  private start(config: { get(key: string): string | undefined }): Driver {
    const found: Record<string, string> = {};
    for (const key of [...configurationKeys, ...signalKeys.map(configKey)]) {
      const value = config.get(key);
      if (value !== undefined) found[key] = value;
    }
    const world = this.world(found);
    this.around.begun(reason => world.abort.abort(reason));
    return new Driver(world);
  }

  private world(config: Record<string, string>): World {
    return new World(config, line => this.around.print(line), this.around.environment);
  }
}

const thisProcess = new ProviderRun();

/** The provider of one resource type. `run` is what it works for: this process. */
export function dynamicProvider(name: string, run = thisProcess): DynamicProvider {
  typeOf(name); // throws where there is no such type
  return {
    // The host does not wait for this before the first calls: the configuration is stored before any await.
    async configure({ config }) {
      run.configure(config);
    },

    async check(olds, news) {
      return clean(async () => {
        const before = fromPulumi(olds);
        const { inputs, refusals } = await run.driver.check(name, before, fromPulumi(news));
        if (refusals.length === 0 && Object.keys(before).length === 0)
          await run.driver.sayPlan(name, undefined, inputs);
        return { inputs: toPulumi(inputs), failures: refusals.map(shownRefusal) };
      });
    },

    async diff(_id, olds, news) {
      return clean(async () => {
        const [state, inputs] = [fromPulumi(olds), fromPulumi(news)];
        const difference = await run.driver.diff(name, state, inputs);
        await run.driver.sayDifference(name, difference, state, inputs);
        const { changed, replaces, drift } = difference;
        return { changes: changed.length + drift.length > 0, replaces };
      });
    },

    async create(inputs) {
      return clean(async () => {
        const { id, outputs } = await run.driver.create(name, fromPulumi(inputs));
        return { id, outs: { ...fromPulumi(inputs), ...outputs } };
      }, inputs);
    },

    async read(id, props) {
      return clean(async () => {
        const fresh = await run.driver.read(name, id, fromPulumi(props));
        return fresh ? { id: fresh.id, props: { ...fromPulumi(props), ...fresh.outputs } } : {};
      });
    },

    async update(id, olds, news) {
      return clean(async () => {
        const outputs = await run.driver.update(name, id, fromPulumi(olds), fromPulumi(news));
        return { outs: { ...fromPulumi(news), ...outputs } };
      }, news);
    },

    async delete(id, props) {
      return clean(() => run.driver.delete(name, id, fromPulumi(props)));
    },
  };
}

/**
 * A refusal as the engine prints it. It shows the value of the property that a failure names, a secret one in plain text
 * too, so the name stands in the reason and the failure names none.
 */
function shownRefusal({ property, reason }: Refusal): Refusal {
  return { property: "", reason: property === "" ? reason : `property ${property}: ${reason}` };
}

/**
 * Errors as the host passes them on: it prints the stack, so the stack is the message. A partial failure carries all of
 * the inputs with `__provider`, which the host does not add: without it the resource could never be deleted.
 */
async function clean<T>(act: () => Promise<T>, inputs?: Properties): Promise<T> {
  try {
    return await act();
  } catch (error) {
    const message = wordsOf(error);
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
