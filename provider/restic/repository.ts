import { resolve } from "node:path";
import type { Writable } from "node:stream";
import { Companions } from "../base/companions";
import { type RepositoryAccess, resolveAccess } from "./access";
import type { BackupJob, BackupResult } from "./backup";
import { checkId, Place, type Stoppable } from "./place";
import { type Log, Restic } from "./restic";
import { ResticRuntime } from "./runtime";
import { addTags } from "./verbs/add-tags";
import { backup } from "./verbs/backup";
import { check } from "./verbs/check";
import { copyFrom } from "./verbs/copy";
import { forget, forgetLater } from "./verbs/forget";
import { ensureInitialised, identity } from "./verbs/initialise";
import { measure } from "./verbs/measure";
import { prune } from "./verbs/prune";
import {
  type DumpOptions,
  dump,
  type RestoredElsewhere,
  type RestoreOptions,
  restore,
  restoreElsewhere,
} from "./verbs/restore";
import { type ResticSnapshot, type SnapshotFilter, snapshots } from "./verbs/snapshots";
import { restoreSize, stats } from "./verbs/stats";
import { type Feature, type ResticVersion, supports } from "./version";

export type { ResticSnapshot, SnapshotFilter };

/** How restic is run for a repository. */
export interface RepositoryOptions {
  /** name or path; default "restic" */
  binary?: string | undefined;
  /** default: restic's own, below XDG_CACHE_HOME or HOME */
  cacheDirectory?: string | undefined;
  log?: Log | undefined;
  /** how long to wait for locks of others; default 600 */
  lockWaitSeconds?: number | undefined;
  /** what the repositories of this process share; default: one of its own */
  runtime?: ResticRuntime | undefined;
}

/** Opens nothing yet: checks the access and names the repository. Throws a ResticError for a bad access. */
export function openRepository(access: RepositoryAccess, options: RepositoryOptions = {}): Repository {
  return new Repository(access, options);
}

/** One restic repository, and all that this process does with it. */
export class Repository {
  /** for messages: the url without a password */
  readonly url: string;
  /** what others keep of this repository, however many of its objects say their lines elsewhere */
  readonly companions: Companions<Repository>;
  private readonly options: RepositoryOptions;
  private readonly place: Place;

  constructor(
    private readonly given: RepositoryAccess,
    options: RepositoryOptions,
    original?: Repository,
  ) {
    const access = resolveAccess(given);
    this.url = access.shownUrl;
    this.companions = original?.companions ?? new Companions<Repository>(this);
    const { runtime = new ResticRuntime() } = options;
    this.options = { ...options, runtime };
    const lockWaitSeconds = options.lockWaitSeconds ?? 600;
    const restic = new Restic(access, {
      runtime,
      binary: options.binary ?? "restic",
      cacheDirectory: options.cacheDirectory === undefined ? undefined : resolve(options.cacheDirectory),
      lockWaitSeconds,
      log: options.log,
    });
    this.place = new Place(access, restic, runtime.queue(access.key), lockWaitSeconds);
  }

  /** The same repository, whose lines go to `log`. */
  saying(log: Log): Repository {
    return new Repository(this.given, { ...this.options, log }, this);
  }

  /** The version of the restic binary. */
  version(): Promise<ResticVersion> {
    return this.place.restic.version();
  }

  /** Whether the restic binary can do that. */
  async supports(feature: Feature): Promise<boolean> {
    return supports(await this.version(), feature);
  }

  /** False only where the repository is provably absent; throws when that cannot be told. Takes no lock. */
  async exists(options: { signal?: AbortSignal | undefined } = {}): Promise<boolean> {
    return (await this.identity(options)) !== undefined;
  }

  /**
   * The repository's own id, which its init made and which never changes. Undefined only where the repository is provably
   * absent; throws when that cannot be told. Takes no lock.
   */
  identity(options: { signal?: AbortSignal | undefined } = {}): Promise<string | undefined> {
    return identity(this.place, options);
  }

  /**
   * Makes the repository unless it is there, and proves that it opens. Never while it may exist: a locked, unreachable
   * or forbidden one, or a wrong password, is an error.
   */
  ensureInitialised(
    options: { signal?: AbortSignal | undefined; chunkerFrom?: RepositoryAccess | undefined } = {},
  ): Promise<"created" | "existing"> {
    return ensureInitialised(this.place, options);
  }

  /** The snapshots that match, oldest first. Takes no lock, so a prune elsewhere is not in the way. */
  snapshots(filter: SnapshotFilter = {}): Promise<ResticSnapshot[]> {
    return snapshots(this.place, filter);
  }

  /** Makes one snapshot and proves that it is in the repository. */
  backup(job: BackupJob): Promise<BackupResult> {
    return backup(this.place, job);
  }

  /**
   * Forgets these snapshots and proves that they are gone; ids that are not there are no error. Never by a policy: what
   * restic keeps under one differs between versions, and some inputs make 0.14 remove everything.
   */
  forget(ids: string[], options: Stoppable = {}): Promise<void> {
    return forget(this.place, ids, options);
  }

  /**
   * Forgets as `forget` does, once no backup of this process runs on the repository or is announced; which snapshots is
   * asked only then.
   */
  forgetLater(ids: () => string[], options: Stoppable = {}): Promise<void> {
    return forgetLater(this.place, ids, options);
  }

  /** Says that a backup will come soon; the returned function says that it has ended, or will not come. */
  announceBackup(): () => void {
    return this.place.queue.announceBackup();
  }

  /** Whether a backup of this process runs on the repository or is announced. */
  awaitsBackup(): boolean {
    return this.place.queue.awaitsBackup;
  }

  /**
   * Adds tags to snapshots. restic writes them anew, with new ids, and names the old one as `original`. Where a store is
   * append-only that fails, and still both are there: the new one, and the old one that it stands for.
   */
  addTags(ids: string[], tags: string[], options: Stoppable = {}): Promise<void> {
    return addTags(this.place, ids, tags, options);
  }

  /** Removes the data that no snapshot needs. Alone on the repository; may take hours on a large one. */
  prune(options: Stoppable = {}): Promise<void> {
    return prune(this.place, options);
  }

  /**
   * Checks the repository's structure and, as far as readDataSubset says ("5%", "1/10", "500M", "100%"), its data: only
   * that finds damaged packs. Throws an error with `damaged` when something is wrong.
   */
  check(options: Stoppable & { readDataSubset?: string | undefined } = {}): Promise<void> {
    return check(this.place, options);
  }

  /** Restores a snapshot, or a part of it. */
  async restore(id: string, options: RestoreOptions): Promise<void> {
    checkId(id);
    await this.place.queued("read", `restoring snapshot ${id} of ${this.url}`, options.signal, () =>
      restore(this.place.restic, id, options),
    );
  }

  /** Restores a snapshot, or dumps one file of it, on another machine, which runs the command. */
  async restoreElsewhere(id: string, job: RestoredElsewhere): Promise<void> {
    checkId(id);
    await this.place.queued("read", `restoring snapshot ${id} of ${this.url}`, job.signal, () =>
      restoreElsewhere(this.place.restic, id, job),
    );
  }

  /** The folder of a repository on this machine; undefined for one that other machines reach too. */
  get localPath(): string | undefined {
    return this.place.access.localPath;
  }

  /** Writes one file of a snapshot to a stream or to the file or device of that path; returns the bytes. */
  async dumpTo(id: string, path: string, to: Writable | string, options: DumpOptions = {}): Promise<number> {
    checkId(id);
    return this.place.queued("read", `dumping ${path} of snapshot ${id} of ${this.url}`, options.signal, () =>
      dump(this.place.restic, id, path, to, options),
    );
  }

  /**
   * Copies snapshots from another repository, again without making any twice, and proves that each has arrived. Equal
   * chunker parameters (ensureInitialised with chunkerFrom) let both deduplicate alike.
   */
  async copyFrom(
    source: RepositoryAccess,
    ids: string[],
    options: Stoppable = {},
  ): Promise<{ sourceId: string; id: string }[]> {
    return copyFrom(this.place, new Repository(source, this.options).place, ids, options);
  }

  /** The size of the repository's data as stored, and how many snapshots it has. Reads every snapshot's trees. */
  stats(options: Stoppable = {}): Promise<{ bytesStored: number; snapshots: number }> {
    return stats(this.place, options);
  }

  /** The files of a snapshot and their bytes, as its backup counted them. Reads the snapshot's trees. */
  measure(id: string, options: Stoppable = {}): Promise<{ filesTotal: number; bytesTotal: number }> {
    return measure(this.place, id, options);
  }

  /** The bytes of a snapshot's files as they read, holes included. Reads the snapshot's trees. */
  restoreSize(id: string, options: Stoppable = {}): Promise<number> {
    return restoreSize(this.place, id, options);
  }

  /**
   * Removes the locks whose owner is gone (of this host with no such process, or older than 30 minutes) and returns how
   * many. Others stay, and so does all if the owner's process id now belongs to another program.
   */
  unlockStale(options: { signal?: AbortSignal | undefined } = {}): Promise<number> {
    return this.place.queued("exclusive", `unlocking ${this.url}`, options.signal, () =>
      this.place.restic.unlockStale(false, options.signal),
    );
  }
}
