import { createHash } from "node:crypto";

/** What a backup counted. */
export interface Figures {
  filesTotal: number;
  bytesTotal: number;
}

/** Shares, from 0 to 1, of the point before: its files that are gone or others, its bytes that new ones have taken the place of. */
export interface Change {
  files: number;
  bytes: number;
}

/** The figures in the summary that restic keeps in a snapshot from 0.17 on. */
export function figuresIn(summary: Record<string, unknown> | undefined): Figures | undefined {
  const { total_files_processed: filesTotal, total_bytes_processed: bytesTotal } = summary ?? {};
  return typeof filesTotal === "number" && typeof bytesTotal === "number"
    ? { filesTotal, bytesTotal }
    : undefined;
}

/** What of a volume is backed up: figures of two selections say nothing of each other. */
export interface Selection {
  paths: readonly string[];
  exclude: readonly string[];
}

/** The tag that says what of the volume a point has. */
export function selectionTag({ paths, exclude }: Selection): string {
  const text = JSON.stringify([[...paths].sort(), [...exclude].sort()]);
  return `selection=${createHash("sha256").update(text).digest("hex").slice(0, 8)}`;
}

/** The value of a tag "key=value". */
export const tagValue = (tags: readonly string[], key: string): string | undefined =>
  tags.find(tag => tag.startsWith(`${key}=`))?.slice(key.length + 1);
