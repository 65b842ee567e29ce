import { execFileSync } from "node:child_process";
import { cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import type { Benchmark, Row } from "./benchmark";
import { create } from "./create";
import { kubernetes } from "./kubernetes";
import { noOpUp } from "./no-op-up";
import { providerMemory } from "./provider-memory";
import { record, table } from "./report";
import { resticBackup } from "./restic-backup";
import { closeLargeStacks } from "./sets";
import { slot } from "./slot";
import { findEngine } from "./stack";
import { startUp } from "./start-up";
import { stateSize } from "./state-size";

const benchmarks: Benchmark[] = [
  create,
  noOpUp,
  stateSize,
  providerMemory,
  resticBackup,
  slot,
  startUp,
  kubernetes,
];
const usage = `usage: npm run bench -- [--only <name>]... [--no-record]

  --only       one of ${benchmarks.map(({ name }) => name).join(", ")}; may be given more than once
  --no-record  leave docs/benchmarks.md as it is

A section of docs/benchmarks.md is written where all of its benchmarks have run.`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: "string", multiple: true },
      "no-record": { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const wrong = values.only?.find(name => !benchmarks.some(one => one.name === name));
  if (wrong !== undefined) {
    console.error(`no benchmark '${wrong}'\n${usage}`);
    return 2;
  }
  const isChosen = ({ name }: Benchmark) => values.only?.includes(name) ?? true;
  const sections = new Map<string, Row[]>();
  try {
    for (const benchmark of benchmarks.filter(isChosen)) {
      const rows = await benchmark.run(line => console.error(`${benchmark.name}: ${line}`));
      const section = sectionOf(benchmark);
      sections.set(section, [...(sections.get(section) ?? []), ...rows]);
    }
  } finally {
    await closeLargeStacks();
  }
  const rows = [...sections.values()].flat();
  console.log(`${machine()}\n\n${table(rows)}`);
  for (const [section, own] of values["no-record"] ? [] : sections) {
    const members = benchmarks.filter(one => sectionOf(one) === section);
    const command = section === "bench" ? "npm run bench" : `npm run bench -- --only ${section}`;
    if (members.every(isChosen)) record(section, command, machine(), table(own));
  }
  return rows.some(({ met }) => met === false) ? 1 : 0;
}

const sectionOf = ({ section = "bench" }: Benchmark): string => section;

function machine(): string {
  const memory = Math.round(totalmem() / 2 ** 30);
  const restic = execFileSync("restic", ["version"], { encoding: "utf8" }).split(" ")[1];
  return `${cpus().length} cores, ${memory} GiB, Node ${process.versions.node}, engine ${findEngine().name}, restic ${restic}.`;
}

main().then(
  code => {
    process.exitCode = code;
  },
  error => {
    console.error(error);
    process.exitCode = 1;
  },
);
