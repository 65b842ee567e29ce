import { setMaxListeners } from "node:events";

/** A failure together with what its clean-up could not do. The first error stays the cause. */
export class UndoneError extends Error {
  constructor(
    first: unknown,
    readonly undone: readonly string[],
    readonly leftBehind: readonly string[],
  ) {
    const message = first instanceof Error ? first.message : String(first);
    const parts = [message];
    if (undone.length > 0) parts.push(`undone: ${undone.join(", ")}`);
    if (leftBehind.length > 0) parts.push(`left behind, the next run finds it: ${leftBehind.join("; ")}`);
    super(parts.join("; "), { cause: first });
    this.name = "UndoneError";
  }
}

/** How long undoing may still take once the run is cancelled; as long as restic gets to end. Tests shorten it. */
export const afterCancel = { seconds: 30 };

const undoSignals = new WeakMap<AbortSignal, AbortSignal>();

/**
 * The signal for undoing and releasing what a run made: a cancelled run still tries to, for a while. It aborts `afterCancel`
 * later than the run's own.
 */
export function undoSignal(run: AbortSignal | undefined): AbortSignal | undefined {
  if (!run) return undefined;
  const known = undoSignals.get(run);
  if (known) return known;
  const undoing = new AbortController();
  undoSignals.set(run, undoing.signal);
  setMaxListeners(0, undoing.signal);
  const giveUp = () => {
    const { seconds } = afterCancel;
    const reason = new Error(`gave up ${seconds} s after the run was cancelled`);
    setTimeout(() => undoing.abort(reason), seconds * 1000).unref();
  };
  if (run.aborted) giveUp();
  else run.addEventListener("abort", giveUp, { once: true });
  return undoing.signal;
}

interface Step {
  what: string;
  undo: () => Promise<unknown>;
}

/**
 * What an operation of several steps has made so far. On failure everything is undone, newest first: on Ceph RBD a
 * snapshot can only go once the volume made from it is gone.
 */
export class UndoList {
  private readonly steps: Step[] = [];

  /**
   * Remembers how to undo what was just made; `what` reads as in "temporary volume 1f2e". An `undo` that returns false
   * has left it on purpose.
   */
  add(what: string, undo: () => Promise<unknown>): void {
    this.steps.push({ what, undo });
  }

  /** Undoes everything, newest first, and returns the error to throw in place of `first`. */
  async undo(first: unknown): Promise<unknown> {
    if (this.steps.length === 0) return first;
    const undone: string[] = [];
    const leftBehind: string[] = [];
    for (const step of this.steps.splice(0).reverse()) {
      try {
        if ((await step.undo()) !== false) undone.push(step.what);
      } catch (error) {
        leftBehind.push(`${step.what} (${error instanceof Error ? error.message : String(error)})`);
      }
    }
    return new UndoneError(first, undone, leftBehind);
  }
}
