import type { RunResult } from "./engine";
import type { EngineEvent, LogEvent, Op, StepEvent } from "./events";
import { policyLines } from "./policy-report";
import { containsUnknown, equal, isSecret, type Properties, type Value, withoutSecrets } from "./property";

const marks: Record<Op, string> = {
  same: " ",
  create: "+",
  update: "~",
  delete: "-",
  replace: "+-",
  "create-replacement": "++",
  "delete-replaced": "--",
  refresh: "~",
  "remove-pending-replace": "-",
};
const changeMarks = { add: "+", delete: "-", update: "~" } as const;
const done: Partial<Record<Op, string>> = {
  create: "created",
  update: "updated",
  delete: "deleted",
  replace: "replaced",
  same: "unchanged",
};

/** Shorter texts are too common in ordinary lines to be taken for the secret. */
const SHORTEST_MASKED = 3;

/** Replaces known secrets in text. */
export class Mask {
  private readonly texts = new Set<string>();

  /** Adds a text that must not be shown. Each line of a longer one counts too. */
  add(text: string): void {
    for (const part of [text, ...text.split("\n")]) {
      if (part.trim().length >= SHORTEST_MASKED) this.texts.add(part.trim());
    }
  }

  /** The text with every secret in it replaced by `[secret]`. */
  apply(text: string): string {
    let masked = text;
    for (const secret of this.texts) {
      if (masked.includes(secret)) masked = masked.replaceAll(secret, "[secret]");
    }
    return masked;
  }
}

/** One line for a step: `+ <type>  <name>  create  [diff: ~slot]`; undefined when it is not for the user. */
export function stepLine(event: StepEvent): string | undefined {
  if (event.internal || event.type !== "step-end" || event.op === "same") return undefined;
  const op = event.op === "refresh" ? (event.result ?? "same") : event.op;
  if (event.op === "refresh" && op === "same") return undefined;
  const notes: string[] = [];
  const changed = Object.entries(event.diff ?? {}).map(([key, change]) => `${changeMarks[change]}${key}`);
  if (changed.length > 0) notes.push(`[diff: ${changed.join(",")}]`);
  if (event.retained) notes.push("[retain]");
  if (!event.ok) notes.push("**failed**");
  const words = [
    event.resourceType,
    event.name,
    event.op === "refresh" ? `refresh (${op})` : event.op,
    ...notes,
  ];
  return `${marks[op].padEnd(2)} ${words.join("  ")}`;
}

/** The rest of the report after the steps: policies, diagnostics, outputs, counts, duration. `mask` hides secrets in a text. */
export function summaryLines(
  result: RunResult,
  dryRun: boolean,
  mask: (text: string) => string,
  options: { remediations?: boolean } = {},
): string[] {
  const lines: string[] = policyLines(result.events, options.remediations === true).map(mask);
  if (result.diagnostics.length > 0) {
    lines.push("", "Diagnostics:");
    for (const event of result.diagnostics) lines.push(`  ${mask(diagnosticLine(event))}`);
  }
  const outputs = outputLines(result, mask);
  if (outputs.length > 0) lines.push("", "Outputs:", ...outputs.map(line => `  ${line}`));
  const { changes } = result;
  const counts = (Object.keys(done) as Op[])
    .filter(op => op !== "same" && changes[op])
    .map(op => (dryRun ? `${marks[op]} ${changes[op]} to ${op}` : `${marks[op]} ${changes[op]} ${done[op]}`));
  if (changes.same) counts.push(`${changes.same} unchanged`);
  if (counts.length > 0) lines.push("", `Resources: ${counts.join(", ")}`);
  lines.push("", `Duration: ${Math.max(1, Math.round(result.seconds))}s`);
  if (result.result === "cancelled")
    lines.push("", "Cancelled: what was running has finished, nothing else was started");
  return lines;
}

const diagnosticLine = (event: LogEvent): string => {
  const subject = event.urn ? `${event.urn.split("::").slice(2).join(" ")}: ` : "";
  return `${event.severity}: ${subject}${event.message.trimEnd().replaceAll("\n", "\n    ")}`;
};

function outputLines(result: RunResult, mask: (text: string) => string): string[] {
  const { outputs, outputsBefore } = result;
  const names = [...new Set([...Object.keys(outputs), ...Object.keys(outputsBefore)])].sort();
  const width = Math.max(0, ...names.map(name => name.length));
  return names.map(name => {
    const after = outputs[name];
    const before = outputsBefore[name];
    const mark = after === undefined ? "-" : before === undefined ? "+" : equal(before, after) ? " " : "~";
    return `${mark} ${name.padEnd(width)}: ${mask(showValue((after ?? before) as Value))}`;
  });
}

const showValue = (value: Value): string => {
  if (isSecret(value)) return "[secret]";
  if (containsUnknown(value)) return "[unknown]";
  return JSON.stringify(hideSecrets(value));
};

const hideSecrets = (value: Value): Value => {
  if (isSecret(value)) return "[secret]";
  if (Array.isArray(value)) return value.map(hideSecrets);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, hideSecrets(item)]));
};

/** Outputs as plain JSON, secrets shown or replaced by "[secret]". */
export const plainOutputs = (outputs: Properties, showSecrets: boolean): Properties =>
  showSecrets ? (withoutSecrets(outputs) as Properties) : (hideSecrets(outputs) as Properties);

/** Prints a run as it goes. */
export class Display {
  readonly mask = new Mask();

  constructor(
    private readonly print: (line: string) => void,
    private readonly options: { diff: boolean; json: boolean; remediations?: boolean },
  ) {}

  /** Shows one event if it is for the user. */
  show(event: EngineEvent): void {
    if (this.options.json) return;
    if (event.type === "log") {
      // Errors and warnings are listed at the end; a line of the program or provider is shown as it comes.
      const message = this.mask.apply(event.message.trimEnd());
      if (event.severity === "info" && message.trim() !== "") this.print(`   ${message}`);
      else if (event.severity === "warning") this.print(`   warning: ${message}`);
      return;
    }
    if (event.type === "pass")
      this.print(event.dryRun ? "Planning, for the policies to judge:" : "Updating:");
    if (event.type !== "step-begin" && event.type !== "step-end") return;
    const line = stepLine(event);
    if (line) this.print(line);
    if (line && this.options.diff) for (const detail of detailLines(event)) this.print(detail);
  }

  /** Shows how the run ended. */
  finish(result: RunResult, dryRun: boolean): void {
    if (this.options.json) {
      const { events, diagnostics, outputs, outputsBefore: _, ...summary } = result;
      const steps = events.filter(event => event.type === "step-end" && !event.internal);
      const document = {
        ...summary,
        steps,
        outputs: plainOutputs(outputs, false),
        diagnostics,
        policyPacks: events.filter(event => event.type === "policy-pack"),
        policies: events.filter(event => event.type === "policy"),
        log: events.filter(event => event.type === "log"),
      };
      const masked = (_key: string, value: unknown) =>
        typeof value === "string" ? this.mask.apply(value) : value;
      this.print(JSON.stringify(document, masked, 2));
      return;
    }
    const mask = (text: string) => this.mask.apply(text);
    for (const line of summaryLines(result, dryRun, mask, this.options)) this.print(line);
  }
}

/** Under a step with --diff: one line per input that changes. */
function detailLines(event: StepEvent): string[] {
  const forced = new Set(event.replaceKeys);
  return Object.entries(event.diff ?? {}).map(
    ([key, change]) =>
      `      ${changeMarks[change]} ${key}${forced.has(key) ? "  (forces replacement)" : ""}`,
  );
}
