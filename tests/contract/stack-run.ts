import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Driver, type Properties } from "../../provider/driver/driver";
import { World } from "../../provider/driver/world";
import type { Refusal } from "../../provider/resources/resource";
import type { CloudObject, CloudUnderTest, Who } from "./clouds";

export type { Properties };

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
  private readonly driver: Driver;

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
    this.driver = new Driver(this.world);
  }

  async check(
    type: string,
    given: Properties,
    olds?: Properties,
  ): Promise<{ inputs: Properties; refusals: Refusal[] }> {
    const { inputs, refusals } = await heard(this.driver.check(type, olds, given));
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
    const { id, outputs } = await heard(this.driver.create(type, inputs));
    return { type, id, state: { ...inputs, ...outputs } };
  }

  async read(held: Held): Promise<Held | undefined> {
    const fresh = await heard(this.driver.read(held.type, held.id, held.state));
    return fresh && { ...held, id: fresh.id, state: { ...held.state, ...fresh.outputs } };
  }

  async diff(held: Held, given: Properties) {
    const inputs = await this.accepted(held.type, given, held.state);
    return heard(this.driver.diff(held.type, held.state, inputs));
  }

  async update(held: Held, given: Properties): Promise<Held> {
    const inputs = await this.accepted(held.type, given, held.state);
    const outputs = await heard(this.driver.update(held.type, held.id, held.state, inputs));
    return { ...held, state: { ...inputs, ...outputs } };
  }

  /** As another run of the stack does, in which nothing was replaced. */
  async delete(held: Held): Promise<void> {
    await heard(new Driver(this.world).delete(held.type, held.id, held.state));
  }
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
