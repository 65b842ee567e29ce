import { ourMark } from "../base/marks";
import { isUnreachable, type Session, snapshots, undefinedIfNotFound, volumes } from "../openstack";
import type { collection } from "../openstack/collection";
import type { Snapshot } from "../openstack/snapshots";
import type { Volume } from "../openstack/volumes";

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
  /** Those of ours that are being removed now. */
  leaving(session: Session): Promise<T[]>;
  /** All of the project: what is not there is gone. */
  all(session: Session): Promise<T[]>;
  remove(session: Session, id: string, options: { signal?: AbortSignal | undefined }): Promise<void>;
}

function kindOf<T extends Row>(
  name: Kind<T>["name"],
  { get, newest, list, remove }: ReturnType<typeof collection<T & { metadata: Record<string, string> }>>,
): Kind<T> {
  const leaving = (session: Session) => list(session, { status: "deleting", metadata: ourMark });
  const all = (session: Session) => list(session);
  return { name, get, newest, leaving, all, remove };
}

export const snapshotKind = kindOf<Snapshot>("snapshot", snapshots);
export const volumeKind = kindOf<Volume>("volume", volumes);

/**
 * Decides over the object's present row: done, still waiting, or throws. Undefined where a GET says 404, or where all of
 * the project are listed without it.
 */
type Judge<T> = (row: T | undefined) => "done" | "waiting";

/** What a look has shown; an object that there is no row of is gone. */
interface Seen<T> {
  rows: Map<string, T | undefined>;
  /** Why an object could not be looked at, by its id. */
  failures: Map<string, unknown>;
}

interface Waiter<T> {
  readonly id: string;
  /** Which listing shows the object while it is waited for. */
  listed: "newest" | "leaving";
  judge: Judge<T>;
  doing: string;
  deadline: number;
  timeoutSeconds: number;
  /** Undefined until a look has succeeded. */
  lastStatus: string | undefined;
  readonly since: number;
  resolve(row: T | undefined): void;
  reject(error: unknown): void;
}

/** With more objects than this to ask for, one listing is cheaper than a GET of each. */
const listFrom = 4;
/** With as many that are in neither listing, all of the project are listed, where a GET of each costs more. */
const allFrom = 16;
/** So many rows of a listing cost a cloud what one GET does. */
const rowsPerGet = 50;
/** Rows of a listing of the newest: those waited for may be the oldest of a batch. */
const newestAtLeast = 50;
/** Pauses between two looks, in milliseconds. */
const shortestPauseMs = 100;
const longestPauseMs = 2_000;
/** An end is seen late by at most this part of the wait. */
const lateness = 1 / 8;
/** A pause is at least this many times as long as the look before it, so that looking takes a small part of the API. */
const pausePerLook = 4;

/** One poller per session and kind: a look answers every wait of the process at once, with calls for what is waited for and none for what else exists. */
class Watch<T extends Row> {
  private readonly waiters = new Set<Waiter<T>>();
  private running = false;
  private lastLookMs = 0;
  /** Objects of the project, when they were last listed. */
  private present = 0;
  private wake: (() => void) | undefined;

  constructor(
    private readonly session: Session,
    private readonly kind: Kind<T>,
  ) {}

  wait(
    id: string,
    listed: Waiter<T>["listed"],
    judge: Judge<T>,
    options: WaitOptions,
  ): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const settle =
        <A>(act: (value: A) => void) =>
        (value: A) => {
          this.waiters.delete(waiter);
          options.signal?.removeEventListener("abort", abort);
          act(value);
        };
      const waiter: Waiter<T> = {
        id,
        listed,
        judge,
        doing: options.doing,
        deadline: Date.now() + options.timeoutSeconds * 1000,
        timeoutSeconds: options.timeoutSeconds,
        lastStatus: undefined,
        since: Date.now(),
        resolve: settle(resolve),
        reject: settle(reject),
      };
      const abort = () => waiter.reject(options.signal?.reason ?? new Error(`${options.doing}: cancelled`));
      if (options.signal?.aborted) return abort();
      options.signal?.addEventListener("abort", abort, { once: true });
      this.waiters.add(waiter);
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

  /** Ends early when a wait joins that asks for a shorter pause. */
  private pause(): Promise<void> {
    const begun = Date.now();
    return new Promise(resolve => {
      let timer: NodeJS.Timeout;
      const end = () => {
        this.wake = undefined;
        resolve();
      };
      const schedule = () => {
        clearTimeout(timer);
        timer = setTimeout(end, begun + this.pauseMs() - Date.now());
      };
      this.wake = schedule;
      schedule();
    });
  }

  private pauseMs(): number {
    const youngest = Math.max(...[...this.waiters].map(({ since }) => since));
    const wanted = Math.max((Date.now() - youngest) * lateness, this.lastLookMs * pausePerLook);
    return Math.min(Math.max(wanted, shortestPauseMs), longestPauseMs);
  }

  private async poll(): Promise<void> {
    const asked = [...this.waiters];
    let seen: Seen<T>;
    const begun = Date.now();
    try {
      seen = await this.look(asked);
      this.lastLookMs = Date.now() - begun;
    } catch (error) {
      this.expire(asked, error);
      return;
    }
    const { rows, failures } = seen;
    for (const waiter of asked) {
      if (!this.waiters.has(waiter)) continue;
      if (failures.has(waiter.id)) {
        this.expire([waiter], failures.get(waiter.id));
        continue;
      }
      const row = rows.get(waiter.id);
      waiter.lastStatus = row?.status ?? "gone";
      try {
        if (waiter.judge(row) === "done") waiter.resolve(row);
      } catch (error) {
        waiter.reject(error);
      }
    }
    this.expire(asked);
  }

  private async look(asked: Waiter<T>[]): Promise<Seen<T>> {
    const rows = new Map<string, T | undefined>();
    const failures = new Map<string, unknown>();
    const counts = { newest: 0, leaving: 0 };
    for (const { listed } of asked) counts[listed]++;
    const listings = await Promise.all([
      counts.newest >= listFrom
        ? this.kind.newest(this.session, Math.max(newestAtLeast, 2 * counts.newest))
        : [],
      counts.leaving >= listFrom ? this.kind.leaving(this.session) : [],
    ]);
    for (const row of listings.flat()) rows.set(row.id, row);
    // In no listing: made long ago, or no longer on its way out, so gone or put back.
    const unseen = new Set(asked.map(({ id }) => id).filter(id => !rows.has(id)));
    if (unseen.size >= Math.max(allFrom, this.present / rowsPerGet)) {
      // where the last row of a page goes meanwhile, the next page cannot be asked for
      const all = await this.kind.all(this.session).catch(() => undefined);
      this.present = all?.length ?? Number.POSITIVE_INFINITY;
      const there = new Map(all?.map(row => [row.id, row]));
      if (all) for (const id of unseen) rows.set(id, there.get(id));
      if (all) return { rows, failures };
    }
    // of one that cannot be looked at the others' waits know nothing
    const look = async (id: string) => {
      try {
        rows.set(id, await this.kind.get(this.session, id).catch(undefinedIfNotFound));
      } catch (error) {
        failures.set(id, error);
      }
    };
    await Promise.all([...unseen].map(look));
    return { rows, failures };
  }

  private lastSeen({ id, lastStatus }: Waiter<T>, error: unknown): string {
    const what = `${this.kind.name} ${id}`;
    const status =
      lastStatus === undefined ? `what became of ${what} is not known` : `${what} is '${lastStatus}'`;
    return error === undefined
      ? status
      : `${status}; the last look at it failed: ${(error as Error).message}`;
  }

  /** A failed look is not the end of a wait, unless its time is over or the failure cannot pass. */
  private expire(asked: Waiter<T>[], error?: unknown): void {
    const passing = error === undefined || mayPass(error);
    for (const waiter of asked) {
      if (!this.waiters.has(waiter)) continue;
      if (!passing) waiter.reject(error);
      else if (Date.now() >= waiter.deadline)
        waiter.reject(
          new WaitError(
            `${waiter.doing}: timed out after ${waiter.timeoutSeconds} s, ${this.lastSeen(waiter, error)}`,
            true,
            { cause: error },
          ),
        );
    }
  }
}

/** Whether a failed look says nothing of what is waited for: the service is away, or failed itself. */
export const mayPass = (error: unknown): boolean => isUnreachable(error) || hasStatus(error, 500);

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

/** The watches of a session, one for each kind of object. */
class Watches {
  readonly #watches = new Map<string, unknown>();

  constructor(private readonly session: Session) {}

  of<T extends Row>(kind: Kind<T>): Watch<T> {
    const watch = (this.#watches.get(kind.name) as Watch<T> | undefined) ?? new Watch(this.session, kind);
    this.#watches.set(kind.name, watch);
    return watch;
  }
}

const watchOf = <T extends Row>(session: Session, kind: Kind<T>): Watch<T> =>
  session.companions.of(Watches).of(kind);

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
    "newest",
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
    "leaving",
    seen => (seen === undefined || seen.status !== "deleting" ? "done" : "waiting"),
    options,
  );
  return row === undefined ? { gone: true } : { gone: false, status: row.status };
}
