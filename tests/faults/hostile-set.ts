import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, type DevcloudOptions, makeExt4Image, startDevcloud } from "../../devcloud";
import { Driver, type Properties } from "../../provider/driver/driver";
import { World } from "../../provider/driver/world";
import { PartialFailure } from "../../provider/resources/resource";
import { openRepository } from "../../provider/restic";
import type { ResticSnapshot } from "../../provider/restic/index";
import { loopsOn } from "../loop-devices";
import { newRepository, password } from "../provider/restic/fixture";

export { password };

/** What a program declares of one set: a VolumeBackup, or with `backup: false` a CinderSnapshot alone. */
export interface Declared {
  volumeId: string;
  snapshot?: Properties;
  backup?: Properties | false;
  /** Of each wait for the cloud. Default 15. */
  timeoutSeconds?: number;
}

interface Held {
  type: string;
  id: string;
  state: Properties;
}

/** Why the resources of a run failed, by their names. */
export type Failures = Record<string, string>;

/** A cloud, a folder and a repository in which everything goes wrong. */
export class HostilePlace {
  /** Whatever was said to people: no secret may be in it. */
  readonly said: string[] = [];
  /** Of the newest run. */
  clock = new Date(hourOf(0));
  private readonly inherited = process.env.OSBACKUP_MOUNT_DIRECTORY;

  private constructor(
    readonly cloud: Devcloud,
    readonly directory: string,
    /** Of the repository. */
    public url: string,
  ) {}

  /** `cloudClock`: whether the cloud has the clock of the runs, or its own. */
  static async open(
    options: DevcloudOptions = {},
    cloudClock: "with the runs" | "its own" = "its own",
  ): Promise<HostilePlace> {
    const directory = await mkdtemp(path.join(tmpdir(), "osbackup-hostile-"));
    for (const name of ["mnt", "files"]) await mkdir(path.join(directory, name));
    process.env.OSBACKUP_MOUNT_DIRECTORY = path.join(directory, "mnt");
    await writeFile(path.join(directory, "files", "ledger"), "all that there is\n");
    let place: HostilePlace | undefined;
    const now = () => place?.clock.getTime() ?? Date.parse(hourOf(0));
    const cloud = await startDevcloud({
      statusDelayMs: 5,
      ...(cloudClock === "with the runs" && { now }),
      ...options,
    });
    place = new HostilePlace(cloud, directory, (await newRepository()).path);
    return place;
  }

  async close(): Promise<void> {
    if (this.inherited === undefined) delete process.env.OSBACKUP_MOUNT_DIRECTORY;
    else process.env.OSBACKUP_MOUNT_DIRECTORY = this.inherited;
    await this.cloud.stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** An ext4 image with the place's files in it. */
  async image(name = "volume", sizeMib = 8): Promise<string> {
    const file = path.join(this.directory, `${name}.img`);
    if (!existsSync(file))
      await makeExt4Image(file, { fromDirectory: path.join(this.directory, "files"), sizeMib });
    return file;
  }

  async addVolume(name = "source", project?: string): Promise<string> {
    const imageFile = await this.image();
    return (await this.cloud.addVolume({ name, imageFile, ...(project && { project }) })).id;
  }

  /** An empty one in place of the first. */
  anotherRepository = async (): Promise<string> => (await newRepository()).path;

  stack(sets: Record<string, Declared>, name = "shop/prod"): HostileStack {
    return new HostileStack(this, name, sets);
  }

  /** The marked restic snapshots of a stack, oldest first. */
  async resticPoints(stack: string): Promise<ResticSnapshot[]> {
    const found = await openRepository({ url: this.url, password }).snapshots();
    return found
      .filter(({ tags }) => tags.some(tag => tag.startsWith(`owner=${stack}/`)))
      .sort((a, b) => a.time.getTime() - b.time.getTime());
  }

  /** The real restic on the repository. */
  restic(...args: string[]): string {
    return execFileSync("restic", ["-r", this.url, "--no-cache", ...args], {
      env: { ...process.env, RESTIC_PASSWORD: password },
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** Slots of one set in the repository, with the marks of those that are no good. */
  async resticSlots(owner: string): Promise<string[]> {
    const found = (await this.resticPoints(owner.split("/").slice(0, 2).join("/"))).filter(
      ({ tags }) => tags.includes(`owner=${owner}`) && tags.includes("managed-by=pulumi-openstack-backup"),
    );
    return found
      .map(({ tags }) =>
        tags
          .filter(tag => /^slot=|^partial$|^unproven$/.test(tag))
          .map(tag => tag.replace("slot=", ""))
          .join(" "),
      )
      .sort();
  }

  /** Slots of one set in the cloud. */
  cinderSlots(owner: string): (string | undefined)[] {
    return this.cloud
      .snapshots()
      .filter(({ metadata }) => metadata["osbackup-owner"] === owner && isPoint(metadata))
      .map(({ metadata }) => metadata["osbackup-slot"])
      .sort();
  }

  /** What was asked of the cloud but looks and logins. */
  changes(): string[] {
    return this.cloud.requests
      .filter(({ method, path }) => method !== "GET" && !path.includes("/auth/"))
      .map(({ method, path }) => `${method} ${path}`);
  }

  /** All that is of others, to be compared with later. */
  foreign(stacks: readonly string[]): string {
    const isOurs = (metadata: Record<string, string>) =>
      stacks.some(stack => metadata["osbackup-owner"]?.startsWith(`${stack}/`)) &&
      metadata["managed-by"] === "pulumi-openstack-backup";
    const rows = [...this.cloud.snapshots(), ...this.cloud.volumes()].filter(row => !isOurs(row.metadata));
    // a volume is updated where a snapshot of it is made
    return JSON.stringify(rows.map(({ id, status, metadata, size }) => ({ id, status, metadata, size })));
  }

  /** Nothing that only lives for a while is there any more, and no secret was said. */
  async assertNothingTemporary(): Promise<void> {
    const { cloud, directory, url } = this;
    const temporary = cloud.volumes().filter(({ metadata }) => metadata["osbackup-role"] === "temporary");
    assert.deepEqual(
      temporary.map(({ name, status }) => `${name} ${status}`),
      [],
    );
    assert.deepEqual(
      cloud.attachments().filter(({ instance }) => instance === null),
      [],
    );
    const left = await readdir(path.join(directory, "mnt"));
    assert.deepEqual(
      left.filter(name => /\.(json|new)$/.test(name)),
      [],
    );
    const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
    assert.deepEqual(
      mounts.filter(line => line.includes(path.join(directory, "mnt"))),
      [],
    );
    assert.deepEqual(loopsOn(directory, cloud.directory), []);
    if (existsSync(url)) assert.deepEqual(await readdir(path.join(url, "locks")), []);
    const secrets = [password, wrongPassword, cloud.environment.OS_PASSWORD ?? "?"];
    assert.deepEqual(
      this.said.filter(line => secrets.some(secret => line.includes(secret))),
      [],
    );
  }
}

export const wrongPassword = "not-the-password-at-all";

/** What a stack must know of the place where it runs. */
export interface Site {
  cloud: { environment: Record<string, string> };
  url: string;
  said: string[];
  clock: Date;
}

/** The sets of one stack and what its engine holds of them. */
export class HostileStack<Place extends Site = HostilePlace> {
  private held = new Map<string, Held>();
  readonly lines: string[] = [];
  /** What others do as soon as a resource of this name is up to date. */
  meanwhile: Record<string, () => Promise<void>> = {};
  /** Ends the run that is under way. */
  abort: ((reason: Error) => void) | undefined;
  /** Of the repository, for all sets. */
  password = password;
  /** The clock's hands, which a test may move in the middle of a run. */
  readonly environment: NodeJS.ProcessEnv;

  constructor(
    readonly place: Place,
    readonly name: string,
    readonly sets: Record<string, Declared>,
  ) {
    this.environment = { ...place.cloud.environment };
  }

  owner(resource: string): string {
    return `${this.name}/${resource}`;
  }

  /** A process of the provider. */
  process(now: string): { driver: Driver; world: World } {
    this.environment.OSBACKUP_NOW = now;
    this.place.clock = new Date(now);
    const world = new World({}, line => this.hear(line), this.environment);
    return { driver: new Driver(world), world };
  }

  /** One run, as `pulumi up --continue-on-error`; what depends on a failed resource is skipped. */
  async up(now: string, names = Object.keys(this.sets)): Promise<Failures> {
    const { driver, world } = this.process(now);
    this.abort = reason => world.abort.abort(reason);
    const failures: Failures = {};
    await Promise.all(names.map(name => this.upSet(driver, name, failures)));
    return failures;
  }

  /** A run in which nothing fails. */
  async upWell(now: string, names?: string[]): Promise<void> {
    assert.deepEqual(await this.up(now, names), {});
  }

  private async upSet(driver: Driver, name: string, failures: Failures): Promise<void> {
    const { volumeId, snapshot, backup, timeoutSeconds = 15 } = this.sets[name] as Declared;
    const attempt = async (resource: string, type: string, more: Properties) => {
      try {
        const given = { owner: this.owner(resource), set: name, ...more };
        const state = await this.converge(driver, type, given);
        await this.meanwhile[resource]?.();
        return state;
      } catch (error) {
        failures[resource] = this.hear((error as Error).message);
        return undefined;
      }
    };
    const point = await attempt(`${name}-snapshot`, "CinderSnapshot", {
      volumeId,
      schedule: "0 * * * *",
      awaitsCopy: backup !== false,
      timeoutSeconds,
      ...snapshot,
    });
    if (!point || backup === false) return;
    const { snapshotId, slot, takenAt, trigger } = point;
    const temporary = await attempt(`${name}-volume`, "TemporaryVolume", {
      snapshotId,
      slot,
      timeoutSeconds,
    });
    if (!temporary) return;
    await attempt(`${name}-backup`, "ResticBackup", {
      snapshotId,
      slot,
      takenAt,
      ...(trigger !== undefined && { trigger }),
      temporaryVolume: {
        owner: this.owner(`${name}-volume`),
        volumeId: temporary.volumeId,
        timeoutSeconds,
      },
      source: { owner: this.owner(`${name}-snapshot`), volumeId },
      repository: { url: this.place.url, password: this.password },
      onFailure: "cleanup",
      ...backup,
    });
  }

  /** Check, diff, and what follows from them; keeps what came back. */
  private async converge(driver: Driver, type: string, given: Properties): Promise<Properties> {
    const key = String(given.owner);
    const before = this.held.get(key);
    const { inputs, refusals } = await driver.check(type, before?.state, given);
    if (refusals.length > 0) throw new Error(refusals.map(({ reason }) => reason).join("; "));
    try {
      if (!before) {
        const { id, outputs } = await driver.create(type, inputs);
        this.held.set(key, { type, id, state: { ...inputs, ...outputs } });
      } else {
        const { changed, replaces, drift } = await driver.diff(type, before.state, inputs);
        assert.deepEqual(replaces, []);
        if (changed.length + drift.length > 0) {
          const outputs = await driver.update(type, before.id, before.state, inputs);
          this.held.set(key, { ...before, state: { ...inputs, ...outputs } });
        }
      }
    } catch (error) {
      if (error instanceof PartialFailure)
        this.held.set(key, { type, id: error.fresh.id, state: { ...inputs, ...error.fresh.outputs } });
      throw error;
    }
    return this.held.get(key)?.state as Properties;
  }

  /** What the state says of a resource. */
  state(resource: string): Properties | undefined {
    return this.held.get(this.owner(resource))?.state;
  }

  /** The state file is gone. */
  loseState(): void {
    this.held = new Map();
  }

  async destroy(now: string): Promise<void> {
    const { driver } = this.process(now);
    for (const [key, { type, id, state }] of [...this.held].reverse()) {
      await driver.delete(type, id, state);
      this.held.delete(key);
    }
  }

  /** What the state knows and what is there are the same, one point a slot, and nothing else of ours is there. */
  async assertWhole(this: HostileStack): Promise<void> {
    const { cloud } = this.place;
    const idsOf = (type: string, key: string) =>
      [...this.held.values()]
        .filter(held => held.type === type)
        .flatMap(({ state }) => (state.points as Record<string, string>[]).map(point => point[key]))
        .sort();
    const ours = cloud
      .snapshots()
      .filter(({ metadata }) => metadata["osbackup-owner"]?.startsWith(`${this.name}/`) && isPoint(metadata));
    assert.deepEqual(ours.map(({ id }) => id).sort(), idsOf("CinderSnapshot", "snapshotId"));
    const points = await this.place.resticPoints(this.name);
    assert.deepEqual(points.map(({ id }) => id).sort(), idsOf("ResticBackup", "resticSnapshotId"));
    const slots = [
      ...ours.map(({ metadata }) => `${metadata["osbackup-owner"]} ${metadata["osbackup-slot"]}`),
      ...points.map(({ tags }) => tags.filter(tag => /^(owner|slot)=/.test(tag)).join(" ")),
    ];
    assert.deepEqual([...new Set(slots)].sort(), slots.sort());
    await this.place.assertNothingTemporary();
  }

  private hear(line: string): string {
    this.place.said.push(line);
    this.lines.push(line);
    return line;
  }
}

const isPoint = (metadata: Record<string, string>): boolean =>
  metadata["managed-by"] === "pulumi-openstack-backup" && metadata["osbackup-role"] === "recovery-point";

/** The slot of an hour, and an instant in which it is due. */
export const slotOf = (hour: number): string => `2026-11-22T${String(hour).padStart(2, "0")}:00:00Z`;
export const hourOf = (hour: number): string => slotOf(hour).replace("00:00Z", "10:00Z");

/** A set of a volume of its own that keeps so many points here and there. */
export async function aSet(place: HostilePlace, name: string, keepLast = 3): Promise<Declared> {
  const retention = { retention: { keepLast } };
  return { volumeId: await place.addVolume(name), snapshot: retention, backup: retention };
}

/**
 * Two good slots, ten in which the repository is in trouble, then two good ones: each of the ten fails with the words,
 * costs no point and leaves nothing that grows; afterwards all goes on as if nothing had been.
 */
export async function tenSlots(
  stack: HostileStack,
  words: RegExp,
  trouble: () => unknown,
  mend: () => unknown,
): Promise<void> {
  const { place } = stack;
  const names = Object.keys(stack.sets);
  const foreign = place.foreign([stack.name]);
  for (const hour of [1, 2]) await stack.upWell(hourOf(hour));
  await trouble();
  for (let hour = 3; hour <= 12; hour++) {
    const failures = await stack.up(hourOf(hour));
    assert.deepEqual(
      Object.keys(failures).sort(),
      names.map(name => `${name}-backup`),
      JSON.stringify(failures),
    );
    for (const said of Object.values(failures)) assert.match(said, words);
    for (const name of names)
      assert.deepEqual(
        place.cinderSlots(stack.owner(`${name}-snapshot`)),
        [slotOf(1), slotOf(2)],
        `hour ${hour}`,
      );
    await place.assertNothingTemporary();
  }
  await mend();
  for (const hour of [13, 14]) await stack.upWell(hourOf(hour));
  for (const name of names)
    assert.deepEqual(await place.resticSlots(stack.owner(`${name}-backup`)), [
      slotOf(2),
      slotOf(13),
      slotOf(14),
    ]);
  await stack.assertWhole();
  assert.equal(place.foreign([stack.name]), foreign);
  assert.match(place.restic("check"), /no errors were found/);
}
