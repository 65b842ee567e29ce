/**
 * Compares our retention with the installed restic's on random points and policies:
 *   npx tsx scripts/retention-oracle.ts [cases] [seed]
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyRetention, type Point, type Retention } from "../provider/operations/retention";
import { goBack, wallAt } from "../provider/operations/time-zone";
import { password, writeSnapshotRepository } from "../tests/provider/operations/snapshot-repository";

export interface Comparison {
  /** Pairs of a list of points and a policy. */
  cases: number;
  /** What differed, with all that is needed to see it again. */
  mismatches: string[];
  /** Cases in which restic would have removed the newest point, which we never do. */
  newestRemoved: number;
  /** Points that restic from 0.16 on keeps only as the oldest of a rule that is not used up; we do not. */
  oldestKept: number;
  resticVersion: string;
}

const second = 1000;
const hour = 3600 * second;
const day = 24 * hour;
const lists = 20;
const policies = 10;
const zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"];

/** Runs at least `cases` comparisons. One call of restic weighs one policy on 20 lists, each being a host's. */
export function compareWithRestic(cases: number, seed: number): Comparison {
  const result: Comparison = {
    cases: 0,
    mismatches: [],
    newestRemoved: 0,
    oldestKept: 0,
    resticVersion: resticVersion(),
  };
  const random = mulberry32(seed);
  const root = mkdtempSync(join(tmpdir(), "retention-oracle-"));
  try {
    for (let round = 0; result.cases < cases; round++) {
      compareRound(join(root, String(round)), zones[round % zones.length] ?? "UTC", random, result);
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  return result;
}

function compareRound(directory: string, zone: string, random: Random, result: Comparison): void {
  const windows = Array.from({ length: 5 }, () => randomWindow(random));
  const points = Array.from({ length: lists }, (_, list) =>
    randomPoints(random, zone, windows).map(point => ({ ...point, list })),
  );
  const flat = points.flat();
  const ids = writeSnapshotRepository(
    directory,
    flat.map(({ time, tags, list }) => ({
      time: withOffset(time, zone),
      tags: [...tags],
      hostname: `host-${list}`,
    })),
  );
  const known = new Map(flat.map((point, index) => [ids[index] ?? "", point]));
  for (let policy = 0; policy < policies; policy++) {
    const retention = randomRetention(random, windows);
    for (const group of forget(directory, zone, retention)) {
      const list = points[Number(group.host.replace("host-", ""))] ?? [];
      compareList(zone, list, retention, group, known, result);
      result.cases++;
    }
  }
  rmSync(directory, { recursive: true });
}

function compareList(
  zone: string,
  list: Point[],
  retention: Retention,
  group: ForgetGroup,
  known: Map<string, Point>,
  result: Comparison,
): void {
  const newest = list.reduce((a, b) => (b.time > a.time ? b : a));
  const expected = new Map<string, string[]>();
  for (const { snapshot, matches } of group.reasons ?? []) {
    // restic has no id of its own in the snapshot of a reason; times are unique in a list.
    const point = list.find(({ time }) => time.getTime() === Date.parse(snapshot.time));
    if (!point) throw new Error(`restic answers with a snapshot of ${snapshot.time} that was not given`);
    // The first difference, restic 0.16 and newer: "oldest daily snapshot" and the like.
    const kinds = matches.filter(match => !match.startsWith("oldest ")).map(resticKind);
    if (kinds.length > 0) expected.set(point.id, unique(kinds));
    else result.oldestKept++;
  }
  for (const { id } of group.keep ?? []) {
    if (!known.has(id)) throw new Error(`restic keeps ${id}, which was not given`);
  }
  // The second difference: the newest point stays although no rule keeps it.
  if (!expected.has(newest.id)) {
    expected.set(newest.id, ["floor"]);
    result.newestRemoved++;
  }
  const { keep } = applyRetention(list, retention, { asOf: newest.time, timeZone: zone });
  const actual = new Map(keep.map(({ point, reasons }) => [point.id, unique(reasons.map(ourKind))]));
  const show = (decided: Map<string, string[]>) =>
    list
      .filter(({ id }) => decided.has(id))
      .map(({ id, time }) => `${time.toISOString()}: ${decided.get(id)?.join(", ")}`)
      .join("\n    ");
  if (show(actual) !== show(expected)) {
    const given = list.map(({ time, tags }) => `${time.toISOString()} ${tags?.join(",")}`).join("\n    ");
    result.mismatches.push(
      `${JSON.stringify(retention)} in ${zone}\n  of\n    ${given}\n  restic keeps\n    ${show(expected)}\n  we keep\n    ${show(actual)}`,
    );
  }
}

interface ForgetGroup {
  host: string;
  keep: { id: string }[] | null;
  reasons: { snapshot: { time: string }; matches: string[] }[] | null;
}

function forget(directory: string, zone: string, retention: Retention): ForgetGroup[] {
  const { status, stdout, stderr } = spawnSync(
    "restic",
    ["forget", "--dry-run", "--json", "--no-lock", "--no-cache", "--group-by", "host", ...flags(retention)],
    {
      encoding: "utf8",
      maxBuffer: 1 << 28,
      env: { PATH: process.env.PATH, TZ: zone, RESTIC_REPOSITORY: directory, RESTIC_PASSWORD: password },
    },
  );
  if (status !== 0) throw new Error(`restic forget ${flags(retention).join(" ")}: ${stderr}`);
  return JSON.parse(stdout.split("\n", 1)[0] ?? "[]");
}

function flags(retention: Retention): string[] {
  return Object.entries(retention).flatMap(([property, value]) => {
    if (property === "keepTags") return (value as string[]).flatMap(set => ["--keep-tag", set]);
    // A rule of ours alone; restic says the same in hours.
    if (property === "keepForDays") return ["--keep-within", `${value * 24}h`];
    return [`--${property.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`, String(value)];
  });
}

/** "last snapshot" → "last", "daily within 7d" → "daily within", "has tags [a b]" → "tag" */
function resticKind(match: string): string {
  return match
    .replace(/ snapshot$/, "")
    .replace(/^has tags.*/, "tag")
    .replace(/within .*/, "within");
}

/** "last 1 of 3" → "last", "daily 2026-11-22 within 7d" → "daily within", "tag a,b" → "tag" */
function ourKind(reason: string): string {
  if (reason === "newest good point") return "floor";
  const [first = ""] = reason.split(" ");
  return first !== "within" && reason.includes(" within ") ? `${first} within` : first;
}

function unique(kinds: string[]): string[] {
  return [...new Set(kinds)].sort();
}

interface Window {
  years: number;
  months: number;
  days: number;
  hours: number;
}

function randomWindow(random: Random): Window {
  const window = { years: random(4), months: random(15), days: random(40), hours: random(60) };
  for (const unit of ["years", "months", "days", "hours"] as const) if (random(2) === 0) window[unit] = 0;
  return Object.values(window).some(Boolean) ? window : { ...window, days: 1 + random(40) };
}

/** 1 to 30 points within up to 12 years: runs of equal steps, close ones, far ones and those at the ends of windows. */
function randomPoints(random: Random, zone: string, windows: Window[]): (Point & { tags: string[] })[] {
  const newest = Date.UTC(2010 + random(16), random(12), 1 + random(31), random(24), random(4) * 15);
  const steps = [hour / 2, hour, 6 * hour, day, 7 * day, 30 * day, 365 * day];
  const step = steps[random(steps.length)] ?? day;
  const times = new Set([newest]);
  const count = random(30);
  let time = newest;
  while (times.size <= count) {
    const jump = random(8);
    if (jump === 0) time -= random(400) * day;
    else if (jump === 1) time -= random(7200) * second;
    else if (jump > 2) time -= step;
    if (newest - time > 12 * 365 * day) time = newest - random(90 * 24) * hour;
    const window = windows[random(windows.length)];
    const nearEnd = [0, second, -second, hour, -hour, hour / 2][random(6)] ?? 0;
    const end = window ? Math.min(newest, goBack(zone, newest, window) + nearEnd) : time;
    times.add(jump === 2 ? end : time);
  }
  return [...times].map((at, index) => ({
    id: String(index),
    time: new Date(at),
    good: true,
    tags: ["a", "b"].filter(() => random(4) === 0),
  }));
}

function randomRetention(random: Random, windows: Window[]): Retention {
  const tags = [["a"], ["b"], ["a,b"], ["a", "b"], ["c"]][random(5)];
  if (random(20) === 0) return { keepTags: tags };
  const retention: Retention = {};
  const rare = () => random(3) === 0;
  const count = () => 1 + random(random(4) === 0 ? 40 : 8);
  const duration = () => {
    const window = windows[random(windows.length)];
    return Object.entries(window ?? {})
      .filter(([, number]) => number > 0)
      .map(([unit, number]) => `${number}${unit.charAt(0)}`)
      .join("");
  };
  for (const property of [
    "keepLast",
    "keepHourly",
    "keepDaily",
    "keepWeekly",
    "keepMonthly",
    "keepYearly",
  ] as const) {
    if (rare()) retention[property] = count();
  }
  if (rare()) retention.keepWithin = duration();
  else if (random(2) === 0) retention.keepForDays = count();
  for (const property of [
    "keepWithinHourly",
    "keepWithinDaily",
    "keepWithinWeekly",
    "keepWithinMonthly",
    "keepWithinYearly",
  ] as const) {
    if (random(5) === 0) retention[property] = duration();
  }
  if (rare()) retention.keepTags = tags;
  return Object.keys(retention).length > 0 ? retention : { keepLast: count() };
}

/** As restic writes times: the wall's time with its offset. */
function withOffset(time: Date, zone: string): string {
  const wall = wallAt(zone, time.getTime());
  const minutes = (wall - time.getTime()) / 60_000;
  if (minutes === 0 && zone === "UTC") return time.toISOString();
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  const offset = `${minutes < 0 ? "-" : "+"}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
  return new Date(wall).toISOString().replace("Z", offset);
}

function resticVersion(): string {
  return /restic (\S+)/.exec(execFileSync("restic", ["version"], { encoding: "utf8" }))?.[1] ?? "unknown";
}

/** A whole number from 0 up to and excluding the bound. */
type Random = (bound: number) => number;

/** Small, seeded and the same everywhere: https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
function mulberry32(seed: number): Random {
  let state = seed >>> 0;
  return bound => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((((mixed ^ (mixed >>> 14)) >>> 0) * bound) / 2 ** 32) | 0;
  };
}

if (require.main === module) {
  const cases = Number(process.argv[2] ?? 10_000);
  const seed = Number(process.argv[3] ?? process.pid);
  const started = Date.now();
  const { mismatches, ...rest } = compareWithRestic(cases, seed);
  for (const mismatch of mismatches.slice(0, 5)) console.log(mismatch);
  console.log(
    JSON.stringify({ seed, ...rest, mismatches: mismatches.length, seconds: (Date.now() - started) / 1000 }),
  );
  if (mismatches.length > 0) process.exitCode = 1;
}
