import { configuredFor } from "./configured";
import { coverage } from "./coverage";
import { deletionProtection } from "./deletion-protection";
import { immutabilityRequired } from "./immutability-required";
import { noPlaintextSecrets } from "./no-plaintext-secrets";
import { offsiteCopyRequired } from "./offsite-copy-required";
import { repositoryAllowList } from "./repository-allow-list";
import { repositoryEncryptedAndPrivate } from "./repository-encrypted-and-private";
import { requiredMetadata } from "./required-metadata";
import { restoreTested } from "./restore-tested";
import { retentionMaximum } from "./retention-maximum";
import { retentionMinimum } from "./retention-minimum";
import { retentionRuleRequired } from "./retention-rule-required";
import { rpoMaximum } from "./rpo-maximum";
import { scheduleSpread } from "./schedule-spread";
import { snapshotCountLimit } from "./snapshot-count-limit";
import { temporaryVolumeCleanup } from "./temporary-volume-cleanup";

export type { PolicySettings } from "./configured";
export { type Control, controls } from "./controls";
export {
  coverage,
  deletionProtection,
  immutabilityRequired,
  noPlaintextSecrets,
  offsiteCopyRequired,
  repositoryAllowList,
  repositoryEncryptedAndPrivate,
  requiredMetadata,
  restoreTested,
  retentionMaximum,
  retentionMinimum,
  retentionRuleRequired,
  rpoMaximum,
  scheduleSpread,
  snapshotCountLimit,
  temporaryVolumeCleanup,
};

/** All policies, for a pack of one line: `new PolicyPack("openstack-backup", { policies })`. */
export const policies = [
  retentionMinimum,
  retentionMaximum,
  retentionRuleRequired,
  rpoMaximum,
  offsiteCopyRequired,
  repositoryEncryptedAndPrivate,
  repositoryAllowList,
  immutabilityRequired,
  noPlaintextSecrets,
  deletionProtection,
  requiredMetadata,
  restoreTested,
  coverage,
  snapshotCountLimit,
  temporaryVolumeCleanup,
  scheduleSpread,
];

/**
 * Levels and settings for `policies`, as the third argument of `new PolicyPack`:
 * `configured({ "retention-minimum": { minDays: 30 }, "restore-tested": "mandatory" })`.
 *
 * @throws where a policy or a setting of one does not exist, with the nearest one
 */
export const configured = configuredFor(policies);
