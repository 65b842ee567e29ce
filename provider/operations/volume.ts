import { UndoList, undoSignal } from "../base/undo-list";
import { endAttachments } from "../cinder/attach-volume";
import { inCindersWords } from "../cinder/cinders-words";
import { remedyFor, removeUntilGone } from "../cinder/remove";
import { volumeKind, WaitError, waitForStatus } from "../cinder/watch";
import { type Session, volumes } from "../openstack";
import type { NewVolume, Volume } from "../openstack/volumes";
import { inventoryOf } from "./inventory";

interface Limits {
  /** for each wait */
  timeoutSeconds: number;
  signal?: AbortSignal | undefined;
}

/** Makes a volume, waits for it and gives it to `use`. Where either fails the volume is removed again. */
export async function makeVolume<T>(
  session: Session,
  wanted: NewVolume,
  /** `what` reads as in "creating temporary volume 1f2e from …" */
  { what, from, ...limits }: Limits & { what: string; from: string },
  use: (volume: Volume) => Promise<T>,
): Promise<T> {
  const begun = await volumes.create(session, wanted, { signal: limits.signal });
  await inventoryOf(session).noteVolume(begun);
  const undo = new UndoList();
  const undoing = { ...limits, signal: undoSignal(limits.signal) };
  undo.add(`${what} ${begun.id}`, () => removeVolume(session, begun.id, undoing));
  try {
    return await use(await madeVolume(session, begun.id, { what, from, ...limits }));
  } catch (error) {
    throw await undo.undo(await inCindersWords(session, begun.id, error));
  }
}

/** Waits for a volume that is being made. One that takes too long is remembered, so that nothing waits for it again. */
export async function madeVolume(
  session: Session,
  id: string,
  { what, from, ...limits }: Limits & { what: string; from: string },
): Promise<Volume> {
  const doing = `creating ${what} ${id} from ${from}`;
  try {
    return await waitForStatus(session, volumeKind, id, "available", { doing, ...limits });
  } catch (error) {
    if (!(error instanceof WaitError && error.timedOut)) throw error;
    inventoryOf(session).noteStuck(id);
    throw new WaitError(`${error.message}: ${remedyFor(volumeKind, id)}`, true, { cause: error });
  }
}

/** Removes a volume that only our runs attach; an attachment that a dead one left is ended where it is in the way. */
export async function removeVolume(session: Session, id: string, limits: Limits): Promise<void> {
  const inventory = inventoryOf(session);
  await removeUntilGone(session, volumeKind, id, {
    ...limits,
    refused: async () => (await endAttachments(session, id, { signal: limits.signal })) > 0,
    ...(inventory.isStuck(id) && { once: true }),
  });
  await inventory.noteGone(id);
}
