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
  if (typeof until !== "string" || !/^\d{4}-\d\d-\d\d$/.test(until) || Number.isNaN(Date.parse(until)))
    return `says ${optOutKeys.none}: none without ${optOutKeys.until}, a day such as 2027-03-31`;
  if (until < now.toISOString().slice(0, 10)) return `was left out of backups until ${until} (${reason})`;
  return { reason, until };
}
