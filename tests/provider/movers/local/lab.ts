import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { whyNoFuse } from "../../../../provider/movers/local/fuse";
import { loopDevices } from "../../../../provider/movers/local/loop";
import { mayMount, mountAt, mounts } from "../../../../provider/movers/local/mounts";
import type { OpenVolume } from "../../../../provider/movers/local/open-volume";
import { needs, skips } from "../../../needs";

/** What volumes are expected to be shown by: given by the run as another user, else by what this user can do. */
export const expectedWay =
  process.env.OSBACKUP_TEST_WAY ?? (mayMount() ? "loop mount" : fuseWorks() ? "fuse2fs" : "debugfs copy");

export const isRoot = mayMount();

function fuseWorks(): boolean {
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    return has("fuse2fs") && has("fusermount3");
  } catch {
    return false;
  }
}

const path = `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin`;

/** Runs a program and gives back what it printed. */
export const sh = (program: string, ...args: string[]): string =>
  execFileSync(program, args, {
    encoding: "utf8",
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, PATH: path, LC_ALL: "C" },
  });

export const has = (program: string): boolean =>
  path.split(":").some(folder => existsSync(join(folder, program)));

/** Skips a test where mount(2) and loop devices are not allowed, as to root in many containers. */
export function needsMount(context: Mocha.Context): void {
  if (!isRoot) skips(context, "this user may not mount");
}

/** Skips a test where images in qcow2 cannot be read. */
export function needsQcow2(context: Mocha.Context): void {
  needs(context, "qemu-img", "qemu-storage-daemon");
  const why = whyNoFuse();
  if (why) skips(context, why);
}

const folders: string[] = [];
const children: ChildProcess[] = [];

/** A folder that `cleanLab` removes. */
export function temporaryFolder(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "osbackup-test-")));
  folders.push(folder);
  return folder;
}

/** Everything that tests may have left below their folders: to be called after each test, whatever happened. */
export function cleanLab(): void {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const folder of folders.splice(0)) {
    const below = (path: string) => path.startsWith(`${folder}/`);
    for (const mount of mounts().reverse()) {
      if (!below(mount.path)) continue;
      try {
        if (isRoot) sh("umount", "-l", mount.path);
        else sh("fusermount3", "-uz", mount.path);
      } catch (error) {
        // it may go by itself, with the daemon of a process killed above
        if (mountAt(mount.path)) throw error;
      }
    }
    for (const loop of loopDevices()) if (below(loop.file)) sh("losetup", "-d", loop.device);
    sh("chmod", "-R", "u+rwx", folder);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What is mounted or attached below a folder: nothing, after a close. */
export function leftovers(folder: string): string[] {
  return [...mounts().map(mount => mount.path), ...loopDevices().map(loop => loop.file)].filter(path =>
    path.startsWith(`${folder}/`),
  );
}

/** An ext4 image with the content of a folder, made without root. */
export function ext4Image(
  file: string,
  options: { content?: string; mib?: number; offset?: number } = {},
): string {
  const { content, mib = 16, offset = 0 } = options;
  if (!existsSync(file)) sh("truncate", "-s", `${mib}M`, file);
  const from = content ? ["-d", content] : [];
  const where = offset ? ["-E", `offset=${offset}`] : [];
  sh("mke2fs", "-q", "-F", "-t", "ext4", ...from, ...where, file, `${mib - 2}M`);
  return file;
}

/**
 * An ext4 image of 16 MiB, copied while mounted, right after the 50 files db/0 to db/49 of 200 bytes, user 1000 + n
 * and group 2000, were written and synced one by one: all of them are only in its journal.
 */
export function imageWithPendingJournal(file: string): string {
  const fixture = join(__dirname, "../../../fixtures/ext4-with-pending-journal.img.gz");
  writeFileSync(`${file}.whole`, gunzipSync(readFileSync(fixture)));
  sh("cp", "--sparse=always", `${file}.whole`, file);
  rmSync(`${file}.whole`);
  return file;
}

/** A disk image with a GPT whose partitions hold what `fill` puts there, each 20 MiB. */
export function partitionedImage(file: string, count: number): { number: number; offset: number }[] {
  sh("truncate", "-s", `${count * 20 + 4}M`, file);
  const lines = ["label: gpt", ...Array.from({ length: count }, () => "size=20MiB, type=L")];
  execFileSync("sfdisk", ["-q", file], { input: lines.join("\n"), env: { ...process.env, PATH: path } });
  return Array.from({ length: count }, (_, index) => ({
    number: index + 1,
    offset: (1 + 20 * index) * 1024 ** 2,
  }));
}

/** Another process that opens a volume and keeps it open. Resolves when it is open. */
export async function openElsewhere(request: OpenVolume): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    ["--require", "tsx/cjs", join(__dirname, "open-and-wait.ts"), JSON.stringify(request)],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  children.push(child);
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once("data", () => resolve());
    child.once("exit", code => reject(new Error(`open-and-wait ended with ${code}`)));
  });
  return child;
}

/** SIGKILL, and waits for the end. */
export async function killHard(child: ChildProcess): Promise<void> {
  const ended = new Promise(resolve => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

/** A process that has its working folder in `folder`. */
export async function occupy(folder: string): Promise<ChildProcess> {
  const child = spawn("sh", ["-c", "echo there; exec sleep 60"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  await new Promise(resolve => child.stdout?.once("data", resolve));
  return child;
}

/** The connection of a file or block device on this machine. */
export const local = (file: string) => ({ driver_volume_type: "local", device_path: file });

/** The folder in which this repository is. */
export const repository = dirname(dirname(dirname(dirname(__dirname))));
