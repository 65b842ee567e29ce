import {
  accessSync,
  chmodSync,
  constants,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { VolumeError } from "./errors";
import { canonical, mountAt } from "./mounts";
import { identify, isAlive, type ProcessIdentity } from "./processes";
import { type Trace, undo } from "./traces";

/** What a run makes on this machine, in order; it lies beside the mount path, so that a killed run leaves its list. */
interface StateFile {
  owner: ProcessIdentity;
  traces: Trace[];
}

/** The mount paths held by this process: the machine has one of each, whoever in the process asks. */
const heldHere = new Set<string>();

const stateFile = (mountPath: string): string => `${mountPath}.state.json`;

/** A mount path held by this process until `release`; other live processes are refused meanwhile. */
export class Claim {
  constructor(
    readonly mountPath: string,
    private readonly owner: ProcessIdentity,
    readonly traces: Trace[],
  ) {}

  /** Notes what is about to be made. Call it before making it. */
  add(trace: Trace): void {
    this.traces.push(trace);
    this.save();
  }

  /** Writes the list again, after a trace has learnt the pid of its process. */
  save(): void {
    const content: StateFile = { owner: this.owner, traces: this.traces };
    const fresh = `${stateFile(this.mountPath)}.new`;
    rmSync(fresh, { force: true });
    writeFileSync(fresh, JSON.stringify(content), { mode: 0o600, flag: "wx" });
    renameSync(fresh, stateFile(this.mountPath));
  }

  /**
   * Undoes what was made after the first `keep` traces, newest first, and says what it did. Stops and throws at the
   * first that stays, because what lies below rests on it.
   */
  async undo(options: { keep?: number; lazy?: boolean } = {}): Promise<string[]> {
    const done: string[] = [];
    for (const trace of this.traces.slice(options.keep ?? 0).reverse()) {
      const did = await undo(trace, { lazy: options.lazy ?? false });
      if (did) done.push(did);
      this.traces.pop();
      this.save();
    }
    return done;
  }

  /** Lets go of the mount path. What is not undone stays on the list, for a later cleanUp. */
  release(): void {
    heldHere.delete(this.mountPath);
    if (this.traces.length === 0) rmSync(stateFile(this.mountPath), { force: true });
  }
}

/**
 * Takes the mount path for this process and undoes what an ended run left there. Throws an "in-use" VolumeError if
 * another live process, or an open volume of this one, holds it.
 */
export async function claimMountPath(path: string): Promise<{ claim: Claim; cleaned: string[] }> {
  if (!isAbsolute(path)) {
    throw new VolumeError("unsupported", `using the mount path ${path}: it must be absolute`);
  }
  const owner = identify(process.pid);
  if (!owner) throw new VolumeError("unsupported", `using the mount path ${path}: /proc is not mounted`);
  makeParent(resolve(path));
  const mountPath = canonical(resolve(path));

  // no await between reading the owner and writing ours: two runs must not both find it free
  if (heldHere.has(mountPath)) {
    throw new VolumeError(
      "in-use",
      `using the mount path ${mountPath}: this process has a volume open there`,
    );
  }
  const earlier = readState(mountPath);
  if (earlier && earlier.owner.pid !== process.pid && isAlive(earlier.owner)) {
    throw new VolumeError(
      "in-use",
      `using the mount path ${mountPath}: process ${earlier.owner.pid} has a volume open there: wait for it, or use another mount path`,
    );
  }
  const claim = new Claim(mountPath, owner, earlier?.traces ?? []);
  claim.save();
  heldHere.add(mountPath);

  try {
    const cleaned = await claim.undo({ lazy: true });
    cleaned.push(...(await undoUnlisted(claim)));
    const now = readState(mountPath)?.owner;
    if (now?.pid !== owner.pid || now.startTime !== owner.startTime) {
      throw new VolumeError(
        "in-use",
        `using the mount path ${mountPath}: process ${now?.pid} has just taken it`,
      );
    }
    return { claim, cleaned };
  } catch (error) {
    heldHere.delete(mountPath);
    throw error;
  }
}

function makeParent(path: string): void {
  const parent = dirname(path);
  try {
    mkdirSync(parent, { recursive: true, mode: 0o700 });
    accessSync(parent, constants.W_OK);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new VolumeError(
      "failed",
      `using the mount path ${path}: ${code} at ${parent}: give a path where this user may write`,
      { cause },
    );
  }
}

/** Undoes a mount that no list tells of: the state file was lost, but the mount path is only ours. */
async function undoUnlisted(claim: Claim): Promise<string[]> {
  const mount = mountAt(claim.mountPath);
  if (!mount) return [];
  if (/^\/dev\/loop\d+$/.test(mount.source)) claim.add({ kind: "loopDevice", device: mount.source });
  claim.add({ kind: "mount", path: claim.mountPath });
  return claim.undo({ lazy: true });
}

/** Makes the folder (0700), or throws if the one that is there is not an empty folder of this user. */
export function makeMountFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const found = lstatSync(path);
  const refuse = (why: string) => new VolumeError("failed", `using the mount path ${path}: ${why}`);
  if (found.isSymbolicLink()) throw refuse("it is a symbolic link: give a folder of its own");
  if (!found.isDirectory()) throw refuse("it is not a folder");
  const user = process.geteuid?.();
  if (found.uid !== user) throw refuse(`it belongs to user ${found.uid}, this is user ${user}`);
  const content = readdirSync(path);
  if (content.length > 0) {
    throw refuse(`it is not empty (${content.slice(0, 3).join(", ")}): give an empty folder of its own`);
  }
  if ((found.mode & 0o777) !== 0o700) chmodSync(path, 0o700);
}

function readState(mountPath: string): StateFile | undefined {
  const found = lstatSync(stateFile(mountPath), { throwIfNoEntry: false });
  if (!found) return undefined;
  // it tells what to unmount and delete: nobody else may have written it
  if (!found.isFile() || found.uid !== process.geteuid?.() || (found.mode & 0o022) !== 0) {
    throw new VolumeError(
      "failed",
      `using the mount path ${mountPath}: ${stateFile(mountPath)} was not written by this user: remove it, or give another mount path`,
    );
  }
  try {
    const state = JSON.parse(readFileSync(stateFile(mountPath), "utf8")) as Partial<StateFile>;
    if (typeof state.owner?.pid === "number" && Array.isArray(state.traces)) return state as StateFile;
  } catch {
    // cut short by a full disk: the mount table still tells what is there
  }
  return undefined;
}
