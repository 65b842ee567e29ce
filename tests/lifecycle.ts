import { Driver } from "../provider/driver/driver";
import { World } from "../provider/driver/world";

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

/** A host without an engine: check, then create or update; keeps what they return. */
export class Lifecycle {
  /** What the resources said. */
  readonly lines: string[] = [];
  private readonly world: World;
  private readonly driver: Driver;
  private readonly held = new Map<string, { type: string; id: string; state: Held }>();

  /** `environment` holds OS_* and may hold OSBACKUP_NOW. */
  constructor(environment: Record<string, string | undefined>) {
    this.world = new World({}, line => this.lines.push(line), environment);
    this.driver = new Driver(this.world);
  }

  /** Ends what runs, as the host does when its engine is gone. */
  abort(reason: Error): void {
    this.world.abort.abort(reason);
  }

  /** Creates or updates the resource of this owner and returns its state. */
  async up(type: string, properties: Properties): Promise<Held> {
    const before = this.held.get(`${type} ${properties.owner}`);
    const inputs = await this.checked(type, before?.state, properties);
    const fresh = before
      ? { id: before.id, outputs: await this.driver.update(type, before.id, before.state, inputs) }
      : await this.driver.create(type, inputs);
    const state = { ...inputs, ...fresh.outputs };
    this.held.set(`${type} ${properties.owner}`, { type, id: fresh.id, state });
    return state;
  }

  /** What a preview says of the resource of this owner: its drift and its plan. */
  async preview(type: string, properties: Properties): Promise<{ drift: string[]; plan: string[] }> {
    const before = this.held.get(`${type} ${properties.owner}`)?.state;
    const inputs = await this.checked(type, before, properties);
    const drift = before ? (await this.driver.diff(type, before, inputs)).drift : [];
    return { drift, plan: await this.driver.plan(type, before, inputs) };
  }

  /** Whether the resource of this owner changes; says what an engine hears of it, in a preview and before an update. */
  async differs(type: string, properties: Properties): Promise<boolean> {
    const before = this.held.get(`${type} ${properties.owner}`)?.state ?? {};
    const inputs = await this.checked(type, before, properties);
    const difference = await this.driver.diff(type, before, inputs);
    await this.driver.sayDifference(type, difference, before, inputs);
    return difference.changed.length + difference.drift.length > 0;
  }

  /** What a refresh makes of a state. */
  read(type: string, state: Held) {
    return this.driver.read(type, state.owner, state);
  }

  private async checked(
    type: string,
    before: Held | undefined,
    properties: Properties,
  ): Promise<Record<string, unknown>> {
    const { inputs, refusals } = await this.driver.check(type, before, properties);
    if (refusals.length > 0) throw new Refused(refusals);
    return inputs;
  }

  /** Takes over what an earlier run holds, as a host does from its stored state; `owner` is its name from now on. */
  keep(type: string, id: string, state: Held, owner: string = state.owner): void {
    this.held.set(`${type} ${owner}`, { type, id, state });
  }

  /** Deletes everything that is held, the newest first: a run of its own, in which nothing was replaced. */
  async down(): Promise<void> {
    const driver = new Driver(this.world);
    for (const [key, { type, id, state }] of [...this.held].reverse()) {
      await driver.delete(type, id, state);
      this.held.delete(key);
    }
  }
}
