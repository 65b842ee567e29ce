import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, startDevcloud } from "../devcloud";
import { BenchStack, findEngine, type Measured } from "./stack";

/** How many resources the large stacks have. */
export const count = Number(process.env.BENCH_SETS ?? 1000);
/** How long the cloud takes for each answer, and to settle a snapshot. */
export const apiDelayMs = 20;
export const settleMs = 20;

/** A request that the cloud answered, instants in milliseconds since 1970. */
export interface Asked {
  method: string;
  path: string;
  from: number;
  to: number;
}

/** The stack of a thousand sets and the one of a thousand empty resources, both just created. */
export interface LargeStacks {
  cloud: Devcloud;
  sets: BenchStack;
  empty: BenchStack;
  created: Measured;
  /** Requests of the creation. */
  asked: Asked[];
  /** When a call of the provider was under way during the creation. */
  working: Span[];
}

/** From and to, in milliseconds since 1970. */
export type Span = [from: number, to: number];

let stacks: Promise<LargeStacks> | undefined;

/** Made once, for every benchmark that needs them; removed when the process ends. */
export function largeStacks(log: (line: string) => void): Promise<LargeStacks> {
  stacks ??= make(log);
  return stacks;
}

async function make(log: (line: string) => void): Promise<LargeStacks> {
  const directory = mkdtempSync(path.join(tmpdir(), "osbackup-bench-"));
  const cloud = await startDevcloud({ apiDelayMs, statusDelayMs: settleMs });
  closing.push(async () => {
    await cloud.stop();
    rmSync(directory, { recursive: true, force: true });
  });
  const volumes: string[] = [];
  for (let index = 0; index < count; index++)
    volumes.push((await cloud.addVolume({ name: `volume-${index}`, sizeGib: 1, sizeBytes: 4096 })).id);

  const engine = findEngine();
  const calls = path.join(directory, "calls");
  const common = { OSBACKUP_NOW: "2026-11-21T12:00:00Z" };
  for (const name of ["sets", "empty"]) mkdirSync(path.join(directory, name));
  const sets = new BenchStack(engine, path.join(directory, "sets"), "sets", {
    ...cloud.environment,
    ...common,
    NODE_OPTIONS: `--require ${path.join(__dirname, "probe.cjs")}`,
    BENCH_CALLS: calls,
  });
  writeFileSync(path.join(sets.directory, "volumes.json"), JSON.stringify(volumes));
  const empty = new BenchStack(engine, path.join(directory, "empty"), "empty", {
    ...common,
    BENCH_COUNT: String(count),
  });

  log(`creating ${count} sets on ${engine.name}`);
  cloud.requests.length = 0;
  const created = await sets.up({ skipCheckpoints: true });
  const asked = requestsOf(cloud);
  const working = readFileSync(calls, "utf8")
    .trim()
    .split("\n")
    .map(line => line.split(" ").map(Number) as Span);
  sets.withoutProbe();
  log(`creating ${count} empty resources`);
  await empty.up({ skipCheckpoints: true });
  return { cloud, sets, empty, created, asked, working };
}

/** The requests since the list was emptied. */
export function requestsOf(cloud: Devcloud): Asked[] {
  return cloud.requests.map(({ method, path: asked, at, durationMs }) => ({
    method,
    path: asked,
    from: at,
    to: at + durationMs,
  }));
}

/** Whether a request reads a page of a listing. */
export function isListing({ method, path: asked }: Asked): boolean {
  return method === "GET" && /\/(snapshots|volumes)\/detail(\?|$)/.test(asked);
}

const closing: (() => Promise<void>)[] = [];

/** Ends what `largeStacks` started. */
export async function closeLargeStacks(): Promise<void> {
  for (const close of closing.splice(0)) await close();
}
