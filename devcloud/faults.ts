/** A fault in the answers of one kind of request. */
export interface Fault {
  /** Any method when absent. */
  method?: string;
  /** Matched against the path with its query, `/volume/v3/<project>/snapshots?limit=1`. */
  path: RegExp;
  /** How many requests it hits; until `clear()` or `remove()` when absent. */
  times?: number;
  /** How many matching requests pass unharmed before. */
  after?: number;
  /** Answers with this status. */
  status?: number;
  /** The answer's body; the service's own error envelope when absent. */
  body?: unknown;
  headers?: Record<string, string>;
  /** The error's message repeats the request, its headers and its body, as some services' error pages do. */
  echoes?: boolean;
  /** Waits before anything else happens. */
  delayMs?: number;
  /** Ends the connection without an answer: before the request has any effect (true, "before") or after it. */
  drop?: boolean | "before" | "after";
  /** With `status`: the request is carried out, only its answer is lost. */
  takesEffect?: boolean;
  /** Sends the first half of the answer's body and ends the connection. */
  half?: boolean;
  /** Called when the request is there, before anything else happens. */
  onRequest?: () => void;
  /** Called when the answer has been sent. */
  onAnswer?: () => void;
}

/** A fault that was added. */
export interface AddedFault {
  /** How many requests it has hit. */
  readonly hits: number;
  remove(): void;
}

/** What happens in the background after a request was accepted. */
export type Work =
  | "creating volume"
  | "deleting volume"
  | "creating snapshot"
  | "deleting snapshot"
  | "extending volume"
  | "reverting volume";

/** What a delete that was accepted ends in: the status from before, as where somebody holds the image, or an error. */
export type BadDelete = "busy" | "error_deleting";

interface Entry extends Fault {
  seen: number;
  hits: number;
}

/** Makes the cloud fail on command. */
export class Faults {
  private entries: Entry[] = [];
  private readonly statuses = { snapshot: [] as string[], volume: [] as string[] };
  private readonly stuckWork = new Map<Work, number>();
  private readonly busy = new Map<string, number>();
  private readonly badDeletes = { snapshot: [] as BadDelete[], volume: [] as BadDelete[] };
  private waiting: (() => void)[] = [];
  private serviceIsDown = false;
  private readonly onExpireTokens: () => void;

  constructor(onExpireTokens: () => void) {
    this.onExpireTokens = onExpireTokens;
  }

  add(fault: Fault): AddedFault {
    const entry: Entry = { ...fault, seen: 0, hits: 0 };
    this.entries.push(entry);
    return {
      get hits() {
        return entry.hits;
      },
      remove: () => {
        this.entries = this.entries.filter(other => other !== entry);
      },
    };
  }

  /** The next snapshots that are created end in this status ("error", or "error_deleting", …) instead of "available". */
  nextSnapshotStatus(status: string, times = 1): void {
    for (let count = 0; count < times; count++) this.statuses.snapshot.push(status);
  }

  /** The next volumes that are created end in this status instead of "available". */
  nextVolumeStatus(status: string, times = 1): void {
    for (let count = 0; count < times; count++) this.statuses.volume.push(status);
  }

  /** Work of this kind hangs in its status until `release()`: the next `times` of it. */
  stuck(work: Work, times = Number.POSITIVE_INFINITY): void {
    this.stuckWork.set(work, times);
  }

  /** How many pieces of work hang now. */
  get hanging(): number {
    return this.waiting.length;
  }

  /** Lets all stuck work go on. */
  release(): void {
    this.stuckWork.clear();
    this.wake();
  }

  /** cinder-volume away: requests are still accepted, their work waits until the service is "up" again. */
  volumeService(state: "up" | "down"): void {
    this.serviceIsDown = state === "down";
    if (state === "up") this.wake();
  }

  get volumeServiceIsDown(): boolean {
    return this.serviceIsDown;
  }

  /** The next deletes of this volume or snapshot go "deleting" and then back to "available", as with an RBD watcher. */
  busyDelete(id: string, times = 1): void {
    this.busy.set(id, times);
  }

  /** The next deletes of a snapshot or volume, whichever it is, end so. */
  nextDelete(kind: "snapshot" | "volume", outcome: BadDelete, times = 1): void {
    for (let count = 0; count < times; count++) this.badDeletes[kind].push(outcome);
  }

  /** Every token given out so far is no longer valid. */
  expireTokens(): void {
    this.onExpireTokens();
  }

  /** Which of the added faults have met no request yet: what such a one was to show was not shown. */
  unmet(): string[] {
    return this.entries
      .filter(({ hits }) => hits === 0)
      .map(({ method, path }) => `${method ?? "any"} ${path}`);
  }

  /** Removes all faults; stuck work goes on. */
  clear(): void {
    this.entries = [];
    this.statuses.snapshot.length = 0;
    this.statuses.volume.length = 0;
    this.busy.clear();
    this.badDeletes.snapshot.length = 0;
    this.badDeletes.volume.length = 0;
    this.serviceIsDown = false;
    this.release();
  }

  /** The fault that hits this request; asking counts it as seen. */
  match(method: string, pathAndQuery: string): Fault | undefined {
    for (const entry of this.entries) {
      if (entry.method !== undefined && entry.method.toUpperCase() !== method) continue;
      if (pathAndQuery.search(entry.path) < 0) continue;
      entry.seen++;
      if (entry.seen <= (entry.after ?? 0) || entry.hits >= (entry.times ?? Number.POSITIVE_INFINITY))
        continue;
      entry.hits++;
      return entry;
    }
    return undefined;
  }

  /** The status that work ends in. */
  finalStatus(kind: "snapshot" | "volume"): string {
    return this.statuses[kind].shift() ?? "available";
  }

  /** What this delete ends in, where it is not to succeed. */
  badDelete(kind: "snapshot" | "volume", id: string): BadDelete | undefined {
    const left = this.busy.get(id) ?? 0;
    if (left > 0) this.busy.set(id, left - 1);
    return left > 0 ? "busy" : this.badDeletes[kind].shift();
  }

  /** How many of the statuses and deletes that were asked for have met nothing yet. */
  get unmetWork(): number {
    const lists = [this.statuses, this.badDeletes].flatMap(({ snapshot, volume }) => [snapshot, volume]);
    return lists.reduce((sum, { length }) => sum + length, 0);
  }

  /** Resolves when work of this kind may go on. */
  async gate(work: Work): Promise<void> {
    const left = this.stuckWork.get(work) ?? 0;
    let stuck = left > 0;
    if (stuck) this.stuckWork.set(work, left - 1);
    while (stuck || this.serviceIsDown) {
      await new Promise<void>(resolve => this.waiting.push(resolve));
      if (!this.stuckWork.has(work)) stuck = false;
    }
  }

  private wake(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }
}
