import { pause } from "../base/pause";
import { asSentence, isMissing, statusOf, wordsOf } from "./cluster";

/** How long what was deleted may take to go: a pod gets a minute to end, a volume to be detached. */
const goneSeconds = 180;

/** One object to remove. */
export interface Removal {
  /** Kind and name, for errors. */
  what: string;
  remove: () => Promise<unknown>;
  read: () => Promise<unknown>;
}

/**
 * Removes an object, and waits until it is gone.
 *
 * @param rights that the account needs, for the error where it lacks them
 */
export async function removed(
  { what, remove, read }: Removal,
  rights: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const doing = `removing ${what}`;
  try {
    await remove();
  } catch (error) {
    if (isMissing(error)) return;
    // who may not delete what is not there misses nothing
    if (statusOf(error) === 403 && (await read().then(() => false, isMissing))) return;
    asSentence(doing, { rights })(error);
  }
  await untilGone(doing, () => read().then(() => true, missingIsFalse), signal);
}

function missingIsFalse(error: unknown): boolean {
  if (isMissing(error)) return false;
  throw error;
}

/** Waits until something is not there any more. */
export async function untilGone(
  doing: string,
  isThere: () => Promise<boolean>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const until = Date.now() + goneSeconds * 1000;
  let trouble: string | undefined;
  for (let wait = 200; ; wait = Math.min(2 * wait, 5_000)) {
    try {
      if (!(await isThere())) return;
      trouble = undefined;
    } catch (error) {
      trouble = wordsOf(error);
    }
    if (Date.now() > until)
      throw new Error(
        `${doing}: ${trouble ?? "it is still there"} after ${goneSeconds} s; is its node lost, or something else using it?`,
      );
    await pause(wait, signal);
  }
}
