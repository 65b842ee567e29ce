import { WaitError } from "../cinder/watch";
import { ApiError, isNotFound } from "../openstack";
import { ResticError } from "../restic";

/**
 * A failure in words. Of one that came from a cloud or a repository, whose trouble may pass, it also says that the next
 * run goes on, where it does not say so itself: nobody needs to clean up first.
 */
export function wordsOf(failure: unknown): string {
  const message = failure instanceof Error ? failure.message : String(failure);
  const causes = causesOf(failure);
  const isOfOutside = causes.some(
    cause => cause instanceof ApiError || cause instanceof ResticError || cause instanceof WaitError,
  );
  if (!isOfOutside || /\bnext (run|one|up)\b/.test(message)) return message;
  const forGood = causes.some(isNotFound) ? ", or fails again where what is not found is gone for good" : "";
  return `${message}; the next run goes on from here${forGood}`;
}

function causesOf(failure: unknown): Error[] {
  return failure instanceof Error ? [failure, ...causesOf(failure.cause)] : [];
}
