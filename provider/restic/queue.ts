/**
 * How a task shares its repository: backups run in parallel up to a limit, reads without one, an exclusive task runs
 * alone.
 */
export type Share = "backup" | "read" | "exclusive";

interface Waiting {
  share: Share;
  start: () => void;
}

/** Lets the tasks of one repository run in the order they came, so that an exclusive one is never overtaken. */
export class RepositoryQueue {
  private readonly waiting: Waiting[] = [];
  private readonly running: Record<Share, number> = { backup: 0, read: 0, exclusive: 0 };

  constructor(public maxParallelBackups = 2) {}

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
    for (let next = this.waiting[0]; next && this.mayStart(next.share); next = this.waiting[0]) {
      this.waiting.shift();
      this.running[next.share] += 1;
      next.start();
    }
  }

  private mayStart(share: Share): boolean {
    if (this.running.exclusive > 0) return false;
    if (share === "exclusive") return this.running.backup + this.running.read === 0;
    return share === "read" || this.running.backup < this.maxParallelBackups;
  }
}

const queues = new Map<string, RepositoryQueue>();

/** The one queue of a repository in this process. */
export function queueOf(repositoryKey: string, maxParallelBackups?: number): RepositoryQueue {
  let queue = queues.get(repositoryKey);
  if (!queue) {
    queue = new RepositoryQueue();
    queues.set(repositoryKey, queue);
  }
  if (maxParallelBackups !== undefined) queue.maxParallelBackups = maxParallelBackups;
  return queue;
}
