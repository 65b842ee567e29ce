import { setTimeout as pause } from "node:timers/promises";
import { messages, type Session } from "../openstack";
import { WaitError } from "./watch";

/** Cinder saves the status first and then says why, so a message may be missing at the first look. */
const secondLookAfterMs = 500;

/**
 * The same error, ending with Cinder's newest user message about the volume or snapshot where there is one. An error
 * that is not the end of a wait stays as it is.
 */
export async function inCindersWords<E>(session: Session, id: string, error: E): Promise<E | WaitError> {
  if (!(error instanceof WaitError)) return error;
  const newest = async () => (await messages.list(session, id).catch(() => []))[0]?.user_message;
  let said = await newest();
  if (said === undefined) {
    await pause(secondLookAfterMs);
    said = await newest();
  }
  if (said === undefined) return error;
  return new WaitError(`${error.message}; cinder says: ${said}`, error.timedOut, { cause: error });
}
