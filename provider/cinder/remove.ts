import { pause } from "../base/pause";
import { isBadRequest, isConflict, isNotFound, type Session } from "../openstack";
import { inCindersWords } from "./cinders-words";
import { type Kind, WaitError, type WaitOptions, waitForRemoval } from "./watch";

/** First pause before a refused removal is tried again, in milliseconds; it doubles up to `longestPauseMs`. */
const firstPauseMs = 500;
const longestPauseMs = 15_000;

/**
 * The backend has failed to remove it, and Cinder refuses every further attempt: on Ceph RBD, a snapshot whose clone
 * has a snapshot with a clone of its own, which cannot be flattened (cinder/volume/drivers/rbd.py, _flatten_children).
 */
const deadEnd = "error_deleting";
/** Its maker waits for it or is dead, and Cinder refuses to delete it: it leaves this status soon or never. */
export const unfinished = "creating";
const unfinishedPatienceSeconds = 10;
/** Where a removal is refused for something else than the status, which may pass: a dependent, an attachment. */
const removable: ReadonlySet<string> = new Set([
  "available",
  "in-use",
  "deleting",
  "error",
  "error_restoring",
  "error_extending",
  "error_managing",
]);
const openstackName = { snapshot: "volume snapshot", volume: "volume" } as const;

/**
 * Removes a snapshot or volume and returns only once a GET says 404. A removal that the backend refuses (busy:
 * a clone depends on it, a watcher is left) is tried again within the timeout; of one that stays in `creating` only for a
 * short while. With `once` any whose status forbids it gets a single attempt. `refused` is called
 * after the first refusal, to take away what may be in the way; true tries again at once.
 * @throws WaitError with the object's status and Cinder's user messages when the time is over.
 */
export async function removeUntilGone<T extends { id: string; status: string }>(
  session: Session,
  kind: Kind<T>,
  id: string,
  options: Omit<WaitOptions, "doing"> & { once?: boolean; refused?: () => Promise<boolean> },
): Promise<void> {
  const doing = `removing ${kind.name} ${id}`;
  const begun = Date.now();
  const deadline = begun + options.timeoutSeconds * 1000;
  const unfinishedDeadline = Math.min(deadline, begun + unfinishedPatienceSeconds * 1000);
  let refusal = "";
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    options.signal?.throwIfAborted();
    try {
      await kind.remove(session, id, { signal: options.signal });
      const remainingSeconds = Math.max(1, Math.round((deadline - Date.now()) / 1000));
      const end = await waitForRemoval(session, kind, id, {
        doing,
        timeoutSeconds: remainingSeconds,
        signal: options.signal,
      });
      if (end.gone) return;
      if (end.status === deadEnd) throw await stuck();
      refusal = `cinder accepted the removal and put the ${kind.name} back to '${end.status}'`;
    } catch (error) {
      if (error instanceof WaitError) throw await explained(error.message);
      if (isNotFound(error)) {
        // a service that has lost its way says so too, of what is there
        if (await isGone()) return;
      } else if (!isBadRequest(error) && !isConflict(error)) throw error;
      // 400: its status does not allow it right now (creating, still attached, has dependents).
      refusal = (error as Error).message;
      if (pauseMs === firstPauseMs && (await options.refused?.())) continue;
      const status = await statusNow();
      if (status === deadEnd) throw await stuck();
      const isHopeless = options.once
        ? status !== undefined && !removable.has(status)
        : status === unfinished && Date.now() + pauseMs > unfinishedDeadline;
      if (isHopeless) throw await explained(`${doing}: it is still '${status}': ${remedyFor(kind, id)}`);
    }
    if (Date.now() + pauseMs > deadline)
      throw await explained(`${doing}: not gone after ${options.timeoutSeconds} s, ${refusal}`);
    await pause(pauseMs, options.signal);
  }

  function stuck(): Promise<WaitError> {
    return explained(
      `${doing}: it is '${deadEnd}', from where only an administrator gets it back: \`openstack ${openstackName[kind.name]} set --state available ${id}\``,
    );
  }

  function isGone(): Promise<boolean> {
    return kind.get(session, id).then(
      () => false,
      error => {
        if (isNotFound(error)) return true;
        throw error;
      },
    );
  }

  /** Undefined where it cannot be asked now. */
  async function statusNow(): Promise<string | undefined> {
    return (await kind.get(session, id).catch(() => undefined))?.status;
  }

  function explained(message: string): Promise<WaitError> {
    return inCindersWords(session, id, new WaitError(message, true));
  }
}

/** What helps where Cinder neither finishes nor deletes an object: its service was killed over it. */
export function remedyFor(kind: Pick<Kind<{ id: string; status: string }>, "name">, id: string): string {
  const command = `openstack ${openstackName[kind.name]}`;
  return `where it stays so, an administrator runs \`${command} set --state error ${id}\`, then \`${command} delete ${id}\``;
}
