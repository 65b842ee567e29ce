import { isKind } from "../restic";
import { markUnproven, type Proving, pointsOf } from "./proof";
import { resticInventoryOf } from "./restic-inventory";
import type { ResticPoint } from "./restic-set";

/**
 * Puts right what dead runs of a set have left in the repository, before anything is made, and returns the set's points
 * as they are then. What else they may leave is met where it would be in the way: docs/how-it-works.md lists it all.
 */
export async function recover(run: Proving): Promise<ResticPoint[]> {
  const inventory = resticInventoryOf(run.repository);
  // locks in the repository
  const [points] = await Promise.all([pointsOf(run), inventory.unlockOnce(run.signal)]).catch(error => {
    if (!isKind(error, "no-repository")) throw error;
    throw new Error(
      `there is no repository at ${run.repository.url}; is it mounted? A ResticRepository makes one, when it is created`,
      { cause: error },
    );
  });
  // points whose result was never known
  return markUnproven(points, run);
}
