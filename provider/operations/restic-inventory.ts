import type { Repository } from "../restic";
import { markedSnapshots, type ResticPoint } from "./restic-set";

/** The one inventory of a repository. */
export const resticInventoryOf = (repository: Repository): ResticInventory =>
  repository.companions.of(ResticInventory);

/** What one restic call forgets for many sets. */
interface Together {
  ids: string[];
  done: Promise<void>;
}

/**
 * What this process knows of the points in a repository, of every owner: one listing, kept true by the process's own
 * backups and forgets, as Inventory is for Cinder. A restic call costs about a second, so a thousand sets share it.
 */
class ResticInventory {
  private look: Promise<ResticPoint[]> | undefined;
  private unlocked: Promise<unknown> | undefined;
  private together: Together | undefined;

  constructor(private readonly repository: Repository) {}

  /** The snapshots with the mark of these owners, whoever wrote them, newest first: `Members` tells the points among them. */
  async marked(owners: readonly string[], signal?: AbortSignal): Promise<ResticPoint[]> {
    this.look ??= markedSnapshots(this.repository, signal);
    const { look } = this;
    // one that failed is made again the next time
    look.catch(() => this.look === look && this.lookAgain());
    return (await look).filter(point => owners.includes(point.owner));
  }

  /** To be called when the repository may have changed otherwise. */
  lookAgain(): void {
    this.look = undefined;
  }

  /** A point that this process made. */
  async noteMade(point: ResticPoint): Promise<void> {
    const known = await this.look;
    if (known?.some(({ id }) => id === point.id)) return;
    known?.push(point);
    known?.sort((a, b) => b.time.getTime() - a.time.getTime());
  }

  /** Forgets points; the repository proves that they are gone. */
  async forget(points: readonly ResticPoint[], signal: AbortSignal | undefined): Promise<void> {
    if (points.length === 0) return;
    const ids = withOriginals(points);
    await this.repository.forget(ids, { signal }).catch(error => {
      this.lookAgain();
      throw error;
    });
    await this.noteForgotten(ids);
  }

  private async noteForgotten(ids: readonly string[]): Promise<void> {
    const gone = new Set(ids);
    const known = await this.look;
    known?.splice(0, known.length, ...known.filter(point => !gone.has(point.id)));
  }

  /**
   * Lets go of points, together with what other sets of this process let go in the repository: one restic call forgets
   * it when the last backup has ended. `forgetTogether` waits for that.
   */
  letGo(points: readonly ResticPoint[], signal: AbortSignal | undefined): void {
    if (points.length === 0) return;
    this.together ??= this.beginForgetting(signal);
    this.together.ids.push(...withOriginals(points));
  }

  /**
   * Ends an announced backup. False while others run or are about to: they wait for all. True once nothing waits to be
   * forgotten any more; throws where something is still there, which the next slot of its set meets again.
   */
  async forgetTogether(isOver: () => void): Promise<boolean> {
    const waiting = this.together;
    isOver();
    if (!waiting) return true;
    if (this.repository.awaitsBackup()) return false;
    await waiting.done;
    return true;
  }

  private beginForgetting(signal: AbortSignal | undefined): Together {
    const begun: Together = { ids: [], done: Promise.resolve() };
    const close = () => {
      if (this.together === begun) this.together = undefined;
      return begun.ids;
    };
    begun.done = this.repository.forgetLater(close, { signal }).then(
      () => this.noteForgotten(begun.ids),
      error => {
        close();
        this.lookAgain();
        throw error;
      },
    );
    // who ends last hears of it
    begun.done.catch(() => {});
    return begun;
  }

  /** Removes what dead runs locked, once per process: its own children's locks are removed as they end. */
  unlockOnce(signal?: AbortSignal): Promise<unknown> {
    this.unlocked ??= this.repository.unlockStale({ signal });
    this.unlocked.catch(() => {
      this.unlocked = undefined;
    });
    return this.unlocked;
  }
}

/** One that a mark was written for would count again without it. */
function withOriginals(points: readonly ResticPoint[]): string[] {
  return points.flatMap(({ id, originals }) => [...(originals ?? []), id]);
}
