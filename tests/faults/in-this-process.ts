import { createRequire } from "node:module";
import path from "node:path";
import { setAllConfig } from "@pulumi/pulumi/runtime/config";
import { disconnect, resetOptions } from "@pulumi/pulumi/runtime/settings";
import { runInPulumiStack } from "@pulumi/pulumi/runtime/stack";
import * as state from "@pulumi/pulumi/runtime/state";
import type { Hosts } from "../../engine/deployment";
import { annotateSecrets, forProvider, type Properties } from "../../engine/property";
import { PartialFailure, type Provider, type StartProvider } from "../../engine/provider-host";
import { typeOf, type Urn } from "../../engine/urn";
import type * as Dynamic from "../../provider/hosts/dynamic";

/** What keeps the runs of programs in one process apart; Pulumi's automation API has it from there too. */
const { withLocalStorage } = state as unknown as { withLocalStorage<T>(run: () => Promise<T>): Promise<T> };

type DynamicProvider = ReturnType<typeof Dynamic.dynamicProvider>;

/**
 * The program and the provider in the engine's own process: a run takes a fifth of the time that it takes with processes
 * of their own. What is between them and the engine is by design the same: plain objects, `__provider` added as Pulumi's
 * dynamic host adds it, a partial failure by its fields.
 * @param packageDirectory of the provider that is to run: this one, or a copy with a defect
 */
export function inThisProcess(packageDirectory: string, program: () => void): Hosts {
  const load = createRequire(path.join(packageDirectory, "package.json"));
  const { dynamicProvider, ProviderRun } = load("./dist/provider/hosts/dynamic.js") as typeof Dynamic;

  const startProvider: StartProvider = async ({ config, environment, onLine }) => {
    const run = new ProviderRun({
      print: line => onLine(line, "stdout"),
      environment,
      begun: () => {},
    });
    const plain = forProvider(config) as Record<string, string>;
    run.configure({ get: key => plain[key] });
    return new InProcess(urn => dynamicProvider(typeOf(urn).split(":").pop() as string, run));
  };

  const startProgram: Hosts["startProgram"] = options => ({
    ended: withLocalStorage(async () => {
      const { project, stack, parallel, address, dryRun, config } = options;
      resetOptions(project.name, stack, parallel, address, address, dryRun, "organization");
      const secrets = Object.keys(config).filter(key => config[key]?.secret);
      setAllConfig(
        Object.fromEntries(Object.entries(config).map(([key, { value }]) => [key, value])),
        secrets,
      );
      try {
        await runInPulumiStack(async () => program());
        await disconnect(true);
        return { ok: true, explained: false };
      } catch (error) {
        await disconnect(false).catch(() => {});
        return { ok: false, explained: false, message: (error as Error).message };
      }
    }),
    kill() {},
  });

  return { startProgram, startProvider };
}

/** The calls of the engine, made to the provider as Pulumi's dynamic host makes them. */
class InProcess implements Provider {
  constructor(private readonly of: (urn: Urn) => DynamicProvider) {}

  async check(urn: Urn, olds: Properties, news: Properties) {
    const { inputs, failures } = await this.of(urn).check(sent(olds), sent(news));
    return { inputs: answered(inputs, news, news), failures };
  }

  async diff(urn: Urn, id: string, old: { outputs: Properties }, news: Properties) {
    const { changes, replaces } = await this.of(urn).diff(id, sent(old.outputs), sent(news));
    return { changes: changes ? "some" : "none", replaces, deleteBeforeReplace: false } as const;
  }

  async create(urn: Urn, inputs: Properties) {
    const { id, outs } = await this.of(urn).create(sent(inputs)).catch(partial(inputs));
    return { id, outputs: answered(outs, inputs, inputs) };
  }

  async update(urn: Urn, id: string, old: { outputs: Properties }, news: Properties) {
    const { outs } = await this.of(urn).update(id, sent(old.outputs), sent(news)).catch(partial(news));
    return answered(outs, news, news);
  }

  async read(urn: Urn, id: string, _inputs: Properties, outputs: Properties) {
    const found = await this.of(urn).read(id, sent(outputs));
    return found.id ? { id: found.id, outputs: answered(found.props ?? {}, outputs, outputs) } : undefined;
  }

  async delete(urn: Urn, id: string, _inputs: Properties, outputs: Properties) {
    await this.of(urn).delete(id, sent(outputs));
  }

  async stop() {}
}

/** As it arrives: a copy, secrets in the clear. */
const sent = (properties: Properties): Properties => structuredClone(forProvider(properties));

function answered(given: object, asked: Properties, secretsOf: Properties): Properties {
  // what is undefined does not cross the wire
  const properties = JSON.parse(JSON.stringify(given)) as Properties;
  if (asked.__provider !== undefined) properties.__provider = asked.__provider;
  annotateSecrets(properties, secretsOf);
  return properties;
}

const partial =
  (inputs: Properties) =>
  (error: Error & { id?: string; properties?: Properties; reasons?: string[] }): never => {
    if (error.id === undefined) throw error;
    throw new PartialFailure(
      error.message,
      error.id,
      answered(error.properties ?? {}, {}, inputs),
      error.reasons ?? [],
    );
  };
