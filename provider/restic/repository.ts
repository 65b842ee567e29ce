import { randomBytes } from "node:crypto";
import { readdir, rename } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Writable } from "node:stream";
import { type RepositoryAccess, type ResolvedAccess, resolveAccess, secondaryEnvironment } from "./access";
import {
  type BackupJob,
  BackupReport,
  type BackupResult,
  backupArguments,
  checkTag,
  inspectSource,
  type Source,
  StreamFeed,
} from "./backup";
import { isNoRepository, ResticError } from "./errors";
import { withInitLock } from "./init-lock";
import { isWhole, localFiles } from "./local-files";
import { numberOf } from "./messages";
import { queueOf, type RepositoryQueue, type Share } from "./queue";
import { type Log, Restic, readSeconds, wholeSeconds, writeSeconds } from "./restic";
import { type DumpOptions, dump, type RestoreOptions, restore } from "./restore";
import type { Finished } from "./run";
import { type Feature, type ResticVersion, supports } from "./version";

/** How restic is run for a repository. */
export interface RepositoryOptions {
  /** name or path; default "restic" */
  binary?: string | undefined;
  /** default: restic's own, below XDG_CACHE_HOME or HOME */
  cacheDirectory?: string | undefined;
  log?: Log | undefined;
  /** how long to wait for locks of others; default 600 */
  lockWaitSeconds?: number | undefined;
  /** of this process, on this repository; default 2 */
  maxParallelBackups?: number | undefined;
}

/** A snapshot as the repository lists it. */
export interface ResticSnapshot {
  id: string;
  shortId: string;
  time: Date;
  hostname: string;
  paths: string[];
  tags: string[];
  /** the id before restic copied or re-tagged it */
  original?: string;
  parent?: string;
  tree: string;
  /** the counts of the backup; from restic 0.17 */
  summary?: Record<string, unknown>;
}

/** What can be asked of a listing; all that is given must match. */
export interface SnapshotFilter {
  tags?: string[] | undefined;
  host?: string | undefined;
  /** full or short */
  ids?: string[] | undefined;
  signal?: AbortSignal | undefined;
}

interface Stoppable {
  signal?: AbortSignal | undefined;
  timeoutSeconds?: number | undefined;
}

/** Opens nothing yet: checks the access and names the repository. Throws a ResticError for a bad access. */
export function openRepository(access: RepositoryAccess, options: RepositoryOptions = {}): Repository {
  return new Repository(access, options);
}

/** One restic repository, and all that this process does with it. */
export class Repository {
  /** for messages: the url without a password */
  readonly url: string;
  private readonly access: ResolvedAccess;
  private readonly restic: Restic;
  private readonly queue: RepositoryQueue;
  private readonly lockWaitSeconds: number;

  constructor(
    private readonly given: RepositoryAccess,
    private readonly options: RepositoryOptions,
  ) {
    this.access = resolveAccess(given);
    this.url = this.access.shownUrl;
    this.lockWaitSeconds = options.lockWaitSeconds ?? 600;
    this.restic = new Restic(this.access, {
      binary: options.binary ?? "restic",
      cacheDirectory: options.cacheDirectory === undefined ? undefined : resolve(options.cacheDirectory),
      lockWaitSeconds: this.lockWaitSeconds,
      log: options.log,
    });
    this.queue = queueOf(this.access.key, options.maxParallelBackups);
  }

  /** The same repository, whose lines go to `log`. */
  saying(log: Log): Repository {
    return new Repository(this.given, { ...this.options, log });
  }

  /** The version of the restic binary. */
  version(): Promise<ResticVersion> {
    return this.restic.version();
  }

  /** Whether the restic binary can do that. */
  async supports(feature: Feature): Promise<boolean> {
    return supports(await this.restic.version(), feature);
  }

  /** False only where the repository is provably absent; throws when that cannot be told. Takes no lock. */
  async exists(options: { signal?: AbortSignal | undefined } = {}): Promise<boolean> {
    return (await this.identity(options)) !== undefined;
  }

  /**
   * The repository's own id, which its init made and which never changes. Undefined only where the repository is provably
   * absent; throws when that cannot be told. Takes no lock.
   */
  async identity(options: { signal?: AbortSignal | undefined } = {}): Promise<string | undefined> {
    const doing = `opening ${this.url}`;
    try {
      const { stdout } = await this.restic.once({
        doing,
        arguments: ["cat", "config", "--no-lock"],
        signal: options.signal,
        timeoutSeconds: readSeconds,
      });
      const id = /"id":\s*"([0-9a-f]{64})"/.exec(stdout)?.[1];
      if (id === undefined) throw new ResticError("failed", `${doing}: its config has no id`);
      return id;
    } catch (error) {
      if (isNoRepository(error)) return undefined;
      throw error;
    }
  }

  /**
   * Makes the repository unless it is there, and proves that it opens. Never while it may exist: a locked, unreachable
   * or forbidden one, or a wrong password, is an error.
   */
  async ensureInitialised(
    options: { signal?: AbortSignal | undefined; chunkerFrom?: RepositoryAccess | undefined } = {},
  ): Promise<"created" | "existing"> {
    const { signal } = options;
    if (await this.exists({ signal })) return "existing";
    return this.queued("exclusive", `initialising ${this.url}`, signal, () =>
      withInitLock(this.access, this.lockWaitSeconds, signal, async () => {
        if (await this.exists({ signal })) return "existing";
        return this.init(options.chunkerFrom, signal);
      }),
    );
  }

  private async init(
    chunkerFrom: RepositoryAccess | undefined,
    signal: AbortSignal | undefined,
  ): Promise<"created" | "existing"> {
    const doing = `initialising ${this.url}`;
    if (this.access.localPath !== undefined) await setHalfMadeAside(this.access.localPath, doing);
    const source = chunkerFrom && resolveAccess(chunkerFrom);
    let outcome: "created" | "existing" = "created";
    try {
      // not to be cancelled: a key without a config is worse than two more seconds
      await this.restic.once({
        doing,
        arguments: ["init", ...(source ? ["--copy-chunker-params", ...source.arguments] : [])],
        ...(source ? { environment: secondaryEnvironment(this.access, source), source } : {}),
        timeoutSeconds: readSeconds,
      });
    } catch (error) {
      if (!/config file already exists|config already initialized/.test((error as Error).message))
        throw error;
      outcome = "existing";
    }
    const keys = await this.restic.once({
      doing: `opening ${this.url} after its init`,
      arguments: ["list", "keys", "--no-lock"],
      signal,
      timeoutSeconds: readSeconds,
    });
    const count = keys.stdout.match(/^[0-9a-f]{64}$/gm)?.length ?? 0;
    if (outcome === "created" && count !== 1)
      throw new ResticError(
        "failed",
        `${doing}: it has ${count} keys; someone else initialised it at the same time, or was interrupted before`,
      );
    this.restic.log(`${outcome === "created" ? "created" : "found"} the repository ${this.url}`);
    return outcome;
  }

  /** The snapshots that match, oldest first. Takes no lock, so a prune elsewhere is not in the way. */
  async snapshots(filter: SnapshotFilter = {}): Promise<ResticSnapshot[]> {
    const args = ["snapshots", "--json", "--no-lock"];
    if (filter.tags?.length) {
      for (const tag of filter.tags) checkTag(tag);
      args.push(`--tag=${filter.tags.join(",")}`);
    }
    if (filter.host !== undefined) args.push(`--host=${filter.host}`);
    const listed = await this.list(args, filter.signal);
    return listed.filter(
      snapshot =>
        (filter.tags ?? []).every(tag => snapshot.tags.includes(tag)) &&
        (filter.host === undefined || snapshot.hostname === filter.host) &&
        (filter.ids === undefined || filter.ids.some(id => snapshot.id.startsWith(id))),
    );
  }

  private async list(args: string[], signal: AbortSignal | undefined): Promise<ResticSnapshot[]> {
    const doing = `listing the snapshots of ${this.url}`;
    for (let attempt = 1; ; attempt += 1) {
      const finished = await this.restic.once({
        doing,
        arguments: args,
        signal,
        timeoutSeconds: readSeconds,
      });
      // below 0.17 a listing that failed half-way, or met a snapshot being forgotten, ends with success and a warning
      const warning = finished.stderr.find(line => /could not load snapshot/.test(line));
      if (warning === undefined) return parseSnapshots(finished, doing);
      if (attempt === 3) throw new ResticError("failed", `${doing}: ${this.restic.clean(warning)}`);
    }
  }

  /** Makes one snapshot and proves that it is in the repository. */
  async backup(job: BackupJob): Promise<BackupResult> {
    const what = "stdin" in job ? job.stdin.fileName : resolve(job.directory);
    const doing = `backing up ${what} to ${this.url}`;
    const feed = "stdin" in job ? new StreamFeed(job.stdin, doing) : undefined;
    try {
      const source = "stdin" in job ? undefined : await inspectSource(job);
      const report = new BackupReport(source?.directory, job.onProgress);
      for (const path of source?.missing ?? []) report.add({ path, reason: "does not exist" });
      const id = await this.queued("backup", doing, job.signal, async () => {
        try {
          await this.runBackup(job, doing, report, source, feed);
        } catch (error) {
          // once it has named a snapshot only unlocking can fail, and the work is done
          if (report.snapshotId === undefined) throw error;
          const made = await this.prove(job, doing, report).catch(() => {
            throw notProven(error, report);
          });
          this.restic.log(`snapshot ${made} was made, but afterwards: ${(error as Error).message}`);
          return made;
        }
        return this.prove(job, doing, report).catch(error => {
          throw notProven(error, report);
        });
      });
      const flaw = flawOf(doing, report, feed);
      if (flaw) throw await this.withdraw(id, flaw);
      return resultOf(id, job.tags, report);
    } finally {
      feed?.close();
    }
  }

  private async runBackup(
    job: BackupJob,
    doing: string,
    report: BackupReport,
    source: Source | undefined,
    feed: StreamFeed | undefined,
  ): Promise<void> {
    const signals = [job.signal, feed?.signal].filter(signal => signal !== undefined);
    try {
      const finished = await this.restic.call({
        doing,
        arguments: backupArguments(job, source),
        // Go takes the working directory's name from PWD: the snapshot shows the path as the caller wrote it
        ...(source ? { cwd: source.directory, environment: { PWD: source.directory } } : {}),
        ...(feed ? { feed: sink => feed.start(sink), mayRepeat: () => feed.repeatable } : {}),
        accept: [0, 3],
        onLine: line => report.line(line),
        onErrorLine: line => report.line(line),
        onStarted: job.onStarted,
        signal: signals.length > 0 ? AbortSignal.any(signals) : undefined,
        timeoutSeconds: job.timeoutSeconds,
      });
      report.exitCode = finished.exitCode;
    } catch (error) {
      if (feed?.failure) throw feed.failure;
      if (error instanceof ResticError && /snapshot is empty/.test(error.message))
        throw new ResticError("empty-source", error.message, error);
      throw error;
    }
  }

  /**
   * Finds the new snapshot in the repository and returns its full id; below 0.15 restic names it by 8 characters. On this
   * machine by its file, whole as restic wrote it; elsewhere restic is asked.
   */
  private async prove(job: BackupJob, doing: string, report: BackupReport): Promise<string> {
    const id = report.snapshotId;
    if (id === undefined)
      throw new ResticError("failed", `${doing}: restic ended well but named no snapshot`);
    const files = await localFiles(this.access, "snapshots");
    if (files) {
      const [name, ...others] = files.filter(file => file.startsWith(id));
      if (name === undefined || others.length > 0)
        throw new ResticError("failed", `${doing}: snapshot ${id} is not in the repository`);
      const whole = await isWhole(this.access, "snapshots", name).catch(() => undefined);
      if (whole === false) throw new ResticError("failed", `${doing}: snapshot ${name} is damaged`);
      if (whole) return name;
    }
    const [snapshot, ...more] = (
      await this.list(["snapshots", "--json", "--no-lock", "--", id], undefined)
    ).filter(found => found.id.startsWith(id));
    if (!snapshot || more.length > 0)
      throw new ResticError("failed", `${doing}: snapshot ${id} is not in the repository`);
    const lacking = job.tags.filter(tag => !snapshot.tags.includes(tag));
    if (lacking.length > 0)
      throw new ResticError(
        "failed",
        `${doing}: snapshot ${snapshot.id} lacks the tags ${lacking.join(", ")}`,
      );
    return snapshot.id;
  }

  private async withdraw(id: string, flaw: ResticError): Promise<ResticError> {
    try {
      await this.forget([id]);
      return flaw;
    } catch (error) {
      return new ResticError(
        flaw.kind,
        `${flaw.message}; and its snapshot ${id} could not be forgotten: ${(error as Error).message}`,
        { ...flaw, remaining: [id] },
      );
    }
  }

  /**
   * Forgets these snapshots and proves that they are gone; ids that are not there are no error. Never by a policy: what
   * restic keeps under one differs between versions, and some inputs make 0.14 remove everything.
   */
  async forget(ids: string[], options: Stoppable = {}): Promise<void> {
    for (const id of ids) checkId(id);
    if (ids.length === 0) return;
    await this.queued("exclusive", `forgetting of ${this.url}`, options.signal, () =>
      this.forgetNow(ids, options),
    );
  }

  /**
   * Forgets as `forget` does, once no backup of this process runs on the repository or is announced; which snapshots is
   * asked only then.
   */
  async forgetLater(ids: () => string[], options: Stoppable = {}): Promise<void> {
    await this.queued("patient", `forgetting of ${this.url}`, options.signal, async () => {
      const given = ids();
      for (const id of given) checkId(id);
      if (given.length > 0) await this.forgetNow(given, options);
    });
  }

  /** Says that a backup will come soon; the returned function says that it has ended, or will not come. */
  announceBackup(): () => void {
    return this.queue.announceBackup();
  }

  /** Whether a backup of this process runs on the repository or is announced. */
  awaitsBackup(): boolean {
    return this.queue.awaitsBackup;
  }

  private async forgetNow(ids: string[], options: Stoppable): Promise<void> {
    const doing = `forgetting ${ids.length === 1 ? `snapshot ${ids[0]}` : `${ids.length} snapshots`} of ${this.url}`;
    let failure: ResticError | undefined;
    try {
      for (let from = 0; from < ids.length; from += 500)
        await this.restic.call({
          doing,
          arguments: ["forget", "--", ...ids.slice(from, from + 500)],
          signal: options.signal,
          timeoutSeconds: options.timeoutSeconds ?? writeSeconds,
        });
    } catch (error) {
      if (!(error instanceof ResticError)) throw error;
      failure = error;
    }
    const left = await this.present(ids).catch(error => {
      throw failure ?? error;
    });
    if (left.length === 0) return;
    throw new ResticError(
      failure?.kind ?? "failed",
      `${failure?.message ?? `${doing}: restic ended well`}; still there: ${left.join(", ")}`,
      { ...failure, remaining: left },
    );
  }

  /** The full ids of those of these snapshots that the repository has. */
  private async present(ids: string[]): Promise<string[]> {
    const names =
      (await localFiles(this.access, "snapshots")) ?? (await this.snapshots()).map(snapshot => snapshot.id);
    return names.filter(name => ids.some(id => name.startsWith(id)));
  }

  /**
   * Adds tags to snapshots. restic writes them anew, with new ids, and names the old one as `original`. Where a store is
   * append-only that fails, and still both are there: the new one, and the old one that it stands for.
   */
  async addTags(ids: string[], tags: string[], options: Stoppable = {}): Promise<void> {
    for (const id of ids) checkId(id);
    for (const tag of tags) checkTag(tag);
    const doing = `tagging ${ids.length} snapshots of ${this.url}`;
    await this.queued("exclusive", doing, options.signal, () =>
      this.restic.call({
        doing,
        arguments: ["tag", ...tags.flatMap(tag => ["--add", tag]), "--", ...ids],
        onLine: () => {},
        signal: options.signal,
        timeoutSeconds: options.timeoutSeconds ?? writeSeconds,
      }),
    );
  }

  /** Removes the data that no snapshot needs. Alone on the repository; may take hours on a large one. */
  async prune(options: Stoppable = {}): Promise<void> {
    const doing = `pruning ${this.url}`;
    await this.queued("exclusive", doing, options.signal, () =>
      this.restic.call({
        doing,
        arguments: ["prune"],
        onLine: () => {},
        signal: options.signal,
        timeoutSeconds: options.timeoutSeconds ?? wholeSeconds,
      }),
    );
  }

  /**
   * Checks the repository's structure and, as far as readDataSubset says ("5%", "1/10", "500M", "100%"), its data: only
   * that finds damaged packs. Throws an error for which `isDamaged` holds when something is wrong.
   */
  async check(options: Stoppable & { readDataSubset?: string | undefined } = {}): Promise<void> {
    const { readDataSubset } = options;
    if (readDataSubset !== undefined && !/^(\d+(\.\d+)?%|\d+\/\d+|\d+[KMGT])$/.test(readDataSubset))
      throw new ResticError(
        "failed",
        `checking ${this.url}: readDataSubset "${readDataSubset}" is not like 5%, 1/10 or 500M`,
      );
    const doing = `checking ${this.url}`;
    try {
      await this.queued("exclusive", doing, options.signal, () =>
        this.restic.call({
          doing,
          arguments: [
            "check",
            ...(readDataSubset === undefined ? [] : [`--read-data-subset=${readDataSubset}`]),
          ],
          onLine: () => {},
          signal: options.signal,
          timeoutSeconds: options.timeoutSeconds ?? wholeSeconds,
        }),
      );
    } catch (error) {
      if (error instanceof ResticError && /repository contains errors/.test(error.message))
        throw new ResticError(error.kind, error.message, { exitCode: error.exitCode, damaged: true });
      throw error;
    }
  }

  /** Restores a snapshot, or a part of it. */
  async restore(id: string, options: RestoreOptions): Promise<void> {
    checkId(id);
    await this.queued("read", `restoring snapshot ${id} of ${this.url}`, options.signal, () =>
      restore(this.restic, id, options),
    );
  }

  /** Writes one file of a snapshot to a stream or to the file or device of that path; returns the bytes. */
  async dumpTo(id: string, path: string, to: Writable | string, options: DumpOptions = {}): Promise<number> {
    checkId(id);
    return this.queued("read", `dumping ${path} of snapshot ${id} of ${this.url}`, options.signal, () =>
      dump(this.restic, id, path, to, options),
    );
  }

  /**
   * Copies snapshots from another repository, again without making any twice, and proves that each has arrived. Equal
   * chunker parameters (ensureInitialised with chunkerFrom) let both deduplicate alike.
   */
  async copyFrom(
    sourceAccess: RepositoryAccess,
    ids: string[],
    options: Stoppable = {},
  ): Promise<{ sourceId: string; id: string }[]> {
    for (const id of ids) checkId(id);
    if (ids.length === 0) return [];
    const source = resolveAccess(sourceAccess);
    const doing = `copying ${ids.length} snapshots from ${source.shownUrl} to ${this.url}`;
    return this.queued("backup", doing, options.signal, async () => {
      await this.restic.call({
        doing,
        arguments: [...source.arguments, "copy", "--", ...ids],
        environment: secondaryEnvironment(this.access, source),
        source,
        onLine: () => {},
        signal: options.signal,
        timeoutSeconds: options.timeoutSeconds ?? wholeSeconds,
      });
      const { signal } = options;
      const wanted = await new Repository(sourceAccess, this.restic.options).snapshots({ ids, signal });
      const present = await this.snapshots({ signal });
      const arrived = wanted.flatMap(({ id: sourceId, original, tree }) => {
        const origin = original ?? sourceId;
        const copy = present.find(found => found.tree === tree && (found.original ?? found.id) === origin);
        return copy ? [{ sourceId, id: copy.id }] : [];
      });
      const lacking = ids.filter(id => !arrived.some(pair => pair.sourceId.startsWith(id)));
      if (lacking.length > 0)
        throw new ResticError("failed", `${doing}: ${lacking.join(", ")} did not arrive`);
      return arrived;
    });
  }

  /** The size of the repository's data as stored, and how many snapshots it has. Reads every snapshot's trees. */
  async stats(options: Stoppable = {}): Promise<{ bytesStored: number; snapshots: number }> {
    const doing = `measuring ${this.url}`;
    const finished = await this.restic.once({
      doing,
      arguments: ["stats", "--json", "--mode=raw-data", "--no-lock"],
      signal: options.signal,
      timeoutSeconds: options.timeoutSeconds ?? wholeSeconds,
    });
    const answer = parseJson(finished.stdout, doing) as Record<string, unknown>;
    return {
      bytesStored: numberOf(answer.total_size) ?? 0,
      snapshots: numberOf(answer.snapshots_count) ?? 0,
    };
  }

  /** The bytes of a snapshot's files as they read, holes included. Reads the snapshot's trees. */
  async restoreSize(id: string, options: Stoppable = {}): Promise<number> {
    checkId(id);
    const doing = `measuring snapshot ${id} of ${this.url}`;
    const finished = await this.restic.once({
      doing,
      arguments: ["stats", "--json", "--mode=restore-size", "--no-lock", "--", id],
      signal: options.signal,
      timeoutSeconds: options.timeoutSeconds ?? wholeSeconds,
    });
    return numberOf((parseJson(finished.stdout, doing) as Record<string, unknown>).total_size) ?? 0;
  }

  /**
   * Removes the locks whose owner is gone (of this host with no such process, or older than 30 minutes) and returns how
   * many. Others stay, and so does all if the owner's process id now belongs to another program.
   */
  async unlockStale(options: { signal?: AbortSignal | undefined } = {}): Promise<number> {
    return this.queued("exclusive", `unlocking ${this.url}`, options.signal, () =>
      this.restic.unlockStale(false, options.signal),
    );
  }

  private async queued<T>(
    share: Share,
    doing: string,
    signal: AbortSignal | undefined,
    task: () => Promise<T>,
  ): Promise<T> {
    try {
      return await this.queue.run(share, task, signal);
    } catch (error) {
      if (error instanceof ResticError || !signal?.aborted || error !== signal.reason) throw error;
      throw new ResticError("cancelled", `${doing}: cancelled`);
    }
  }
}

/** Never "latest", which some commands take, and never an empty string, which matches all. */
function checkId(id: string): void {
  if (!/^[0-9a-f]{8,64}$/.test(id))
    throw new ResticError(
      "failed",
      `using snapshot ${JSON.stringify(id)}: not an id of 8 to 64 hexadecimal digits`,
    );
}

/** The failure, with the snapshot that may be there all the same. */
function notProven(error: unknown, report: BackupReport): unknown {
  return error instanceof ResticError
    ? new ResticError(error.kind, error.message, { ...error, made: report.snapshotId })
    : error;
}

/** Why a snapshot that was made must not stay. */
function flawOf(doing: string, report: BackupReport, feed: StreamFeed | undefined): ResticError | undefined {
  if (feed?.failure) return feed.failure;
  if (feed && report.number("total_bytes_processed") !== feed.bytes)
    return new ResticError(
      "failed",
      `${doing}: restic took ${report.number("total_bytes_processed")} of ${feed.bytes} bytes`,
    );
  if (report.number("total_files_processed") > 0) return undefined;
  const [first] = report.unreadable;
  return new ResticError(
    "empty-source",
    `${doing}: no file was backed up${first ? `; ${first.path}: ${first.reason}` : ""}`,
  );
}

function resultOf(snapshotId: string, tags: string[], report: BackupReport): BackupResult {
  const result: BackupResult = {
    snapshotId,
    tags,
    partial: report.exitCode === 3 || report.unreadableCount > 0,
    unreadable: report.unreadable,
    unreadableCount: report.unreadableCount,
    filesNew: report.number("files_new"),
    filesChanged: report.number("files_changed"),
    filesUnmodified: report.number("files_unmodified"),
    filesTotal: report.number("total_files_processed"),
    bytesTotal: report.number("total_bytes_processed"),
    bytesAdded: report.number("data_added"),
    durationSeconds: report.number("total_duration"),
  };
  const stored = numberOf(report.summary?.data_added_packed);
  if (stored !== undefined) result.bytesStored = stored;
  return result;
}

function parseJson(text: string, doing: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ResticError("failed", `${doing}: restic's answer is not JSON`);
  }
}

function parseSnapshots(finished: Finished, doing: string): ResticSnapshot[] {
  const rows = (parseJson(finished.stdout, doing) ?? []) as Record<string, unknown>[];
  return rows
    .map(row => {
      const snapshot: ResticSnapshot = {
        id: String(row.id),
        shortId: String(row.short_id ?? String(row.id).slice(0, 8)),
        time: new Date(String(row.time)),
        hostname: String(row.hostname ?? ""),
        paths: stringsOf(row.paths),
        tags: stringsOf(row.tags),
        tree: String(row.tree ?? ""),
      };
      if (typeof row.original === "string") snapshot.original = row.original;
      if (typeof row.parent === "string") snapshot.parent = row.parent;
      if (typeof row.summary === "object" && row.summary !== null)
        snapshot.summary = row.summary as Record<string, unknown>;
      return snapshot;
    })
    .sort((a, b) => a.time.getTime() - b.time.getTime());
}

function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/**
 * Looks at the place of a local repository that has no config. An init that was killed leaves a key, and with a second
 * key nothing would open: it is moved aside. If there is data, the config was lost and init would hide that.
 */
async function setHalfMadeAside(path: string, doing: string): Promise<void> {
  for (const folder of ["snapshots", "index", "data"]) {
    if (await hasFiles(join(path, folder)))
      throw new ResticError(
        "failed",
        `${doing}: ${path} has data in ${folder} but no config; its config file was lost`,
      );
  }
  const keys = join(path, "keys");
  if (await hasFiles(keys))
    await rename(keys, join(path, `keys.half-made-${randomBytes(4).toString("hex")}`));
}

async function hasFiles(directory: string): Promise<boolean> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    for (const entry of entries) {
      if (!entry.isDirectory() || (await hasFiles(join(directory, entry.name)))) return true;
    }
    return false;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return false;
    throw error;
  }
}
