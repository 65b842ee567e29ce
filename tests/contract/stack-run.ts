import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { World } from "../../provider/hosts/world";
import { check } from "../../provider/resources/check";
import { diff } from "../../provider/resources/diff";
import { registry } from "../../provider/resources/registry";
import type { Context, Refusal, ResourceType } from "../../provider/resources/resource";
import type { CloudObject, CloudUnderTest, Who } from "./clouds";

export type Properties = Record<string, unknown>;

/** A resource as the engine keeps it. */
export interface Held {
  type: string;
  id: string;
  state: Properties;
}

/** Everything that the provider has said in this process, to people and in errors: no secret may be in it. */
export const said: string[] = [];

let runs = 0;

export interface RunOptions {
  who?: Who;
  /** The clock, ISO 8601. */
  now?: string;
  environment?: Record<string, string>;
}

/** One run of a stack: a provider process of its own, as far as the provider can tell. */
export class StackRun {
  readonly lines: string[] = [];
  readonly world: World;

  constructor(
    cloud: CloudUnderTest,
    { who = "demo", now = "2026-11-22T10:10:00Z", environment }: RunOptions,
  ) {
    const hear = (line: string) => {
      said.push(line);
      this.lines.push(line);
    };
    // A name of its own: sessions, and with them listings, are shared within a process by their configuration.
    const own = { OS_CLOUD_NAME: `run-${++runs}`, OSBACKUP_NOW: now };
    this.world = new World({}, hear, { ...cloud.environments[who], ...own, ...environment });
  }

  async check(
    type: string,
    given: Properties,
    olds?: Properties,
  ): Promise<{ inputs: Properties; refusals: Refusal[] }> {
    const { inputs, refusals } = await heard(check(typeOf(type), olds, given, this.context(given)));
    said.push(...refusals.map(({ reason }) => reason));
    return { inputs, refusals };
  }

  /** The checked inputs; throws where they are refused. */
  async accepted(type: string, given: Properties, olds?: Properties): Promise<Properties> {
    const { inputs, refusals } = await this.check(type, given, olds);
    assert.deepEqual(refusals, []);
    return inputs;
  }

  async create(type: string, given: Properties): Promise<Held> {
    const inputs = await this.accepted(type, given);
    return this.createAccepted(type, inputs);
  }

  /** Creates from inputs that were checked before. */
  async createAccepted(type: string, inputs: Properties): Promise<Held> {
    if ("cloud" in typeOf(type).inputs.shape) {
      const place = inputs as { owner: string };
      await heard(this.world.swept(place.owner, {})).catch(() => undefined);
    }
    const { id, outputs } = await heard(typeOf(type).create(inputs, this.context(inputs)));
    return { type, id, state: { ...inputs, ...outputs } };
  }

  async read(held: Held): Promise<Held | undefined> {
    const fresh = await heard(typeOf(held.type).read(held.id, held.state as never, this.context(held.state)));
    return fresh && { ...held, id: fresh.id, state: { ...held.state, ...fresh.outputs } };
  }

  async diff(held: Held, given: Properties) {
    const inputs = await this.accepted(held.type, given, held.state);
    return heard(diff(typeOf(held.type), held.state, inputs, this.context(given)));
  }

  async update(held: Held, given: Properties): Promise<Held> {
    const inputs = await this.accepted(held.type, given, held.state);
    const type = typeOf(held.type);
    const outputs = await heard(
      type.update(held.id, held.state as never, inputs as never, this.context(given)),
    );
    return { ...held, state: { ...inputs, ...outputs } };
  }

  async delete(held: Held): Promise<void> {
    await heard(typeOf(held.type).delete(held.id, held.state as never, this.context(held.state)));
  }

  private context(given: Properties): Context {
    return this.world.context(String(given.owner).split("/").slice(2).join("/"));
  }
}

function typeOf(name: string): ResourceType {
  const type = registry[name];
  if (!type) throw new Error(`no resource type '${name}'`);
  return type;
}

async function heard<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    said.push(String(error), JSON.stringify(error) ?? "", (error as Error).stack ?? "");
    throw error;
  }
}

let scenes = 0;

/** One test's corner of the cloud: an owner of its own, a folder, and what is made from now on. */
export class Scene {
  readonly stack: string;

  private constructor(
    readonly cloud: CloudUnderTest,
    readonly directory: string,
    private known: ReadonlySet<string>,
  ) {
    this.stack = `contract/test${++scenes}`;
  }

  static async open(cloud: CloudUnderTest): Promise<Scene> {
    cloud.faults.clear();
    const directory = await mkdtemp(path.join(tmpdir(), "osbackup-contract-"));
    return new Scene(cloud, directory, new Set());
  }

  owner(name: string): string {
    return `${this.stack}/${name}`;
  }

  run(options: RunOptions = {}): StackRun {
    return new StackRun(this.cloud, options);
  }

  /** What is there now belongs to the scenery; `made` tells what came after. */
  async begin(): Promise<void> {
    this.known = new Set((await this.cloud.objects()).map(({ id }) => id));
  }

  async made(): Promise<CloudObject[]> {
    return (await this.cloud.objects()).filter(({ id }) => !this.known.has(id));
  }

  async close(): Promise<void> {
    const unmet = this.cloud.faults.mend();
    await rm(this.directory, { recursive: true, force: true });
    assert.deepEqual(unmet, [], "faults that met no request");
  }
}
