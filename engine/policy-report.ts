import type { EngineEvent, PolicyEvent, PolicyPackEvent } from "./events";
import { nameOf, typeOf } from "./urn";

const subjectOf = ({ urn }: PolicyEvent): string => `(${typeOf(urn)}: ${nameOf(urn)})`;

/** What the policy packs of a run found, in the words and order of the Pulumi CLI; nothing without packs. */
export function policyLines(events: EngineEvent[], showRemediations: boolean): string[] {
  const packs = events.filter((event): event is PolicyPackEvent => event.type === "policy-pack");
  const found = events.filter((event): event is PolicyEvent => event.type === "policy");
  const lines = packs.length > 0 ? ["", "Policies:"] : [];
  const keyOf = (name: string, version: string) => `${name}@v${version.replace(/^v/, "")}`;
  const shown = new Set<string>();
  for (const { name, version, location } of packs) {
    const key = keyOf(name, version);
    if (shown.has(key)) continue;
    shown.add(key);
    const own = found.filter(event => keyOf(event.pack, event.version) === key);
    lines.push(`  ${verdict(own)} ${key} (local: ${location})`);
    const remediations = own.filter(event => event.enforcement === "remediate");
    lines.push(...remediationLines(remediations, showRemediations));
    for (const event of own.filter(event => event.enforcement !== "remediate"))
      lines.push(...violationLines(event));
  }
  return lines;
}

function verdict(found: PolicyEvent[]): string {
  if (found.some(event => event.enforcement === "mandatory")) return "❌";
  return found.some(event => event.enforcement === "advisory") ? "⚠️" : "✅";
}

function violationLines(event: PolicyEvent): string[] {
  const severity = event.severity ? ` [severity: ${event.severity}]` : "";
  return [
    `      - [${event.enforcement}]${severity}  ${event.policy}  ${subjectOf(event)}`,
    ...event.message
      .trimEnd()
      .split("\n")
      .map(line => `        ${line}`),
  ];
}

function remediationLines(found: PolicyEvent[], showEach: boolean): string[] {
  if (showEach)
    return found.map(event => {
      const marks = { add: "+", delete: "-", update: "~" } as const;
      const changed = Object.entries(event.diff ?? {}).map(([key, change]) => `${marks[change]}${key}`);
      return `      - [remediate]  ${event.policy}  ${subjectOf(event)} [diff: ${changed.join(",")}]`;
    });
  const counts = new Map<string, number>();
  for (const { policy } of found) counts.set(policy, (counts.get(policy) ?? 0) + 1);
  return [...counts].map(
    ([policy, count]) => `      - [remediate]  ${policy}  (${count} resource${count === 1 ? "" : "s"})`,
  );
}
