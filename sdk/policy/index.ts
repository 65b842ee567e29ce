import { deletionProtection } from "./deletion-protection";
import { retentionMinimum } from "./retention-minimum";
import { retentionRuleRequired } from "./retention-rule-required";
import { rpoMaximum } from "./rpo-maximum";

export { deletionProtection, retentionMinimum, retentionRuleRequired, rpoMaximum };

/** All policies, for a pack of one line: `new PolicyPack("openstack-backup", { policies })`. */
export const policies = [retentionMinimum, retentionRuleRequired, rpoMaximum, deletionProtection];
