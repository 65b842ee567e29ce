import type { Readable } from "node:stream";
import { openRepository } from "../../restic";
import type { BackupRun, MovedBackup, Mover } from "../mover";
import { attachVolume, endAttachments } from "../../operations/attach-volume";
import { cleanUp } from "./clean-up";
import { mountPathOf } from "./mount-path";
import { type OpenedVolume, openVolume } from "./open-volume";

/** At most one progress line in this time. */
const progressEveryMs = 30_000;

/** The machine that runs the stack reads the volume itself. */
export const localMover: Mover = {
  async synchronize(run: BackupRun): Promise<MovedBackup> {
    const mountPath = mountPathOf(run.owner);
    await localMover.cleanup(run);
    await endAttachments(run.session, run.volumeId);
    const attached = await attachVolume(run.session, run.volumeId, { timeoutSeconds: 300, signal: run.signal });
    let volume: OpenedVolume | undefined;
    try {
      volume = await openVolume({
        connection: attached.connection,
        mountPath,
        access: "read",
        content: run.content,
        log: run.log,
        ...(run.signal && { signal: run.signal }),
      });
      return await backUp(run, volume);
    } finally {
      await volume?.close();
      await attached.detach();
    }
  },

  async cleanup(run): Promise<string[]> {
    const cleaned = await cleanUp(mountPathOf(run.owner));
    for (const what of cleaned) run.log(`cleaned up after an earlier run: ${what}`);
    return cleaned;
  },
};

async function backUp(run: BackupRun, volume: OpenedVolume): Promise<MovedBackup> {
  const content = volume.kind === "fileSystem" ? "file" : "block";
  run.log(
    content === "file"
      ? `reading ${volume.fileSystem ?? "unknown"} files by ${volume.how}${volume.ownersPreserved ? "" : " (owners are not preserved)"}`
      : `streaming the device, ${volume.device.sizeBytes} bytes`,
  );
  let lastLine = Date.now();
  const common = {
    host: run.host,
    tags: [...run.tags, `content=${content}`, ...(volume.fileSystem ? [`filesystem=${volume.fileSystem}`] : [])],
    time: run.time,
    timeoutSeconds: run.timeoutSeconds,
    ...(run.signal && { signal: run.signal }),
    onProgress(seen: { bytesDone: number; bytesTotal?: number; etaSeconds?: number }) {
      if (Date.now() - lastLine < progressEveryMs) return;
      lastLine = Date.now();
      run.log(progressLine(seen));
    },
  };
  const repository = openRepository(run.repository, { log: run.log });
  const result =
    content === "file"
      ? await repository.backup({
          ...common,
          directory: volume.directory as string,
          paths: run.paths.map(relative),
          excludes: run.exclude,
        })
      : await repository.backup({ ...common, stdin: deviceStream(volume) });
  return {
    ...result,
    content,
    ownersPreserved: volume.ownersPreserved,
    how: volume.how,
    ...(volume.fileSystem ? { fileSystem: volume.fileSystem } : {}),
  };
}

function deviceStream(volume: OpenedVolume): { stream: Readable; fileName: string; expectedBytes: number } {
  return { stream: volume.device.open(), fileName: blockFileName, expectedBytes: volume.device.sizeBytes };
}

/** The one file of a block-mode snapshot. */
export const blockFileName = "volume.raw";

/** `/var/lib` inside the volume is `var/lib` for restic, which runs at the volume's root. */
function relative(path: string): string {
  const trimmed = path.replace(/^\/+/, "").replace(/\/+$/, "");
  return trimmed === "" ? "." : trimmed;
}

function progressLine(seen: { bytesDone: number; bytesTotal?: number; etaSeconds?: number }): string {
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
  const total = seen.bytesTotal ? `/${gib(seen.bytesTotal)} GiB ${Math.floor((100 * seen.bytesDone) / seen.bytesTotal)}%` : " GiB";
  const eta = seen.etaSeconds === undefined ? "" : ` ETA ${Math.ceil(seen.etaSeconds / 60)} min`;
  return `Backup: ${gib(seen.bytesDone)}${total}${eta}`;
}
