import { checkTag } from "../backup";
import { ResticError } from "../errors";
import { parseJson } from "../messages";
import type { Place } from "../place";
import { readSeconds } from "../restic";
import type { Finished } from "../run";

/** A snapshot as the repository lists it. */
export interface ResticSnapshot {
  id: string;
  shortId: string;
  time: Date;
  hostname: string;
  paths: string[];
  tags: string[];
  /** the id before restic copied or re-tagged it */
  original?: string;
  parent?: string;
  tree: string;
  /** the counts of the backup; from restic 0.17 */
  summary?: Record<string, unknown>;
}

/** What can be asked of a listing; all that is given must match. */
export interface SnapshotFilter {
  tags?: string[] | undefined;
  host?: string | undefined;
  /** full or short */
  ids?: string[] | undefined;
  signal?: AbortSignal | undefined;
}

/** The snapshots that match, oldest first. */
export async function snapshots(place: Place, filter: SnapshotFilter = {}): Promise<ResticSnapshot[]> {
  const args = ["snapshots", "--json", "--no-lock"];
  if (filter.tags?.length) {
    for (const tag of filter.tags) checkTag(tag);
    args.push(`--tag=${filter.tags.join(",")}`);
  }
  if (filter.host !== undefined) args.push(`--host=${filter.host}`);
  const listed = await list(place, args, filter.signal);
  return listed.filter(
    snapshot =>
      (filter.tags ?? []).every(tag => snapshot.tags.includes(tag)) &&
      (filter.host === undefined || snapshot.hostname === filter.host) &&
      (filter.ids === undefined || filter.ids.some(id => snapshot.id.startsWith(id))),
  );
}

/** The snapshots that restic lists with these arguments. */
export async function list(
  place: Place,
  args: string[],
  signal: AbortSignal | undefined,
): Promise<ResticSnapshot[]> {
  const doing = `listing the snapshots of ${place.url}`;
  for (let attempt = 1; ; attempt += 1) {
    const finished = await place.restic.once({
      doing,
      arguments: args,
      signal,
      timeoutSeconds: readSeconds,
    });
    // below 0.17 a listing that failed half-way, or met a snapshot being forgotten, ends with success and a warning
    const warning = finished.stderr.find(line => /could not load snapshot/.test(line));
    if (warning === undefined) return parseSnapshots(finished, doing);
    if (attempt === 3) throw new ResticError("failed", `${doing}: ${place.restic.clean(warning)}`);
  }
}

function parseSnapshots(finished: Finished, doing: string): ResticSnapshot[] {
  const rows = (parseJson(finished.stdout, doing) ?? []) as Record<string, unknown>[];
  return rows
    .map(row => {
      const snapshot: ResticSnapshot = {
        id: String(row.id),
        shortId: String(row.short_id ?? String(row.id).slice(0, 8)),
        time: new Date(String(row.time)),
        hostname: String(row.hostname ?? ""),
        paths: stringsOf(row.paths),
        tags: stringsOf(row.tags),
        tree: String(row.tree ?? ""),
      };
      if (typeof row.original === "string") snapshot.original = row.original;
      if (typeof row.parent === "string") snapshot.parent = row.parent;
      if (typeof row.summary === "object" && row.summary !== null)
        snapshot.summary = row.summary as Record<string, unknown>;
      return snapshot;
    })
    .sort((a, b) => a.time.getTime() - b.time.getTime());
}

function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
