import limited from "p-limit";
import { stackOf } from "../base/marks";
import { endAttachments } from "../cinder/attach-volume";
import { remedyFor, removeUntilGone, unfinished } from "../cinder/remove";
import { volumeKind } from "../cinder/watch";
import { type Session, undefinedIfNotFound, volumes } from "../openstack";
import { inventoryOf } from "./inventory";

/** A temporary object that no live run owns. */
export interface Leftover {
  volumeId: string;
  owner: string;
  expiresAt: string | undefined;
}

/** The temporary volumes of `stack` (`<project>/<stack>`) whose time is over, or all of them with `everything`. */
export async function leftovers(
  session: Session,
  stack: string,
  options: { now: Date; everything?: boolean },
): Promise<Leftover[]> {
  const found = await inventoryOf(session).ownVolumes(
    mark =>
      mark.role === "temporary" &&
      stackOf(mark.owner) === stack &&
      (options.everything === true ||
        (mark.expiresAt !== undefined && Date.parse(mark.expiresAt) < options.now.getTime())),
  );
  return found.map(({ row, mark }) => ({ volumeId: row.id, owner: mark.owner, expiresAt: mark.expiresAt }));
}

/** Sweeps at the same time. */
const atOnce = limited(8);
/** On their way already: another DELETE changes nothing. */
const leaving = "deleting";

/**
 * Tries to remove each leftover and returns the ids of those that stay, each named in a line. One that cannot go is
 * tried once and stops no other.
 */
export async function sweep(
  session: Session,
  found: readonly Leftover[],
  options: {
    log: (line: string) => void;
    signal?: AbortSignal | undefined;
    /** How long the removal of one may take. */
    eachSeconds?: number;
    /** After this the rest is left to the next sweep. */
    totalSeconds?: number;
  },
): Promise<string[]> {
  const { log, signal, eachSeconds = 120, totalSeconds } = options;
  const timeIsOver = totalSeconds === undefined ? undefined : AbortSignal.timeout(totalSeconds * 1000);
  const signals = [signal, timeIsOver].filter(one => one !== undefined);
  const limits = {
    timeoutSeconds: eachSeconds,
    signal: signals.length > 0 ? AbortSignal.any(signals) : undefined,
  };
  const left: string[] = [];
  const sweepOne = async ({ volumeId, owner, expiresAt }: Leftover) => {
    try {
      limits.signal?.throwIfAborted();
      await removeLeftover(session, volumeId, limits);
      log(`swept temporary volume ${volumeId} of ${owner}, expired ${expiresAt ?? "never"}`);
    } catch (error) {
      signal?.throwIfAborted();
      left.push(volumeId);
      const why = timeIsOver?.aborted
        ? `the sweep ended after ${totalSeconds} s, the next one goes on`
        : (error as Error).message;
      log(`warning: temporary volume ${volumeId} of ${owner} stays: ${why}`);
    }
  };
  await Promise.all(found.map(leftover => atOnce(() => sweepOne(leftover))));
  return left;
}

async function removeLeftover(
  session: Session,
  id: string,
  limits: { timeoutSeconds: number; signal: AbortSignal | undefined },
): Promise<void> {
  const inventory = inventoryOf(session);
  const live = await volumes.get(session, id, { signal: limits.signal }).catch(undefinedIfNotFound);
  if (live?.status === leaving)
    throw new Error(`it is '${leaving}' since an earlier run: ${remedyFor(volumeKind, id)}`);
  if (live) {
    if (live.status === unfinished) inventory.noteStuck(id);
    else await endAttachments(session, id, limits);
    await removeUntilGone(session, volumeKind, id, { ...limits, once: true });
  }
  await inventory.noteGone(id);
}
