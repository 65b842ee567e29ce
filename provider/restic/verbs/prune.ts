import type { Place, Stoppable } from "../place";
import { wholeSeconds } from "../restic";

/** Removes the data that no snapshot needs. */
export async function prune(place: Place, options: Stoppable = {}): Promise<void> {
  const doing = `pruning ${place.url}`;
  await place.queued("exclusive", doing, options.signal, () =>
    place.restic.call({
      doing,
      arguments: ["prune"],
      onLine: () => {},
      signal: options.signal,
      timeoutSeconds: options.timeoutSeconds ?? wholeSeconds,
    }),
  );
}
