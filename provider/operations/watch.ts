import { isNotFound, isUnreachable, type Session, snapshots, volumes } from "../openstack";
import type { Snapshot } from "../openstack/snapshots";
import type { Volume } from "../openstack/volumes";
import { managedBy } from "./marks";

/** A wait that ended without what was waited for: names the thing, where it stands and what was expected. */
export class WaitError extends Error {
  constructor(
    message: string,
    readonly timedOut: boolean,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = "WaitError";
  }
}

interface Row {
  id: string;
  status: string;
}

/** What the waiting code must know of one kind of Cinder object. */
export interface Kind<T extends Row> {
  readonly name: "snapshot" | "volume";
  get(session: Session, id: string): Promise<T>;
  /** The newest `count`, in one call. */
  newest(session: Session, count: number): Promise<T[]>;
  /** Every one that carries our mark. */
  ours(session: Session): Promise<T[]>;
  remove(session: Session, id: string): Promise<void>;
}

const ourMark = { "managed-by": managedBy };

export const snapshotKind: Kind<Snapshot> = {
  name: "snapshot",
  get: snapshots.get,
  newest: snapshots.newest,
  ours: session => snapshots.list(session, { metadata: ourMark }),
  remove: snapshots.remove,
};

export const volumeKind: Kind<Volume> = {
  name: "volume",
  get: volumes.get,
  newest: volumes.newest,
  ours: session => volumes.list(session, { metadata: ourMark }),
  remove: (session, id) => volumes.remove(session, id),
};

/** Decides over the object's present row (undefined: a GET says 404): done, still waiting, or throws. */
type Judge<T> = (row: T | undefined) => "done" | "waiting";

interface Waiter<T> {
  judge: Judge<T>;
  doing: string;
  deadline: number;
  timeoutSeconds: number;
  lastStatus: string;
  resolve(row: T | undefined): void;
  reject(error: unknown): void;
}

/** With more objects than this to ask for, one listing is cheaper than a GET of each. */
const listFrom = 4;
const shortestPauseMs = 100;
const longestPauseMs = 2_000;

/** One poller per session and kind: a listing answers every wait of the process at once. */
class Watch<T extends Row> {
  private readonly waiters = new Map<string, Waiter<T>>();
  private running = false;
  private pauseMs = shortestPauseMs;
  private wake: (() => void) | undefined;

  constructor(
    private readonly session: Session,
    private readonly kind: Kind<T>,
  ) {}

  wait(id: string, judge: Judge<T>, options: WaitOptions): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const settle =
        <A>(act: (value: A) => void) =>
        (value: A) => {
          this.waiters.delete(id);
          options.signal?.removeEventListener("abort", abort);
          act(value);
        };
      const waiter: Waiter<T> = {
        judge,
        doing: options.doing,
        deadline: Date.now() + options.timeoutSeconds * 1000,
        timeoutSeconds: options.timeoutSeconds,
        lastStatus: "unknown",
        resolve: settle(resolve),
        reject: settle(reject),
      };
      const abort = () => waiter.reject(options.signal?.reason ?? new Error(`${options.doing}: cancelled`));
      if (options.signal?.aborted) return abort();
      options.signal?.addEventListener("abort", abort, { once: true });
      this.waiters.set(id, waiter);
      this.pauseMs = shortestPauseMs;
      this.wake?.();
      void this.run();
    });
  }

  private async run(): Promise<void> {
    if (this.running) return;
    this.running = true;
    try {
      while (this.waiters.size > 0) {
        await this.pause();
        await this.poll();
      }
    } finally {
      this.running = false;
    }
  }

  private pause(): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, this.pauseMs);
      this.pauseMs = Math.min(this.pauseMs * 1.5, longestPauseMs);
      this.wake = () => {
        if (this.pauseMs > shortestPauseMs * 4) {
          clearTimeout(timer);
          resolve();
        }
      };
    });
  }

  private async poll(): Promise<void> {
    const asked = [...this.waiters];
    let rows: Map<string, T | undefined>;
    try {
      rows = await this.look(asked.map(([id]) => id));
    } catch (error) {
      this.expire(asked, error);
      return;
    }
    for (const [id, waiter] of asked) {
      if (this.waiters.get(id) !== waiter) continue;
      const row = rows.get(id);
      waiter.lastStatus = row?.status ?? "gone";
      try {
        if (waiter.judge(row) === "done") waiter.resolve(row);
      } catch (error) {
        waiter.reject(error);
      }
    }
    this.expire(asked);
  }

  private async look(ids: string[]): Promise<Map<string, T | undefined>> {
    const rows = new Map<string, T | undefined>();
    let unseen = ids;
    if (unseen.length >= listFrom) {
      for (const row of await this.kind.newest(this.session, Math.max(50, 2 * ids.length)))
        rows.set(row.id, row);
      unseen = ids.filter(id => !rows.has(id));
    }
    if (unseen.length >= listFrom) {
      for (const row of await this.kind.ours(this.session)) rows.set(row.id, row);
      // Not in a complete listing: a GET would say 404, so only the few that a page may have missed are asked for.
      unseen = [];
    }
    await Promise.all(
      unseen.map(async id => {
        rows.set(
          id,
          await this.kind.get(this.session, id).catch(error => {
            if (isNotFound(error)) return undefined;
            throw error;
          }),
        );
      }),
    );
    return rows;
  }

  /** A failed look is not the end of a wait, unless its time is over or the failure cannot pass. */
  private expire(asked: [string, Waiter<T>][], error?: unknown): void {
    const passing = error === undefined || isUnreachable(error) || hasStatus(error, 500);
    for (const [id, waiter] of asked) {
      if (this.waiters.get(id) !== waiter) continue;
      if (!passing) waiter.reject(error);
      else if (Date.now() >= waiter.deadline)
        waiter.reject(
          new WaitError(
            `${waiter.doing}: timed out after ${waiter.timeoutSeconds} s, ${this.kind.name} ${id} is '${waiter.lastStatus}'`,
            true,
            { cause: error },
          ),
        );
    }
  }
}

function hasStatus(error: unknown, atLeast: number): boolean {
  return typeof (error as { status?: unknown } | undefined)?.status === "number"
    ? (error as { status: number }).status >= atLeast
    : false;
}

/** What every wait is told. */
export interface WaitOptions {
  /** For errors: "creating snapshot backup-pg of volume 1f2e". */
  doing: string;
  timeoutSeconds: number;
  signal?: AbortSignal | undefined;
}

const watches = new WeakMap<Session, Map<string, unknown>>();

function watchOf<T extends Row>(session: Session, kind: Kind<T>): Watch<T> {
  const ofSession = watches.get(session) ?? new Map<string, unknown>();
  watches.set(session, ofSession);
  const watch = (ofSession.get(kind.name) as Watch<T> | undefined) ?? new Watch(session, kind);
  ofSession.set(kind.name, watch);
  return watch;
}

/**
 * Waits until the object has the status `wanted`.
 * @throws WaitError when it goes to an error status or vanishes, or when the time is over.
 */
export async function waitForStatus<T extends Row>(
  session: Session,
  kind: Kind<T>,
  id: string,
  wanted: string,
  options: WaitOptions,
): Promise<T> {
  const row = await watchOf(session, kind).wait(
    id,
    seen => {
      if (seen?.status === wanted) return "done";
      if (seen === undefined)
        throw new WaitError(`${options.doing}: ${kind.name} ${id} vanished, expected '${wanted}'`, false);
      if (seen.status.startsWith("error"))
        throw new WaitError(
          `${options.doing}: ${kind.name} ${id} went to '${seen.status}', expected '${wanted}'`,
          false,
        );
      return "waiting";
    },
    options,
  );
  return row as T;
}

/** How a wait for a removal ended: really gone, or refused by the backend and put back. */
export type RemovalEnd = { gone: true } | { gone: false; status: string };

/**
 * Waits until a removal that Cinder has accepted is over. Cinder answers 202 and may put a busy object back to
 * `available` without an error (cinder/volume/manager.py, SnapshotIsBusy), which is told apart here.
 */
export async function waitForRemoval<T extends Row>(
  session: Session,
  kind: Kind<T>,
  id: string,
  options: WaitOptions,
): Promise<RemovalEnd> {
  const row = await watchOf(session, kind).wait(
    id,
    seen => (seen === undefined || seen.status !== "deleting" ? "done" : "waiting"),
    options,
  );
  return row === undefined ? { gone: true } : { gone: false, status: row.status };
}
