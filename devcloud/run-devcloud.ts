import { promises as fs } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, startDevcloud } from "./devcloud";
import { makeExt4Image } from "./images";

const sampleSizeMib = 256;

/** A sample stays below these, so that it is made in a second. */
const sampleBytes = 12 << 20;
const sampleFiles = 800;
const largestFile = 1 << 20;

export interface RunOptions {
  /** A free port when absent. */
  port?: number;
  /** Where the volumes are kept over restarts; without it they are removed at the end. */
  directory?: string;
  backend?: "local" | "nfs";
  /** How long a volume or snapshot stays in "creating", "deleting", … Default 500. */
  statusDelayMs?: number;
  /** Default: to standard output. */
  print?: (line: string) => void;
  /** Ends it, as SIGINT and SIGTERM do. */
  signal?: AbortSignal;
}

/** Runs a cloud with three sample volumes, one of them a server's, until it is told to end, after printing how to reach it. */
export async function runDevcloud(options: RunOptions = {}): Promise<void> {
  const print = options.print ?? (line => process.stdout.write(`${line}\n`));
  const devcloud = await startDevcloud({
    statusDelayMs: options.statusDelayMs ?? 500,
    ...(options.port !== undefined && { port: options.port }),
    ...(options.directory !== undefined && { directory: options.directory }),
    ...(options.backend !== undefined && { backend: options.backend }),
    // the sample server is this machine
    ...(process.getuid?.() === 0 && { deviceDirectory: "/dev/disk/by-id" }),
  });
  try {
    if (devcloud.volumes().length === 0) await addSamples(devcloud, print);
    print("# devcloud: a small OpenStack on this machine. In the shell of your stack:");
    for (const [name, value] of Object.entries(devcloud.environment))
      print(`export ${name}=${quoted(value)}`);
    print("# volumes:");
    for (const { id, name, size, status } of devcloud.volumes())
      print(`#   ${id}  ${name}  ${size} GiB  ${status}`);
    print("# servers:");
    for (const { id, name } of devcloud.servers()) print(`#   ${id}  ${name}`);
    print("# end it with Ctrl-C");
    await told(options.signal);
  } finally {
    await devcloud.stop();
  }
}

async function addSamples(devcloud: Devcloud, print: (line: string) => void): Promise<void> {
  const staging = await fs.mkdtemp(path.join(tmpdir(), "devcloud-samples-"));
  try {
    for (const { name, source, metadata } of [
      { name: "documents", source: "/usr/share/doc", metadata: { app: "documents" } },
      { name: "settings", source: "/etc", metadata: { app: "settings" } },
    ]) {
      const files = path.join(staging, name);
      const imageFile = path.join(staging, `${name}.img`);
      await fs.mkdir(files, { mode: 0o755 });
      await copySample(source, files);
      try {
        await makeExt4Image(imageFile, { sizeMib: sampleSizeMib, fromDirectory: files, label: name });
        await devcloud.addVolume({ name, imageFile, metadata });
      } catch (error) {
        print(`# volume ${name} is empty: ${error instanceof Error ? error.message : String(error)}`);
        await devcloud.addVolume({ name, sizeGib: 1, metadata });
      }
    }
    // for schedules and images of servers; its volume is empty
    const { id } = devcloud.addServer({ name: "web" });
    await devcloud.addVolume({ name: "web-data", sizeGib: 1, sizeBytes: 1 << 20, attachedTo: id });
  } finally {
    await fs.rm(staging, { recursive: true, force: true });
  }
}

/** Copies what everybody may read, up to the limits: names in order, so that the sample is the same each time. */
async function copySample(source: string, target: string): Promise<void> {
  let bytesLeft = sampleBytes;
  let filesLeft = sampleFiles;
  const visit = async (from: string, to: string): Promise<void> => {
    const entries = await fs.readdir(from, { withFileTypes: true }).catch(() => []);
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (filesLeft <= 0 || bytesLeft <= 0) return;
      const original = path.join(from, entry.name);
      const copy = path.join(to, entry.name);
      const stat = await fs.lstat(original).catch(() => undefined);
      if (!stat || (stat.mode & 0o004) === 0) continue;
      if (stat.isDirectory()) {
        await fs.mkdir(copy);
        await visit(original, copy);
      } else if (stat.isFile() && stat.size <= Math.min(largestFile, bytesLeft)) {
        await fs.copyFile(original, copy).catch(() => undefined);
        bytesLeft -= stat.size;
        filesLeft--;
      } else continue;
      await fs.chmod(copy, stat.mode & 0o7777).catch(() => undefined);
      if (process.getuid?.() === 0) await fs.chown(copy, stat.uid, stat.gid).catch(() => undefined);
      await fs.utimes(copy, stat.atime, stat.mtime).catch(() => undefined);
    }
  };
  await visit(source, target);
}

function told(signal: AbortSignal | undefined): Promise<void> {
  return new Promise(resolve => {
    const end = () => {
      process.off("SIGINT", end);
      process.off("SIGTERM", end);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    process.once("SIGINT", end);
    process.once("SIGTERM", end);
    if (signal?.aborted) end();
    else signal?.addEventListener("abort", end);
  });
}

function quoted(value: string): string {
  return /^[\w./:@-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
