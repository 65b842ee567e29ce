import { resolve } from "node:path";
import {
  type BackupJob,
  BackupReport,
  type BackupResult,
  backupArguments,
  type ElsewhereJob,
  inspectSource,
  type Source,
  StreamFeed,
} from "../backup";
import { ResticError } from "../errors";
import { isWhole, localFiles } from "../local-files";
import { numberOf } from "../messages";
import type { Place } from "../place";
import { forget } from "./forget";
import { list } from "./snapshots";

/** Makes one snapshot and proves that it is in the repository. */
export async function backup(place: Place, job: BackupJob): Promise<BackupResult> {
  const what = "stdin" in job ? job.stdin.fileName : "elsewhere" in job ? job.what : resolve(job.directory);
  const doing = `backing up ${what} to ${place.url}`;
  const feed = "stdin" in job ? new StreamFeed(job.stdin, doing) : undefined;
  try {
    const source = "directory" in job ? await inspectSource(job) : undefined;
    const report = new BackupReport(rootOf(job, source), job.onProgress);
    for (const file of source?.missing ?? []) report.add(file);
    const id = await place.queued("backup", doing, job.signal, async () => {
      try {
        await runBackup(place, job, doing, report, source, feed);
      } catch (error) {
        // once it has named a snapshot only unlocking can fail, and the work is done
        if (report.snapshotId === undefined)
          throw "elsewhere" in job ? await unheard(place, job, error) : error;
        const made = await prove(place, job, doing, report).catch(() => {
          throw notProven(error, report);
        });
        place.restic.log(`snapshot ${made} was made, but afterwards: ${(error as Error).message}`);
        return made;
      }
      return prove(place, job, doing, report).catch(error => {
        throw notProven(error, report);
      });
    });
    const flaw = flawOf(doing, report, feed);
    if (flaw) throw await withdraw(place, id, flaw);
    return resultOf(id, "elsewhere" in job ? [...job.tags, ...job.furtherTags()] : job.tags, report);
  } finally {
    feed?.close();
  }
}

async function runBackup(
  place: Place,
  job: BackupJob,
  doing: string,
  report: BackupReport,
  source: Source | undefined,
  feed: StreamFeed | undefined,
): Promise<void> {
  const signals = [job.signal, feed?.signal].filter(signal => signal !== undefined);
  try {
    const finished = await place.restic.call({
      doing,
      arguments: backupArguments(job, source),
      ...("elsewhere" in job ? { elsewhere: job.elsewhere } : {}),
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
    if ("elsewhere" in job) for (const file of job.missing()) report.add(file);
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
async function prove(place: Place, job: BackupJob, doing: string, report: BackupReport): Promise<string> {
  const id = report.snapshotId;
  if (id === undefined) throw new ResticError("failed", `${doing}: restic ended well but named no snapshot`);
  const files = await localFiles(place.access, "snapshots");
  if (files) {
    const [name, ...others] = files.filter(file => file.startsWith(id));
    if (name === undefined || others.length > 0)
      throw new ResticError("failed", `${doing}: snapshot ${id} is not in the repository`);
    const whole = await isWhole(place.access, "snapshots", name).catch(() => undefined);
    if (whole === false) throw new ResticError("failed", `${doing}: snapshot ${name} is damaged`);
    if (whole) return name;
  }
  const [snapshot, ...more] = (
    await list(place, ["snapshots", "--json", "--no-lock", "--", id], undefined)
  ).filter(found => found.id.startsWith(id));
  if (!snapshot || more.length > 0)
    throw new ResticError("failed", `${doing}: snapshot ${id} is not in the repository`);
  const lacking = job.tags.filter(tag => !snapshot.tags.includes(tag));
  if (lacking.length > 0)
    throw new ResticError("failed", `${doing}: snapshot ${snapshot.id} lacks the tags ${lacking.join(", ")}`);
  return snapshot.id;
}

async function withdraw(place: Place, id: string, flaw: ResticError): Promise<ResticError> {
  try {
    await forget(place, [id]);
    return flaw;
  } catch (error) {
    return new ResticError(
      flaw.kind,
      `${flaw.message}; and its snapshot ${id} could not be forgotten: ${(error as Error).message}`,
      { ...flaw, remaining: [id] },
    );
  }
}

function rootOf(job: BackupJob, source: Source | undefined): string | undefined {
  if ("elsewhere" in job) return "directory" in job.source ? job.source.directory : undefined;
  return source?.directory;
}

/**
 * The failure of a backup whose end was not heard: the machine that made it may be gone, and its last words with it. So
 * the repository is asked, and where it does not answer, a snapshot may be there.
 */
async function unheard(place: Place, job: ElsewhereJob, error: unknown): Promise<unknown> {
  const made = await list(
    place,
    ["snapshots", "--json", "--no-lock", `--tag=${job.tags.join(",")}`],
    undefined,
  ).then(
    found => found.at(-1)?.id,
    () => "unknown",
  );
  if (made === undefined) return error;
  const { kind, message } =
    error instanceof ResticError
      ? error
      : { kind: "failed" as const, message: String((error as Error).message) };
  return new ResticError(kind, message, { made });
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
