import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { type AttachContext, type Connection, type Device, field } from "./connection";
import { VolumeError } from "./errors";
import { exportImage } from "./fuse";
import { attachRbd, rbdSpec } from "./rbd";
import type { Trace } from "./traces";

/** Brings the volume's bytes to a path on this machine. What it makes is noted in the claim, which undoes it. */
export async function attach(connection: Connection, context: AttachContext): Promise<Device> {
  const type = connection.driver_volume_type;
  switch (type) {
    case "local":
      return { path: existing(field(connection, "device_path"), "local device"), how: "local device" };
    case "nfs":
      return attachNfs(connection, context);
    case "rbd":
      return attachRbd(connection, context);
    default:
      throw new VolumeError(
        "unsupported",
        `attaching a volume by ${type}: the local mover reads local, nfs and rbd volumes only; give temporaryVolume.volumeType of such a backend, or mover "server" on a server of the cloud`,
      );
  }
}

/** What a killed run may have left of this connection, although its list was lost. */
export function leftoversOf(connection: Connection): Trace[] {
  switch (connection.driver_volume_type) {
    case "local":
      return [{ kind: "loop", file: field(connection, "device_path"), offset: 0 }];
    case "nfs":
      return [{ kind: "loop", file: nfsFile(connection), offset: 0 }];
    case "rbd":
      return [{ kind: "rbd", spec: rbdSpec(connection) }];
    default:
      return [];
  }
}

/** Where Cinder's remote file system drivers (and os-brick) keep a volume: a folder per share, named by its MD5. */
export function nfsFile(connection: Connection): string {
  const share = createHash("md5").update(field(connection, "export")).digest("hex");
  const name = field(connection, "name");
  if (name.includes("/")) {
    throw new VolumeError("unsupported", `attaching the volume ${name} by nfs: the name holds a slash`);
  }
  return join(field(connection, "mount_point_base"), share, name);
}

async function attachNfs(connection: Connection, context: AttachContext): Promise<Device> {
  const file = nfsFile(connection);
  if (!existsSync(file)) {
    const folder = join(file, "..");
    throw new VolumeError(
      "unsupported",
      `attaching the volume ${field(connection, "name")} by nfs: there is no ${file}: mount the share ${field(connection, "export")} at ${folder}`,
    );
  }
  const format = connection.format ?? "raw";
  if (format === "raw") return { path: realpathSync(file), how: "nfs file" };
  if (format !== "qcow2") {
    throw new VolumeError(
      "unsupported",
      `attaching ${file}: the format "${String(format)}" cannot be read here`,
    );
  }
  refuseForeignParts(file);
  const path = await exportImage(
    { driver: "qcow2", file: { driver: "file", filename: file } },
    file,
    context,
  );
  return { path, how: "qcow2 by qemu-storage-daemon" };
}

/**
 * A qcow2 header may name other files (a backing file, an external data file), and a guest can write such a header
 * into its own disk: following it would read files of this host (CVE-2024-32498). A volume made from a snapshot has none.
 * Header: https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.rst
 */
function refuseForeignParts(file: string): void {
  const header = Buffer.alloc(80);
  const descriptor = openSync(file, "r");
  try {
    readSync(descriptor, header, 0, header.length, 0);
  } finally {
    closeSync(descriptor);
  }
  const refuse = (why: string) => new VolumeError("unsupported", `attaching ${file}: ${why}`);
  if (header.toString("latin1", 0, 4) !== "QFI\xfb") throw refuse("Cinder calls it qcow2, but it is not");
  if (header.readBigUInt64BE(8) !== 0n) throw refuse("the qcow2 file rests on a backing file");
  const version = header.readUInt32BE(4);
  if (version >= 3 && (header.readBigUInt64BE(72) & 4n) !== 0n) {
    throw refuse("the qcow2 file keeps its data in another file");
  }
}

function existing(path: string, what: string): string {
  const found = existsSync(path) ? statSync(path) : undefined;
  if (!found)
    throw new VolumeError("unsupported", `attaching ${path}: there is no such ${what} on this machine`);
  if (!found.isFile() && !found.isBlockDevice()) {
    throw new VolumeError("unsupported", `attaching ${path}: it is neither a file nor a block device`);
  }
  return realpathSync(path);
}
