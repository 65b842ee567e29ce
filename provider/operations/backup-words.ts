import type { MovedBackup } from "../movers/mover";
import { partialTag, type ResticPoint } from "./restic-set";
import { pointOf } from "./set-point";
import { describePoint } from "./words";

/** How a run ended, in the words of the operator that people come from. */
export function runWords(
  moved: MovedBackup | undefined,
  points: ResticPoint[],
  run: { slot?: string | undefined; trigger?: string | undefined },
): string {
  const made = pointOf(points, run);
  const what = made ? `restic snapshot ${describePoint(made)}` : "restic snapshot";
  if (!moved) return `${what} exists already`;
  const missing =
    moved.unreadableCount > 0 ? `, without ${unreadableWords(moved)}, as allowUnreadable allows` : "";
  return (
    `Succeeded: ${what}, ${moved.filesTotal} files, ${moved.bytesAdded} bytes added in ` +
    `${moved.durationSeconds.toFixed(1)} s by ${moved.how}${missing}`
  );
}

/** What is wrong with a partial point, and what that means for the set. */
export function partialWords(moved: MovedBackup, points: ResticPoint[]): string {
  const since = points.findIndex(point => point.good);
  const partial = since < 0 ? points.length : since;
  const newest = points[since];
  const lasting =
    partial > 1
      ? `; the newest ${partial} points are partial, ${newest ? `the last good one is ${describePoint(newest)}` : "there is no good one"}`
      : "";
  return (
    `PartiallyFailed: restic could not read ${unreadableWords(moved)}; snapshot ${moved.snapshotId.slice(0, 8)} is kept, ` +
    `marked '${partialTag}'${lasting}; exclude what cannot be read, or name it in allowUnreadable`
  );
}

/** How many unreadable files a message names. */
const namedFiles = 5;

/** The files that restic could not read, each with why. */
function unreadableWords({ unreadable, unreadableCount }: MovedBackup): string {
  if (unreadableCount === 0) return "everything, and does not say what";
  const named = unreadable.slice(0, namedFiles).map(({ path, reason }) => `${path} (${reason})`);
  const more = unreadableCount - named.length;
  return `${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
