import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, makeExt4Image, startDevcloud } from "../../devcloud";
import type { DeploymentFile } from "../../engine";
import { FaultProxy } from "../contract/fault-proxy";
import { Client } from "../devcloud/client";
import {
  type EngineStack,
  embeddedStack,
  execute,
  findPulumi,
  passphrase,
  pulumiStack,
  type Ran,
  type RunFlag,
  type RunKind,
  type StackPlace,
} from "../engine/engine-stacks";
import { normaliseState } from "../engine/runners";
import { leaksIn, textsBelow } from "../engine/secret-search";

/** One step of an example's story: a change, then what `preview` announces and `up` does. */
interface Step {
  what: string;
  /** The clock, ISO 8601. */
  at: string;
  change?(place: Place, stack: EngineStack): Promise<unknown>;
  /** What a refresh finds to be other than in the state. */
  drift?: Record<string, number>;
  /** What happens to each resource; those not named stay the same. */
  steps: Record<string, string[]>;
  /** What preview announces of them, where a point is taken again within its slot: the rest follows from its id. */
  announced?: Record<string, string[]>;
  /** What is there afterwards, and what the user was told. */
  holds(place: Place, up: Ran): Promise<void>;
}

const repositoryPassword = randomBytes(12).toString("hex");
const keys = {
  AWS_ACCESS_KEY_ID: randomBytes(10).toString("hex"),
  AWS_SECRET_ACCESS_KEY: randomBytes(20).toString("hex"),
};
const replaced = ["create-replacement", "replace", "delete-replaced"];

/** A cloud with two volumes, and copies of the examples beside each other as in the repository. */
class Place {
  readonly repository: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Everything that a user saw. */
  readonly said: string[] = [];
  private stacks = 0;

  private constructor(
    readonly cloud: Devcloud,
    readonly proxy: FaultProxy,
    readonly client: Client,
    readonly root: string,
    readonly volumeIds: { files: string; database: string },
  ) {
    this.repository = path.join(root, "repository");
    this.environment = {
      PATH: process.env.PATH,
      HOME: path.join(root, "home"),
      OSBACKUP_MOUNT_DIRECTORY: path.join(root, "mnt"),
      PULUMI_CONFIG_PASSPHRASE: passphrase,
      // The compiler checks the examples with everything else.
      PULUMI_NODEJS_TRANSPILE_ONLY: "true",
    };
  }

  static async make(): Promise<Place> {
    const root = await mkdtemp(path.join(tmpdir(), "osbackup-examples-"));
    const cloud = await startDevcloud();
    const origin = new URL(cloud.url).origin;
    const proxy = await FaultProxy.start({ identity: `${origin}/identity`, volume: `${origin}/volume` });
    const project = path.join(__dirname, "..", "..");
    await cp(path.join(project, "examples"), path.join(root, "examples"), { recursive: true });
    await writeFile(path.join(root, "package.json"), JSON.stringify({ private: true }));
    await symlink(path.join(project, "node_modules"), path.join(root, "node_modules"), "dir");
    await mkdir(path.join(root, "home"));
    const add = async (name: string) => {
      const files = path.join(root, name);
      await mkdir(path.join(files, "deep"), { recursive: true });
      await writeFile(path.join(files, "name"), `${name}\n`);
      await writeFile(path.join(files, "deep", "data"), randomBytes(200_000));
      await writeFile(path.join(files, "scratch.tmp"), "left out\n");
      const imageFile = path.join(root, `${name}.img`);
      await makeExt4Image(imageFile, { fromDirectory: files, sizeMib: 32 });
      return (await cloud.addVolume({ name, imageFile, attachedTo: true })).id;
    };
    const volumeIds = { files: await add("files"), database: await add("database") };
    return new Place(cloud, proxy, await Client.login(cloud.environment), root, volumeIds);
  }

  /** The variables that say which cloud, as an `openrc` file does; every request passes the proxy. */
  get login(): Record<string, string> {
    return {
      ...this.cloud.environment,
      OS_AUTH_URL: `${this.proxy.url("identity")}/v3`,
      OS_BLOCK_STORAGE_ENDPOINT_OVERRIDE: `${this.proxy.url("volume")}/v3/%(project_id)s`,
    };
  }

  /** Of the user in the cloud. */
  get password(): string {
    return this.cloud.environment.OS_PASSWORD as string;
  }

  /** A folder for what one stack's engine keeps. */
  async stackPlace(example: string): Promise<StackPlace> {
    const directory = path.join(this.root, `stack${++this.stacks}`);
    await mkdir(directory);
    return { project: path.join(this.root, "examples", example), directory, environment: this.environment };
  }

  /** Everything that is in the cloud and in the repository. */
  async objects(): Promise<object> {
    return {
      snapshots: this.cloud.snapshots().map(({ id, status, metadata }) => ({ id, status, ...metadata })),
      volumes: this.cloud
        .volumes()
        .map(({ id, name, status, metadata }) => ({ id, name, status, ...metadata })),
      attachments: this.cloud.attachments().length,
      points: (await this.points()).map(({ id, tags }) => ({ id, tags })),
    };
  }

  /** `<volume> <slot or trigger>` of each Cinder snapshot, sorted. */
  snapshots(): string[] {
    const { files } = this.volumeIds;
    return this.cloud
      .snapshots()
      .map(({ volume_id, metadata }) => {
        const run = metadata["osbackup-slot"] ?? metadata["osbackup-trigger"] ?? "now";
        return `${volume_id === files ? "files" : "database"} ${run}`;
      })
      .sort();
  }

  /** Names and purposes of all volumes. */
  volumes(): string[] {
    return this.cloud
      .volumes()
      .map(({ name, metadata }) => `${name} ${metadata["osbackup-role"] ?? "user's"}`)
      .sort();
  }

  /** What restic itself says is there. */
  async points(): Promise<{ id: string; tags: string[] }[]> {
    if (!existsSync(this.repository)) return [];
    const points = JSON.parse(await this.restic("snapshots", "--no-lock", "--json")) as {
      id: string;
      tags: string[];
    }[];
    return points.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** `<owner> <slot>` of each restic snapshot, sorted. */
  async slots(): Promise<string[]> {
    const tag = (tags: string[], name: string) =>
      tags.find(text => text.startsWith(`${name}=`))?.split("=")[1];
    return (await this.points()).map(({ tags }) => `${tag(tags, "owner")} ${tag(tags, "slot")}`).sort();
  }

  async restic(...args: string[]): Promise<string> {
    const env = { PATH: process.env.PATH, HOME: this.environment.HOME, RESTIC_PASSWORD: repositoryPassword };
    const all = ["--repo", this.repository, ...args];
    const { code, stdout, stderr } = await execute("restic", all, { cwd: this.root, env });
    assert.equal(code, 0, stderr);
    return stdout;
  }

  /** Nothing is attached but what the user has attached, nothing temporary or locked is left. */
  assertTidy(): void {
    assert.equal(this.cloud.attachments().length, 2);
    assert.deepEqual(
      this.volumes().filter(text => text.endsWith(" temporary")),
      [],
    );
    const locks = path.join(this.repository, "locks");
    assert.deepEqual(existsSync(locks) ? readdirSync(locks) : [], []);
  }

  /** The id of a volume's newest snapshot. */
  newest(volume: "files" | "database"): string {
    const all = this.cloud.snapshots().filter(row => row.volume_id === this.volumeIds[volume]);
    return (
      all.sort((a, b) =>
        (a.metadata["osbackup-slot"] ?? "") < (b.metadata["osbackup-slot"] ?? "") ? 1 : -1,
      )[0]?.id ?? ""
    );
  }

  /** Removes a snapshot as somebody else would. */
  async removeSnapshot(id: string): Promise<void> {
    assert.equal((await this.client.send("DELETE", `/snapshots/${id}`)).status, 202);
    await this.client.waitFor(`/snapshots/${id}`, "gone");
  }

  /** Removes a volume as somebody else would. */
  async removeVolume(name: string): Promise<void> {
    const id = this.cloud.volumes().find(volume => volume.name === name)?.id;
    assert.equal((await this.client.send("DELETE", `/volumes/${id}`)).status, 202);
    await this.client.waitFor(`/volumes/${id}`, "gone");
  }

  /** Changes the program of an example's copy. */
  async edit(example: string, from: string, to: string): Promise<void> {
    const file = path.join(this.root, "examples", example, "index.ts");
    const text = await readFile(file, "utf8");
    assert.ok(text.includes(from), `examples/${example}/index.ts has no ${from}`);
    await writeFile(file, text.replace(from, to));
  }

  /** Removes a restic snapshot as somebody else would. */
  async forget(name: string, slot: string): Promise<void> {
    const found = (await this.points()).find(({ tags }) =>
      [`owner=openstack-backup/dev/${name}`, `slot=${slot}`].every(tag => tags.includes(tag)),
    );
    assert.ok(found, `restic has no point of ${slot}`);
    await this.restic("forget", found.id);
  }

  /** There is one restored volume; it has the files of `from`. */
  async assertRestored(from: "files" | "database", { sizeGib }: { sizeGib: number }): Promise<void> {
    const restored = this.cloud.volumes().filter(({ metadata }) => metadata["osbackup-role"] === "restored");
    assert.deepEqual(
      restored.map(({ size, status }) => ({ size, status })),
      [{ size: sizeGib, status: "available" }],
    );
    const image = this.cloud.imagePath(restored[0]?.id ?? "");
    const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
    for (const file of ["name", "deep/data"]) {
      const copy = path.join(this.root, "restored-file");
      await execute("debugfs", ["-R", `dump /${file} ${copy}`, image], { cwd: this.root, env });
      assert.deepEqual(await readFile(copy), await readFile(path.join(this.root, from, file)), file);
      await rm(copy);
    }
  }

  async close(): Promise<void> {
    await this.proxy.stop();
    await this.cloud.stop();
    await rm(this.root, { recursive: true, force: true });
  }
}

/** What is done with one example from its first `up` to `destroy`. */
interface Story {
  example: string;
  config(place: Place): Record<string, string>;
  secrets: Record<string, (place: Place) => string>;
  /** Before the stack is made. */
  prepare?(place: Place, open: Open): Promise<void>;
  login(place: Place): Record<string, string>;
  steps: Step[];
  /** What is there when the stack is gone. */
  left(place: Place): Promise<void>;
  /** Secrets that the state holds encrypted at one time or another. */
  hidden(place: Place): string[];
}

type Open = (place: StackPlace, policies?: string[]) => Promise<EngineStack>;

/** Runs a story; every run's outcome is checked. */
async function tell(story: Story, open: Open): Promise<void> {
  const place = await Place.make();
  try {
    await story.prepare?.(place, open);
    Object.assign(place.environment, story.login(place));
    const where = await place.stackPlace(story.example);
    const stack = await open(where);
    const run = async (kind: RunKind, flags: RunFlag[] = [], exitCode = 0): Promise<Ran> => {
      const ran = await stack.run(kind, flags);
      place.said.push(ran.output);
      assert.equal(ran.exitCode, exitCode, `${kind}: ${ran.output}`);
      return ran;
    };
    for (const [key, value] of Object.entries(story.config(place))) await stack.setConfig(key, value, false);
    for (const [key, value] of Object.entries(story.secrets)) await stack.setConfig(key, value(place), true);
    let shown = "";

    for (const { what, at, change, steps, announced = steps, drift, holds } of story.steps) {
      place.environment.OSBACKUP_NOW = at;
      await change?.(place, stack);
      if (drift) assert.deepEqual(changed((await run("refresh")).changes), drift, `refresh: ${what}`);
      const before = await place.objects();
      const preview = await run("preview");
      assert.deepEqual(named(preview.steps), announced, `preview: ${what}`);
      assert.deepEqual(await place.objects(), before, `preview: ${what}`);
      const up = await run("up");
      assert.deepEqual(named(up.steps), steps, `up: ${what}`);
      place.assertTidy();
      await holds(place, up);

      const after = await place.objects();
      const state = await stack.exportStack({ showSecrets: true });
      shown += JSON.stringify(state);
      await run("up", ["expectNoChanges"]);
      assert.deepEqual(changed((await run("refresh")).changes), {}, `refresh: ${what}`);
      assert.deepEqual(
        values(await stack.exportStack({ showSecrets: true })),
        values(state),
        `refresh: ${what}`,
      );
      assert.deepEqual(await place.objects(), after, `up again, refresh: ${what}`);
    }

    place.said.push(JSON.stringify(await stack.exportStack({ showSecrets: false })));
    await run("destroy");
    place.assertTidy();
    await story.left(place);
    for (const secret of story.hidden(place)) assert.ok(shown.includes(secret), "a secret is in no state");
    assertNoSecret(place, where);
  } finally {
    await place.close();
  }
}

/** The steps that do something, by the resource's own name. */
function named(steps: Record<string, string[]>): Record<string, string[]> {
  const some = Object.entries(steps).filter(([, ops]) => ops.join() !== "same");
  return Object.fromEntries(some.map(([urn, ops]) => [urn.split("::").at(-1) as string, ops]));
}

/** What the state says of each resource. */
function values(state: DeploymentFile): object[] {
  return (normaliseState(state) as Record<string, unknown>[]).map(({ urn, id, inputs, outputs }) => ({
    ...{ urn, id, inputs, outputs },
  }));
}

function changed({ same, ...changes }: Record<string, number>): Record<string, number> {
  return changes;
}

/** Searches everything that the engine has written and said for secrets, as they are and in base64. */
function assertNoSecret(place: Place, { directory, project }: StackPlace): void {
  const { tokens } = place.proxy;
  assert.ok(tokens.size > 0);
  const secrets = [passphrase, repositoryPassword, ...Object.values(keys), place.password, ...tokens];
  const texts = textsBelow(directory, project);
  for (const [index, text] of place.said.entries()) texts.set(`what was said, ${index + 1}`, text);
  assert.deepEqual(leaksIn(texts, secrets), []);
}

const quickstartConfig = (place: Place) => ({
  repositoryUrl: place.repository,
  filesVolumeId: place.volumeIds.files,
  databaseVolumeId: place.volumeIds.database,
});

/** What happens to the three resources of a set whose point is due. */
const nextPoint = {
  "database-snapshot": ["update"],
  "database-volume": ["update"],
  "database-backup": ["update"],
};

const created = (...names: string[]) => Object.fromEntries(names.map(name => [name, ["create"]]));

const stories: Story[] = [
  {
    example: "quickstart",
    login: place => place.login,
    config: quickstartConfig,
    secrets: { repositoryPassword: () => repositoryPassword },
    hidden: () => [repositoryPassword],
    steps: [
      {
        what: "the first points are taken",
        at: "2026-11-16T10:05:00Z",
        steps: created(
          ...["openstack-backup-dev", "default", "repository"],
          ...["database", "database-snapshot", "database-volume", "database-backup"],
          ...["files", "files-snapshot", "files-volume", "files-backup"],
        ),
        async holds(place, up) {
          assert.deepEqual(place.snapshots(), [
            "database 2026-11-16T10:00:00Z",
            "files 2026-11-16T01:30:00Z",
          ]);
          assert.deepEqual(await place.slots(), [
            "openstack-backup/dev/database-backup 2026-11-16T10:00:00Z",
            "openstack-backup/dev/files-backup 2026-11-16T01:30:00Z",
          ]);
          assert.match(
            up.output,
            /\[database-backup\] Succeeded: restic snapshot \w+ of \S+, 3 files, \d+ bytes added/,
          );
          assert.match(
            up.output,
            /\[files-backup\] Succeeded: restic snapshot \w+ of \S+, 2 files, \d+ bytes added/,
          ); // *.tmp is left out
        },
      },
      {
        what: "the database's next slot is due",
        at: "2026-11-16T11:05:00Z",
        steps: nextPoint,
        async holds(place) {
          assert.deepEqual(place.snapshots(), [
            "database 2026-11-16T10:00:00Z",
            "database 2026-11-16T11:00:00Z",
            "files 2026-11-16T01:30:00Z",
          ]);
          assert.deepEqual(await place.slots(), [
            "openstack-backup/dev/database-backup 2026-11-16T10:00:00Z",
            "openstack-backup/dev/database-backup 2026-11-16T11:00:00Z",
            "openstack-backup/dev/files-backup 2026-11-16T01:30:00Z",
          ]);
        },
      },
      {
        what: "its newest snapshot was removed by somebody",
        at: "2026-11-16T11:06:00Z",
        change: place => place.removeSnapshot(place.newest("database")),
        drift: { update: 1 },
        steps: nextPoint,
        announced: { "database-snapshot": ["update"] },
        async holds(place, up) {
          assert.deepEqual(place.snapshots(), [
            "database 2026-11-16T10:00:00Z",
            "database 2026-11-16T11:00:00Z",
            "files 2026-11-16T01:30:00Z",
          ]);
          assert.match(up.output, /restic snapshot \w+ of \S+ exists already/);
          assert.equal((await place.points()).length, 3);
        },
      },
      {
        what: "its newest point in the repository was forgotten by somebody",
        at: "2026-11-16T11:07:00Z",
        change: place => place.forget("database-backup", "2026-11-16T11:00:00Z"),
        drift: { update: 1 },
        steps: { "database-backup": ["update"] },
        async holds(place) {
          assert.deepEqual(await place.slots(), [
            "openstack-backup/dev/database-backup 2026-11-16T10:00:00Z",
            "openstack-backup/dev/database-backup 2026-11-16T11:00:00Z",
            "openstack-backup/dev/files-backup 2026-11-16T01:30:00Z",
          ]);
        },
      },
      {
        what: "a restore is asked for",
        at: "2026-11-16T11:08:00Z",
        change: (_, stack) => stack.setConfig("restore", "latest", false),
        steps: { default: ["update"], restored: ["create"] },
        holds: place => place.assertRestored("database", { sizeGib: 1 }),
      },
      {
        what: "the restored volume is to be larger",
        at: "2026-11-16T11:09:00Z",
        change: (_, stack) => stack.setConfig("restoreSizeGib", "2", false),
        steps: { default: ["update"], restored: replaced },
        holds: place => place.assertRestored("database", { sizeGib: 2 }),
      },
      {
        what: "the restored volume is no longer wanted, and fewer points are kept",
        at: "2026-11-16T11:10:00Z",
        async change(place, stack) {
          await stack.removeConfig("restore");
          await place.edit("quickstart", "{ retention: { keepLast: 3 } }", "{ retention: { keepLast: 1 } }");
        },
        steps: { default: ["update"], restored: ["delete"], "database-snapshot": ["update"] },
        async holds(place) {
          assert.deepEqual(place.snapshots(), [
            "database 2026-11-16T11:00:00Z",
            "files 2026-11-16T01:30:00Z",
          ]);
          assert.deepEqual(place.volumes(), ["database user's", "files user's"]);
        },
      },
    ],
    async left(place) {
      assert.deepEqual(place.snapshots(), []);
      assert.deepEqual(place.volumes(), ["database user's", "files user's"]);
      assert.equal((await place.points()).length, 3);
    },
  },
  {
    example: "karbor",
    login: place => place.login,
    config: place => ({ volumeId: place.volumeIds.database, force: "true" }),
    secrets: {},
    hidden: () => [],
    steps: [
      {
        what: "protect",
        at: "2026-11-16T10:05:00Z",
        steps: created("openstack-backup-karbor-dev", "default", "data"),
        async holds(place) {
          assert.deepEqual(place.snapshots(), ["database now"]);
        },
      },
      {
        what: "the snapshot was removed by somebody",
        at: "2026-11-16T10:06:00Z",
        change: place => place.removeSnapshot(place.newest("database")),
        drift: { delete: 1 },
        steps: { data: ["create"] },
        async holds(place) {
          assert.deepEqual(place.snapshots(), ["database now"]);
        },
      },
      {
        what: "another snapshot and its restore",
        at: "2026-11-16T10:07:00Z",
        async change(_, stack) {
          await stack.setConfig("trigger", "before-upgrade", false);
          await stack.setConfig("restore", "true", false);
        },
        steps: { default: ["update"], data: ["update"], restored: ["create"] },
        async holds(place) {
          assert.deepEqual(place.snapshots(), ["database before-upgrade", "database now"]);
          await place.assertRestored("database", { sizeGib: 1 });
        },
      },
      {
        what: "another volume is protected, the restore is forgotten",
        at: "2026-11-16T10:08:00Z",
        async change(place, stack) {
          await stack.setConfig("volumeId", place.volumeIds.files, false);
          await stack.removeConfig("restore");
        },
        steps: { default: ["update"], data: replaced, restored: ["delete"] },
        async holds(place) {
          assert.deepEqual(place.snapshots(), ["files before-upgrade"]);
          await place.assertRestored("database", { sizeGib: 1 });
        },
      },
    ],
    async left(place) {
      assert.deepEqual(place.snapshots(), []);
      assert.deepEqual(place.volumes(), ["data-restored restored", "database user's", "files user's"]);
    },
  },
  {
    example: "restore",
    // The login stands in the configuration, the password and the store's keys encrypted.
    login: () => ({}),
    async prepare(place, open) {
      Object.assign(place.environment, place.login, { OSBACKUP_NOW: "2026-11-16T10:05:00Z" });
      const made = await open(await place.stackPlace("quickstart"));
      for (const [key, value] of Object.entries(quickstartConfig(place)))
        await made.setConfig(key, value, false);
      await made.setConfig("repositoryPassword", repositoryPassword, true);
      assert.equal((await made.run("up")).exitCode, 0);
      assert.equal((await made.run("destroy")).exitCode, 0);
      for (const key of Object.keys(place.login)) delete place.environment[key];
      assert.deepEqual(place.snapshots(), []);
    },
    config: place => ({
      repositoryUrl: place.repository,
      owner: "openstack-backup/dev/database-backup",
      sizeGib: "1",
      "openstack:authUrl": place.login.OS_AUTH_URL ?? "",
      "openstack:userName": place.login.OS_USERNAME ?? "",
      "openstack:tenantName": place.login.OS_PROJECT_NAME ?? "",
      "openstack:userDomainId": place.login.OS_USER_DOMAIN_ID ?? "",
      "openstack:projectDomainId": place.login.OS_PROJECT_DOMAIN_ID ?? "",
      "openstack:region": place.login.OS_REGION_NAME ?? "",
      "openstack:endpointOverrides": JSON.stringify({
        "block-storage": place.login.OS_BLOCK_STORAGE_ENDPOINT_OVERRIDE,
      }),
    }),
    secrets: {
      repositoryPassword: () => repositoryPassword,
      repositoryEnvironment: () => JSON.stringify(keys),
      "openstack:password": place => place.password,
    },
    hidden: place => [repositoryPassword, ...Object.values(keys), place.password],
    steps: [
      {
        what: "the newest point of the database",
        at: "2026-11-17T10:00:00Z",
        steps: created("openstack-backup-restore-dev", "default", "restored"),
        holds: place => place.assertRestored("database", { sizeGib: 1 }),
      },
      {
        what: "the volume is to go with the stack",
        at: "2026-11-17T10:01:00Z",
        change: place =>
          place.edit("restore", "sizeGib: config", 'deletionPolicy: "delete",\n        sizeGib: config'),
        steps: { restored: ["update"] },
        holds: place => place.assertRestored("database", { sizeGib: 1 }),
      },
      {
        what: "the newest point of the files instead",
        at: "2026-11-17T10:02:00Z",
        change: (_, stack) => stack.setConfig("owner", "openstack-backup/dev/files-backup", false),
        steps: { default: ["update"], restored: replaced },
        holds: place => place.assertRestored("files", { sizeGib: 1 }),
      },
      {
        what: "the volume was removed by somebody",
        at: "2026-11-17T10:03:00Z",
        change: place => place.removeVolume("restore-restored"),
        drift: { delete: 1 },
        steps: { restored: ["create"] },
        holds: place => place.assertRestored("files", { sizeGib: 1 }),
      },
      {
        what: "a Cinder snapshot instead",
        at: "2026-11-17T10:04:00Z",
        async change(place, stack) {
          const { id } = await place.cloud.addSnapshot({ volumeId: place.volumeIds.database });
          await stack.setConfig("cinderSnapshotId", id, false);
        },
        steps: { default: ["update"], restored: replaced },
        holds: place => place.assertRestored("database", { sizeGib: 1 }),
      },
    ],
    async left(place) {
      assert.deepEqual(place.snapshots(), ["database now"]);
      assert.deepEqual(place.volumes(), ["database user's", "files user's", "restore-restored restored"]);
    },
  },
];

const engines: [string, Open, boolean][] = [
  ["the embedded engine", embeddedStack, true],
  ["the real CLI", pulumiStack, findPulumi() !== undefined],
];

/** With the defaults of its config.json the policy pack takes the quickstart, and refuses it with weaker retention. */
async function enforcePolicies(open: Open): Promise<void> {
  const place = await Place.make();
  try {
    Object.assign(place.environment, place.login, { OSBACKUP_NOW: "2026-11-16T10:05:00Z" });
    const pack = path.join(place.root, "examples", "policy-pack");
    const policies = ["--policy-pack", pack, "--policy-pack-config", path.join(pack, "config.json")];
    const stack = await open(await place.stackPlace("quickstart"), policies);
    for (const [key, value] of Object.entries(quickstartConfig(place)))
      await stack.setConfig(key, value, false);
    await stack.setConfig("repositoryPassword", repositoryPassword, true);
    const violations = (output: string) =>
      // a set's own line says "; keeps 1" too
      [
        ...new Set(output.match(/\S+,? the best of the .*|[^\s;\]]+ (can be left|keeps|has no|would) .*/g)),
      ].sort();

    const strong = "retention: { keepLast: 3, keepDaily: 7, keepWeekly: 4 },";
    const weak = "retention: { keepLast: 4 },";
    await place.edit("quickstart", strong, weak);
    for (const kind of ["preview", "up"] as const) {
      const refused = await stack.run(kind);
      assert.notEqual(refused.exitCode, 0, refused.output);
      assert.deepEqual(violations(refused.output), [
        "database-backup, the best of the 2 sets of its volume, can be left with points that reach back 4 hours; 7 days are required (retention-minimum.minDays)",
      ]);
    }
    assert.deepEqual(place.snapshots(), []);
    await place.edit("quickstart", weak, strong);
    for (const kind of ["preview", "up"] as const) {
      const taken = await stack.run(kind);
      assert.equal(taken.exitCode, 0, taken.output);
      assert.deepEqual(violations(taken.output), []);
    }
    assert.equal(place.snapshots().length, 2);
    assert.equal((await stack.run("destroy")).exitCode, 0);
  } finally {
    await place.close();
  }
}

/** A pack of one's own, by `configured`: copies elsewhere are asked for, and metadata that lacks is added. */
async function enforceOwnPack(open: Open): Promise<void> {
  const place = await Place.make();
  try {
    Object.assign(place.environment, place.login, { OSBACKUP_NOW: "2026-11-16T10:05:00Z" });
    const pack = path.join(place.root, "examples", "own-pack");
    await mkdir(pack);
    await writeFile(path.join(pack, "PulumiPolicy.yaml"), "runtime: nodejs\nmain: index.js\n");
    await writeFile(
      path.join(pack, "package.json"),
      '{ "name": "own", "version": "1.0.0", "main": "index.js" }',
    );
    const settle = (settings: object) =>
      writeFile(
        path.join(pack, "index.js"),
        `const { PolicyPack } = require("@pulumi/policy");
const { configured, policies } = require("pulumi-openstack-backup/policy");
new PolicyPack("own", { policies }, configured(${JSON.stringify(settings)}));
`,
      );
    const metadata = { "required-metadata": { keys: ["owner"], defaults: { owner: "shop" } } };
    await settle({ ...metadata, "offsite-copy-required": { tiers: ["*"] }, "restore-tested": "mandatory" });
    const stack = await open(await place.stackPlace("quickstart"), ["--policy-pack", pack]);
    for (const [key, value] of Object.entries(quickstartConfig(place)))
      await stack.setConfig(key, value, false);
    await stack.setConfig("repositoryPassword", repositoryPassword, true);
    const refused = await stack.run("preview");
    assert.notEqual(refused.exitCode, 0, refused.output);
    const told = refused.output.replace(/\s*\n\s*/g, " ");
    for (const set of ["files", "database"])
      for (const why of [
        `${set}-snapshot has 2 of 3 copies, 0 of 1 offsite: the volume, ${place.root}`,
        `${set}-backup is not known to come back: no restore in the stack is of it (restore-tested)`,
      ])
        assert.ok(told.includes(why), `${why}\n${refused.output}`);
    await settle({ ...metadata, "offsite-copy-required": { tiers: ["gold"] }, "restore-tested": "disabled" });
    const taken = await stack.run("up");
    assert.equal(taken.exitCode, 0, taken.output);
    assert.ok(!/\[(mandatory|advisory)\]/.test(taken.output), taken.output);
    assert.deepEqual(
      place.cloud.snapshots().map(row => row.metadata.owner),
      ["shop", "shop"],
    );
    const again = await stack.run("up", ["expectNoChanges"]);
    assert.equal(again.exitCode, 0, again.output);
    assert.equal((await stack.run("destroy")).exitCode, 0);
  } finally {
    await place.close();
  }
}

for (const [name, open, present] of engines)
  describe(`Examples on ${name}`, () => {
    for (const story of stories) {
      const title = `lives from the first up to destroy: examples/${story.example}`;
      if (!present) {
        it(`${title} (skipped: no pulumi on PATH)`);
        continue;
      }
      it(title, async function () {
        this.timeout(400_000);
        await tell(story, open);
      });
    }
  });

for (const [name, open, present] of engines)
  describe(`examples/policy-pack on ${name}`, () => {
    for (const [title, enforce] of [
      ["is enforced on examples/quickstart", enforcePolicies],
      ["is one of many: a pack of one's own has other settings, and mends what lacks", enforceOwnPack],
    ] as const)
      (present ? it : it.skip)(
        `${title}${present ? "" : " (skipped: no pulumi on PATH)"}`,
        async function () {
          this.timeout(400_000);
          await enforce(open);
        },
      );
  });
