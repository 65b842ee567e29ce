import { type Figures, tagValue } from "./figures";
import { type ResticPoint, shrunkTag, worthOf } from "./restic-set";
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

/** What a run says that made a shrunk point, or found it made. */
export function shrinkWords(point: PointName, { figures, before }: Shrink): string {
  return (
    `PartiallyFailed: ${amount(figures)}, and ${before.point}, the good point before, has ${amount(before)}: less than ` +
    `half; snapshot ${point.id.slice(0, 8)} is kept, marked '${shrunkTag}', and does not count as good; if the source may ` +
    `be smaller, set allowShrink to '${whenOf(point)}', else mend it and ask for another point with a new trigger`
  );
}

const amount = ({ filesTotal, bytesTotal }: Figures): string =>
  `${count(filesTotal, "file")} of ${count(bytesTotal, "byte")}`;
