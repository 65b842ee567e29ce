import { ResticError } from "../errors";
import type { Place, Stoppable } from "../place";
import { wholeSeconds } from "../restic";

/** Checks the repository's structure and, as far as `readDataSubset` says, its data. */
export async function check(
  place: Place,
  options: Stoppable & { readDataSubset?: string | undefined } = {},
): Promise<void> {
  const { readDataSubset } = options;
  if (readDataSubset !== undefined && !/^(\d+(\.\d+)?%|\d+\/\d+|\d+[KMGT])$/.test(readDataSubset))
    throw new ResticError(
      "failed",
      `checking ${place.url}: readDataSubset "${readDataSubset}" is not like 5%, 1/10 or 500M`,
    );
  const doing = `checking ${place.url}`;
  try {
    await place.queued("exclusive", doing, options.signal, () =>
      place.restic.call({
        doing,
        arguments: [
          "check",
          ...(readDataSubset === undefined ? [] : [`--read-data-subset=${readDataSubset}`]),
        ],
        onLine: () => {},
        signal: options.signal,
        timeoutSeconds: options.timeoutSeconds ?? wholeSeconds,
      }),
    );
  } catch (error) {
    if (error instanceof ResticError && /repository contains errors/.test(error.message))
      throw new ResticError(error.kind, error.message, { exitCode: error.exitCode, damaged: true });
    throw error;
  }
}
