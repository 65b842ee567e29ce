import { createHash } from "node:crypto";
import { promises as fs } from "node:fs";
import path from "node:path";
import { sparseCopy, writeFully } from "./sparse-copy";

/** The NFS share that the volumes seem to come from; Cinder's NFS driver mounts it below `mount_point_base`. */
export const nfsExport = "127.0.0.1:/devcloud";

/**
 * The server that has a volume attached and writes to it. Each write happens under the volume's lock, so a snapshot
 * taken meanwhile holds exactly the writes before it and none after it.
 */
export interface Guest {
  /** Writes the bytes at the offset; `onWritten` runs before the lock is given up. */
  write(offset: number, bytes: Buffer, onWritten?: () => void): Promise<void>;
  /** Reads up to `length` bytes at the offset. */
  read(offset: number, length: number): Promise<Buffer>;
  /** Changes the image by other means, as the server's kernel does when it writes a file's times. */
  alter(change: (imagePath: string) => Promise<void>): Promise<void>;
}

/** The disk images: volumes laid out as Cinder's NFS driver does, snapshots as whole copies beside them. */
export class Storage {
  readonly mountPointBase: string;
  private readonly shareDirectory: string;
  private readonly snapshotDirectory: string;
  private readonly tails = new Map<string, Promise<unknown>>();
  private readonly files = new Map<string, fs.FileHandle>();

  constructor(directory: string) {
    this.mountPointBase = path.join(directory, "mnt");
    this.shareDirectory = path.join(this.mountPointBase, createHash("md5").update(nfsExport).digest("hex"));
    this.snapshotDirectory = path.join(directory, "snapshots");
  }

  async prepare(): Promise<void> {
    await fs.mkdir(this.shareDirectory, { recursive: true });
    await fs.mkdir(this.snapshotDirectory, { recursive: true });
  }

  volumePath(volumeId: string): string {
    return path.join(this.shareDirectory, `volume-${volumeId}`);
  }

  snapshotPath(snapshotId: string): string {
    return path.join(this.snapshotDirectory, `snapshot-${snapshotId}`);
  }

  /** Makes an empty image that uses no disk space. */
  async createBlank(volumeId: string, bytes: number): Promise<void> {
    await this.locked(volumeId, async () => {
      const file = await fs.open(this.volumePath(volumeId), "w");
      try {
        await file.truncate(bytes);
      } finally {
        await file.close();
      }
    });
  }

  /** Makes a volume's image from another file; a smaller source is followed by zeros up to `minimumBytes`. */
  async createFrom(volumeId: string, source: string, minimumBytes = 0): Promise<void> {
    await this.locked(volumeId, async () => {
      const target = this.volumePath(volumeId);
      await sparseCopy(source, target);
      const { size } = await fs.stat(target);
      if (size < minimumBytes) await fs.truncate(target, minimumBytes);
    });
  }

  /** Clones a volume under the lock of the source. */
  async cloneVolume(sourceId: string, volumeId: string, minimumBytes: number): Promise<void> {
    await this.locked(sourceId, () => this.createFrom(volumeId, this.volumePath(sourceId), minimumBytes));
  }

  /** Copies the volume as it is now; `atThatInstant` runs while no write can happen. */
  async snapshot(volumeId: string, snapshotId: string, atThatInstant: () => Promise<void>): Promise<void> {
    await this.locked(volumeId, async () => {
      await sparseCopy(this.volumePath(volumeId), this.snapshotPath(snapshotId));
      await atThatInstant();
    });
  }

  async extend(volumeId: string, bytes: number): Promise<void> {
    await this.locked(volumeId, async () => {
      const { size } = await fs.stat(this.volumePath(volumeId));
      if (size < bytes) await fs.truncate(this.volumePath(volumeId), bytes);
    });
  }

  /** Puts the volume back to a snapshot. */
  async revert(volumeId: string, snapshotId: string): Promise<void> {
    await this.locked(volumeId, async () => {
      const target = this.volumePath(volumeId);
      const { size } = await fs.stat(target);
      await this.closeFile(volumeId);
      await sparseCopy(this.snapshotPath(snapshotId), `${target}.revert`);
      await fs.truncate(`${target}.revert`, size);
      await fs.rename(`${target}.revert`, target);
    });
  }

  async removeVolume(volumeId: string): Promise<void> {
    await this.locked(volumeId, async () => {
      await this.closeFile(volumeId);
      await fs.rm(this.volumePath(volumeId), { force: true });
    });
    this.tails.delete(volumeId);
  }

  async removeSnapshot(snapshotId: string): Promise<void> {
    await fs.rm(this.snapshotPath(snapshotId), { force: true });
  }

  /** True while a loop device holds the volume's image: as an RBD image with a watcher it cannot be deleted. */
  async isWatched(volumeId: string): Promise<boolean> {
    const image = await fs.realpath(this.volumePath(volumeId)).catch(() => undefined);
    if (image === undefined) return false;
    const devices = await fs.readdir("/sys/block").catch(() => []);
    for (const device of devices.filter(name => name.startsWith("loop"))) {
      const backing = await fs.readFile(`/sys/block/${device}/loop/backing_file`, "utf8").catch(() => "");
      if (backing.trimEnd() === image) return true;
    }
    return false;
  }

  guest(volumeId: string): Guest {
    return {
      write: (offset, bytes, onWritten) =>
        this.locked(volumeId, async () => {
          await writeFully(await this.openFile(volumeId), bytes, offset);
          onWritten?.();
        }),
      read: (offset, length) =>
        this.locked(volumeId, async () => {
          const buffer = Buffer.alloc(length);
          const { bytesRead } = await (await this.openFile(volumeId)).read(buffer, 0, length, offset);
          return buffer.subarray(0, bytesRead);
        }),
      alter: change => this.locked(volumeId, () => change(this.volumePath(volumeId))),
    };
  }

  async close(): Promise<void> {
    for (const volumeId of [...this.files.keys()]) await this.closeFile(volumeId);
  }

  private async openFile(volumeId: string): Promise<fs.FileHandle> {
    const known = this.files.get(volumeId);
    if (known) return known;
    const file = await fs.open(this.volumePath(volumeId), "r+");
    this.files.set(volumeId, file);
    return file;
  }

  private async closeFile(volumeId: string): Promise<void> {
    const file = this.files.get(volumeId);
    this.files.delete(volumeId);
    await file?.close();
  }

  /** Runs the work after all earlier work on the same volume, whether that succeeded or not. */
  private async locked<T>(volumeId: string, work: () => Promise<T>): Promise<T> {
    const previous = this.tails.get(volumeId) ?? Promise.resolve();
    const result = previous.then(work, work);
    this.tails.set(
      volumeId,
      result.catch(() => undefined),
    );
    return result;
  }
}
