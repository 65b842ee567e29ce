import type { SelectedServers } from "./snapshot-schedule";

/** Spellings of yes, as people set them by hand and tools by program. */
const yes = ["true", "True", "TRUE", "yes", "1"];

const tagged = (key: string, values: readonly string[], sets: Record<string, string>): SelectedServers[] =>
  values.map(value => ({ where: { metadata: { [key]: value } }, sets }));

/**
 * Metadata by which servers are tagged for other schedulers already, and how many points those keep: for the `servers` of a
 * SnapshotSchedule. Each may be given other sets: `autoSnapshot({ nightly: "14@mon-sun@3" })`.
 */
export const conventions = {
  /** Openstack-Automatic-Snapshot: the server's property `autoSnapshot`. Default: daily at 02:00, the last 7. */
  autoSnapshot: (sets: Record<string, string> = { daily: "7@mon-sun@2" }): SelectedServers[] =>
    tagged("autoSnapshot", yes, sets),
  /** TransIP: `provider_backup` is "daily" or "weekly", the last 4 stay. */
  providerBackup: (): SelectedServers[] => [
    ...tagged("provider_backup", ["daily"], { daily: "4@mon-sun@2" }),
    ...tagged("provider_backup", ["weekly"], { weekly: "4@sun@2" }),
  ],
  /** Staffeln: `__staffeln_backup`. Default: daily at 02:00, the last 7; its own `__staffeln_retention` is not read. */
  staffeln: (sets: Record<string, string> = { daily: "7@mon-sun@2" }): SelectedServers[] =>
    tagged("__staffeln_backup", yes, sets),
};
