import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Devcloud } from "../../devcloud";
import { Client } from "../devcloud/client";
import { random } from "../random";
import { allCases, type Call, type FaultCase, titleOf } from "./cases";
import { Oracle, type Slots, type Tiers } from "./month-oracle";
import { type Drawn, type Hour, type Kind, planOf, quietHours, type Special } from "./month-plan";
import { foreignObjects, idsInState, lineOf, ownObjects, type Seen, stillWorking, traces } from "./picture";
import { callsOf, fatal, isEnd, messageProblems, place, wrongPassword } from "./play";
import { type Placed, PlayedDevcloud } from "./played-cloud";
import { password, type Ran, type RunOptions, Scenario, sets } from "./scenario";

type SetName = (typeof sets)[number];

/** What is asked of one history. */
export interface MonthOptions {
  seed: number;
  /** Default: thirty days of them. */
  hours?: number;
  onDay?(line: string): void;
}

/** How a history went. */
export interface MonthReport {
  seed: number;
  hours: number;
  runs: number;
  /** Of the runs those with a fault in place, and those that failed. */
  disturbed: number;
  failed: number;
  /** Faults, a lasting one once, and those of them that nothing met. */
  placed: number;
  unmet: string[];
  specials: Special[];
  /** At the end. */
  points: number;
  seconds: number;
  /** What is wrong; nothing is well. */
  problems: string[];
}

interface Declared {
  schedule: string;
  cinder: Tiers;
  copies: Tiers;
}

const declared: Record<SetName, Declared> = {
  alpha: {
    schedule: "0 * * * *",
    cinder: { keepLast: 3, keepHourly: 4, keepDaily: 3 },
    copies: { keepLast: 3, keepHourly: 6, keepDaily: 7, keepWeekly: 3 },
  },
  beta: {
    schedule: "15 */6 * * *",
    cinder: { keepLast: 2, keepDaily: 4 },
    copies: { keepLast: 3, keepDaily: 7, keepWeekly: 4 },
  },
};

const hourMs = 3_600_000;
/** A Sunday; the month has five weeks of the calendar. */
const begin = Date.parse("2026-11-22T00:20:00Z");
const instantOf = (hour: number): string => new Date(begin + hour * hourMs).toISOString();

/** The newest slot of each set's schedule at an instant, which is twenty minutes past. */
function dueSlot(set: SetName, now: string): string {
  const hour = Math.floor(Date.parse(now) / hourMs);
  const [at, minutes] = set === "alpha" ? [hour, "00"] : [hour - (hour % 6), "15"];
  return new Date(at * hourMs).toISOString().replace("00:00.000Z", `${minutes}:00Z`);
}

/** A fault that is in place for some hours. */
interface Standing {
  title: string;
  /** The hour in which it is there no more. */
  until: number;
  put(scenario: Scenario): Placed | Promise<Placed>;
  isMet: boolean;
  /** Of a fault of one run. */
  one?: FaultCase;
}

/** What stays for hours, and how it is put in place for a run. */
const lasting: Record<string, (scenario: Scenario, cloud: Devcloud) => Placed> = {
  "the repository is away"({ repository }) {
    renameSync(repository, `${repository}.away`);
    // a run may have begun another in its place: that would be seen
    const mend = () => {
      rmSync(repository, { recursive: true, force: true });
      renameSync(`${repository}.away`, repository);
    };
    return { isMet: hasFailed, mend };
  },
  "the quota is reached"(_, cloud) {
    cloud.setQuota("demo", { snapshots: cloud.snapshots().length });
    const isRefused = () =>
      cloud.requests.some(({ status, path: of }) => status === 413 && /snapshots$/.test(of));
    return { isMet: isRefused, mend: () => cloud.setQuota("demo", { snapshots: -1 }) };
  },
  "nothing may be deleted": (_, cloud) => failing(cloud, "DELETE", /\/(snapshots|volumes)\//, 403),
  "no snapshot can be made": (_, cloud) => failing(cloud, "POST", /\/snapshots$/, 500),
  "no volume can be attached": (_, cloud) => failing(cloud, "POST", /\/attachments$/, 503),
  "no volume can be made": (_, cloud) => failing(cloud, "POST", /\/volumes$/, 502),
  "the password is wrong": () => ({ isMet: hasFailed, mend() {}, run: { password: wrongPassword } }),
  "the volume service is down"(_, cloud) {
    cloud.faults.volumeService("down");
    return { isMet: hasFailed, mend: () => cloud.faults.volumeService("up") };
  },
  "nothing can be forgotten": scenario => failingRestic(scenario, "forget", "Permission denied"),
  "no space is left": scenario => failingRestic(scenario, "backup", "no space left on device"),
};

const hasFailed = ({ result }: Ran): boolean => result === "failed";

function failing({ faults }: Devcloud, method: string, of: RegExp, status: number): Placed {
  const added = faults.add({ method, path: of, status });
  return { isMet: () => added.hits > 0, mend: () => added.remove() };
}

function failingRestic({ wrapper }: Scenario, command: string, words: string): Placed {
  writeFileSync(path.join(wrapper, `${command}.always`), fatal(words, 1));
  return { isMet: () => existsSync(path.join(wrapper, "met")), mend() {} };
}

const kindOf = ({ call, fault }: FaultCase): Kind =>
  isEnd(fault) ? "end" : call === undefined ? "work" : call.on;

/** More than this is one defect told again and again. */
const mostProblems = 8;

/** Thirty days, or less, of hourly runs of one stack on one state. */
export async function playMonth(
  root: string,
  { seed, hours = 720, onDay }: MonthOptions,
): Promise<MonthReport> {
  const clock = { now: begin };
  let played: PlayedDevcloud | undefined;
  const scenario = await Scenario.make(root, {
    startCloud: async directory => {
      played = await PlayedDevcloud.start(directory, { others: 20, hasServer: false, now: () => clock.now });
      return played;
    },
  });
  assert.ok(played);
  try {
    const foreign = JSON.stringify(await foreignObjects(scenario));
    return await new Month(scenario, played.cloud, foreign, clock, seed, hours, onDay).play();
  } finally {
    await scenario.remove();
  }
}

class Month {
  private readonly begun = Date.now();
  private readonly next: () => number;
  private readonly report: MonthReport;
  private readonly oracles = new Map(sets.map(set => [set, new Oracle(declared[set])]));
  /** How many slots in a row nothing disturbed, and the newest of them. */
  private readonly streaks = new Map(sets.map(set => [set, { slots: 0, newest: "" }]));
  private calls: Call[] = [];
  private standing: Standing[] = [];
  /** The engine's states of the last hours, oldest first. */
  private states: string[] = [];
  /** The latest instant that a run had. */
  private latest = instantOf(0);
  private lastPreview = 0;
  private title = "";
  /** What was said to be lost. */
  private readonly missing = new Set<string>();

  constructor(
    private readonly scenario: Scenario,
    private readonly cloud: Devcloud,
    private readonly foreign: string,
    private readonly clock: { now: number },
    seed: number,
    hours: number,
    private readonly onDay: MonthOptions["onDay"],
  ) {
    this.next = random(seed);
    // the first numbers are those of the plan
    for (let times = 0; times < 1000; times++) this.next();
    this.report = {
      seed,
      hours,
      runs: 0,
      disturbed: 0,
      failed: 0,
      placed: 0,
      unmet: [],
      specials: [],
      points: 0,
      seconds: 0,
      problems: [],
    };
    cloud.onChange(() => this.watch());
  }

  async play(): Promise<MonthReport> {
    const { report } = this;
    const plan = planOf(report.seed, report.hours);
    for (const [hour, what] of plan.entries()) {
      if (report.problems.length >= mostProblems) break;
      if (what) await this.hour(hour, what);
      if (hour % 24 === 23) this.onDay?.(this.tally(`day ${(hour + 1) / 24}`));
    }
    // two slots of each set that nothing disturbs
    for (const one of this.standing) this.isStanding(one, Number.POSITIVE_INFINITY);
    this.standing = [];
    for (const after of [5, 11]) await this.hour(report.hours + after, { drawn: [] });
    await this.previewsNothing();
    report.points = (await this.own()).filter(({ kind }) => kind !== "volume").length;
    report.seconds = (Date.now() - this.begun) / 1000;
    return report;
  }

  private tally(begun: string): string {
    const { runs, disturbed, failed, placed, unmet } = this.report;
    return `${begun}: ${runs} runs, ${disturbed} with a fault, ${failed} failed, ${placed} faults, ${unmet.length} met nothing`;
  }

  private async hour(hour: number, { drawn, special }: Hour): Promise<void> {
    const { scenario, report } = this;
    const now = instantOf(special === "the clock is an hour back" ? hour - 1 : hour);
    this.clock.now = Date.parse(now);
    if (now > this.latest) this.latest = now;
    this.title = `hour ${hour}, ${now}${special ? `, ${special}` : ""}`;
    if (hour % 6 === 4) this.editFiles(hour);
    if (special) await this.happen(special, now);

    for (const one of drawn) this.begin(one, hour);
    this.standing = this.standing.filter(one => this.isStanding(one, hour));
    const standing = [...this.standing];
    if (standing.length > 0) this.title += `: ${standing.map(({ title }) => title).join(" and ")}`;
    this.cloud.requests.length = 0;
    const callsBefore = scenario.resticCalls().length;
    const placed: Placed[] = [];
    for (const one of standing) placed.push(await one.put(scenario));
    const run: RunOptions = Object.assign({}, ...placed.map(one => one.run ?? {}));
    const ran = await this.run(now, run);
    report.runs++;
    for (const one of placed) await one.settle?.();
    for (const [index, one] of standing.entries()) one.isMet ||= placed[index]?.isMet(ran) === true;
    for (const line of await stillWorking(scenario)) this.wrong(`still there after the run: ${line}`);
    for (const one of placed.reverse()) await one.mend();
    this.cloud.faults.clear();
    for (const name of readdirSync(scenario.wrapper))
      if (name !== "made") rmSync(path.join(scenario.wrapper, name), { recursive: true });
    if (hour === quietHours - 1) this.calls = callsOf(scenario, "third", callsBefore);

    await this.judge(ran, standing, hour, special);
    this.states = [...this.states, readFileSync(scenario.stateFile, "utf8")].slice(-4);
  }

  private run(now: string, run: RunOptions, kind?: "preview" | "refresh"): Promise<Ran> {
    const more = { timeoutSeconds: 3, ofSet: declared };
    return this.scenario.run("third", { ...run, now, declared: more }, kind);
  }

  /** Chooses what was drawn, now that the calls are known. */
  private begin({ kind, pick, hours }: Drawn, hour: number): void {
    const begun = kind === "lasting" ? this.lasting(pick, hours, hour) : this.ofOneRun(kind, pick, hour);
    const isAway = this.standing.some(({ title }) => title === "the repository is away");
    // one of the two would take the other's place
    const isTwice = this.standing.some(
      ({ title, one }) => title === begun.title || (one?.call && one.call.what === begun.one?.call?.what),
    );
    if (isTwice || (isAway && kind === "restic")) return;
    this.report.placed++;
    this.standing.push(begun);
  }

  private lasting(pick: number, hours: number, hour: number): Standing {
    const names = Object.keys(lasting);
    const title = names[Math.floor(pick * names.length)] as string;
    // each of its waits ends at the deadline only
    const lasts = title === "the volume service is down" ? Math.min(hours, 3) : hours;
    const put = lasting[title] as (scenario: Scenario, cloud: Devcloud) => Placed;
    return { title, until: hour + lasts, isMet: false, put: scenario => put(scenario, this.cloud) };
  }

  private ofOneRun(kind: Kind, pick: number, hour: number): Standing {
    const all = allCases(this.calls).filter(
      one => one.stage === "third" && one.fault !== "image is given up" && kindOf(one) === kind,
    );
    const faults = [...new Set(all.map(({ fault }) => fault))];
    const ofFault = all.filter(({ fault }) => fault === faults[Math.floor(pick * faults.length)]);
    const one = ofFault[Math.floor(this.next() * ofFault.length)] as FaultCase;
    const title = titleOf(one).replace("third: ", "");
    return { title, until: hour + 1, isMet: false, put: scenario => place(scenario, one), one };
  }

  /** Whether a fault is there still; one that is over is counted. */
  private isStanding({ title, until: end, isMet }: Standing, hour: number): boolean {
    if (hour >= end && !isMet) this.report.unmet.push(title);
    return hour < end;
  }

  /** What happens once in a month. */
  private async happen(special: Special, now: string): Promise<void> {
    const { scenario } = this;
    this.report.specials.push(special);
    if (special === "the state is lost") rmSync(scenario.stateFile);
    if (special === "the state is that of three hours before")
      writeFileSync(scenario.stateFile, this.states.at(-4) ?? "");
    if (special === "a refresh") {
      const ran = await this.run(now, {}, "refresh");
      if (ran.exitCode !== 0) this.wrong(`the refresh failed:\n${ran.output}`);
    }
    if (special !== "somebody removes a Cinder point" && special !== "the volume is extended") return;
    const client = await Client.login(this.cloud.environment);
    if (special === "the volume is extended") {
      const source = `/volumes/${scenario.sourceId("alpha")}`;
      await client.send("POST", `${source}/action`, { "os-extend": { new_size: 2 } });
      await client.waitFor(source, "available");
      return;
    }
    const oldest = (await this.own())
      .filter(({ kind, owner }) => kind === "snapshot" && owner === ownerOf("alpha", "snapshot"))
      .sort((a, b) => (a.slot < b.slot ? -1 : 1))[0] as Seen;
    this.oracles.get("alpha")?.isWithout(oldest.slot);
    await client.send("DELETE", `/snapshots/${oldest.id}`);
    await client.waitFor(`/snapshots/${oldest.id}`, "gone");
  }

  /** The users of both volumes go on: a file is new, another one is written anew. */
  private editFiles(hour: number): void {
    const { scenario } = this;
    const content = path.join(scenario.root, "tmp/content");
    const script = path.join(scenario.root, "tmp/script");
    for (const set of sets) {
      writeFileSync(
        content,
        Buffer.alloc(2_000 + Math.floor(this.next() * 3_000), `${set} of hour ${hour} `),
      );
      const again = `day-${Math.max(0, Math.floor(hour / 24) - 1)}`;
      const lines = [`rm ${again}`, `write ${content} ${again}`, `write ${content} hour-${hour}`];
      writeFileSync(script, `${lines.join("\n")}\n`);
      execFileSync("debugfs", ["-w", "-f", script, this.cloud.imagePath(scenario.sourceId(set))], {
        stdio: "ignore",
      });
    }
    rmSync(content);
    rmSync(script);
  }

  private own(): Promise<Seen[]> {
    return ownObjects(this.scenario);
  }

  /** At each change of the cloud: no point goes that must be there. */
  private watch(): void {
    for (const [set, oracle] of this.oracles) {
      const cinder = this.cloud
        .snapshots()
        .filter(
          ({ status, metadata }) =>
            status === "available" &&
            metadata["managed-by"] === "pulumi-openstack-backup" &&
            metadata["osbackup-owner"] === ownerOf(set, "snapshot"),
        )
        .map(({ metadata }) => metadata["osbackup-slot"] ?? "");
      for (const lacking of oracle.lacking({ cinder, copies: oracle.owed.copies })) this.lacks(set, lacking);
    }
  }

  private lacks(set: SetName, lacking: string): void {
    if (this.missing.has(`${set} ${lacking}`)) return;
    this.missing.add(`${set} ${lacking}`);
    this.wrong(`${set} has lost its ${lacking}, which its retention keeps`);
  }

  /** What is looked at after every run, and, of one that nothing disturbed, that all is as it should be. */
  private async judge(
    ran: Ran,
    standing: readonly Standing[],
    hour: number,
    special: Special | undefined,
  ): Promise<void> {
    const { scenario, report } = this;
    const said = `\n${ran.output}`;
    if (standing.length > 0) report.disturbed++;
    if (ran.result === "failed") report.failed++;
    if (JSON.stringify(await foreignObjects(scenario)) !== this.foreign)
      this.wrong("something that belongs to others has changed");
    const secrets = [password, wrongPassword, ...scenario.cloud.secrets()];
    if (secrets.some(secret => ran.unmasked.includes(secret)))
      this.wrong(`a secret is in the output:${said}`);
    for (const problem of wordsProblems(ran, standing)) this.wrong(`${problem}:${said}`);

    const own = await this.own();
    for (const set of sets) {
      const found = slotsOf(own, set);
      const oracle = this.oracles.get(set) as Oracle;
      oracle.note(found, ran.exitCode === 0);
      for (const lacking of oracle.lacking(found)) this.lacks(set, lacking);
    }
    // where the state knows no point, a run lets none go beside its own
    if (standing.length > 0 || special?.startsWith("the state"))
      for (const set of sets) this.streaks.set(set, { slots: 0, newest: "" });
    if (standing.length > 0) return;
    if (ran.exitCode !== 0) return this.wrong(`a run that nothing disturbed failed:${said}`);
    for (const set of sets) this.isExact(set, own);
    for (const trace of await traces(scenario)) this.wrong(`left: ${trace}`);
    await this.isInState(own);
    if (hour - this.lastPreview < 24) return;
    this.lastPreview = hour;
    await this.previewsNothing();
  }

  /** The point of the due slot is there; after two such slots in a row the oracle's points, and no others. */
  private isExact(set: SetName, own: readonly Seen[]): void {
    const due = dueSlot(set, this.latest);
    const found = slotsOf(own, set);
    for (const [what, slots] of Object.entries(found) as [keyof Slots, string[]][]) {
      if (!slots.includes(due)) this.wrong(`${set} has no ${what} of the due slot ${due}`);
      if (new Set(slots).size < slots.length) this.wrong(`${set} has a slot twice: ${slots.join(", ")}`);
    }
    const streak = this.streaks.get(set) ?? { slots: 0, newest: "" };
    if (streak.newest !== due) this.streaks.set(set, { slots: streak.slots + 1, newest: due });
    if (streak.slots + (streak.newest !== due ? 1 : 0) < 2) return;
    const expected = (this.oracles.get(set) as Oracle).exactly();
    for (const what of ["cinder", "copies"] as const)
      if (found[what].join() !== expected[what].join())
        this.wrong(`${set} has ${what} of ${found[what].join(", ")}, expected ${expected[what].join(", ")}`);
    const broken = own.filter(
      ({ kind, owner, status }) => owner.includes(`/${set}-`) && status !== goodStatus[kind],
    );
    if (broken.length > 0) this.wrong(`${set} still has ${broken.map(lineOf).join(", ")}`);
  }

  /** The state holds what is there and no more. */
  private async isInState(own: readonly Seen[]): Promise<void> {
    const inState = idsInState(await this.scenario.exportState("third"));
    const there = new Set(own.map(({ id }) => id));
    for (const seen of own) if (!inState.includes(seen.id)) this.wrong(`not in the state: ${lineOf(seen)}`);
    for (const id of inState) if (!there.has(id)) this.wrong(`in the state, and not there: ${id}`);
  }

  private async previewsNothing(): Promise<void> {
    const ran = await this.run(this.latest, {}, "preview");
    if (ran.exitCode !== 0) this.wrong(`another run would change something:\n${ran.output}`);
  }

  private wrong(problem: string): void {
    this.report.problems.push(`${this.title}: ${problem}`);
  }
}

const ownerOf = (set: SetName, kind: "snapshot" | "backup"): string => `faults/dev/${set}-${kind}`;

/** Of what is good; a temporary volume never is when a run is over. */
const goodStatus: Record<Seen["kind"], string> = {
  snapshot: "available",
  restic: "",
  image: "active",
  volume: "-",
};

/** The slots of a set's good points, sorted. */
function slotsOf(own: readonly Seen[], set: SetName): Slots {
  const of = (kind: Seen["kind"], owner: string) =>
    own
      .filter(seen => seen.kind === kind && seen.owner === owner && seen.status === goodStatus[kind])
      .map(({ slot }) => slot)
      .sort();
  return { cinder: of("snapshot", ownerOf(set, "snapshot")), copies: of("restic", ownerOf(set, "backup")) };
}

/** A run that failed says what failed and why, in words for people. */
export function wordsProblems(ran: Ran, standing: readonly Pick<Standing, "one">[]): string[] {
  if (ran.result !== "failed") return [];
  const errors = ran.output.split("\n").filter(line => /^ {2}error: /.test(line));
  const problems = errors
    .filter(line => !/^ {2}error: \S+ \S+: .{20,}/.test(line))
    .map(line => `an error does not say what failed, and why: ${line}`);
  if (errors.length === 0) problems.push("a run failed without a word");
  if (/^\s+at .*:\d+:\d+\)?$/m.test(ran.output)) problems.push("a stack trace is shown");
  const [only, ...others] = standing;
  if (only?.one && others.length === 0) problems.push(...messageProblems(ran, only.one, []));
  return problems;
}
