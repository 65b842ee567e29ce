import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type Devcloud, makeExt4Image, startDevcloud } from "../../devcloud";
import { loopsOn } from "../loop-devices";
import { until } from "../until";

const execFileAsync = promisify(execFile);

/** The instant in a run at which the provider's process is killed. */
interface Moment {
  /** A request that has been sent: `lost` says that it never arrives, otherwise it is carried out. */
  request?: { method: string; path: RegExp; lost?: boolean };
  /** A command of restic that is running, or with `before` has not begun; `both` kills restic at the same instant. */
  restic?: { command: string; both?: boolean; before?: boolean };
  /** In the second run, an hour later, in which everything is updated. */
  second?: boolean;
}

const snapshots = /\/snapshots$/;
const volumes = /\/volumes$/;
const oneSnapshot = /\/snapshots\/[^/]+$/;
const oneVolume = /\/volumes\/[^/]+$/;
const attachments = /\/attachments$/;
const oneAttachment = /\/attachments\/[^/]+$/;
const action = /\/attachments\/[^/]+\/action$/;

/** Snapshot and temporary volume alone. */
const withoutBackup: Record<string, Moment> = {
  "when the snapshot's request is lost": { request: { method: "POST", path: snapshots, lost: true } },
  "when the snapshot is being made": { request: { method: "POST", path: snapshots } },
  "when the temporary volume's request is lost": { request: { method: "POST", path: volumes, lost: true } },
  "when the temporary volume is being made": { request: { method: "POST", path: volumes } },
  "when the next snapshot is being made": { request: { method: "POST", path: snapshots }, second: true },
  "when the old snapshot's removal is lost": {
    request: { method: "DELETE", path: oneSnapshot, lost: true },
    second: true,
  },
  "when the old snapshot is being removed": {
    request: { method: "DELETE", path: oneSnapshot },
    second: true,
  },
  "when the next temporary volume is being made": {
    request: { method: "POST", path: volumes },
    second: true,
  },
  "when the old temporary volume is being removed": {
    request: { method: "DELETE", path: oneVolume },
    second: true,
  },
};

const withBackup: Record<string, Moment> = {
  "when the attachment is being made": { request: { method: "POST", path: attachments } },
  "when the attachment's completion is lost": { request: { method: "POST", path: action, lost: true } },
  "in the middle of restic's backup": { restic: { command: "backup" } },
  "together with restic's backup": { restic: { command: "backup", both: true } },
  "when the attachment is being removed": { request: { method: "DELETE", path: oneAttachment } },
  "when the used temporary volume's removal is lost": {
    request: { method: "DELETE", path: oneVolume, lost: true },
  },
  "together with restic's forget": { restic: { command: "forget", both: true }, second: true },
};

const password = "crash-test-password";
const times = ["2026-11-22T10:10:00Z", "2026-11-22T11:10:00Z"];

/** One protected volume in a cloud of its own. */
class Case {
  private constructor(
    readonly cloud: Devcloud,
    readonly directory: string,
    private readonly volumeId: string,
    private readonly hasBackup: boolean,
  ) {}

  /** What the provider is to do; `more` is for the backup. */
  async plan(more: { paths?: string[]; keepLast?: number } = {}): Promise<void> {
    const plan = {
      volumeId: this.volumeId,
      ...(this.hasBackup && { repository: { url: path.join(this.directory, "repository"), password } }),
      ...more,
    };
    await writeFile(path.join(this.directory, "plan.json"), JSON.stringify(plan));
  }

  static async make(files: string, repository: string | undefined): Promise<Case> {
    const directory = await mkdtemp(path.join(tmpdir(), "osbackup-crash-"));
    const cloud = await startDevcloud();
    const imageFile = path.join(directory, "source.img");
    await makeExt4Image(imageFile, { fromDirectory: files, sizeMib: 48 });
    const { id } = await cloud.addVolume({ name: "source", imageFile });
    if (repository) await cp(repository, path.join(directory, "repository"), { recursive: true });
    for (const folder of ["mnt", "tmp", "bin"]) await mkdir(path.join(directory, folder));
    const made = new Case(cloud, directory, id, repository !== undefined);
    await made.plan();
    return made;
  }

  start(time: string): ChildProcess {
    const files = ["plan.json", "state.json"].map(name => path.join(this.directory, name));
    return spawn(process.execPath, [path.join(__dirname, "crash-driver.cjs"), ...files], {
      env: {
        ...process.env,
        ...this.cloud.environment,
        PATH: `${path.join(this.directory, "bin")}:${process.env.PATH ?? ""}:/usr/sbin:/sbin`,
        TMPDIR: path.join(this.directory, "tmp"),
        OSBACKUP_MOUNT_DIRECTORY: path.join(this.directory, "mnt"),
        OSBACKUP_NOW: time,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** Lets the provider do its work to the end, or to its failure; returns what it said. */
  async run(time: string, expected: "well" | "failed" = "well"): Promise<string> {
    const child = this.start(time);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", chunk => (output += chunk));
    const code = await ended(child);
    assert.equal(code, expected === "well" ? 0 : 1, output);
    return output;
  }

  /** The slot of each snapshot in the repository, and whether it is marked as no good. */
  async resticPoints(): Promise<[slot: string | undefined, ...marks: string[]][]> {
    const listed = JSON.parse(await restic(path.join(this.directory, "repository"), "snapshots", "--json"));
    return listed.map(({ tags }: { tags: string[] }) => [
      tags.find(tag => tag.startsWith("slot="))?.slice("slot=".length),
      ...tags.filter(tag => tag === "partial" || tag === "unproven"),
    ]);
  }

  /** Starts the provider and kills it at the moment. */
  async killAt(moment: Moment, time: string): Promise<void> {
    const reached = moment.request ? this.requested(moment.request) : await this.reported(moment);
    const child = this.start(time);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", chunk => (output += chunk));
    const end = ended(child);
    const seen = await Promise.race([
      until("the moment", reached, { seconds: 30, every: 2 }),
      end.then(() => undefined),
    ]);
    assert.ok(seen, `the run came to its end:\n${output}`);
    child.kill("SIGKILL");
    if (moment.restic?.both) process.kill(seen, "SIGKILL");
    await end;
    if (moment.restic) await until("the end of restic", () => !existsSync(`/proc/${seen}`));
    else await sleep(heldMs + 200); // the request that was held is carried out meanwhile
    this.cloud.faults.clear();
    await rm(path.join(this.directory, "bin/restic"), { force: true });
  }

  private requested({ lost, ...request }: NonNullable<Moment["request"]>): () => number | undefined {
    const fault = this.cloud.faults.add({
      ...request,
      times: 1,
      delayMs: heldMs,
      ...(lost ? { drop: "before" as const } : {}),
    });
    return () => fault.hits || undefined;
  }

  /** Puts a restic before the real one that tells its process id and takes long for the command. */
  private async reported({ restic }: Moment): Promise<() => number | undefined> {
    const { stdout } = await execFileAsync("sh", ["-c", "command -v restic"]);
    const told = path.join(this.directory, "restic.pid");
    const program = path.join(this.directory, "bin/restic");
    const then = restic?.before ? "sleep 60" : `${stdout.trim()} --limit-upload=100 "$@"`;
    const slow = `{ echo $$ >'${told}.new'; mv '${told}.new' '${told}'; exec ${then}; }`;
    const script = `#!/bin/sh\ncase " $* " in *" ${restic?.command} "*) ${slow};; esac\nexec ${stdout.trim()} "$@"\n`;
    await writeFile(program, script, { mode: 0o755 });
    let since: number | undefined;
    return () => {
      if (!existsSync(told)) return undefined;
      since ??= Date.now();
      if (restic?.before) return Number(readFileSync(told, "utf8"));
      // by then it has taken its lock, if it ever does
      const locked = locksOf(path.join(this.directory, "repository")).length > 0;
      return locked || Date.now() - since > 5000 ? Number(readFileSync(told, "utf8")) : undefined;
    };
  }

  /** Asserts that exactly what one undisturbed run makes is there, and nothing else. */
  async assertConverged(slot: string): Promise<void> {
    const { cloud, directory } = this;
    assert.deepEqual(
      cloud.snapshots().map(({ status, metadata }) => [status, metadata["osbackup-slot"]]),
      [["available", slot]],
    );
    const made = cloud.volumes().filter(({ id }) => id !== this.volumeId);
    const temporary = made.map(({ status, snapshot_id }) => [status, snapshot_id]);
    // The backup has used the temporary volume up.
    assert.deepEqual(temporary, this.hasBackup ? [] : [["available", cloud.snapshots()[0]?.id]]);
    assert.deepEqual(cloud.attachments(), []);
    assert.deepEqual(await readdir(path.join(directory, "mnt")).then(names => names.filter(isTrace)), []);
    assert.deepEqual(await readdir(path.join(directory, "tmp")), []);
    const mounts = await readFile("/proc/self/mounts", "utf8");
    assert.deepEqual(
      mounts.split("\n").filter(line => line.includes(directory)),
      [],
    );
    assert.deepEqual(loopsOn(directory, cloud.directory), []);
    if (!this.hasBackup) return;
    const repository = path.join(directory, "repository");
    assert.deepEqual(locksOf(repository), []);
    const listed = JSON.parse(await restic(repository, "snapshots", "--json"));
    assert.deepEqual(
      listed.map((snapshot: { tags: string[] }) => snapshot.tags.find(tag => tag.startsWith("slot="))),
      [`slot=${slot}`],
    );
  }

  async stop(): Promise<void> {
    await this.cloud.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** How long a request is held before the cloud acts on it; the provider is dead by then. */
const heldMs = 150;

/** A mount folder stays, empty, for the next run. */
const isTrace = (name: string) => name.endsWith(".json") || name.endsWith(".new");

/** Without a file that restic was writing when it was killed, which it takes no notice of. */
function locksOf(repository: string): string[] {
  return readdirSync(path.join(repository, "locks")).filter(name => /^[0-9a-f]{64}$/.test(name));
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise(resolve => child.once("close", resolve));
}

async function restic(repository: string, ...args: string[]): Promise<string> {
  const env = { ...process.env, RESTIC_PASSWORD: password };
  return (await execFileAsync("restic", ["-r", repository, "--no-cache", ...args], { env })).stdout;
}

describe("the provider, killed", () => {
  let shared: string;

  before(async function () {
    this.timeout(60_000);
    shared = await mkdtemp(path.join(tmpdir(), "osbackup-crash-"));
    await mkdir(path.join(shared, "files"));
    for (let number = 0; number < 3; number++) {
      await writeFile(path.join(shared, "files", String(number)), randomBytes(1 << 20));
    }
    await restic(path.join(shared, "repository"), "init");
  });

  after(async () => {
    await rm(shared, { recursive: true, force: true });
  });

  async function converges(moment: Moment, hasBackup: boolean): Promise<void> {
    const made = await Case.make(
      path.join(shared, "files"),
      hasBackup ? path.join(shared, "repository") : undefined,
    );
    const [first = "", second = ""] = times;
    const time = moment.second ? second : first;
    try {
      if (moment.second) await made.run(first);
      await made.killAt(moment, time);
      await made.run(time);
      await made.assertConverged(time.replace("10:00Z", "00:00Z"));
    } finally {
      await made.stop();
    }
  }

  for (const [when, moment] of Object.entries(withoutBackup)) {
    it(`${when}, makes each object once in the next run`, async function () {
      this.timeout(60_000);
      await converges(moment, false);
    });
  }

  describe("before it could mark a backup in which a file was not read", () => {
    const [first = ""] = times;
    // a temporary volume may be swept after two days, this one not
    const later = "2026-11-29T11:10:00Z";
    const moment: Moment = { restic: { command: "tag", before: true } };
    let made: Case;

    beforeEach(async function () {
      this.timeout(60_000);
      made = await Case.make(path.join(shared, "files"), path.join(shared, "repository"));
      await made.plan({ paths: ["/0", "/absent"] });
      await made.killAt(moment, first);
      assert.deepEqual(await made.resticPoints(), [["2026-11-22T10:00:00Z"]]);
    });

    afterEach(() => made.stop());

    it("repeats it in the next run, and does not take it for good", async () => {
      const output = await made.run(first, "failed");
      assert.match(
        output,
        /restic snapshot [0-9a-f]{8} of 2026-11-22T10:00:00Z is not proven: its run was ended early; it is kept as [0-9a-f]{8}, marked 'unproven'/,
      );
      assert.match(output, /PartiallyFailed: restic could not read absent \(does not exist\)/);
      assert.deepEqual(await made.resticPoints(), [["2026-11-22T10:00:00Z", "partial"]]);
      await made.plan();
      await made.run(first);
      await made.assertConverged("2026-11-22T10:00:00Z");
    }).timeout(120_000);

    it("does not keep it for good in the run of a later slot", async () => {
      await made.plan({ keepLast: 2 });
      const output = await made.run(later);
      assert.match(
        output,
        /forgot 1: [0-9a-f]{8} of 2026-11-22T10:00:00Z \(not good, and a newer good point exists\)/,
      );
      assert.deepEqual(await made.resticPoints(), [["2026-11-29T11:00:00Z"]]);
    }).timeout(120_000);
  });

  for (const [when, moment] of Object.entries(withBackup)) {
    it(`${when}, leaves one backup and no trace after the next run`, async function () {
      this.timeout(120_000);
      await converges(moment, true);
    });
  }
});
