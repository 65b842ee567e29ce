import type { ResolvedAccess } from "./access";
import { ResticError } from "./errors";
import type { RepositoryQueue, Share } from "./queue";
import type { Restic } from "./restic";

/** What can end a command before its time. */
export interface Stoppable {
  signal?: AbortSignal | undefined;
  timeoutSeconds?: number | undefined;
}

/** A repository as the verbs see it. */
export class Place {
  /** for messages: the url without a password */
  readonly url: string;

  constructor(
    readonly access: ResolvedAccess,
    readonly restic: Restic,
    readonly queue: RepositoryQueue,
    /** how long to wait for locks of others */
    readonly lockWaitSeconds: number,
  ) {
    this.url = access.shownUrl;
  }

  /** Runs `task` when its turn has come; `doing` is for the error of one that is cancelled before. */
  async queued<T>(
    share: Share,
    doing: string,
    signal: AbortSignal | undefined,
    task: () => Promise<T>,
  ): Promise<T> {
    try {
      return await this.queue.run(share, task, signal);
    } catch (error) {
      if (error instanceof ResticError || !signal?.aborted || error !== signal.reason) throw error;
      throw new ResticError("cancelled", `${doing}: cancelled`);
    }
  }
}

/** Never "latest", which some commands take, and never an empty string, which matches all. */
export function checkId(id: string): void {
  if (!/^[0-9a-f]{8,64}$/.test(id))
    throw new ResticError(
      "failed",
      `using snapshot ${JSON.stringify(id)}: not an id of 8 to 64 hexadecimal digits`,
    );
}
