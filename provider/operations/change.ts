import { type Change, type Figures, tagValue } from "./figures";
import type { ResticPoint } from "./restic-set";
import { isCovered, type Until } from "./until";
import { describePoint, whenOf } from "./words";

/** Of so many backups a set's history must know before one is called unusual: a new set has yet to find its form. */
const leastRuns = 5;

/** Below this share of files or bytes no change is unusual: what is left untouched is most of the set. */
const leastShare = 0.5;

/** A change is unusual that is more than so many times the largest before. */
const timesLargest = 10;

/** Of a set that changes more than a twentieth at a time ten times that is no measure: nearly all of it must change. */
const nearlyAll = 0.9;

/** A set that has changed so much at a time has no form that a change could be far beyond. */
const restless = 0.3;

/**
 * Of files that are others without this share of new bytes only names, owners or times have changed, as in a rotation
 * of logs: whoever encrypts a file writes new bytes.
 */
const leastBytes = 0.1;

/** What a backup counted, against the one before. */
export interface Counted extends Figures {
  filesUnmodified: number;
  /** New data, before compression. */
  bytesAdded: number;
}

/** What a set has shown so far: how many backups were compared, and the largest change of this half-year and the one before. */
export interface History {
  runs: number;
  largest: readonly (Change & { half: string })[];
}

/**
 * Of files that are smaller than this on average restic's own record of them, some 300 bytes a file, is as much as what is
 * in them, and is new in each backup.
 */
const leastFileBytes = 2048;

/**
 * How much of a point is not in the next one. What a source has grown by is no change of what was there. Of very small
 * files the bytes tell nothing, and the files stand for them.
 */
export function changeOf(counted: Counted, before: Figures): Change {
  const share = (part: number, whole: number) => (whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0);
  const grownBy = Math.max(0, counted.bytesTotal - before.bytesTotal);
  const files = share(before.filesTotal - counted.filesUnmodified, before.filesTotal);
  const isOfSmallFiles = before.bytesTotal < leastFileBytes * before.filesTotal;
  return { files, bytes: isOfSmallFiles ? files : share(counted.bytesAdded - grownBy, before.bytesTotal) };
}

/** Whether a change is far beyond what a set has shown so far. */
export function isUnusual(change: Change, history: History | undefined): boolean {
  if (!history || history.runs < leastRuns) return false;
  const largest = largestOf(history);
  const isBeyond = (key: keyof Change) =>
    largest[key] < restless &&
    change[key] >= leastShare &&
    change[key] > Math.min(timesLargest * largest[key], nearlyAll);
  return (
    isBeyond("bytes") || (isBeyond("files") && change.bytes >= leastBytes && change.bytes > largest.bytes)
  );
}

/** The largest shares of a history. */
const largestOf = ({ largest }: History): Change => ({
  files: Math.max(0, ...largest.map(({ files }) => files)),
  bytes: Math.max(0, ...largest.map(({ bytes }) => bytes)),
});

/** The history with one more change, of a backup of that time. */
export function withChange(history: History | undefined, change: Change, time: Date): History {
  const half = `${time.getUTCFullYear()}H${time.getUTCMonth() < 6 ? 1 : 2}`;
  const { runs, largest } = history ?? { runs: 0, largest: [] };
  const now = largest.find(known => known.half === half);
  return {
    runs: runs + 1,
    largest: [
      {
        half,
        files: Math.max(change.files, now?.files ?? 0),
        bytes: Math.max(change.bytes, now?.bytes ?? 0),
      },
      ...largest.filter(known => known.half !== half && known.half === halfBefore(half)),
    ],
  };
}

function halfBefore(half: string): string {
  const year = Number(half.slice(0, 4));
  return half.endsWith("2") ? `${year}H1` : `${year - 1}H2`;
}

/** The tag of a point that has the history of its set up to the point before: it is known before the backup is made. */
export function historyTag({ runs, largest }: History): string {
  const thousandths = (share: number) => Math.ceil(Math.round(share * 1e6) / 1e3);
  const parts = largest.map(
    ({ half, files, bytes }) => `${half}:${thousandths(files)}.${thousandths(bytes)}`,
  );
  return `history=${[runs, ...parts].join("/")}`;
}

/** The history in the tags of a point. */
export function historyIn(tags: readonly string[]): History | undefined {
  const [runs = "", ...parts] = (tagValue(tags, "history") ?? "").split("/");
  const largest = parts.map(part => /^(\d{4}H[12]):(\d+)\.(\d+)$/.exec(part));
  if (!/^\d+$/.test(runs) || largest.length === 0) return undefined;
  const known = largest.flatMap(found =>
    found
      ? [{ half: found[1] as string, files: Number(found[2]) / 1000, bytes: Number(found[3]) / 1000 }]
      : [],
  );
  return known.length === largest.length ? { runs: Number(runs), largest: known } : undefined;
}

/** The tag of a point whose change is unusual, in percent. */
export const unusualTag = ({ files, bytes }: Change): string =>
  `unusual-change=${percent(files)}/${percent(bytes)}`;

const percent = (share: number): number => Math.round(share * 100);

/** The unusual change that the tags of a point tell of. */
export function unusualIn(tags: readonly string[]): Change | undefined {
  const [files, bytes] = (tagValue(tags, "unusual-change") ?? "").split("/").map(Number);
  return files === undefined || bytes === undefined ? undefined : { files: files / 100, bytes: bytes / 100 };
}

/** The points with an unusual change that nobody has acknowledged, oldest first. */
export const unacknowledged = (
  points: readonly ResticPoint[],
  acknowledged: Until | undefined,
): ResticPoint[] =>
  points
    .filter(point => unusualIn(point.tags) && !isCovered(point, acknowledged))
    .sort((a, b) => a.time.getTime() - b.time.getTime());

/** What is said of such a point in each run and preview. */
export function unusualWords(point: ResticPoint): string {
  const { files, bytes } = unusualIn(point.tags) ?? { files: 0, bytes: 0 };
  const history = historyIn(point.tags);
  const largest = history && largestOf(history);
  const before = largest
    ? `, before that ${percent(largest.files)} % and ${percent(largest.bytes)} % at most`
    : "";
  return (
    `unusual change: against the point before, ${percent(files)} % of the files and ${percent(bytes)} % of the bytes of ` +
    `${describePoint(point)} are others${before}; no restic snapshot from before it is removed, the set's Cinder snapshots rotate on; see ` +
    `whether the data is whole, then set acknowledgeChange to '${whenOf(point)}'`
  );
}
