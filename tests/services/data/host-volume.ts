import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { until } from "../../until";
import type { Client } from "../client";
import type { Openstack } from "../index";

const execFileAsync = promisify(execFile);

/** Runs a program, also one of /usr/sbin, and answers what it prints. */
export async function tool(program: string, ...args: string[]): Promise<string> {
  const env = { ...process.env, PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin`, LC_ALL: "C" };
  return (await execFileAsync(program, args, { env, maxBuffer: 64 << 20 })).stdout;
}

/** Waits until a volume or snapshot leaves its passing status and returns the document. */
export async function settled(client: Client, kind: "volume" | "snapshot", id: string) {
  return until(`${kind} ${id} to settle`, async () => {
    const document = (await client.call("GET", "volumev3", `/${kind}s/${id}`)).body[kind];
    return document.status.endsWith("ing") ? undefined : document;
  });
}

/** Where the files are inside a disk; no offset: it has no partitions. */
export interface Place {
  fileSystem: "ext4" | "xfs";
  offset?: number;
}

/**
 * A volume attached to this host by means that owe nothing to the provider: what the server is for its volume. `file`
 * shows its bytes.
 */
export class HostVolume {
  private directory: string | undefined;

  private constructor(
    private readonly client: Client,
    readonly volumeId: string,
    private readonly attachmentId: string,
    readonly file: string,
    private readonly folder: string,
    private readonly exporter: ChildProcess | undefined,
  ) {}

  static async attach(cloud: Openstack, client: Client, volumeId: string): Promise<HostVolume> {
    const connector = { host: hostname(), ip: "127.0.0.1" };
    const wanted = { attachment: { volume_uuid: volumeId, connector } };
    // On a busy machine Ceph's monitor sometimes refuses Cinder's `ceph mon dump` (HTTP 500).
    const { attachment } = await until(`volume ${volumeId} to be attached`, async () => {
      const answer = await client.send("POST", "volumev3", "/attachments", wanted);
      return answer.status === 200 ? answer.body : undefined;
    });
    await client.call("POST", "volumev3", `/attachments/${attachment.id}/action`, { "os-complete": {} });
    await until(`volume ${volumeId} to be in-use`, async () => {
      const { status } = (await client.call("GET", "volumev3", `/volumes/${volumeId}`)).body.volume;
      return status === "in-use" ? true : undefined;
    });
    const folder = await mkdtemp(path.join(tmpdir(), "osbackup-data-"));
    const { connection_info: connection } = attachment;
    const stored = path.join(cloud.shareDirectory, connection.name);
    if (connection.driver_volume_type === "nfs" && connection.format === "raw")
      return new HostVolume(client, volumeId, attachment.id, stored, folder, undefined);
    // A file that has a snapshot goes on in a qcow2 file over it.
    const [pool, image] = connection.name.split("/");
    const block =
      connection.driver_volume_type === "rbd"
        ? { driver: "rbd", pool, image }
        : { driver: "qcow2", file: { driver: "file", filename: stored } };
    const file = path.join(folder, "disk");
    await writeFile(file, "");
    const exporter = spawn(
      "setpriv",
      [
        ...["--pdeathsig", "TERM", "qemu-storage-daemon"],
        ...["--blockdev", JSON.stringify({ ...block, "node-name": "disk", discard: "unmap" })],
        ...["--export", `type=fuse,id=export,node-name=disk,mountpoint=${file},writable=on`],
      ],
      { env: { ...process.env, ...cloud.environment }, stdio: ["ignore", "inherit", "inherit"] },
    );
    await until("the export", async () =>
      (await readFile("/proc/self/mounts", "utf8")).includes(` ${file} `) ? true : undefined,
    );
    return new HostVolume(client, volumeId, attachment.id, file, folder, exporter);
  }

  /** Mounts the file system and returns its folder; "ro" still replays the journal. */
  async mount(place: Place, access: "rw" | "ro"): Promise<string> {
    const device = (
      await tool("losetup", "--find", "--show", "--offset", String(place.offset ?? 0), this.file)
    ).trim();
    this.directory = path.join(this.folder, "mnt");
    await tool("mkdir", "-p", this.directory);
    try {
      await tool(
        "mount",
        "-o",
        `${access}${place.fileSystem === "xfs" ? ",nouuid" : ""}`,
        device,
        this.directory,
      );
    } finally {
      await tool("losetup", "--detach", device); // goes with the mount
    }
    return this.directory;
  }

  /** Ends the file system as a power cut would: what was not fsynced is lost, the journal is not replayed. */
  async cutPower(): Promise<void> {
    if (this.directory) await tool("xfs_io", "-x", "-c", "shutdown", this.directory);
  }

  async unmount(): Promise<void> {
    const { directory } = this;
    if (directory === undefined) return;
    this.directory = undefined;
    const tried = () =>
      tool("umount", directory).then(
        () => true,
        () => false,
      );
    await until(`${directory} to be unmounted`, tried, { seconds: 10 });
  }

  async detach(): Promise<void> {
    await this.unmount();
    if (this.exporter && this.exporter.exitCode === null) {
      const ended = new Promise(resolve => this.exporter?.once("exit", resolve));
      this.exporter.kill("SIGTERM");
      await ended;
    }
    await rm(this.folder, { recursive: true });
    await this.client.call("DELETE", "volumev3", `/attachments/${this.attachmentId}`);
    await settled(this.client, "volume", this.volumeId);
  }
}
