import { createHash } from "node:crypto";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { pause } from "../../base/pause";
import { UndoList } from "../../base/undo-list";
import { type AttachedVolume, endAttachments } from "../../cinder/attach-volume";
import type { Repository } from "../../restic";
import type { BackupRun, MovedBackup, Mover, RestoreRun } from "../mover";
import { blockFileName, progressTo, relativePath } from "../words";
import { cleanUp } from "./clean-up";
import { hashDevice, overwriteDevice } from "./device";
import { identityFor, identityTags } from "./identity";
import { rewrittenLinks, rewrittenLinksTag } from "./links";
import { mountPathOf } from "./mount-path";
import { type FileSource, type OpenedVolume, type OpenVolume, openVolume } from "./open-volume";
import { restoreRoot, rootTags } from "./root";

/** How often a volume that was read is closed, each time with the patience of its traces, and the pause between. */
const closingTries = 3;
const closingPauseMs = 1_000;

/** How a volume comes to this machine. */
export type Attach = (run: BackupRun | RestoreRun) => Promise<AttachedVolume>;

/** This machine reads the volume itself, however it comes here. */
export const readingMover = (attach: Attach): Mover => ({
  synchronize: run =>
    opened(attach, run, { access: "read", content: run.content }, volume => backUp(run, volume)),

  restore: run =>
    opened(
      attach,
      run,
      run.content === "block"
        ? { access: "write", content: "block" }
        : { access: "write", content: "file", makeFileSystem: newFileSystem(run) },
      volume => fill(run, volume),
    ),

  cleanup,
});

async function cleanup(run: Pick<BackupRun, "owner" | "log">): Promise<string[]> {
  const cleaned = await cleanUp(mountPathOf(run.owner));
  for (const what of cleaned) run.log(`cleaned up after an earlier run: ${what}`);
  return cleaned;
}

function newFileSystem({ fileSystem, tags, newUuid }: RestoreRun) {
  const { uuid, ...identity } = identityFor(fileSystem, tags);
  return { type: fileSystem, ...identity, ...(newUuid ? {} : { uuid }) };
}

/** Attaches and opens a volume for `use`; afterwards nothing of it is left on this machine. */
async function opened<T>(
  attach: Attach,
  run: BackupRun | RestoreRun,
  request: Pick<OpenVolume, "access" | "content" | "makeFileSystem">,
  use: (volume: OpenedVolume) => Promise<T>,
): Promise<T> {
  await cleanup(run);
  if (!run.isDetached) await endAttachments(run.session, run.volumeId, { signal: run.signal });
  const attached = await attach(run);
  const undo = new UndoList();
  undo.add("the attachment", attached.detach);
  try {
    const volume = await openVolume({
      ...request,
      connection: attached.connection,
      mountPath: mountPathOf(run.owner),
      log: run.log,
      signal: run.signal,
    });
    undo.add("the mount", volume.close);
    const result = await use(volume);
    if (request.access === "read") await letGo(run, volume, attached);
    else {
      await volume.close();
      await attached.detach();
    }
    return result;
  } catch (error) {
    throw await undo.undo(error);
  }
}

/**
 * Closes and detaches a volume that was read to its end. What stays is on the mount path's list and in Cinder, where the
 * next run finds it: no reason to call a proven backup failed.
 */
async function letGo(
  run: BackupRun | RestoreRun,
  volume: OpenedVolume,
  attached: AttachedVolume,
): Promise<void> {
  const warn = (error: unknown) =>
    run.log(`warning: ${error instanceof Error ? error.message : String(error)}; the next run ends it`);
  await closed(volume).catch(warn);
  await attached.release().catch(warn);
}

async function closed(volume: OpenedVolume): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await volume.close();
    } catch (error) {
      if (tries === closingTries) throw error;
    }
    await pause(closingPauseMs);
  }
}

async function fill(
  run: RestoreRun,
  volume: OpenedVolume,
): Promise<{ how: string; ownersPreserved: boolean }> {
  run.log(`restoring ${run.resticSnapshotId.slice(0, 8)} by ${volume.how}`);
  if (volume.kind === "block") await fillDevice(run, volume.device);
  else await fillFiles(run, volume);
  return { how: volume.how, ownersPreserved: volume.ownersPreserved };
}

async function fillFiles(run: RestoreRun, { directory, ownersPreserved }: FileSource): Promise<void> {
  await run.repository.saying(run.log).restore(run.resticSnapshotId, {
    target: directory,
    verify: run.verify,
    timeoutSeconds: run.timeoutSeconds,
    signal: run.signal,
  });
  if (ownersPreserved) await restoreRoot(directory, run.tags, run);
}

/** In place: a dump into a file by its name would put another file there, which is not the volume's. */
async function fillDevice(run: RestoreRun, device: OpenedVolume["device"]): Promise<void> {
  const hash = createHash("sha256");
  const target = overwriteDevice(device.path, device.sizeBytes);
  const hashing = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  const written = pipeline(hashing, target);
  written.catch(() => {}); // a failed dump is told first
  const bytes = await run.repository.saying(run.log).dumpTo(run.resticSnapshotId, blockFileName, hashing, {
    timeoutSeconds: run.timeoutSeconds,
    signal: run.signal,
  });
  await written;
  if (!run.verify) return;
  if ((await hashDevice(device.path, bytes, run.signal)) !== hash.digest("hex"))
    throw new Error(
      `restoring snapshot ${run.resticSnapshotId} to ${device.path}: it reads back other bytes than were written`,
    );
}

async function backUp(run: BackupRun, volume: OpenedVolume): Promise<MovedBackup> {
  const content = volume.kind === "fileSystem" ? "file" : "block";
  const repository = run.repository.saying(run.log);
  const beside = volume.kind === "fileSystem" ? await besideTheFiles(run, volume, repository) : [];
  const result = await repository.backup({
    ...sourceOf(run, volume),
    host: run.host,
    tags: [...run.tags, `content=${content}`, ...beside],
    time: run.time,
    timeoutSeconds: run.timeoutSeconds,
    signal: run.signal,
    onProgress: progressTo(run.log),
  });
  return {
    ...result,
    content,
    ownersPreserved: volume.ownersPreserved,
    how: volume.how,
    ...(volume.fileSystem ? { fileSystem: volume.fileSystem } : {}),
  };
}

/** What restic reads: the files, or the device as one. */
function sourceOf(run: BackupRun, volume: OpenedVolume) {
  if (volume.kind === "block") return { stdin: deviceStream(volume) };
  return {
    directory: volume.directory,
    paths: run.paths.map(relativePath),
    excludes: run.exclude,
    // a copy's sizes and modification times are the volume's
    ignoreInode: !volume.inodesLast,
  };
}

/** What restic does not keep, as tags of its snapshot. */
async function besideTheFiles(run: BackupRun, volume: FileSource, repository: Repository): Promise<string[]> {
  const { directory } = volume;
  const rewritten = (await repository.supports("rawLinks"))
    ? 0
    : await rewrittenLinks(directory, run.paths.map(relativePath), run.signal);
  if (rewritten > 0)
    run.log(
      `warning: the targets of ${rewritten} symbolic links are not UTF-8, restic ${(await repository.version()).text} ` +
        'rewrites them: restic 0.16 keeps them, and so does content "block"',
    );
  return [
    `filesystem=${volume.fileSystem}`,
    ...identityTags(volume.identity ?? {}),
    ...(volume.ownersPreserved ? await rootTags(directory, run) : []),
    ...(rewritten > 0 ? [rewrittenLinksTag(rewritten)] : []),
  ];
}

function deviceStream(volume: OpenedVolume): { stream: Readable; fileName: string; expectedBytes: number } {
  return { stream: volume.device.open(), fileName: blockFileName, expectedBytes: volume.device.sizeBytes };
}
