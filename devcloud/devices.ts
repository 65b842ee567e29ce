import { execFile } from "node:child_process";
import { promises as fs } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** On Debian losetup is where only root's PATH looks. */
const env = { ...process.env, PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin`, LC_ALL: "C" };

/**
 * The disks of the servers, which are all this machine: a volume that a server gets appears as a loop device with a link
 * by its serial number, as udev makes one for a virtio disk. Needs root.
 */
export class Devices {
  private readonly attached = new Map<string, { device: string; link: string }>();

  constructor(private readonly directory: string) {}

  async appear(volumeId: string, imagePath: string): Promise<void> {
    const { stdout } = await execute("losetup", ["--find", "--show", imagePath], { env });
    const device = stdout.trim();
    const link = path.join(this.directory, `virtio-${volumeId.slice(0, 20)}`);
    await fs.mkdir(this.directory, { recursive: true });
    await fs.rm(link, { force: true });
    await fs.symlink(device, link);
    this.attached.set(volumeId, { device, link });
  }

  async vanish(volumeId: string): Promise<void> {
    const known = this.attached.get(volumeId);
    if (!known) return;
    this.attached.delete(volumeId);
    await fs.rm(known.link, { force: true });
    await execute("losetup", ["--detach", known.device], { env });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.attached.keys()].map(id => this.vanish(id)));
  }
}
