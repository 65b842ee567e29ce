/** That something needs no backup, as its own metadata say. */
export interface OptOut {
  reason: string;
  /** The last day on which it holds, as YYYY-MM-DD. */
  until: string;
}

/** The metadata by which a volume or a server is left out of backups. */
export const optOutKeys = { none: "backup", reason: "backup-reason", until: "backup-until" } as const;

/**
 * Reads `backup: none` with its `backup-reason` and `backup-until`: left out for ever, or without a why, is not left out.
 *
 * @returns undefined where nothing is opted out, or in words why that does not count
 */
export function optOutOf(
  metadata: Readonly<Record<string, unknown>>,
  now: Date,
): OptOut | string | undefined {
  if (metadata[optOutKeys.none] !== "none") return undefined;
  const [reason, until] = [metadata[optOutKeys.reason], metadata[optOutKeys.until]];
  if (typeof reason !== "string" || reason.trim() === "")
    return `says ${optOutKeys.none}: none without ${optOutKeys.reason}`;
  if (typeof until !== "string" || until === "")
    return `says ${optOutKeys.none}: none without ${optOutKeys.until}, a day such as 2027-03-31`;
  if (!isDay(until)) return `has ${optOutKeys.until} "${until}", which is no day such as 2027-03-31`;
  if (until < now.toISOString().slice(0, 10)) return `was left out of backups until ${until} (${reason})`;
  return { reason, until };
}

function isDay(text: string): boolean {
  const time = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(text) : Number.NaN;
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}

/** The owner whose restore a volume still is, by its mark: it is the stack's, and no data of its own. */
export const restoreOf = (metadata: Readonly<Record<string, unknown>>): string | undefined =>
  metadata["osbackup-role"] === "restored" && metadata["osbackup-restore-state"] !== "kept"
    ? String(metadata["osbackup-owner"])
    : undefined;
