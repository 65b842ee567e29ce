import { WaitError } from "../cinder/watch";
import { ApiError } from "../openstack";
import { ResticError } from "../restic";

/**
 * A failure in words. Of one that came from a cloud or a repository, whose trouble may pass, it also says that the next
 * run goes on, where it does not say so itself: nobody needs to clean up first.
 */
export function wordsOf(failure: unknown): string {
  const message = failure instanceof Error ? failure.message : String(failure);
  return comesFromOutside(failure) && !/\bnext (run|one|up)\b/.test(message)
    ? `${message}; the next run goes on from here`
    : message;
}

function comesFromOutside(failure: unknown): boolean {
  for (let at = failure; at instanceof Error; at = at.cause)
    if (at instanceof ApiError || at instanceof ResticError || at instanceof WaitError) return true;
  return false;
}
