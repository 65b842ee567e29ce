import { existsSync } from "node:fs";
import path from "node:path";
import { pause } from "../../base/pause";

/** Where udev puts links to devices, by their serial numbers; tests have their own. */
const directory = (): string => process.env.OSBACKUP_DEVICE_DIRECTORY || "/dev/disk/by-id";

/** How long the guest may take to show a volume that Nova has attached. */
const longestSeconds = 60;

/**
 * The names that a volume's device may have: the hypervisor gives it the volume's id as serial number, cut at 20
 * characters by virtio-blk, whole by virtio-scsi and newer ones. The name that Nova tells is a wish that libvirt does not
 * heed.
 */
export function deviceNames(volumeId: string): string[] {
  const cut = volumeId.slice(0, 20);
  return [
    `virtio-${cut}`,
    `virtio-${volumeId}`,
    `scsi-0QEMU_QEMU_HARDDISK_${cut}`,
    `scsi-0QEMU_QEMU_HARDDISK_${volumeId}`,
    `wwn-0x${volumeId.replaceAll("-", "")}`,
  ];
}

/** The device of a volume that this server has. Waits for it. */
export async function deviceOf(
  volumeId: string,
  { signal, timeoutSeconds }: { signal?: AbortSignal | undefined; timeoutSeconds: number },
): Promise<string> {
  const until = Date.now() + Math.min(timeoutSeconds, longestSeconds) * 1000;
  const links = deviceNames(volumeId).map(name => path.join(directory(), name));
  for (;;) {
    const found = links.find(existsSync);
    if (found) return found;
    if (Date.now() > until)
      throw new Error(
        `volume ${volumeId} is attached, and this machine shows no device of it: looked for ${links.map(link => path.basename(link)).join(", ")} in ${directory()}; is this the server in serverId?`,
      );
    await pause(200, signal);
  }
}
