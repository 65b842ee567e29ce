import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, open, readdir, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { type Devcloud, makeExt4Image, startDevcloud } from "../../devcloud";
import { PartialFailure } from "../../provider/resources/resource";
import { openRepository, type RepositoryAccess } from "../../provider/restic";
import { type Held, Lifecycle, type Properties, Refused } from "../lifecycle";
import { until } from "../until";
import { rest, s3 } from "./index";
import type { RestHandle } from "./rclone-rest";
import type { S3Handle } from "./versitygw";

const execFileAsync = promisify(execFile);
const password = "repositories-test-password";

/** A door to a server of this machine that can be shut, as if the server had been killed, and opened again. */
class Door {
  private readonly sockets = new Set<Socket>();
  private server: Server | undefined;
  port = 0;

  constructor(private readonly target: number) {}

  async unlock(): Promise<void> {
    this.server = createServer(socket => {
      const inside = connect(this.target, "127.0.0.1");
      for (const end of [socket, inside]) {
        this.sockets.add(end);
        end.on("error", () => {}).on("close", () => this.sockets.delete(end));
      }
      socket.pipe(inside).pipe(socket);
    });
    const { server } = this;
    // somebody else's connection may have the port for a moment
    const listens = () =>
      new Promise<boolean>(resolve => {
        server.once("error", () => resolve(false));
        server.listen(this.port, "127.0.0.1", () => resolve(true));
      });
    await until("the door's port", listens);
    this.port = (this.server.address() as { port: number }).port;
  }

  async shut(): Promise<void> {
    const closed = new Promise(resolve => this.server?.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
}

describe("a repository", () => {
  const inherited = process.env.OSBACKUP_MOUNT_DIRECTORY;
  let directory: string;
  let cloud: Devcloud;
  let store: S3Handle;
  let server: RestHandle;
  let appendOnly: RestHandle;
  let count = 0;

  before(async function () {
    this.timeout(10 * 60_000);
    directory = await mkdtemp(path.join(tmpdir(), "osbackup-repositories-"));
    process.env.OSBACKUP_MOUNT_DIRECTORY = path.join(directory, "mnt");
    [store, server, appendOnly] = await Promise.all([s3(), rest(), rest({ appendOnly: true })]);
  });

  after(async function () {
    this.timeout(60_000);
    await Promise.all([store?.stop(), server?.stop(), appendOnly?.stop()]);
    if (inherited === undefined) delete process.env.OSBACKUP_MOUNT_DIRECTORY;
    else process.env.OSBACKUP_MOUNT_DIRECTORY = inherited;
    await rm(directory, { recursive: true, force: true });
  });

  beforeEach(async () => {
    cloud = await startDevcloud();
    count += 1;
  });

  afterEach(() => cloud.stop());

  const local = (name = "local"): RepositoryAccess => ({
    url: path.join(directory, `${name}-${count}`),
    password,
  });
  const inStore = (bucket: string): RepositoryAccess => ({
    url: store.repository(bucket, String(count)),
    password,
    environment: store.environment,
    caCertFile: store.caFile,
  });
  const onServer = (handle = server): RepositoryAccess => ({
    url: handle.repository(String(count)),
    password,
  });

  /** restic, as an operator would run it beside the provider. */
  async function restic(access: RepositoryAccess, ...args: string[]): Promise<string> {
    const { stdout } = await execFileAsync(
      "restic",
      [...(access.caCertFile ? ["--cacert", access.caCertFile] : []), "--no-cache", ...args],
      {
        env: {
          ...process.env,
          ...access.environment,
          RESTIC_REPOSITORY: access.url,
          RESTIC_PASSWORD: password,
        },
      },
    );
    return stdout;
  }

  async function slotsIn(access: RepositoryAccess): Promise<string[]> {
    const listed = JSON.parse(await restic(access, "snapshots", "--json"));
    return listed
      .map((snapshot: { tags: string[] }) => snapshot.tags.find(tag => tag.startsWith("slot="))?.slice(5))
      .sort();
  }

  /** One protected volume, and its set of resources. */
  class Protected {
    private constructor(
      readonly volumeId: string,
      readonly name: string,
    ) {}

    static async make(name = "set", sizeMib = 4): Promise<Protected> {
      const files = path.join(directory, `files-${name}-${count}`);
      await mkdir(files);
      await writeFile(path.join(files, "random"), randomBytes(sizeMib << 20));
      const imageFile = path.join(directory, `${name}-${count}.img`);
      await makeExt4Image(imageFile, { fromDirectory: files, sizeMib: Math.ceil(sizeMib * 1.2) + 20 });
      const { id } = await cloud.addVolume({ name, imageFile });
      return new Protected(id, name);
    }

    /** Snapshot, temporary volume and backup of this hour, as a stack makes them that has lost its state. */
    async backUp(hour: number, repository: RepositoryAccess, more: object = {}): Promise<Held> {
      const environment = { ...cloud.environment, OSBACKUP_NOW: `2026-11-22T${hour}:10:00Z` };
      const stack = new Lifecycle(environment);
      const owner = (what: string) => `repositories/${count}/${this.name}-${what}`;
      const { snapshotId, slot, takenAt } = await stack.up("CinderSnapshot", {
        owner: owner("point"),
        volumeId: this.volumeId,
        schedule: "0 * * * *",
        retention: { keepLast: 9 },
      });
      const temporary = { owner: owner("temporary") };
      const { volumeId } = await stack.up("TemporaryVolume", { ...temporary, snapshotId, slot });
      return stack.up("ResticBackup", {
        owner: owner("backup"),
        snapshotId,
        slot,
        takenAt,
        temporaryVolume: { ...temporary, volumeId },
        repository,
        ...more,
      });
    }
  }

  function resource(access: RepositoryAccess, more: object = {}): Properties {
    return { owner: `repositories/${count}/repository`, ...access, ...more };
  }

  /** Names of what is in the cloud beside the protected volumes and their snapshots. */
  function leftInCloud(): string[] {
    const temporary = cloud.volumes().filter(({ metadata }) => metadata["osbackup-role"] === "temporary");
    return [...temporary, ...cloud.attachments()].map(({ id }) => id);
  }

  const kinds: Record<string, () => RepositoryAccess> = {
    "in a folder": () => local(),
    "on S3 with a custom authority": () => inStore("points"),
    "on a REST server with user and password": () => onServer(),
  };
  for (const [where, access] of Object.entries(kinds)) {
    it(`${where} is made, takes backups, forgets old ones and stays sound`, async function () {
      this.timeout(180_000);
      const stack = new Lifecycle(cloud.environment);
      const made = await stack.up("ResticRepository", resource(access()));
      assert.equal(made.made, true);
      const source = await Protected.make();
      const retention = { keepLast: 2 };
      for (const hour of [10, 11, 12]) await source.backUp(hour, access(), { retention });
      assert.deepEqual(await slotsIn(access()), ["2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"]);
      await restic(access(), "check", "--read-data");
      assert.deepEqual(leftInCloud(), []);
      await stack.down();
      assert.equal((await slotsIn(access())).length, 2);
    });
  }

  async function refusalOf(access: RepositoryAccess): Promise<string[]> {
    const stack = new Lifecycle(cloud.environment);
    const error = await stack.up("ResticRepository", resource(access)).then(
      () => assert.fail("it was accepted"),
      refused => refused,
    );
    assert.ok(error instanceof Refused, String(error));
    assert.doesNotMatch(error.message, /secret|-test-password/);
    return error.refusals.map(({ property }) => property);
  }

  it("on S3 is not made with wrong keys", async function () {
    this.timeout(60_000);
    const environment = { ...store.environment, AWS_SECRET_ACCESS_KEY: "wrong" };
    assert.deepEqual(await refusalOf({ ...inStore("forbidden"), environment }), ["environment"]);
    assert.equal((await store.request({ method: "HEAD", path: "/forbidden" })).status, 404);
  });

  it("on S3 is not made when its authority is not trusted", async function () {
    this.timeout(60_000);
    const { caCertFile: _, ...access } = inStore("untrusted");
    assert.deepEqual(await refusalOf(access), ["url"]);
    assert.equal((await store.request({ method: "HEAD", path: "/untrusted" })).status, 404);
  });

  it("on a REST server is not made with a wrong password of the server", async function () {
    this.timeout(60_000);
    const url = server.repository(String(count)).replace(server.password, "wrong");
    assert.deepEqual(await refusalOf({ url, password }), ["url"]);
    assert.equal(existsSync(path.join(server.dataDirectory, String(count))), false);
  });

  it("keeps its one key, and the cloud nothing, when its password is wrong", async function () {
    this.timeout(60_000);
    const access = local();
    await new Lifecycle(cloud.environment).up("ResticRepository", resource(access));
    const wrong = { ...access, password: "guessed-in-vain" };
    assert.deepEqual(await refusalOf(wrong), ["password"]);
    const source = await Protected.make();
    await assert.rejects(source.backUp(10, wrong), /wrong password or no key found/);
    assert.equal((await readdir(path.join(access.url, "keys"))).length, 1);
    assert.deepEqual(leftInCloud(), []);
  });

  it("whose server dies in a backup fails within the deadline, and the next run converges", async function () {
    this.timeout(300_000);
    const door = new Door(Number(new URL(server.url).port));
    await door.unlock();
    const access = onServer();
    access.url = access.url.replace(/:\d+\/(?=[^/]*\/$)/, `:${door.port}/`);
    await new Lifecycle(cloud.environment).up("ResticRepository", resource(access));
    const source = await Protected.make("set", 120);
    const stored = path.join(server.dataDirectory, String(count), "data");
    const began = until("the first pack", async () =>
      (await readdir(stored, { recursive: true })).some(name => /[0-9a-f]{64}$/.test(name))
        ? true
        : undefined,
    ).then(() => door.shut());
    const start = Date.now();
    await assert.rejects(source.backUp(10, access, { timeoutSeconds: 20 }), /not done within 20 s/);
    await began;
    assert.ok(Date.now() - start < 150_000, `it took ${Date.now() - start} ms`);
    assert.deepEqual(leftInCloud(), []);
    await door.unlock();
    await source.backUp(10, access);
    assert.deepEqual(await slotsIn(access), ["2026-11-22T10:00:00Z"]);
    assert.equal((await restic(access, "list", "locks", "--no-lock")).trim(), "");
    await restic(access, "check");
    await door.shut();
  });

  it("in an object-locked bucket keeps what is forgotten as older versions", async function () {
    this.timeout(180_000);
    await store.createBucket("locked", { lockDays: 1 });
    const source = await Protected.make();
    const access = inStore("locked");
    await openRepository(access).ensureInitialised();
    const first = await source.backUp(10, access, { retention: { keepLast: 1 } });
    await source.backUp(11, access, { retention: { keepLast: 1 } });
    assert.deepEqual(await slotsIn(access), ["2026-11-22T11:00:00Z"]);
    const versions = await store.request({ method: "GET", path: "/locked", query: { versions: "" } });
    const key = `${count}/snapshots/${first.resticSnapshotId}`;
    assert.match(versions.body, new RegExp(`<DeleteMarker>(?:(?!</DeleteMarker>).)*<Key>${key}<`, "s"));
    assert.match(versions.body, new RegExp(`<Version>(?:(?!</Version>).)*<Key>${key}<`, "s"));
  });

  it("that only appends reports what it refuses to forget, and keeps every point", async function () {
    this.timeout(300_000);
    const access = onServer(appendOnly);
    await openRepository(access).ensureInitialised();
    const source = await Protected.make();
    await source.backUp(10, access, { retention: { keepLast: 1 } });
    const error = await source.backUp(11, access, { retention: { keepLast: 1 } }).then(
      () => assert.fail("it forgot"),
      failure => failure,
    );
    assert.ok(error instanceof PartialFailure, String(error));
    assert.match(error.message, /^the backup is in the repository, but old points could not be forgotten: /);
    const slots = ["2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z"];
    assert.deepEqual(await slotsIn(access), slots);
    assert.equal((error.fresh.outputs.points as unknown[]).length, 2);
    assert.deepEqual(leftInCloud(), []);
  });

  it("takes two backups at once while it is pruned", async function () {
    this.timeout(300_000);
    const access = local();
    const [one, two] = [await Protected.make("one", 30), await Protected.make("two", 30)];
    const schedule = { pruneSchedule: "0 * * * *" };
    const at = (hour: number) =>
      new Lifecycle({ ...cloud.environment, OSBACKUP_NOW: `2026-11-22T${hour}:10:00Z` });
    const first = await at(10).up("ResticRepository", resource(access, schedule));
    const pruning = at(11);
    pruning.keep("ResticRepository", first.owner, first);
    const [, , pruned] = await Promise.all([
      one.backUp(11, access),
      two.backUp(11, access),
      pruning.up("ResticRepository", resource(access, schedule)),
      // An operator's restic knows nothing of our queue, only of restic's lock: it may be refused.
      restic(access, "prune").catch(error => assert.match(error.stderr, /already locked/)),
    ]);
    assert.equal(pruned.lastPrune, "2026-11-22T11:00:00Z");
    assert.equal((await slotsIn(access)).length, 2);
    await restic(access, "check", "--read-data");
  });

  it("is copied to a second one on its schedule, each point once", async function () {
    this.timeout(180_000);
    const access = local();
    const second = inStore("copies");
    await openRepository(access).ensureInitialised();
    const source = await Protected.make();
    let state: Held | undefined;
    for (const hour of [10, 11, 12]) {
      await source.backUp(hour, access);
      const stack = new Lifecycle({ ...cloud.environment, OSBACKUP_NOW: `2026-11-22T${hour}:20:00Z` });
      if (state) stack.keep("ResticRepository", state.owner, state);
      state = await stack.up(
        "ResticRepository",
        resource(access, { copyTo: second, copySchedule: "0 * * * *" }),
      );
    }
    assert.equal(state?.lastCopy, "2026-11-22T12:00:00Z");
    assert.deepEqual(await slotsIn(second), await slotsIn(access));
    await restic(second, "check", "--read-data");
  });

  it("is found damaged by a check that reads its data", async function () {
    this.timeout(180_000);
    const access = local();
    await openRepository(access).ensureInitialised();
    await (await Protected.make()).backUp(10, access);
    const packs = (await readdir(path.join(access.url, "data"), { recursive: true })).filter(name =>
      /[0-9a-f]{64}$/.test(name),
    );
    for (const pack of packs) {
      const file = await open(path.join(access.url, "data", pack), "r+");
      await file.write(Buffer.from([0xff, 0x00, 0xff]), 0, 3, 100);
      await file.close();
    }
    const at = (hour: number) =>
      new Lifecycle({ ...cloud.environment, OSBACKUP_NOW: `2026-11-22T${hour}:10:00Z` });
    const schedule = { checkSchedule: "0 * * * *", readDataSubset: "100%" };
    await assert.rejects(at(11).up("ResticRepository", resource(access, schedule)), { damaged: true });
  });

  it("does not keep a stream that ended too early", async function () {
    this.timeout(60_000);
    const access = inStore("streams");
    const repository = openRepository(access);
    await repository.ensureInitialised();
    const stream = Readable.from([randomBytes(5 << 20)]);
    const stdin = { stream, fileName: "volume.raw", expectedBytes: 8 << 20 };
    await assert.rejects(repository.backup({ stdin, host: "h", tags: [] }), /5242880 .*8388608/);
    assert.equal(JSON.parse(await restic(access, "snapshots", "--json")).length, 0);
  });
});
