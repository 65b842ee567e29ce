import { readdirSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { firstTool, run, waitUntil } from "./commands";
import { messageOf, VolumeError } from "./errors";

export interface Mount {
  path: string;
  type: string;
  source: string;
}

const unescapeOctal = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** The mounts this process sees, oldest first (proc_pid_mountinfo(5)). */
export function mounts(): Mount[] {
  const result: Mount[] = [];
  for (const line of readFileSync("/proc/self/mountinfo", "latin1").split("\n")) {
    const [left, right] = line.split(" - ");
    const path = left?.split(" ")[4];
    const [type, source] = right?.split(" ") ?? [];
    if (!path || !type) continue;
    result.push({ path: decode(path), type, source: decode(source ?? "") });
  }
  return result;
}

// read as latin1 so that no byte of a name is lost; names are UTF-8 everywhere else
const decode = (text: string): string => Buffer.from(unescapeOctal(text), "latin1").toString("utf8");

/** The path as the kernel names it: links in its parent are resolved, the last part is not touched (it may be a dead FUSE mount). */
export function canonical(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path;
  }
}

/** The topmost mount at exactly this path. */
export function mountAt(path: string): Mount | undefined {
  const wanted = canonical(path);
  return mounts()
    .filter(mount => mount.path === wanted)
    .at(-1);
}

export const isFuse = (mount: Mount): boolean => mount.type === "fuse" || mount.type.startsWith("fuse.");

/** Whether this process has CAP_SYS_ADMIN (bit 21), which mount(2) and loop devices need. Root in a container often lacks it. */
export function mayMount(): boolean {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
  return match?.[1] !== undefined && (BigInt(`0x${match[1]}`) & (1n << 21n)) !== 0n;
}

/**
 * Removes every mount at the path, waiting up to `patienceSeconds` for what still uses it. `lazy`: after that it is
 * taken out of the tree although in use, and goes when its last user ends. Returns whether it removed one.
 */
export async function unmount(
  path: string,
  options: { patienceSeconds: number; lazy: boolean },
): Promise<boolean> {
  let removed = false;
  for (let mount = mountAt(path); mount; mount = mountAt(path)) {
    let failure: unknown;
    const tried = async (lazy: boolean): Promise<boolean> => {
      failure = await unmountOnce(path, lazy);
      removed ||= failure === undefined;
      // it may have gone by itself, with the daemon that served it
      return failure === undefined || !mountAt(path);
    };
    if (await waitUntil(() => tried(false), options.patienceSeconds)) continue;
    if (options.lazy && (await tried(true))) continue;
    const users = usersOf(mount.path);
    const by = users.length > 0 ? ` (in use by ${users.join(", ")})` : "";
    throw new VolumeError("failed", `${messageOf(failure)}${by}`, { cause: failure });
  }
  return removed;
}

async function unmountOnce(path: string, lazy: boolean): Promise<unknown> {
  const doing = `unmounting ${path}`;
  try {
    if (mayMount()) await run("umount", [...(lazy ? ["-l"] : []), "-i", canonical(path)], { doing });
    else {
      const tool = firstTool("fusermount3", "fusermount") ?? "fusermount3";
      await run(tool, ["-u", ...(lazy ? ["-z"] : []), canonical(path)], { doing });
    }
    return undefined;
  } catch (error) {
    return error;
  }
}

/** The processes that have a file or folder at or below the path open, as "4711 (restic)", as far as this user may see. */
export function usersOf(path: string): string[] {
  const below = (link: string): boolean => {
    try {
      const target = readlinkSync(link);
      return target === path || target.startsWith(`${path}/`);
    } catch {
      return false;
    }
  };
  const result: string[] = [];
  for (const pid of readdirSync("/proc").filter(name => /^\d+$/.test(name))) {
    let descriptors: string[] = [];
    try {
      descriptors = readdirSync(`/proc/${pid}/fd`).map(name => `fd/${name}`);
    } catch {
      // another user's process, or gone
    }
    if (!["cwd", "root", ...descriptors].some(name => below(`/proc/${pid}/${name}`))) continue;
    let name = "?";
    try {
      name = readFileSync(`/proc/${pid}/comm`, "utf8").trim();
    } catch {
      // it ended meanwhile
    }
    result.push(`${pid} (${name})`);
  }
  return result.slice(0, 10);
}
