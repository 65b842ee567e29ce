/** A control of a framework that an auditor asks for. */
export interface Control {
  name: string;
  version: string;
  reference: string;
  /** What it is about, in our words. */
  specification: string;
}

const iso = (reference: string, specification: string): Control => ({
  name: "ISO/IEC 27001",
  version: "2022",
  reference,
  specification,
});
const nis2: Control = {
  name: "NIS2",
  version: "2022/2555",
  reference: "Art. 21(2)(c)",
  specification: "business continuity: backup management and disaster recovery",
};
const dora = (reference: string, specification: string): Control => ({
  name: "DORA",
  version: "2022/2554",
  reference,
  specification,
});
const soc2 = (reference: string, specification: string): Control => ({
  name: "SOC 2",
  version: "TSC 2017",
  reference,
  specification,
});

const backup = iso("A.8.13", "backup copies are maintained and regularly tested");
const scopeAndFrequency = dora("Art. 12(1)(a)", "scope and least frequency of backups, by criticality");
const backupProcesses = soc2("A1.2", "backup processes and recovery infrastructure");

/** The controls that a policy helps to meet, the first one as its `framework`. None of them is met by a policy alone. */
export const controls = {
  "retention-minimum": [backup, nis2, scopeAndFrequency, backupProcesses],
  "retention-maximum": [
    iso("A.8.10", "information no longer required is deleted"),
    { name: "GDPR", version: "2016/679", reference: "Art. 5(1)(e)", specification: "storage limitation" },
  ],
  "retention-rule-required": [backup, scopeAndFrequency, backupProcesses],
  "rpo-maximum": [backup, nis2, scopeAndFrequency, backupProcesses],
  "offsite-copy-required": [
    backup,
    nis2,
    dora("Art. 12(3)", "restoring by systems segregated from the source"),
    backupProcesses,
  ],
  "repository-encrypted-and-private": [backup, iso("A.8.24", "use of cryptography"), backupProcesses],
  "repository-allow-list": [iso("A.5.23", "use of cloud services"), backup],
  "immutability-required": [backup, nis2, backupProcesses],
  "no-plaintext-secrets": [iso("A.5.17", "authentication information"), backup],
  "deletion-protection": [backup, nis2, backupProcesses],
  "required-metadata": [iso("A.5.9", "inventory of information and its owners")],
  "restore-tested": [
    backup,
    nis2,
    dora("Art. 12(2)", "backup and restoration procedures are tested periodically"),
    soc2("A1.3", "recovery procedures are tested"),
  ],
  coverage: [backup, nis2, scopeAndFrequency, backupProcesses],
  "snapshot-count-limit": [backup],
  "temporary-volume-cleanup": [iso("A.8.10", "information no longer required is deleted")],
  "schedule-spread": [iso("A.8.6", "capacity management")],
} satisfies Record<string, readonly Control[]>;

export type PolicyName = keyof typeof controls;
