import { instant } from "../base/marks";
import type { Decision, Point } from "./retention";

/** The words in which a set says what becomes of its points: one line before a run, one after it. */

/** What names a point. */
export interface PointName {
  id: string;
  time: Date;
  slot?: string | undefined;
}

/** A point as people know it. */
export const describePoint = (point: PointName): string => `${point.id.slice(0, 8)} of ${whenOf(point)}`;

/** The slot of a point, or when its data was captured. Without a schedule the slot is "". */
export const whenOf = ({ slot, time }: PointName): string => slot || instant(time);

/** An id as a message shows it: restic's are long, and known by their first eight characters. */
export function shortId(id: string): string {
  return id.length > 36 ? id.slice(0, 8) : id;
}

/** `keeps 3, removes 1: c118235a of 2026-11-24T02:00:00Z (beyond the last 3)`; every point that goes is named. */
export function tally<P extends Point & { slot?: string | undefined }>(
  kept: number,
  gone: readonly Decision<P>[],
  verb: string,
): string {
  if (gone.length === 0) return `keeps ${kept}`;
  const named = gone.map(({ point, reasons }) => `${describePoint(point)} (${reasons.join(", ")})`);
  return `keeps ${kept}, ${verb} ${gone.length}: ${named.join(", ")}`;
}

/** The parts of a line that there are. */
export function sentence(...parts: readonly (string | undefined)[]): string {
  return parts.filter(part => part !== undefined && part !== "").join("; ");
}

/** `2 recovery points: 0e9d3c1a of 2026-11-24T02:00:00Z, …` */
export function namedPoints(
  points: readonly (Point & { slot?: string | undefined })[],
  one: string,
  many = `${one}s`,
): string {
  const named = points.length > 0 ? `: ${points.map(describePoint).join(", ")}` : "";
  return `${points.length} ${points.length === 1 ? one : many}${named}`;
}

/** `1 file`, `3 files`. */
export const count = (number: number, one: string): string => `${number} ${one}${number === 1 ? "" : "s"}`;
