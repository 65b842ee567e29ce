import { statfs } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { childEnvironment, type ResolvedAccess, redactorOf } from "./access";
import {
  classify,
  distill,
  isKind,
  ResticError,
  type ResticErrorDetails,
  type ResticErrorKind,
} from "./errors";
import { localFiles } from "./local-files";
import {
  describeOwner,
  isCertainlyStale,
  isStale,
  type LockOwner,
  ownerInJson,
  ownerInText,
  processState,
  unlockWouldHitStranger,
} from "./locks";
import { type Command, type Finished, findBinary } from "./run";
import type { ResticRuntime } from "./runtime";
import { mostStill } from "./stillness";
import { type ResticVersion, supports } from "./version";

/** Takes one line for the operator. */
export type Log = (line: string) => void;

/** One restic command on one repository. */
export interface Call extends Omit<Command, "binary" | "environment" | "arguments"> {
  /** for errors: "backing up /mnt/x" */
  doing: string;
  arguments: string[];
  environment?: Record<string, string>;
  /** a second repository whose secrets may appear in what restic says */
  source?: ResolvedAccess | undefined;
  /** exit codes that are not a failure; default only 0 */
  accept?: number[];
  /** whether to wait for a lock; default true */
  waitForLock?: boolean;
  /** called before another attempt after a lock; an answer of false gives up */
  mayRepeat?: () => boolean;
  /** runs it on another machine */
  elsewhere?: Elsewhere | undefined;
}

/** One restic command as another machine needs it. */
export interface ElsewhereCommand
  extends Pick<Command, "arguments" | "onLine" | "signal" | "timeoutSeconds"> {
  /** the variables that reach the repository, all secret; `RESTIC_PASSWORD_FILE` is one of this machine */
  environment: Record<string, string>;
  /** PEM file of this machine with the certificates to trust */
  caCertFile: string | undefined;
}

/** Runs a restic command to its end on another machine, whatever its exit code; what it says comes here line by line. */
export type Elsewhere = (command: ElsewhereCommand) => Promise<Finished>;

/** Runs the commands of one repository: environment, deadline, waiting for locks, errors. */
export class Restic {
  readonly log: Log;
  private readonly redact: (text: string) => string;

  constructor(
    readonly access: ResolvedAccess,
    readonly options: {
      runtime: ResticRuntime;
      binary: string;
      cacheDirectory: string | undefined;
      lockWaitSeconds: number;
      log: Log | undefined;
    },
  ) {
    this.redact = redactorOf(access);
    this.log = line => options.log?.(this.redact(line));
  }

  /** A text of restic without the repository's secrets. */
  clean(text: string): string {
    return this.redact(text);
  }

  /** The version of the binary, asked once per binary in this process. Throws when there is none or it is too old. */
  async version(): Promise<ResticVersion> {
    return this.options.runtime.version(await findBinary(this.options.binary));
  }

  /** Runs a command once; throws a ResticError unless the exit code is accepted. */
  async once(call: Call): Promise<Finished> {
    const version = await this.version();
    const finished = call.elsewhere
      ? await call.elsewhere({
          ...call,
          environment: { ...this.access.environment, RESTIC_REPOSITORY: this.access.url, TZ: "UTC" },
          caCertFile: this.access.caCertFile,
        })
      : await this.runHere(call);
    const accepted = call.accept ?? [0];
    // a run that came to its end before it could be stopped has done its work
    if (finished.exitCode !== undefined && accepted.includes(finished.exitCode)) return finished;
    if ((finished.killed || finished.stopped) && finished.pid > 0 && takesLock(call))
      await this.clearOwnLock(finished.pid);
    throw await this.failure(call, finished, version);
  }

  private async runHere(call: Call): Promise<Finished> {
    return this.options.runtime.run({
      ...call,
      binary: await findBinary(this.options.binary),
      stillSeconds: stillSeconds(call, this.access),
      arguments: [...this.access.arguments, ...call.arguments],
      environment: childEnvironment(this.access, {
        RESTIC_PROGRESS_FPS: "1",
        ...(this.options.cacheDirectory ? { RESTIC_CACHE_DIR: this.options.cacheDirectory } : {}),
        ...call.environment,
      }),
    });
  }

  /** Runs a command and waits for the repository's lock as long as the options allow. */
  async call(call: Call): Promise<Finished> {
    const version = await this.version();
    const until = Date.now() + this.options.lockWaitSeconds * 1000;
    for (let attempt = 0; ; attempt += 1) {
      const leftSeconds = Math.ceil((until - Date.now()) / 1000);
      const slice =
        attempt > 0 && supports(version, "retryLock") ? Math.max(1, Math.min(60, leftSeconds)) : 0;
      try {
        return await this.once(
          slice > 0
            ? {
                ...call,
                arguments: ["--retry-lock", `${slice}s`, ...call.arguments],
                timeoutSeconds: call.timeoutSeconds === undefined ? undefined : call.timeoutSeconds + slice,
              }
            : call,
        );
      } catch (error) {
        if (!isKind(error, "locked") || call.waitForLock === false) throw error;
        if (call.mayRepeat?.() === false) throw error;
        if (await this.clearCertainlyStale(error.locks, call.signal)) continue;
        const holder = error.locks.map(owner => describeOwner(owner)).join("; ");
        if (Date.now() >= until)
          throw new ResticError(
            "locked",
            `${error.message}; waited ${this.options.lockWaitSeconds} s`,
            error,
          );
        if (attempt === 0) this.log(`${call.doing}: waiting for the lock of ${holder || "another process"}`);
        if (slice === 0) await this.pause(Math.min(2 ** attempt * 500, 15_000, until - Date.now()), call);
      }
    }
  }

  private async pause(milliseconds: number, call: Call): Promise<void> {
    try {
      await sleep(Math.max(0, milliseconds), undefined, { signal: call.signal });
    } catch {
      throw new ResticError("cancelled", `${call.doing}: cancelled while waiting for the repository's lock`);
    }
  }

  private async failure(call: Call, finished: Finished, version: ResticVersion): Promise<ResticError> {
    const text = finished.stderr.join("\n");
    const details: ResticErrorDetails = { exitCode: finished.exitCode };
    const still = finished.stopped === "still" ? await standstill(call, this.access) : undefined;
    const kind = still?.kind ?? endedAs(finished, text, this.access.localPath);
    const owner = kind === "locked" ? ownerInText(text) : undefined;
    if (owner) details.locks = [owner];
    let reason = distill(finished.stderr);
    if (finished.stopped === "cancelled") reason = "cancelled";
    else if (finished.stopped === "timeout")
      reason = `not done within ${call.timeoutSeconds} s${reason && `; ${reason}`}`;
    else if (still) reason = still.reason + (reason && `; ${reason}`);
    else if (owner) reason = `repository is locked by ${describeOwner(owner)}`;
    else if (finished.exitCode === undefined) reason = `restic was killed${reason && `; ${reason}`}`;
    else if (/ciphertext verification failed/.test(text))
      reason +=
        "; the repository's key and config do not belong together, as after two inits at once or an interrupted one";
    const remedy = remedies[kind];
    const code = finished.exitCode === undefined ? "" : `, exit ${finished.exitCode}`;
    const message = `${call.doing}: ${reason || "no reason given"}${remedy ? `; ${remedy}` : ""} (restic ${version.text}${code})`;
    const redact = call.source ? redactorOf(this.access, call.source) : this.redact;
    return new ResticError(kind, redact(message), details);
  }

  /** The locks of the repository with their owners; those that vanish meanwhile are left out. */
  async locks(signal?: AbortSignal): Promise<LockOwner[]> {
    if ((await localFiles(this.access, "locks"))?.length === 0) return [];
    const doing = `reading the locks of ${this.access.shownUrl}`;
    const listed = await this.once({
      doing,
      arguments: ["list", "locks", "--no-lock"],
      signal,
      timeoutSeconds: readSeconds,
    });
    const owners: LockOwner[] = [];
    for (const id of listed.stdout.match(/^[0-9a-f]{64}$/gm) ?? []) {
      const shown = await this.once({
        doing,
        arguments: ["cat", "lock", id, "--no-lock"],
        accept: [0, 1],
        signal,
        timeoutSeconds: readSeconds,
      });
      if (shown.exitCode === 0) owners.push(ownerInJson(id, shown.stdout));
    }
    return owners;
  }

  /**
   * Removes the locks whose owner is gone by restic's own rule and returns how many. Does nothing when that would hit
   * a strange process (see unlockWouldHitStranger). `certain` asks for the stronger proof, for unasked removal.
   */
  async unlockStale(certain: boolean, signal?: AbortSignal): Promise<number> {
    const owners = await this.locks(signal);
    const known = owners.map(owner => ({ owner, state: processState(owner.pid) }));
    const stale = known.filter(({ owner, state }) => isStale(owner, state)).map(({ owner }) => owner);
    if (stale.length === 0) return 0;
    const stranger = known.find(({ owner, state }) => unlockWouldHitStranger(owner, state));
    if (stranger) {
      this.log(
        `unlocking ${this.access.shownUrl}: left alone, PID ${stranger.owner.pid} of a lock now belongs to another program`,
      );
      return 0;
    }
    if (
      certain &&
      !known.every(
        ({ owner, state }) =>
          !isStale(owner, state) || isCertainlyStale(owner, state, this.options.runtime.ended),
      )
    )
      return 0;
    await this.once({
      doing: `unlocking ${this.access.shownUrl}`,
      arguments: ["unlock"],
      signal,
      timeoutSeconds: writeSeconds,
    });
    // `unlock` claims success whatever it did
    const left = new Set((await this.locks(signal)).map(owner => owner.id));
    const removed = stale.filter(owner => !left.has(owner.id));
    for (const owner of removed)
      this.log(`removed the abandoned lock of ${describeOwner(owner)} from ${this.access.shownUrl}`);
    return removed.length;
  }

  private async clearCertainlyStale(
    owners: readonly LockOwner[],
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    if (!owners.some(owner => isCertainlyStale(owner, processState(owner.pid), this.options.runtime.ended)))
      return false;
    return (await this.unlockStale(true, signal)) > 0;
  }

  /** Also after a mere interrupt: restic 0.14 forgets its lock when it comes while the lock is being made. */
  private async clearOwnLock(pid: number): Promise<void> {
    try {
      await this.unlockStale(true, AbortSignal.timeout(cleanUpSeconds * 1000));
    } catch (error) {
      this.log(`removing the lock of the killed restic process ${pid}: ${(error as Error).message}`);
    }
  }
}

function takesLock(call: Call): boolean {
  return !call.arguments.includes("--no-lock") && !["init", "unlock"].includes(call.arguments[0] ?? "");
}

/** Deadlines of the short commands; restic 0.17 and newer would retry an unreachable server for 15 minutes. */
export const readSeconds = 300;
export const writeSeconds = 900;

/** Deadline of what reads or writes a whole repository, where the caller gives none. */
export const wholeSeconds = 86_400;

/** Whoever cancels does not want to wait for an unreachable server. */
const cleanUpSeconds = 30;

function endedAs(
  { stopped, exitCode }: Finished,
  text: string,
  localPath: string | undefined,
): ResticErrorKind {
  if (stopped === "cancelled" || stopped === "timeout") return stopped;
  return exitCode === undefined ? "failed" : classify(exitCode, text, localPath);
}

/** How long a call may do nothing; one of two repositories is as slow as the farther. */
function stillSeconds({ source }: Call, access: ResolvedAccess): number {
  const isLocal = access.localPath !== undefined && (source === undefined || source.localPath !== undefined);
  return isLocal ? mostStill.localSeconds : mostStill.remoteSeconds;
}

/** restic's packs have 16 MiB, and a chunk more; with less room left the next one fails */
const roomOfPackBytes = 32 * 1024 * 1024;

/** What brought a restic to a standstill that did not say so. */
async function standstill(
  call: Call,
  access: ResolvedAccess,
): Promise<{ kind: ResticErrorKind; reason: string }> {
  const reason = `restic came to a standstill and was ended after ${stillSeconds(call, access)} s without any work`;
  if (access.localPath === undefined) return { kind: "unreachable", reason };
  const disk = await statfs(access.localPath).catch(() => undefined);
  if (disk === undefined || disk.bavail * disk.bsize >= roomOfPackBytes) return { kind: "failed", reason };
  const mebibytes = Math.floor((disk.bavail * disk.bsize) / 1024 ** 2);
  return { kind: "no-space", reason: `${reason}: the repository's disk has ${mebibytes} MiB left` };
}

const remedies: Partial<Record<ResticError["kind"], string>> = {
  "no-repository": "check its url, or put it back where it was",
  "wrong-password": "check the repository's password",
  "access-denied": "check the repository's credentials, and what they allow",
  unreachable: "check its url, and that its server is up",
  "no-space": "free space or prune the repository",
};
