import type { ResourceValidationPolicy, StackValidationPolicy } from "@pulumi/policy";
import { type Control, controls, policies } from "../sdk/policy";
import { type Examined, examine, examineStack, type InStack } from "../tests/sdk/policy/examine";

type Name = keyof typeof controls;

const snapshot = (props: object): InStack => ({
  name: "db-snapshot",
  props: {
    owner: "shop/prod/db-snapshot",
    volumeId: "v1",
    schedule: "daily",
    retention: { keepLast: 7 },
    metadata: { tier: "gold" },
    ...props,
  },
});
const repository = (props: object): Examined => ({
  type: "ResticRepository",
  name: "store",
  props: { ...props },
});

/** What each policy says of a stack that breaks it: said by the policy itself when the page is made. */
const samples: Record<Name, { stack: InStack[] } | { resource: Examined }> = {
  "retention-minimum": { stack: [snapshot({ schedule: "4@0,6,12,18", retention: { keepLast: 8 } })] },
  "retention-maximum": { stack: [snapshot({ retention: { keepDaily: 500 } })] },
  "retention-rule-required": { resource: { type: "ResticBackup", name: "db-backup", props: {} } },
  "rpo-maximum": { resource: { name: "db-snapshot", props: { schedule: "7@mon-fri" } } },
  "offsite-copy-required": { stack: [snapshot({})] },
  "repository-encrypted-and-private": { resource: repository({ url: "rest:http://10.0.0.5:8000/shop" }) },
  "repository-allow-list": {
    resource: {
      ...repository({ url: "s3:https://s3.example.net/shop" }),
      config: { hosts: ["*.example.com"] },
    },
  },
  "immutability-required": { stack: [snapshot({})] },
  "no-plaintext-secrets": {
    resource: { name: "db-snapshot", props: { metadata: { note: "password: tr0ub4dor" } } },
  },
  "deletion-protection": { resource: { name: "db-snapshot", props: { metadata: { tier: "gold" } } } },
  "required-metadata": {
    resource: { name: "db-snapshot", props: {}, config: { keys: ["owner", "cost-center"] } },
  },
  "restore-tested": { stack: [snapshot({})] },
  coverage: {
    stack: [{ type: "openstack:blockstorage/volume:Volume", name: "scratch", props: { id: "v9" } }],
  },
  "snapshot-count-limit": { stack: [snapshot({ schedule: "hourly", retention: { keepForDays: 14 } })] },
  "temporary-volume-cleanup": {
    resource: { type: "TemporaryVolume", name: "db-volume", props: { expiresAfterSeconds: 1_209_600 } },
  },
  "schedule-spread": {
    stack: Array.from({ length: 21 }, (_, place) => ({
      ...snapshot({ volumeId: `v${place}`, schedule: "30 2 * * *" }),
      name: `db${place}`,
    })),
  },
};

/** The part of docs/policies.md that follows from the policies. */
export function policiesText(): string {
  return [
    ...policies.flatMap(policy => sectionOf(policy)),
    "## Control map",
    "",
    "What an auditor asks for, and which policies help to show it. None meets a control alone.",
    "",
    "| Framework | Control | About | Policies |",
    "|---|---|---|---|",
    ...controlRows(),
    "",
  ].join("\n");
}

function sectionOf(policy: (typeof policies)[number]): string[] {
  const { name, displayName, description, enforcementLevel, severity, remediationSteps, configSchema } =
    policy;
  const settings = Object.entries(configSchema?.properties ?? {}).map(
    ([key, schema]) =>
      `| \`${key}\` | \`${JSON.stringify(schema.default)}\` | ${schema.description?.replaceAll("|", "\\|")} |`,
  );
  const kind = "validateStack" in policy ? "all resources of the stack together" : "each resource by itself";
  return [
    `## ${name}`,
    "",
    `${displayName}. ${description} Level ${enforcementLevel}, severity ${severity}; looks at ${kind}.`,
    "",
    `    ${exampleOf(policy, samples[name])}`,
    "",
    `**Remedy.** ${remediationSteps}`,
    "",
    ...(settings.length > 0 ? ["| Setting | Default | |", "|---|---|---|", ...settings, ""] : []),
    `**Controls.** ${controls[name].map(shown).join(" · ")}`,
    "",
  ];
}

function exampleOf(
  policy: ResourceValidationPolicy | StackValidationPolicy,
  sample: (typeof samples)[Name],
): string {
  const found =
    "stack" in sample
      ? examineStack(policy as StackValidationPolicy, sample.stack).map(([message]) => message)
      : examine(policy as ResourceValidationPolicy, sample.resource);
  const [message] = found;
  if (message === undefined) throw new Error(`the sample of policy ${policy.name} breaks no rule`);
  // the day on which the page was made
  return message.replace(/\d{4}-\d\d-\d\dT(\d\d:\d\d)Z/, "2026-12-01T$1Z");
}

const shown = ({ name, reference }: Control): string => `${name} ${reference}`;

function controlRows(): string[] {
  const rows = new Map<string, { control: Control; names: string[] }>();
  for (const [name, met] of Object.entries(controls))
    for (const control of met) {
      const row = rows.get(shown(control)) ?? { control, names: [] };
      row.names.push(`[${name}](#${name})`);
      rows.set(shown(control), row);
    }
  return [...rows.values()]
    .sort((one, other) => shown(one.control).localeCompare(shown(other.control)))
    .map(
      ({ control: { name, version, reference, specification }, names }) =>
        `| ${name} ${version} | ${reference} | ${specification} | ${names.join(", ")} |`,
    );
}

/** The configuration of the example, with every setting at its default. */
export function policyConfigText(): string {
  const settings = policies.map(({ name, configSchema, enforcementLevel }) => {
    const properties = Object.entries(configSchema?.properties ?? {});
    const defaults = properties.map(([key, schema]) => [key, schema.default]);
    return [name, properties.length > 0 ? Object.fromEntries(defaults) : enforcementLevel];
  });
  return `${JSON.stringify(Object.fromEntries(settings), null, 2)}\n`;
}
