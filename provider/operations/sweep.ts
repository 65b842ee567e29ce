import type { Session } from "../openstack";
import { endAttachments } from "./attach-volume";
import { inventoryOf } from "./inventory";
import { stackOf } from "./marks";
import { removeUntilGone } from "./remove";
import { volumeKind } from "./watch";

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

/** Removes leftovers and returns once they are gone. */
export async function sweep(
  session: Session,
  found: readonly Leftover[],
  { log, signal }: { log: (line: string) => void; signal?: AbortSignal | undefined },
): Promise<void> {
  for (const leftover of found) {
    await endAttachments(session, leftover.volumeId, { signal });
    await removeUntilGone(session, volumeKind, leftover.volumeId, { timeoutSeconds: 120, signal });
    await inventoryOf(session).noteGone(leftover.volumeId);
    log(
      `swept temporary volume ${leftover.volumeId} of ${leftover.owner}, expired ${leftover.expiresAt ?? "never"}`,
    );
  }
}
