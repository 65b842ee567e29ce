/**
 * How a task shares its repository: backups run in parallel up to a limit, reads without one, an exclusive task runs
 * alone. A patient one does too, but lets those overtake it that come while a backup runs or is announced.
 */
export type Share = "backup" | "read" | "exclusive" | "patient";

interface Waiting {
  share: Share;
  start: () => void;
}

/** Lets the tasks of one repository run in the order they came, so that an exclusive one is never overtaken. */
export class RepositoryQueue {
  private readonly waiting: Waiting[] = [];
  private readonly running: Record<Share, number> = { backup: 0, read: 0, exclusive: 0, patient: 0 };
  private announced = 0;

  constructor(private readonly maxParallelBackups = 2) {}

  /** Whether a backup runs, waits or is announced. */
  get awaitsBackup(): boolean {
    return this.announced + this.running.backup > 0 || this.waiting.some(({ share }) => share === "backup");
  }

  /** Says that a backup will come soon; the returned function says that it has ended, or will not come. */
  announceBackup(): () => void {
    this.announced += 1;
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.announced -= 1;
      this.advance();
    };
  }

  /** Runs `task` when its turn comes; an aborted `signal` takes it out of the queue and rejects with its reason. */
  async run<T>(share: Share, task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.turn(share, signal);
    try {
      return await task();
    } finally {
      this.running[share] -= 1;
      this.advance();
    }
  }

  private turn(share: Share, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const entry: Waiting = {
        share,
        start: () => {
          signal?.removeEventListener("abort", leave);
          resolve();
        },
      };
      const leave = () => {
        this.waiting.splice(this.waiting.indexOf(entry), 1);
        reject(signal?.reason);
        this.advance();
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.waiting.push(entry);
      this.advance();
    });
  }

  private advance(): void {
    for (let next = this.next(); next; next = this.next()) {
      this.waiting.splice(this.waiting.indexOf(next), 1);
      this.running[next.share] += 1;
      next.start();
    }
  }

  /** The first that may start; none may before an earlier one, but before a patient one. */
  private next(): Waiting | undefined {
    for (const waiting of this.waiting) {
      if (this.mayStart(waiting.share)) return waiting;
      if (waiting.share !== "patient") return undefined;
    }
    return undefined;
  }

  private mayStart(share: Share): boolean {
    const { backup, read, exclusive, patient } = this.running;
    if (exclusive + patient > 0) return false;
    if (share === "patient") return backup + read + this.announced === 0;
    if (share === "exclusive") return backup + read === 0;
    return share === "read" || backup < this.maxParallelBackups;
  }
}
