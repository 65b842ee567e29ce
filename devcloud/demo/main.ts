import { execFile, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, promises as fs, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Devcloud, startDevcloud } from "../devcloud";
import { fileExtents, makeExt4Image, touchInImage } from "../images";
import { Ledger, verifyLedger } from "../ledger";
import {
  addDatabase,
  differences,
  ledgerPath,
  manifestOf,
  type Sample,
  sampleFiles,
  segmentBytes,
  segmentPath,
} from "./sample-volumes";
import { Stack } from "./stack";

/**
 * The main job on a bare machine, told step by step: a stack's backup sets are taken, kept, pruned, survive a kill and
 * are restored. Every step is checked; a failed one ends the demo non-zero.
 */

const project = join(__dirname, "..", "..", "..");
const began = Date.now();
const proven: string[] = [];

async function main(): Promise<void> {
  const work = await fs.mkdtemp(join(tmpdir(), "osbackup-demo-"));
  const stackName = `demo-${randomBytes(3).toString("hex")}`;
  const cloud = await startDevcloud({ statusDelayMs: 150 });
  const ledgers: Ledger[] = [];
  try {
    await run(work, stackName, cloud, ledgers);
  } finally {
    await Promise.allSettled(ledgers.map(ledger => ledger.stop()));
    await cloud.stop();
    rmSync(join(project, `Pulumi.${stackName}.yaml`), { force: true });
    await fs.rm(work, { recursive: true, force: true });
  }
  say(`\nproven in ${seconds()} s: ${proven.join("; ")}`);
}

async function run(work: string, stackName: string, cloud: Devcloud, ledgers: Ledger[]): Promise<void> {
  const repositoryPath = join(work, "repository");
  const password = randomBytes(18).toString("base64url");
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    ...cloud.environment,
    OSBACKUP_STATE_DIRECTORY: join(work, "state"),
    OSBACKUP_MOUNT_DIRECTORY: join(work, "mnt"),
    PULUMI_BACKEND_URL: `file://${work}`,
    PULUMI_HOME: join(work, "pulumi-home"),
    PULUMI_CONFIG_PASSPHRASE: randomBytes(12).toString("hex"),
    PULUMI_SKIP_UPDATE_CHECK: "true",
    XDG_CACHE_HOME: join(work, "cache"),
    // The program is type-checked by `npm run check`; here it only runs, some twenty times.
    PULUMI_NODEJS_TRANSPILE_ONLY: "true",
  };
  const stack = new Stack(project, stackName, environment, line => say(`   | ${line}`));
  say(`Backup sets as desired state, on ${stack.engine}`);

  heading("0. a small OpenStack on this machine, with two volumes that are real disk images");
  const files = await sampleFiles(join(work, "files"), ["/usr/bin", "/usr/lib", "/usr/share"], {
    bytes: 110 * 2 ** 20,
    files: 3000,
    largest: 8 * 2 ** 20,
  });
  const database = await sampleFiles(join(work, "database"), [join(project, "node_modules")], {
    bytes: 40 * 2 ** 20,
    files: 2000,
    largest: 4 * 2 ** 20,
  });
  await addDatabase(database);
  const filesVolume = await addVolume(cloud, work, "files", files, 256);
  const databaseVolume = await addVolume(cloud, work, "database", database, 384);
  const total = files.bytes + database.bytes;
  check(total >= 200 * 2 ** 20, `the volumes hold ${mib(total)}, at least 200 MiB were promised`);
  const ledger = await Ledger.open(cloud, databaseVolume, ledgerPath);
  ledgers.push(ledger);
  ledger.start(5);
  say(
    `   ${files.manifest.size + database.manifest.size} files, ${mib(total)}; a server writes to the database 200 times a second`,
  );
  await stack.configure(
    { repositoryUrl: repositoryPath, filesVolumeId: filesVolume, databaseVolumeId: databaseVolume },
    { repositoryPassword: password },
  );
  const restic = (...given: string[]) => resticJson(repositoryPath, password, work, given);
  const seen = () => look(cloud, restic);

  heading("1. the stack is previewed, then brought up: snapshots, temporary volumes, restic, clean-up");
  const start = "2026-11-16T10:05:00Z";
  await stack.preview(start);
  await stack.up(start);
  const first = seen();
  check(first.snapshots.length === 2, `2 Cinder snapshots expected, there are ${first.snapshots.length}`);
  check(first.restic.length === 2, `2 restic snapshots expected, there are ${first.restic.length}`);
  nothingTemporary(cloud, repositoryPath);
  proven.push("two sets were taken and backed up");

  heading("2. a second up changes nothing");
  await stack.up("2026-11-16T10:20:00Z");
  check(same(seen(), first), "the second up changed recovery points");
  await stack.preview("2026-11-16T10:21:00Z", { expectNoChanges: true });
  proven.push("a second up changed nothing");

  heading(
    "3. the clock moves over several slots; preview says what will be taken and removed, up does exactly that",
  );
  for (const now of ["2026-11-16T11:05:00Z", "2026-11-16T12:05:00Z", "2026-11-16T13:05:00Z"]) {
    say(`   it is ${now}`);
    await stack.up(now);
  }
  const later = "2026-11-18T09:05:00Z";
  say(`   it is ${later}: 44 slots of the database have passed, they are caught up once`);
  const before = seen();
  const promised = announced(await stack.preview(later));
  await stack.up(later);
  const after = seen();
  const removed = {
    snapshots: before.snapshots
      .filter(id => !after.snapshots.includes(id))
      .map(short)
      .sort(),
    restic: before.restic
      .filter(id => !after.restic.includes(id))
      .map(short)
      .sort(),
    taken: after.snapshots.filter(id => !before.snapshots.includes(id)).length,
  };
  check(
    JSON.stringify(removed) === JSON.stringify(promised),
    `preview announced ${JSON.stringify(promised)}, up did ${JSON.stringify(removed)}`,
  );
  check(
    removed.snapshots.length > 0 && removed.restic.length > 0,
    "retention should have removed points here",
  );
  proven.push("up took and removed exactly what preview had announced");

  heading("4. a run is killed with SIGKILL in the middle of restic; the next up puts everything right");
  const segment = await rewriteSegment(cloud, databaseVolume);
  database.manifest.set(segmentPath, segment);
  const packs = () => filesBelow(join(repositoryPath, "data"));
  const packsBefore = packs();
  const killedAt = "2026-11-18T10:05:00Z";
  const inRestic = () => filesBelow(join(repositoryPath, "locks")) > 0 && packs() > packsBefore;
  const end = await stack.upKilled(killedAt, inRestic);
  check(end === "killed", "the run ended before it could be killed");
  const left = {
    temporary: temporaryVolumes(cloud),
    attached: cloud.attachments().length,
    locks: filesBelow(join(repositoryPath, "locks")),
  };
  say(
    `   killed: it left ${left.temporary} temporary volume, ${left.attached - 2} attachment and ${left.locks} restic lock`,
  );
  check(left.temporary > 0 && left.locks > 0, "the kill came too early or too late to leave anything");
  await stack.unlock();
  await stack.up(killedAt);
  const repaired = seen();
  nothingTemporary(cloud, repositoryPath);
  check(
    repaired.slots.filter(slot => slot === "database 2026-11-18T10:00:00Z").length === 2,
    `one Cinder and one restic point of the slot expected: ${repaired.slots.join(", ")}`,
  );
  check(resticRun(repositoryPath, password, work, ["check"]).status === 0, "restic check found errors");
  await stack.preview(killedAt, { expectNoChanges: true });
  proven.push("after a kill in the middle of restic nothing was doubled, orphaned or locked");

  heading("5. the newest point of the database is restored into a new volume and every file is compared");
  await ledger.stop();
  await stack.setConfig("restore", "latest");
  const output = await stack.up("2026-11-18T10:06:00Z");
  const restored = cloud.volumes().find(volume => volume.metadata["osbackup-role"] === "restored");
  if (!restored) throw new Error(`there is no restored volume\n${output}`);
  const source = cloud
    .snapshots()
    .find(
      snapshot =>
        snapshot.metadata["osbackup-slot"] === "2026-11-18T10:00:00Z" &&
        snapshot.volume_id === databaseVolume,
    );
  const expectedLedger = source && ledger.sha256AtSnapshot(source.id);
  if (!expectedLedger) throw new Error("the ledger did not see its snapshot");
  database.manifest.set(ledgerPath, expectedLedger);
  const restoredFolder = join(work, "restored");
  await readImage(cloud.imagePath(restored.id), restoredFolder);
  const found = differences(database.manifest, await manifestOf(restoredFolder));
  check(found.length === 0, `the restored volume differs:\n${found.slice(0, 10).join("\n")}`);
  const report = verifyLedger(readFileSync(join(restoredFolder, ledgerPath)));
  check(report.unbroken && report.lastSequence > 0, "the restored database is broken");
  check(ledger.lastSequence > report.lastSequence, "the server should have written on after the snapshot");
  say(
    `   all ${database.manifest.size} files are what they were at the moment of the snapshot; the database ends at record ${report.lastSequence}, the server had gone on to ${ledger.lastSequence}`,
  );
  proven.push(`${database.manifest.size} restored files equal those at the moment of the snapshot`);

  heading("6. the stack is destroyed; the repository keeps its points");
  await printPoints(environment, repositoryPath, password);
  const points = seen().restic.length;
  await stack.destroy("2026-11-18T10:07:00Z");
  check(cloud.snapshots().length === 0, `${cloud.snapshots().length} Cinder snapshots are left`);
  check(cloud.volumes().length === 2, `${cloud.volumes().length - 2} volumes too many are left`);
  check(seen().restic.length === points, "restic snapshots were lost");
  proven.push(`destroy left nothing in the cloud and all ${points} points in the repository`);
}

async function addVolume(
  cloud: Devcloud,
  work: string,
  name: string,
  sample: Sample,
  sizeMib: number,
): Promise<string> {
  const imageFile = join(work, `${name}.img`);
  await makeExt4Image(imageFile, { sizeMib, fromDirectory: sample.directory, label: name });
  await fs.rm(sample.directory, { recursive: true });
  const volume = await cloud.addVolume({ name, imageFile, attachedTo: true });
  await fs.rm(imageFile);
  return volume.id;
}

/** The server rewrites a large file of the database in place; returns its new hash. */
async function rewriteSegment(cloud: Devcloud, volumeId: string): Promise<string> {
  const guest = cloud.guest(volumeId);
  const content = randomBytes(segmentBytes);
  for (const { fileOffset, imageOffset, length } of await fileExtents(cloud.imagePath(volumeId), segmentPath))
    await guest.write(imageOffset, content.subarray(fileOffset, fileOffset + length));
  await guest.alter(image => touchInImage(image, segmentPath, new Date()));
  return createHash("sha256").update(content).digest("hex");
}

interface Seen {
  snapshots: string[];
  restic: string[];
  /** `<set> <slot>` of every point in both places. */
  slots: string[];
}

/** What is there, asked without this project's own code: the cloud's tables and restic itself. */
function look(cloud: Devcloud, restic: (...given: string[]) => unknown): Seen {
  const points = restic("snapshots") as { id: string; tags: string[] }[];
  const tag = (point: { tags: string[] }, name: string) =>
    point.tags.find(candidate => candidate.startsWith(`${name}=`))?.slice(name.length + 1);
  return {
    snapshots: cloud
      .snapshots()
      .map(snapshot => snapshot.id)
      .sort(),
    restic: points.map(point => point.id).sort(),
    slots: [
      ...cloud
        .snapshots()
        .map(snapshot => `${snapshot.metadata["osbackup-set"]} ${snapshot.metadata["osbackup-slot"]}`),
      ...points.map(point => `${tag(point, "set")} ${tag(point, "slot")}`),
    ].sort(),
  };
}

/** What a preview announced: the points that will be removed, and how many snapshots will be taken. */
function announced(preview: string): { snapshots: string[]; restic: string[]; taken: number } {
  // The real engine prints each line twice: as it arrives, and again under Diagnostics.
  const lines = [...new Set(preview.split("\n").map(line => line.trim()))];
  const ids = (verb: string) =>
    lines
      .filter(line => line.includes(`, ${verb} `))
      .flatMap(line => [...line.matchAll(/\b([0-9a-f]{8}) of /g)].map(match => match[1] as string))
      .sort();
  const taken = lines.flatMap(line => /\[[a-z-]+\] will take the recovery point/.exec(line)?.[0] ?? []);
  return { snapshots: ids("removes"), restic: ids("forgets"), taken: new Set(taken).size };
}

function nothingTemporary(cloud: Devcloud, repositoryPath: string): void {
  check(temporaryVolumes(cloud) === 0, "a temporary volume is left");
  check(cloud.attachments().length === 2, "an attachment is left");
  check(filesBelow(join(repositoryPath, "locks")) === 0, "a restic lock is left");
}

function temporaryVolumes(cloud: Devcloud): number {
  return cloud.volumes().filter(volume => volume.metadata["osbackup-role"] === "temporary").length;
}

/** Reads every file of an ext4 image with e2fsprogs, not with this project's own code. */
async function readImage(image: string, into: string): Promise<void> {
  await fs.mkdir(into);
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  const read = spawnSync("debugfs", ["-R", `rdump / ${into}`, image], {
    encoding: "utf8",
    env: { ...process.env, PATH: path },
  });
  check(read.status === 0, `debugfs ended with ${read.status}: ${read.stderr}`);
}

function resticRun(repository: string, password: string, work: string, given: string[]) {
  return spawnSync("restic", ["--repo", repository, "--no-lock", ...given], {
    encoding: "utf8",
    env: { ...process.env, RESTIC_PASSWORD: password, XDG_CACHE_HOME: join(work, "cache") },
  });
}

function resticJson(repository: string, password: string, work: string, given: string[]): unknown {
  const run = resticRun(repository, password, work, [...given, "--json"]);
  check(run.status === 0, `restic ${given[0]} ended with ${run.status}: ${run.stderr}`);
  return JSON.parse(run.stdout);
}

/** Not `spawnSync`: the cloud answers from this process. */
async function printPoints(
  environment: NodeJS.ProcessEnv,
  repository: string,
  password: string,
): Promise<void> {
  const cli = join(__dirname, "..", "..", "provider", "hosts", "cli.js");
  const { stdout } = await promisify(execFile)(process.execPath, [cli, "list", "--repository", repository], {
    env: { ...environment, RESTIC_PASSWORD: password },
  });
  say(`   the recovery points, found by their marks alone:\n\n${stdout}`);
}

function filesBelow(directory: string): number {
  if (!existsSync(directory)) return 0;
  return readdirSync(directory, { withFileTypes: true, recursive: true }).filter(entry => entry.isFile())
    .length;
}

function same(a: Seen, b: Seen): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function check(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}

function heading(text: string): void {
  say(`\n${text}   [${seconds()} s]`);
}

function seconds(): string {
  return ((Date.now() - began) / 1000).toFixed(0);
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

function short(id: string): string {
  return id.slice(0, 8);
}

function say(line: string): void {
  console.log(line);
}

main().catch((error: unknown) => {
  console.error(`\nFAILED: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
