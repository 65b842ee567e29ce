import { randomBytes } from "node:crypto";
import { lstat, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, posix, resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { escapePattern } from "../backup";
import { ResticError } from "../errors";
import type { Elsewhere, Restic } from "../restic";
import { supports } from "../version";

/** What to restore, and to where. */
export interface RestoreOptions {
  /** made when it does not exist; what is in it already stays, same names are overwritten */
  target: string;
  /** restic patterns or paths of the snapshot ("/etc/hosts"); default everything */
  include?: string[] | undefined;
  /** read every restored file again and compare; default false */
  verify?: boolean | undefined;
  /** a folder of the snapshot whose content is put right into the target */
  sub?: string | undefined;
  signal?: AbortSignal | undefined;
  timeoutSeconds?: number | undefined;
}

/** Restores; fails, too, when nothing in the snapshot matches, which restic takes for a success. */
export async function restore(restic: Restic, id: string, options: RestoreOptions): Promise<void> {
  const target = resolve(options.target);
  const sub = options.sub === undefined ? "/" : posix.join("/", options.sub).replace(/(.)\/+$/, "$1");
  const doing = `restoring ${sub === "/" ? "" : `${sub} of `}snapshot ${id} of ${restic.access.shownUrl} to ${target}`;
  const native = sub === "/" || supports(await restic.version(), "subfolder");
  const include = options.include ?? [];
  if (!native && include.length > 0)
    throw new ResticError("failed", `${doing}: sub and include together need restic 0.16 or newer`);
  await mkdir(target, { recursive: true });
  // on the target's file system, so that what is in it can be moved
  const staging = native ? target : join(target, `.osbackup-${randomBytes(6).toString("hex")}`);
  const wasEmpty = (await readdir(staging).catch(() => [])).length === 0;
  const patterns = native ? include : [escapePattern(sub)];
  const differences = new Differences();
  try {
    await restic.call({
      doing,
      arguments: [
        "restore",
        native && sub !== "/" ? `${id}:${sub}` : id,
        `--target=${staging}`,
        ...patterns.map(pattern => `--include=${pattern}`),
        ...(options.verify ? ["--verify"] : []),
        ...(supports(await restic.version(), "sparse") ? ["--sparse"] : []),
      ],
      onLine: line => differences.line(line),
      onErrorLine: line => differences.line(line),
      signal: options.signal,
      timeoutSeconds: options.timeoutSeconds,
    });
    if (!native) {
      const found = await stat(join(staging, sub)).catch(() => undefined);
      if (!found?.isDirectory())
        throw new ResticError("failed", `${doing}: there is no such folder in the snapshot`);
      await moveInto(join(staging, sub), target);
    } else await expectMatches(doing, target, include, wasEmpty);
    // a folder of it may be empty
    if (sub === "/" && !(await holdsFile(target)))
      throw new ResticError("failed", `${doing}: there is no file in the snapshot`);
  } catch (error) {
    throw differences.explain(error, doing);
  } finally {
    if (!native) await rm(staging, { recursive: true, force: true });
  }
}

/** One restic command that another machine runs to write a snapshot's data, and what it says of it. */
export interface RestoredElsewhere {
  elsewhere: Elsewhere;
  /** the command's: `restore` or `dump` */
  arguments: string[];
  /** where to, for messages */
  target: string;
  signal?: AbortSignal | undefined;
  timeoutSeconds?: number | undefined;
}

/** Restores on another machine. */
export async function restoreElsewhere(
  restic: Restic,
  id: string,
  { target, ...job }: RestoredElsewhere,
): Promise<void> {
  const doing = `restoring snapshot ${id} of ${restic.access.shownUrl} to ${target}`;
  const differences = new Differences();
  try {
    await restic.call({ ...job, doing, onLine: line => differences.line(line) });
  } catch (error) {
    throw differences.explain(error, doing);
  }
}

/** What a file's difference is called, by restic's words for it; the first that fits. */
const differenceKinds: [string, RegExp][] = [
  ["does not fit", /no space left|disk quota exceeded|file too large/i],
  ["other contents", /unexpected content|invalid file size/i],
  ["missing", /no such file/i],
  ["owner or mode", /chown|chmod|operation not permitted|permission denied/i],
  ["extended attributes", /xattr|attribute|operation not supported/i],
  ["times", /chtimes|utimes/i],
];

/** How many files of one kind of difference a message names. */
const namedFiles = 3;

/** Gathers which files a restore or its verification found to be other than in the snapshot, and in what. */
class Differences {
  private readonly kinds = new Map<string, Set<string>>();

  line(line: string): void {
    const [, file, why] = /ignoring error for (.+?): (.*)/.exec(line) ?? [];
    if (file === undefined || why === undefined) return;
    const kind = differenceKinds.find(([, words]) => words.test(why))?.[0] ?? "other errors";
    const files = this.kinds.get(kind) ?? new Set();
    this.kinds.set(kind, files.add(file));
  }

  /** The error of a restore with what differs, by kind; a full target is the target's, not the repository's. */
  explain(error: unknown, doing: string): unknown {
    if (!(error instanceof ResticError) || this.kinds.size === 0) return error;
    const kinds = [...this.kinds].map(([kind, files]) => {
      const named = [...files].slice(0, namedFiles).join(", ");
      return `${files.size} file${files.size === 1 ? "" : "s"}: ${kind} (${named}${files.size > namedFiles ? ", …" : ""})`;
    });
    const remedy = this.kinds.has("does not fit") ? "; restore into a larger volume" : "";
    return new ResticError("failed", `${doing}: ${kinds.join("; ")}${remedy}`, { ...error });
  }
}

async function expectMatches(
  doing: string,
  target: string,
  include: string[],
  wasEmpty: boolean,
): Promise<void> {
  const missing: string[] = [];
  for (const pattern of include) {
    if (/[*?[\\]/.test(pattern) || !pattern.startsWith("/")) continue;
    if (!(await lstat(join(target, pattern)).catch(() => undefined))) missing.push(pattern);
  }
  if (missing.length > 0)
    throw new ResticError("failed", `${doing}: ${missing.join(", ")} is not in the snapshot`);
  if (include.length > 0 && wasEmpty && (await readdir(target)).length === 0)
    throw new ResticError("failed", `${doing}: nothing in the snapshot matches ${include.join(", ")}`);
}

/** Whether there is anything but folders. */
async function holdsFile(directory: string): Promise<boolean> {
  const folders: string[] = [];
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (!entry.isDirectory()) return true;
    folders.push(join(directory, entry.name));
  }
  for (const folder of folders) if (await holdsFile(folder)) return true;
  return false;
}

async function moveInto(from: string, to: string): Promise<void> {
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const destination = join(to, entry.name);
    const present = await lstat(destination).catch(() => undefined);
    if (present?.isDirectory() && entry.isDirectory()) await moveInto(source, destination);
    else {
      if (present) await rm(destination, { recursive: true });
      await rename(source, destination);
    }
  }
}

/** Options of a dump. */
export interface DumpOptions {
  signal?: AbortSignal | undefined;
  timeoutSeconds?: number | undefined;
}

/** Takes the bytes of a dump, one chunk after the other. */
type Write = (chunk: Buffer) => Promise<unknown>;

/**
 * Writes one file of a snapshot (a folder: as tar) to a stream, a file or a block device, and returns the bytes. A
 * file appears under its name only when it is whole; a stream is destroyed with the error when the dump fails.
 */
export async function dump(
  restic: Restic,
  id: string,
  path: string,
  to: Writable | string,
  options: DumpOptions,
): Promise<number> {
  return typeof to === "string"
    ? dumpToFile(restic, id, path, resolve(to), options)
    : dumpToStream(restic, id, path, to, options);
}

async function dumpToFile(
  restic: Restic,
  id: string,
  path: string,
  target: string,
  options: DumpOptions,
): Promise<number> {
  const present = await stat(target).catch(() => undefined);
  // a device keeps its node and is written in place
  const inPlace = present !== undefined && !present.isFile();
  const written = inPlace
    ? target
    : join(dirname(target), `.${basename(target)}.${randomBytes(6).toString("hex")}`);
  const file = await open(written, inPlace ? "r+" : "wx", 0o600);
  try {
    const bytes = await dumpChunks(restic, id, path, chunk => file.writeFile(chunk), options);
    await file.sync();
    await file.close();
    if (!inPlace) await rename(written, target);
    return bytes;
  } catch (error) {
    await file.close().catch(() => {});
    if (!inPlace) await rm(written, { force: true });
    throw error;
  }
}

async function dumpToStream(
  restic: Restic,
  id: string,
  path: string,
  to: Writable,
  options: DumpOptions,
): Promise<number> {
  // the failure comes through the callback of the write
  const ignore = () => {};
  to.on("error", ignore);
  const write: Write = chunk =>
    new Promise((done, reject) => to.write(chunk, error => (error ? reject(error) : done(undefined))));
  try {
    const bytes = await dumpChunks(restic, id, path, write, options);
    await new Promise<void>((done, reject) => {
      to.once("error", reject);
      to.end(done);
    });
    to.off("error", ignore);
    return bytes;
  } catch (error) {
    to.destroy(error as Error);
    throw error;
  }
}

async function dumpChunks(
  restic: Restic,
  id: string,
  path: string,
  write: Write,
  options: DumpOptions,
): Promise<number> {
  const doing = `dumping ${path} of snapshot ${id} of ${restic.access.shownUrl}`;
  let bytes = 0;
  let failure: Error | undefined;
  try {
    await restic.call({
      doing,
      arguments: ["dump", "--", id, path],
      drain: async (source: Readable) => {
        for await (const chunk of source) {
          bytes += (chunk as Buffer).length;
          await write(chunk as Buffer).catch((error: Error) => {
            failure = error;
            throw error;
          });
        }
      },
      mayRepeat: () => bytes === 0,
      signal: options.signal,
      timeoutSeconds: options.timeoutSeconds,
    });
  } catch (error) {
    if (!failure) throw error;
  }
  if (failure) throw new ResticError("failed", `${doing}: writing it: ${failure.message}`);
  return bytes;
}
