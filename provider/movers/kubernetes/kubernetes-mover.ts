import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { undoSignal } from "../../base/undo-list";
import { type Session, volumes } from "../../openstack";
import { isKind, type Repository, ResticError } from "../../restic";
import type { ElsewhereCommand } from "../../restic/restic";
import { withoutControls } from "../../restic/run";
import { mountPathOf } from "../local/mount-path";
import type { BackupRun, MovedBackup, Mover, RestoreRun } from "../mover";
import { blockFileName, progressTo, relativePath } from "../words";
import type { Clusters } from "./clusters";
import { certificates, nameOf, type Shape, shapeName, type Task } from "./objects";
import type { KubernetesOptions } from "./options";
import { leftOf, removeObjects } from "./remove-objects";
import { adoptableJob, beginJob, deadlineOf, shapeOfJob, UnreadableVolume, watchJob } from "./run-job";
import { backUpDevice, backUpFiles, nothingFound, otherBytes, restoreDevice, restoreFiles } from "./scripts";
import type { Site } from "./site";

/**
 * A Job on a Kubernetes cluster reads the volume, which the cluster's own Cinder driver attaches to one of its nodes. The
 * machine that runs the stack only watches.
 */
export function kubernetesMover(options: KubernetesOptions, clusters: Clusters): Mover {
  return {
    obstacle: () => clusters.obstacle(options),
    synchronize: run => inPlace(options, clusters, run, site => synchronize(site, options, run)),
    restore: run => inPlace(options, clusters, run, site => restore(site, options, run)),

    // A cluster that is away does not keep the volume, which Cinder would not give up where a pod still has it.
    async cleanup(run) {
      try {
        return await cleanUp(await clusters.site(options), run);
      } catch (error) {
        run.log(`warning: what is left in the cluster stays until the next run: ${(error as Error).message}`);
        return [];
      }
    },
  };
}

/** Removes all that runs of this owner have left in the cluster, except what has the name of the run that begins. */
async function cleanUp(
  site: Site,
  { owner, log, signal }: Pick<BackupRun, "owner" | "log" | "signal">,
  except?: string,
): Promise<string[]> {
  const names = (await leftOf(site, owner)).filter(name => name !== except);
  for (const name of names) {
    await removeObjects(site, name, signal);
    log(`cleaned up after an earlier run: ${name} in namespace ${site.namespace}`);
  }
  return names;
}

/** Waits for a place among the Jobs; whatever becomes of the run, nothing of it stays in the cluster. */
async function inPlace<T>(
  options: KubernetesOptions,
  clusters: Clusters,
  run: BackupRun | RestoreRun,
  use: (site: Site) => Promise<T>,
): Promise<T> {
  reachable(run.repository);
  const site = await clusters.site(options);
  const release = await site.place();
  const name = nameOf(run.owner, run.volumeId);
  try {
    run.signal?.throwIfAborted();
    await cleanUp(site, run, name);
    const result = await use(site).catch(async (error: unknown) => {
      await removeObjects(site, name, undoSignal(run.signal)).catch((left: Error) =>
        run.log(`left behind, the next run finds it: ${left.message}`),
      );
      throw error;
    });
    await removeObjects(site, name, undoSignal(run.signal)).catch((left: Error) =>
      run.log(`warning: ${left.message}; the next run ends it`),
    );
    return result;
  } finally {
    release();
  }
}

/** Why a pod cannot reach a repository; undefined where it can. */
export const unreachable = (localPath: string | undefined): string | undefined =>
  localPath === undefined
    ? undefined
    : `the mover 'kubernetes' needs a repository that its pods reach (s3:, rest:, swift:, …), not the folder ${localPath} of this machine`;

function reachable(repository: Repository): void {
  const why = unreachable(repository.localPath);
  if (why !== undefined) throw new Error(why);
}

const rawDevice: Shape = { mode: "Block" };

/** As what a volume is tried, one after the other: nobody outside the pod sees what file system it has. */
function shapesOf(run: BackupRun, { fsType }: KubernetesOptions): Shape[] {
  if (run.content === "block") return [rawDevice];
  if (fsType !== undefined) return [{ mode: "Filesystem", fsType, access: "read" }];
  const types = ["ext4", "xfs"];
  const files = types.map((type): Shape => ({ mode: "Filesystem", fsType: type, access: "read" }));
  return run.content === "auto" ? [...files, rawDevice] : files;
}

async function synchronize(site: Site, options: KubernetesOptions, run: BackupRun): Promise<MovedBackup> {
  const shapes = shapesOf(run, options);
  const begun = await shapeOfJob(site, nameOf(run.owner, run.volumeId));
  for (let place = Math.max(0, shapes.map(shapeName).indexOf(begun ?? "")); ; place++) {
    const shape = shapes[place] as Shape;
    try {
      return await backUp(site, options, run, shape);
    } catch (error) {
      if (!(error instanceof UnreadableVolume) || place === shapes.length - 1) throw error;
      if (error.isBlank && shapes.at(-1) === rawDevice) place = shapes.length - 2;
      const next = shapes[place + 1] as Shape;
      run.log(`volume ${run.volumeId} is not ${shapeName(shape)} to the driver, trying ${shapeName(next)}`);
    }
  }
}

async function backUp(
  site: Site,
  options: KubernetesOptions,
  run: BackupRun,
  shape: Shape,
): Promise<MovedBackup> {
  const paths = run.paths.map(relativePath);
  const content = shape.mode === "Block" ? "block" : "file";
  const fileSystem = shape.mode === "Block" ? undefined : shape.fsType;
  const directory = mountPathOf(run.owner);
  const repository = run.repository.saying(run.log);
  const heard = new Heard(run.log);
  const image = await imageOf(options, repository);
  const pods = new Pods(site, run, heard, async command => ({
    ...(await taskOf(run.session, run, { site, options, shape, image, directory })),
    ...(shape.mode === "Block"
      ? { script: backUpDevice, arguments: command.arguments }
      : {
          script: backUpFiles,
          arguments: [`${command.arguments.length - 1}`, ...command.arguments.slice(0, -1), ...paths],
        }),
  }));
  const job = {
    elsewhere: pods.run,
    what: `volume ${run.volumeId}`,
    source: shape.mode === "Block" ? { fileName: blockFileName } : { directory, excludes: run.exclude },
    furtherTags: () => heard.tags,
    missing: () => heard.missing.map(({ place, reason }) => ({ path: paths[place] ?? "?", reason })),
    host: run.host,
    tags: [
      ...run.tags,
      `content=${content}`,
      ...(fileSystem === undefined ? [] : [`filesystem=${fileSystem}`]),
    ],
    time: run.time,
    timeoutSeconds: run.timeoutSeconds,
    signal: run.signal,
    onProgress: progressTo(run.log),
  };
  const result = await repository.backup(job).catch((error: unknown) => {
    const { repositorySecret } = options;
    if (repositorySecret !== undefined && isKind(error, "wrong-password"))
      throw new ResticError(
        error.kind,
        `${error.message}; the Job has it from Secret ${site.namespace}/${repositorySecret}, key RESTIC_PASSWORD`,
      );
    if (!pods.hasAdopted || run.signal?.aborted) throw error;
    run.log(`what a killed run had begun came to nothing: ${(error as Error).message}`);
    return repository.backup(job);
  });
  return {
    ...result,
    content,
    ownersPreserved: true,
    how: `Job in namespace ${site.namespace}${fileSystem === undefined ? ", the raw device" : `, ${fileSystem}`}`,
    ...(fileSystem === undefined ? {} : { fileSystem }),
  };
}

async function restore(
  site: Site,
  options: KubernetesOptions,
  run: RestoreRun,
): Promise<{ how: string; ownersPreserved: boolean }> {
  const shape: Shape =
    run.content === "block" ? rawDevice : { mode: "Filesystem", fsType: run.fileSystem, access: "write" };
  const directory = mountPathOf(run.owner);
  const repository = run.repository.saying(run.log);
  if (shape.mode === "Filesystem" && run.tags.some(tag => /^fs-(uuid|label)=/.test(tag)))
    run.log("warning: the volume gets a new UUID and no label: the cluster's driver makes its file system");
  const tag = (key: string) => run.tags.find(one => one.startsWith(`${key}=`))?.slice(key.length + 1);
  const [, mode = "", owner = ""] = /^([0-7]{1,4}):(\d+:\d+)$/.exec(tag("root") ?? "") ?? [];
  const attributes = Buffer.from(tag("root-xattrs") ?? "", "base64url").toString();
  const changed = String(Math.floor(Number(tag("root-mtime") ?? Number.NaN)) || "");
  const image = await imageOf(options, repository);
  const heard = new Heard(run.log);
  const pods = new Pods(site, run, heard, async command => ({
    ...(await taskOf(run.session, run, { site, options, shape, image, directory })),
    ...(shape.mode === "Block"
      ? { script: restoreDevice, arguments: [run.verify ? "verify" : "", ...command.arguments] }
      : { script: restoreFiles, arguments: [mode, owner, changed, attributes, ...command.arguments] }),
  }));
  run.log(`restoring ${run.resticSnapshotId.slice(0, 8)} by Job in namespace ${site.namespace}`);
  await repository.restoreElsewhere(run.resticSnapshotId, {
    elsewhere: pods.run,
    arguments:
      shape.mode === "Block"
        ? ["dump", "--", run.resticSnapshotId, blockFileName]
        : ["restore", run.resticSnapshotId, "--target=.", ...(run.verify ? ["--verify"] : [])],
    target: `volume ${run.volumeId}`,
    signal: run.signal,
    timeoutSeconds: run.timeoutSeconds,
  });
  return { how: `Job in namespace ${site.namespace}`, ownersPreserved: true };
}

async function imageOf({ image }: KubernetesOptions, repository: Repository): Promise<string> {
  return image ?? `restic/restic:${(await repository.version()).text}`;
}

async function taskOf(
  session: Session,
  run: BackupRun | RestoreRun,
  given: { site: Site; options: KubernetesOptions; shape: Shape; image: string; directory: string },
): Promise<Omit<Task, "script" | "arguments" | "secrets" | "environment">> {
  const { site, options, shape, image, directory } = given;
  return {
    owner: run.owner,
    namespace: site.namespace,
    volumeId: run.volumeId,
    sizeGib: (await volumes.get(session, run.volumeId)).size,
    shape,
    image,
    mountPath: directory,
    deadlineSeconds: deadlineOf(run.timeoutSeconds, options.startTimeoutSeconds),
    options,
  };
}

/** What the scripts say beside restic. */
class Heard {
  tags: string[] = [];
  missing: { place: number; reason: string }[] = [];

  constructor(private readonly log: (line: string) => void) {}

  /** Whether that line was one of theirs. */
  take(line: string): boolean {
    const said = /^\{"message_type":"osbackup","(tags|missing|link|warning)":"(.*)"\}$/.exec(line);
    if (!said) return false;
    const [, what, text = ""] = said;
    if (what === "tags") this.tags = text.split(" ");
    else if (what === "missing") this.missing.push({ place: Number(text), reason: "does not exist" });
    else if (what === "link")
      this.missing.push({
        place: Number(text),
        reason: "is a symbolic link: name what it leads to, a link alone is no backup",
      });
    else this.log(`warning: ${text}`);
    return true;
  }
}

/** The pods of one run, one after the other: restic runs again where it found the repository locked. */
class Pods {
  /** A killed run's Job was gone on with. */
  hasAdopted = false;
  #tries = 0;

  constructor(
    private readonly site: Site,
    private readonly given: BackupRun | RestoreRun,
    private readonly heard: Heard,
    /** All but what opens the repository. */
    private readonly taskFor: (command: ElsewhereCommand) => Promise<Omit<Task, "secrets" | "environment">>,
  ) {}

  readonly run = async (command: ElsewhereCommand) => {
    const trusted = command.caCertFile === undefined ? [] : ["--cacert", certificates.path];
    const task = await this.taskFor({ ...command, arguments: [...trusted, ...command.arguments] });
    const ready: Task = {
      ...task,
      secrets: await secretVariables(command, task.options.repositorySecret !== undefined),
      environment: { ...plainVariables(command), RESTIC_PROGRESS_FPS: "0.1" },
    };
    const adopted = this.#tries++ === 0 ? await adoptableJob(this.site, ready) : undefined;
    if (adopted !== undefined) {
      this.hasAdopted = true;
      this.given.log(`going on with Job ${nameOf(task.owner, task.volumeId)}, which a killed run began`);
    }
    const uid = adopted ?? (await beginJob(this.site, ready, command.signal));
    return this.#watched(ready, uid, command);
  };

  async #watched(task: Task, uid: string, command: ElsewhereCommand) {
    this.heard.missing = [];
    const errors: string[] = [];
    let hasSummary = false;
    const exitCode = await watchJob(this.site, task, uid, {
      onLine: given => {
        const line = withoutControls(given);
        if (this.heard.take(line)) return;
        if (/^\{"message_type":"summary"/.test(line)) hasSummary = true;
        if (!/^\{"message_type":"(status|verbose_status|summary)"/.test(line)) errors.push(line);
        if (errors.length > mostErrorLines) errors.splice(mostErrorLines / 2, 1);
        command.onLine?.(line);
      },
      isComplete: () => hasSummary || task.script === restoreFiles || task.script === restoreDevice,
      log: this.given.log,
      signal: command.signal,
    });
    if (exitCode === nothingFound)
      throw new ResticError(
        "empty-source",
        `backing up volume ${task.volumeId}: none of the paths is a file or folder of it`,
      );
    if (exitCode === otherBytes)
      throw new Error(`restoring to volume ${task.volumeId}: it reads back other bytes than were written`);
    return { exitCode, stdout: "", stderr: errors, stopped: undefined, killed: false, pid: 0 };
  }
}

const mostErrorLines = 400;

/** Whether a url holds a password. */
const isSecret = (url: string): boolean => /:\/\/[^/]*@/.test(url);

/** The variables that are no secret: the url too, where it holds no password. */
function plainVariables({ environment }: ElsewhereCommand): Record<string, string> {
  const { RESTIC_REPOSITORY: url = "", TZ = "UTC" } = environment;
  return { TZ, ...(isSecret(url) ? {} : { RESTIC_REPOSITORY: url }) };
}

/** The variables that open the repository, with what stands in files of this machine; without those of the user's Secret. */
async function secretVariables(
  { environment, caCertFile }: ElsewhereCommand,
  isGiven: boolean,
): Promise<Record<string, string>> {
  const { RESTIC_PASSWORD_FILE: file, RESTIC_PASSWORD_COMMAND: passwordCommand, TZ: _, ...all } = environment;
  const { RESTIC_REPOSITORY: url = "", ...values } = all;
  const certificate =
    caCertFile === undefined ? {} : { [certificates.key]: await readFile(caCertFile, "utf8") };
  const own = { ...certificate, ...(isSecret(url) ? { RESTIC_REPOSITORY: url } : {}) };
  if (isGiven) return own;
  if (file) values.RESTIC_PASSWORD = (await readFile(file, "utf8")).trim();
  if (passwordCommand) values.RESTIC_PASSWORD = await firstLineOf(passwordCommand);
  return { ...values, ...own };
}

/** As restic runs it: a program with its arguments, without a shell. */
async function firstLineOf(command: string): Promise<string> {
  const [program = "", ...words] = command.split(/\s+/).filter(Boolean);
  const { stdout } = await promisify(execFile)(program, words).catch(() => {
    throw new ResticError("wrong-password", "running the repository's passwordCommand: it fails");
  });
  return stdout.split("\n")[0] ?? "";
}
