import { type Figures, tagValue } from "./figures";
import { type ResticPoint, shrinkAllowedTag, shrunkTag, worthOf } from "./restic-set";
import type { Decision } from "./retention";
import { isCovered, type Until } from "./until";
import { count, describePoint, type PointName, whenOf } from "./words";

/** A point may have as much less than the good one before, in files and in bytes. */
export const leastShare = 0.5;

/** A point that has less than that, and what it was compared with. */
export interface Shrink {
  figures: Figures;
  before: Figures & { point: string };
}

/** What is wrong with a backup of so much after one of so much; undefined where it has enough. */
export function shrinkOf(
  figures: Figures,
  before: { point: PointName; figures: Figures },
): Shrink | undefined {
  const isLess = (key: keyof Figures) => figures[key] < before.figures[key] * leastShare;
  if (!isLess("filesTotal") && !isLess("bytesTotal")) return undefined;
  return { figures, before: { ...before.figures, point: describePoint(before.point) } };
}

/** The tags of a shrunk point. They tell all that a later run has to say of it, with the state lost too. */
export function shrinkTags({ figures, before }: Shrink): string[] {
  const of = ({ filesTotal, bytesTotal }: Figures) => `${filesTotal}/${bytesTotal}`;
  return [shrunkTag, `size=${of(figures)}`, `size-before=${of(before)}/${before.point}`];
}

/** What the tags of a point say of its shrinking; undefined of one that is not marked, or is allowed to. */
export function shrinkIn(point: ResticPoint): Shrink | undefined {
  if (worthOf(point.tags) !== "shrunk") return undefined;
  const [filesTotal, bytesTotal] = (tagValue(point.tags, "size") ?? "").split("/").map(Number);
  const [files, bytes, ...named] = (tagValue(point.tags, "size-before") ?? "").split("/");
  return {
    figures: { filesTotal: filesTotal || 0, bytesTotal: bytesTotal || 0 },
    before: { filesTotal: Number(files) || 0, bytesTotal: Number(bytes) || 0, point: named.join("/") },
  };
}

/** Those of the points that are marked as shrunk and may be. */
export const allowedAmong = (points: readonly ResticPoint[], allowed: Until | undefined): ResticPoint[] =>
  points.filter(point => worthOf(point.tags) === "shrunk" && isCovered(point, allowed));

/** The shrunk points that came after the newest good one and that nobody has allowed, newest first. */
export function shrunkSince(points: readonly ResticPoint[], allowed: Until | undefined): ResticPoint[] {
  const newestGood = points.findIndex(({ good }) => good);
  return points
    .slice(0, newestGood < 0 ? undefined : newestGood)
    .filter(point => worthOf(point.tags) === "shrunk" && !isCovered(point, allowed));
}

/** The points as they are when those are counted that somebody has allowed. */
export function asAllowed(points: readonly ResticPoint[], allowed: Until | undefined): ResticPoint[] {
  const counted = new Set(allowedAmong(points, allowed));
  return points.map(point =>
    counted.has(point) ? { ...point, good: true, tags: [...point.tags, shrinkAllowedTag] } : point,
  );
}

/** What a run says that made a shrunk point, or found it made; `points` are all of its set, newest first. */
export function shrinkWords(
  point: PointName,
  { figures, before }: Shrink,
  points: readonly ResticPoint[],
): string {
  const shrunk = shrunkSince(points, undefined);
  const oldest = shrunk.at(-1);
  const lasting =
    oldest && shrunk.length > 1 ? `; ${shrunk.length} points are so since ${whenOf(oldest)}` : "";
  return (
    `PartiallyFailed: ${amount(figures)}, and ${before.point}, the good point before, has ${amount(before)}: less than ` +
    `half; snapshot ${point.id.slice(0, 8)} is kept, marked '${shrunkTag}', and does not count as good${lasting}; if the ` +
    `source may be smaller, set allowShrink to '${whenOf(point)}'${lasting && ", which allows all of them"}, else mend it and ` +
    `ask for another point with a new trigger`
  );
}

/** What each preview and run says of them, until there is a good point again. */
export function shrunkWords(shrunk: readonly ResticPoint[]): string | undefined {
  const [newest] = shrunk;
  const oldest = shrunk.at(-1);
  if (!newest || !oldest) return undefined;
  return (
    `${shrunk.length === 1 ? `the restic snapshot of ${whenOf(oldest)} has` : `the ${shrunk.length} restic snapshots since ${whenOf(oldest)} have`} ` +
    `less than half of the good one before and ${shrunk.length === 1 ? "does" : "do"} not count as good: see the source, and where ` +
    `it may be smaller set allowShrink to '${whenOf(newest)}'`
  );
}

/** What each preview and run says of a guard that is off. */
export const guardOffWords = (allowed: Until | undefined): string | undefined =>
  allowed === true
    ? "allowShrink is true: a backup of next to nothing would count as good, and the full points would go for it; an instant " +
      "in its place allows the points up to it alone"
    : undefined;

/** Whether a point was marked as shrunk and has been allowed since: the mark stays, an append-only store only takes more tags. */
export const isAllowedShrink = ({ good, tags }: Pick<ResticPoint, "good" | "tags">): boolean =>
  good && tags.includes(shrunkTag);

/** What a shrunk point was compared with, of one that has been allowed. */
const allowedAgainst = (point: ResticPoint): string | undefined =>
  isAllowedShrink(point) ? tagValue(point.tags, "size-before") : undefined;

/** The good points from before the source shrank to what the newest allowed points have, which retention may let go for those. */
export function fullPoints(points: readonly ResticPoint[]): ResticPoint[] {
  const against = points.map(allowedAgainst).find(known => known !== undefined);
  if (against === undefined) return [];
  const first = points.filter(point => allowedAgainst(point) === against).map(({ time }) => time.getTime());
  return points.filter(({ good, time }) => good && time.getTime() < Math.min(...first));
}

/** What is said before full points go: how many of them stay is all that tells a rotation from a loss. */
export function fullGoWords(when: string, gone: readonly Decision<ResticPoint>[], isAll: boolean): string {
  const named = gone.map(({ point, reasons }) => `${describePoint(point)} (${reasons.join(", ")})`);
  return (
    `${when} forgets ${named.join(", ")}, ${isAll ? "the last" : "of those"} from before the source shrank; its Cinder ` +
    `snapshots go by their own retention; restore what you still want, or tag it and name the tag in retention.keepTags`
  );
}

const amount = ({ filesTotal, bytesTotal }: Figures): string =>
  `${count(filesTotal, "file")} of ${count(bytesTotal, "byte")}`;
