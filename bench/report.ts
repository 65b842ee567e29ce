import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Row } from "./benchmark";

const page = path.resolve(__dirname, "../docs/benchmarks.md");

/** The rows as a table in Markdown. */
export function table(rows: readonly Row[]): string {
  return [
    "| What | Measured | Bar | | |",
    "|---|---|---|---|---|",
    ...rows.map(({ what, measured, bar, met, note }) => {
      const verdict = met === undefined ? "" : met ? "met" : "**missed**";
      return `| ${[what, measured, bar, verdict, note ?? ""].join(" | ")} |`;
    }),
  ].join("\n");
}

/** Writes a table between the markers of its command in docs/benchmarks.md. */
export function record(name: string, command: string, machine: string, text: string): void {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const before = readFileSync(page, "utf8");
  const from = before.indexOf(begin);
  const to = before.indexOf(end);
  if (from < 0 || to < from) throw new Error(`recording into ${page}: it has no markers ${begin} and ${end}`);
  const date = new Date().toISOString().slice(0, 10);
  const made = `${begin}\n\`${command}\` on ${date}: ${machine}\n\n${text}\n`;
  writeFileSync(page, before.slice(0, from) + made + before.slice(to));
}
