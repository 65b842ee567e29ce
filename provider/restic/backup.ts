import { lstat, readdir, readlink, realpath } from "node:fs/promises";
import { dirname, join, posix, resolve, sep } from "node:path";
import type { Readable, Writable } from "node:stream";
import { ResticError } from "./errors";
import {
  type Message,
  numberOf,
  type Progress,
  parseMessage,
  toProgress,
  toUnreadable,
  type UnreadableFile,
} from "./messages";
import type { Elsewhere } from "./restic";

interface JobCommon {
  /** the name restic keeps; the same in every run of a set, or restic finds no parent and reads everything again */
  host: string;
  /** no comma, no space at either end */
  tags: string[];
  /** the time of the snapshot, by the second; default now */
  time?: Date | undefined;
  /** of restic's run; waiting for the queue and for locks is not counted */
  timeoutSeconds?: number | undefined;
  signal?: AbortSignal | undefined;
  /** at most once a second; a fast run may never report */
  onProgress?: ((progress: Progress) => void) | undefined;
  onStarted?: ((pid: number) => void) | undefined;
}

/** A backup of files. */
export interface DirectoryJob extends JobCommon {
  /** the root of the volume; restic runs inside it, so that the snapshot's tree starts here */
  directory: string;
  /** relative to the directory; default ["."]. One that does not exist makes the backup partial */
  paths?: string[] | undefined;
  /** restic patterns; one that starts with "/" is anchored at the directory */
  excludes?: string[] | undefined;
  /** compares files by size and modification time only: for mounts whose inodes or ctimes change from run to run */
  ignoreInode?: boolean | undefined;
}

/** A backup of one stream, as one file. */
export interface StreamJob extends JobCommon {
  stdin: {
    stream: Readable;
    /** "vols/abc/vol.raw" makes folders */
    fileName: string;
    /** a stream of another length fails and leaves no snapshot */
    expectedBytes?: number | undefined;
  };
}

/** A backup that restic makes on another machine, of what it finds there. */
export interface ElsewhereJob extends JobCommon {
  elsewhere: Elsewhere;
  /** what is backed up, for messages */
  what: string;
  /** the root of the volume there, which restic runs in; a stream is its standard input */
  source: Pick<DirectoryJob, "directory" | "excludes"> | { fileName: string };
  /** what that machine has added to the tags, told once it has ended */
  furtherTags(): string[];
  /** those of the paths that are not backed up there, and why */
  missing(): UnreadableFile[];
}

export type BackupJob = DirectoryJob | StreamJob | ElsewhereJob;

/** A snapshot that was made, and proved to be in the repository. */
export interface BackupResult {
  /** full */
  snapshotId: string;
  tags: string[];
  /** restic could not read some files, or a path did not exist */
  partial: boolean;
  /** the first 1,000 */
  unreadable: UnreadableFile[];
  unreadableCount: number;
  filesNew: number;
  filesChanged: number;
  filesUnmodified: number;
  filesTotal: number;
  bytesTotal: number;
  /** new data, before compression */
  bytesAdded: number;
  /** new data as stored; from restic 0.17 */
  bytesStored?: number;
  durationSeconds: number;
}

/** Throws unless a tag can be given to restic and found again: it splits at commas and trims. */
export function checkTag(tag: string): void {
  if (tag === "" || tag.includes(",") || tag.trim() !== tag || /[\0\n]/.test(tag))
    throw new ResticError(
      "failed",
      `tagging a snapshot with ${JSON.stringify(tag)}: a tag must not be empty, contain a comma or begin or end with a space`,
    );
}

/** What is at the paths of a job, seen before restic runs: 0.14 ends with success when some, and even all, are empty. */
export interface Source {
  directory: string;
  present: string[];
  /** those of the paths that are not backed up, and why */
  missing: UnreadableFile[];
}

/** Looks at the source; throws "empty-source" when there is nothing in it. */
export async function inspectSource(job: DirectoryJob): Promise<Source> {
  const directory = resolve(job.directory);
  const paths = (job.paths?.length ? job.paths : ["."]).map(path => relativePath(path));
  const present: string[] = [];
  const missing: UnreadableFile[] = [];
  let empty = true;
  for (const path of paths) {
    const absolute = join(directory, path);
    const found = await lstat(absolute).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
      throw new ResticError("access-denied", `backing up ${absolute}: ${error.code ?? error.message}`);
    });
    const reason = found ? await flawOfPath(directory, absolute, found.isSymbolicLink()) : "does not exist";
    if (reason !== undefined) missing.push({ path, reason });
    else present.push(path);
    if (found && empty && reason === undefined) empty = found.isDirectory() && (await isEmpty(absolute));
  }
  if (present.length === 0)
    throw new ResticError("empty-source", `backing up ${directory}: ${missingWords(missing)}`);
  if (empty) throw new ResticError("empty-source", `backing up ${directory}: there are no files in it`);
  return { directory, present, missing };
}

/** "x, y does not exist; data is a symbolic link to srv: …" */
function missingWords(missing: readonly UnreadableFile[]): string {
  const reasons = [...new Set(missing.map(({ reason }) => reason))];
  return reasons
    .map(reason => {
      const paths = missing.filter(file => file.reason === reason).map(({ path }) => path);
      return `${paths.join(", ")} ${reason}`;
    })
    .join("; ");
}

/**
 * Why a path that exists is not what somebody means who names it. restic keeps a link as a link, and follows those on
 * the way to a path: in a volume, to whatever this machine has there.
 */
async function flawOfPath(directory: string, absolute: string, isLink: boolean): Promise<string | undefined> {
  if (absolute === directory) return undefined;
  const [root, folder] = await Promise.all([realpath(directory), realpath(dirname(absolute))]);
  if (folder !== root && !folder.startsWith(root === sep ? sep : `${root}${sep}`))
    return "leads out of the volume by a symbolic link";
  return isLink
    ? `is a symbolic link to ${await readlink(absolute)}: name that, a link alone is no backup`
    : undefined;
}

/** A fresh ext file system holds just lost+found. What cannot be listed is left to restic to report. */
async function isEmpty(directory: string): Promise<boolean> {
  const names = await readdir(directory).catch(() => ["?"]);
  return names.every(name => name === "lost+found");
}

function relativePath(path: string): string {
  const normal = posix.normalize(path);
  if (path === "" || posix.isAbsolute(normal) || normal === ".." || normal.startsWith("../"))
    throw new ResticError(
      "failed",
      `backing up ${JSON.stringify(path)}: paths must be inside the directory and relative to it`,
    );
  return normal.replace(/(.)\/+$/, "$1");
}

/** The arguments of `restic backup` for a job. */
export function backupArguments(job: BackupJob, source?: Source): string[] {
  for (const tag of job.tags) checkTag(tag);
  const args = ["backup", "--json", `--host=${job.host}`, ...job.tags.map(tag => `--tag=${tag}`)];
  if (job.time) args.push(`--time=${resticTime(job.time)}`);
  if ("stdin" in job) return [...args, ...streamArguments(job.stdin.fileName)];
  if ("elsewhere" in job) {
    if ("fileName" in job.source) return [...args, ...streamArguments(job.source.fileName)];
    return [...args, ...excludeArguments(job.source.excludes, job.source.directory), "--"];
  }
  if (job.ignoreInode) args.push("--ignore-inode", "--ignore-ctime");
  const directory = source?.directory ?? job.directory;
  return [...args, ...excludeArguments(job.excludes, directory), "--", ...(source?.present ?? ["."])];
}

const streamArguments = (fileName: string): string[] => ["--stdin", `--stdin-filename=${fileName}`];

const excludeArguments = (patterns: readonly string[] | undefined, directory: string): string[] =>
  (patterns ?? []).map(pattern => `--exclude=${anchored(pattern, directory)}`);

/** restic matches patterns against the whole path, so "/var" of the volume is "/mnt/volume/var" to it. */
function anchored(pattern: string, directory: string): string {
  const [, not = "", rest = ""] = /^(!?)(.*)$/s.exec(pattern) ?? [];
  if (!rest.startsWith("/")) return pattern;
  return `${not}${escapePattern(directory.replace(/\/+$/, ""))}${rest}`;
}

/** Takes the meaning from the special characters of restic's patterns. */
export function escapePattern(path: string): string {
  return path.replace(/[\\*?[\]]/g, "\\$&");
}

/** "2026-11-20 03:00:00" in UTC; the only form that all versions take. */
export function resticTime(time: Date): string {
  return time.toISOString().slice(0, 19).replace("T", " ");
}

/** Of how many unreadable files the names are kept. */
const namedFiles = 1000;

/** Gathers what a backup says on its two streams. */
export class BackupReport {
  summary: Message | undefined;
  exitCode: number | undefined;
  readonly unreadable: UnreadableFile[] = [];
  private readonly seen = new Set<string>();

  constructor(
    private readonly directory: string | undefined,
    private readonly onProgress: ((progress: Progress) => void) | undefined,
  ) {}

  get unreadableCount(): number {
    return this.seen.size;
  }

  line(line: string): void {
    const message = parseMessage(line);
    if (!message) return;
    if (message.message_type === "summary") this.summary = message;
    const progress = toProgress(message);
    if (progress) this.onProgress?.(progress);
    const file = toUnreadable(message);
    if (file) this.add(file);
  }

  /** The scanner and the archiver report the same file, and the archiver knows the reason. */
  add(file: UnreadableFile): void {
    const path = this.relative(file.path);
    if (!this.seen.has(path)) {
      // a volume full of unreadable files must not fill the memory
      if (this.seen.size < 100_000) this.seen.add(path);
      if (this.unreadable.length < namedFiles) this.unreadable.push({ path, reason: file.reason });
      return;
    }
    const known = this.unreadable.find(entry => entry.path === path);
    if (known?.reason === "could not be read") known.reason = file.reason;
  }

  private relative(path: string): string {
    if (this.directory === undefined || !path.startsWith(this.directory)) return path;
    return path.slice(this.directory.length).replace(/^\/+/, "") || ".";
  }

  number(name: string): number {
    return numberOf(this.summary?.[name]) ?? 0;
  }

  /** 8 or 64 characters, depending on the version; undefined when no snapshot was made */
  get snapshotId(): string | undefined {
    const id = this.summary?.snapshot_id;
    return typeof id === "string" && id !== "" ? id : undefined;
  }
}

/**
 * Feeds a stream to restic, counting. Standard input is closed only after a whole stream: restic makes a snapshot of
 * whatever it got, so for a broken or short one it must be stopped before that.
 */
export class StreamFeed {
  bytes = 0;
  /** why the stream is no good */
  failure: ResticError | undefined;
  /** what was written so far, as long as restic may not have read any of it: to repeat it after a lock */
  private sent: Buffer[] | undefined = [];
  private sink: Writable | undefined;
  private finished = false;
  private readonly aborter = new AbortController();

  constructor(
    private readonly job: StreamJob["stdin"],
    private readonly doing: string,
  ) {
    const { stream } = job;
    stream.on("data", (chunk: Buffer | string) =>
      this.take(Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk)),
    );
    stream.pause();
    stream.once("end", () => this.end());
    stream.once("error", error => this.fail(`the stream failed: ${error.message}`));
    stream.once("close", () => {
      if (!this.finished) this.fail("the stream was closed before its end");
    });
    if (stream.destroyed) this.fail("the stream was closed before its start");
  }

  /** aborts when restic must be stopped because of the stream */
  get signal(): AbortSignal {
    return this.aborter.signal;
  }

  /** Whether a further run can get the whole stream. */
  get repeatable(): boolean {
    return this.sent !== undefined && this.failure === undefined;
  }

  /** Starts, or after a lock starts again, to feed. */
  start(sink: Writable): void {
    this.sink = sink;
    for (const chunk of this.sent ?? []) sink.write(chunk);
    sink.on("drain", () => {
      if (this.sink === sink) this.job.stream.resume();
    });
    sink.once("close", () => {
      if (this.sink === sink) this.job.stream.pause();
    });
    if (this.finished) this.end();
    else this.job.stream.resume();
  }

  private take(chunk: Buffer): void {
    this.bytes += chunk.length;
    this.sent?.push(chunk);
    // more than any pipe holds: restic has its lock and reads
    if (this.bytes > 8 * 1024 * 1024) this.sent = undefined;
    const { expectedBytes } = this.job;
    if (expectedBytes !== undefined && this.bytes > expectedBytes) {
      this.fail(`the stream is longer than the expected ${expectedBytes} bytes`);
      return;
    }
    if (this.sink?.write(chunk) === false) this.job.stream.pause();
  }

  private end(): void {
    this.finished = true;
    const { expectedBytes } = this.job;
    if (this.bytes === 0 && !expectedBytes) {
      this.failure = new ResticError("empty-source", `${this.doing}: the stream is empty`);
      this.aborter.abort();
    } else if (expectedBytes !== undefined && this.bytes !== expectedBytes)
      this.fail(`the stream ended after ${this.bytes} of ${expectedBytes} bytes`);
    else this.sink?.end();
  }

  private fail(reason: string): void {
    this.finished = true;
    this.failure ??= new ResticError("failed", `${this.doing}: ${reason}; no snapshot was made`);
    this.aborter.abort();
  }

  /** Lets go of the stream when restic has ended. */
  close(): void {
    this.finished = true;
    this.sent = undefined;
    this.job.stream.destroy();
  }
}
