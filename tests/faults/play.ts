import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { makeExt4Image } from "../../devcloud";
import type { Engine } from "../../engine";
import { addLock } from "../quick-restic/quick-repository";
import { until } from "../until";
import { type Call, ends, type Fault, type FaultCase } from "./cases";
import {
  foreignObjects,
  idsInState,
  lineOf,
  ownObjects,
  processes,
  stillWorking,
  traces,
  Watch,
} from "./picture";
import type { Placed } from "./played-cloud";
import { password, type Ran, type Scenario, type Stage, stages, unmount } from "./scenario";

/** What the undisturbed run of each stage leaves. */
export type Pictures = Record<Stage, string[]>;

/** The requests of a stage without their ids, and restic's commands. */
export function callsOf(scenario: Scenario, stage: Stage, resticBefore: number): Call[] {
  const counts = new Map<string, Call>();
  const count = (on: Call["on"], what: string) => {
    const call = counts.get(`${on} ${what}`) ?? { stage, on, what, times: 0 };
    counts.set(`${on} ${what}`, { ...call, times: call.times + 1 });
  };
  for (const { method, path: whole } of scenario.cloud.requests)
    count("request", `${method} ${withoutIds(whole)}`);
  // a look at the version has no repository
  for (const command of scenario.resticCalls().slice(resticBefore))
    if (command !== "other") count("restic", command);
  return [...counts.values()];
}

const withoutIds = (whole: string): string =>
  whole
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}/g, "{id}")
    .replace(/[0-9a-f]{32}/g, "{id}")
    .replace(/\?.*limit=1000.*metadata=.*/, "?of=ours")
    .replace(/managed-by=[^&]*/, "of=ours");

/** The requests that are such a call. */
function patternOf(what: string): RegExp {
  const [, pathOnly = ""] = /^\S+ ([^?]*)/.exec(what) ?? [];
  const query = /\?(.*)$/.exec(what)?.[1];
  const literal = (text: string) =>
    text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("\\{id\\}", "[0-9a-f-]{32,36}");
  // a listing of ours is told from one of everything by its query
  const tail =
    query === undefined ? "(\\?.*)?$" : query.includes("of=ours") ? "\\?.*managed-by" : "\\?(?!.*managed-by)";
  return new RegExp(`^${literal(pathOnly)}${tail}`);
}

/** Plays all stages without a fault, keeps what was there before each, and tells the calls that each made. */
export async function record(scenario: Scenario): Promise<{ calls: Call[]; pictures: Pictures }> {
  const calls: Call[] = [];
  const pictures = {} as Pictures;
  const foreign = await foreignObjects(scenario);
  for (const stage of stages) {
    await scenario.save(stage);
    scenario.cloud.requests.length = 0;
    const before = scenario.resticCalls().length;
    const ran = await scenario.run(stage);
    assert.equal(ran.exitCode, 0, `${stage} without a fault: ${ran.output}`);
    calls.push(...callsOf(scenario, stage, before));
    // the difference itself would be a hundred rows long
    assert.ok(
      isDeepStrictEqual(await foreignObjects(scenario), foreign),
      `${stage} without a fault has changed what is others'`,
    );
    pictures[stage] = (await ownObjects(scenario)).map(lineOf).sort();
  }
  return { calls, pictures };
}

/** Plays one case on what was kept of its stage, and returns what is wrong with its outcome; nothing is well. */
export async function play(scenario: Scenario, one: FaultCase, pictures: Pictures): Promise<string[]> {
  unmount(scenario.root);
  await scenario.load(one.stage);
  return playHere(scenario, one, pictures);
}

/** The same on what is there now, which the stage before has left. */
export async function playHere(scenario: Scenario, one: FaultCase, pictures: Pictures): Promise<string[]> {
  const { cloud } = scenario;
  scenario.forgetCalls();
  const problems: string[] = [];
  const wrong = (problem: string | undefined | false) => problem && problems.push(problem);
  const foreign = await foreignObjects(scenario);
  const watch = await Watch.begin(scenario, one.stage);
  const placed = await place(scenario, one);
  const first = await scenario.run(one.stage, placed.run);
  await placed.settle?.();
  if (!placed.isMet(first)) wrong("the fault met nothing");
  for (const line of await stillWorking(scenario)) wrong(`still there after the run: ${line}`);
  await placed.mend();
  await cloud.settled();
  for (const name of readdirSync(scenario.wrapper))
    if (/\.(once|always|pass)$/.test(name)) rmSync(path.join(scenario.wrapper, name));
  cloud.clearFaults();
  const known = JSON.stringify(await scenario.exportState(one.stage));
  const leftBehind = (await ownObjects(scenario)).flatMap(({ id }) => (known.includes(id) ? [] : [id]));
  problems.push(...messageProblems(first, one, leftBehind));

  const second = await scenario.run(one.stage);
  await watch.end();
  if (second.exitCode !== 0) wrong(`the next run failed:\n${second.output}`);
  problems.push(...watch.problems);
  // the shell that watches over a restic ends a moment after it
  await stillWorking(scenario);
  problems.push(...(await traces(scenario)).map(trace => `left: ${trace}`));
  problems.push(...(await differences(scenario, one.stage, pictures[one.stage])));
  if (JSON.stringify(await foreignObjects(scenario)) !== JSON.stringify(foreign))
    wrong("something that belongs to others has changed");
  for (const { unmasked, output } of [first, second]) {
    const secret = [password, wrongPassword, ...cloud.secrets()].find(text => unmasked.includes(text));
    wrong(secret && `a secret is in the output:\n${output}`);
  }
  if (one.stage !== "destroy" && second.exitCode === 0) {
    const third = await scenario.run(one.stage, {}, "preview");
    if (third.exitCode !== 0) wrong(`a third run would change something:\n${third.output}`);
  }
  if (problems.length > 0) problems.push(`the run with the fault said:\n${first.output}`);
  return problems;
}

/** The state, the cloud and the repository hold the same, and what an undisturbed run would have left. */
async function differences(scenario: Scenario, stage: Stage, expected: string[]): Promise<string[]> {
  const problems: string[] = [];
  const own = await ownObjects(scenario);
  const inState = idsInState(await scenario.exportState(stage));
  const there = new Set(own.map(({ id }) => id));
  for (const seen of own) if (!inState.includes(seen.id)) problems.push(`not in the state: ${lineOf(seen)}`);
  for (const id of inState) if (!there.has(id)) problems.push(`in the state, and not there: ${id}`);
  const lines = own.map(lineOf).sort();
  for (const line of new Set(lines)) {
    const count = (all: string[]) => all.filter(other => other === line).length;
    if (count(lines) > Math.max(1, count(expected))) problems.push(`more than once: ${line}`);
    else if (!expected.includes(line)) problems.push(`too much: ${line}`);
  }
  for (const line of expected)
    if (!lines.includes(line) && !isReplaced(line, lines)) problems.push(`missing: ${line}`);
  return problems;
}

/** Whether it is a Cinder point that stays only until the copy of a newer one is proven, which it may be by now. */
function isReplaced(line: string, lines: readonly string[]): boolean {
  const [kind, owner = "", slot = ""] = line.split(" ");
  const newer = lines.find(
    other => other.startsWith(`snapshot ${owner} `) && (other.split(" ")[2] ?? "") > slot,
  );
  const copy = `restic ${owner.replace("-snapshot", "-backup")} ${newer?.split(" ")[2]}`;
  return kind === "snapshot" && newer !== undefined && lines.includes(copy);
}

/** Names of the stack's resources begin so. */
const resources = /\b(alpha|beta|web|restored|repository)\b/;
/** "creating snapshot of volume x: …", or what is left to do after the work itself. */
const phases =
  /\b[a-z]+ing .+: |failed to authenticate|could not be (removed|forgotten)|PartiallyFailed: |there is no repository at |is not at .* any more; /;
/** A refusal names the property instead. */
const remedies =
  /has a problem: property \S+: |is it mounted\? |\bnext (run|one|up)\b|administrator|\b(check|free|exclude|ask) /;

/**
 * A run that failed says in each error which resource it is of, what was being done and what to do, and in one of them why.
 * What it has made and could not take back is named.
 */
export function messageProblems(ran: Ran, { fault }: FaultCase, leftBehind: readonly string[]): string[] {
  if (ran.result !== "failed" || isEnd(fault)) return [];
  const errors = errorsIn(ran.output);
  const problems = Object.entries({ resource: resources, phase: phases, remedy: remedies }).flatMap(
    ([what, pattern]) =>
      errors.filter(line => !pattern.test(line)).map(line => `an error names no ${what}: ${line}`),
  );
  const cause = causes[fault] ?? new RegExp(`HTTP ${Number.parseInt(fault, 10)}`);
  if (!errors.some(line => cause.test(line))) problems.push(`no error says why, ${cause}`);
  // of what a request has made whose answer was lost nobody knows but the next run
  for (const id of cause === noAnswer ? [] : leftBehind)
    if (!ran.output.includes(id.slice(0, 8))) problems.push(`no message names ${id}, which is left behind`);
  return problems;
}

/** The errors of a run, each with its resource: Pulumi's CLI names it in the line before. */
function errorsIn(output: string): string[] {
  let resource = "";
  return output.split("\n").flatMap(line => {
    resource = /^ {2}\S+ \((\S+)\):$/.exec(line)?.[1] ?? resource;
    const isOwn = /^\s*error: /.test(line) && !/: update failed$/.test(line);
    return isOwn ? [resource ? `${resource}: ${line.trim()}` : line.trim()] : [];
  });
}

const noAnswer =
  /no answer from|did not answer within|is not Keystone's|the answer names no|timed out|socket hang up|unexpected answer|what became of/;
const brokenOff = /something went wrong|connection lost/;

/** How an error must tell of a fault; of an HTTP status by its number. */
const causes: Partial<Record<Fault, RegExp>> = {
  "404 once": /HTTP 404|not there|vanished|gone|does not exist/,
  "time-out once": noAnswer,
  "connection reset before": noAnswer,
  "connection reset after": noAnswer,
  "half an answer": noAnswer,
  "an answer of another shape": noAnswer,
  "exit 1 before": brokenOff,
  "exit 1 after": brokenOff,
  "exit 1 always": brokenOff,
  "exit 3": /PartiallyFailed: restic could not read|exit 3/,
  "exit 10": /repository does not exist/,
  "exit 11 always": /already locked/,
  "exit 12": /wrong password/,
  "no space left": /no space left/,
  killed: /restic was killed/,
  "repository gone":
    /there is no repository at|is not at .* any more|does not exist|no such file|is not there/,
  "locked by the living": /repository is locked by PID 1 on elsewhere/,
  "locked by the dead": /repository is (already )?locked/,
  "snapshot stuck in creating": /is 'creating'/,
  "snapshot ends in error": /'error'/,
  "volume stuck in creating": /is 'creating'/,
  "volume ends in error": /'error'/,
  "snapshot stuck in deleting": /is 'deleting'/,
  "snapshot busy": /back to 'available'|[Ss]napshot is busy/,
  "snapshot ends in error_deleting": /'error_deleting'/,
  "volume stuck in deleting": /is 'deleting'/,
  "volume busy": /back to 'available'/,
  "volume ends in error_deleting": /'error_deleting'/,
  "image is given up": /still 'queued'/,
  "tokens expire in the middle": /HTTP 401/,
  "wrong password": /wrong password/,
  "empty source": /no files? /,
};

export const wrongPassword = "not-the-right-password";

/** Puts the fault in place. */
export async function place(scenario: Scenario, one: FaultCase): Promise<Placed> {
  const { fault, call } = one;
  if (call && isEnd(fault))
    return call.on === "request" ? endAtRequest(scenario, one) : endAtRestic(scenario, one);
  if (call?.on === "request") return failRequest(scenario, call, fault);
  if (call) return failRestic(scenario, call, fault);
  return failWork(scenario, one);
}

export const isEnd = (fault: Fault): boolean => (ends as readonly string[]).includes(fault);

/** The provider's process, killed or interrupted, while the engine lives as its CLI does. */
function ender(scenario: Scenario, fault: Fault) {
  const cancellation = new AbortController();
  let engine: Engine | undefined;
  let hits = 0;
  let ended: Promise<unknown> = Promise.resolve();
  return {
    end() {
      hits++;
      if (fault.startsWith("kill")) killProviders(scenario.root);
      else cancellation.abort();
      if (fault === "SIGINT, SIGTERM") ended = sleep(50).then(() => engine?.kill());
    },
    placed: {
      isMet: () => hits > 0,
      run: {
        ownProcess: true,
        signal: cancellation.signal,
        onEngine: (running: Engine) => {
          engine = running;
        },
      },
      settle: () => ended,
    },
  };
}

function killProviders(root: string): void {
  for (const line of processes(root)) {
    const [, pid] = /^process (\d+): .*dynamic-provider/.exec(line) ?? [];
    try {
      if (pid !== undefined) process.kill(Number(pid), "SIGKILL");
    } catch {
      // it has just ended
    }
  }
}

function endAtRequest(scenario: Scenario, { call, fault }: FaultCase): Placed {
  assert.ok(call);
  const { end, placed } = ender(scenario, fault);
  scenario.cloud.addFault({
    method: call.what.split(" ")[0] ?? "",
    path: patternOf(call.what),
    times: 1,
    after: call.nth - 1,
    ...(fault === "kill after" ? { onAnswer: end } : { onRequest: end }),
    ...(fault === "kill before" && { drop: "before" }),
    // by then the provider is dead
    ...(fault === "kill during" && { delayMs: 30 }),
  });
  // a request that was held back is carried out meanwhile
  return { ...placed, mend: () => sleep(60) };
}

const resticFile = (scenario: Scenario, name: string) => path.join(scenario.wrapper, name);

/** A shell's text that restic's stand-in runs at the call. */
function atRestic(
  scenario: Scenario,
  { what, nth }: { what: string; nth: number },
  script: string,
  always = false,
) {
  if (nth > 1) writeFileSync(resticFile(scenario, `${what}.pass`), "");
  writeFileSync(resticFile(scenario, `${what}.${always ? "always" : "once"}`), script);
}

function endAtRestic(scenario: Scenario, { call, fault }: FaultCase): Placed {
  assert.ok(call);
  const { end, placed } = ender(scenario, fault);
  const asked = resticFile(scenario, "end");
  // the stand-in tells that it is there, and waits until the end has come
  const tell = `: >'${asked}'; n=0; while [ -e '${asked}' ] && [ $n -lt 500 ]; do sleep 0.01; n=$((n+1)); done\n`;
  atRestic(scenario, call, fault === "kill after" ? `"$real" "$@"; code=$?\n${tell}exit $code\n` : tell);
  let over = false;
  const ended = (async () => {
    await until("the command of restic", () => over || existsSync(asked), { seconds: 60, every: 5 });
    if (over) return;
    end();
    await sleep(fault === "kill during" ? 20 : 60);
    renameSync(asked, `${asked}.done`);
  })();
  const settle = async () => {
    over = true;
    await Promise.all([ended, placed.settle()]);
  };
  return { ...placed, settle, mend() {} };
}

function failRequest(
  scenario: Scenario,
  { what, nth }: NonNullable<FaultCase["call"]>,
  fault: Fault,
): Placed {
  const status = Number.parseInt(fault, 10);
  const added = scenario.cloud.addFault({
    method: what.split(" ")[0] ?? "",
    path: patternOf(what),
    after: nth - 1,
    ...(!fault.endsWith("always") && { times: 1 }),
    ...(status && { status, echoes: true }),
    ...(status === 429 && { headers: { "Retry-After": "1" } }),
    ...(status === 413 && {
      headers: { "Retry-After": "1" },
      body: { overLimit: { code: 413, message: "This request was rate-limited.", retryAfter: "1" } },
    }),
    ...(fault === "time-out once" && { delayMs: 1000 * scenario.cloud.measures.apiTimeoutSeconds + 500 }),
    ...(fault === "connection reset before" && { drop: "before" }),
    ...(fault === "connection reset after" && { drop: "after" }),
    ...(fault === "half an answer" && { half: true }),
    ...(fault === "an answer of another shape" && {
      status: 200,
      takesEffect: true,
      body: { unexpected: [1] },
    }),
  });
  // the cloud carries out in the end what nobody waits for any more
  return { isMet: () => added.hits > 0, mend: () => sleep(fault === "time-out once" ? 700 : 0) };
}

export const fatal = (text: string, code: number) => `echo 'Fatal: ${text}' >&2; exit ${code}\n`;

/** What restic's stand-in runs in place of the command, or around it. */
const resticScripts: Partial<Record<Fault, string>> = {
  "exit 1 before": fatal("something went wrong", 1),
  "exit 1 always": fatal("something went wrong", 1),
  "exit 1 after": `"$real" "$@"; ${fatal("connection lost", 1)}`,
  "exit 3": '"$real" "$@"; exit 3\n',
  "exit 10": fatal("repository does not exist: unable to open config file", 10),
  "exit 11 always": fatal("unable to create lock in backend: repository is already locked", 11),
  "exit 12": fatal("wrong password or no key found", 12),
  "no space left": fatal("unable to save snapshot: no space left on device", 1),
  killed: '"$real" --limit-upload=1 "$@" & sleep 0.1; kill -9 $!; kill -9 $$\n',
};

function failRestic(scenario: Scenario, call: NonNullable<FaultCase["call"]>, fault: Fault): Placed {
  const { script, mend } = atCommand(scenario, fault);
  atRestic(scenario, call, script, fault.endsWith("always"));
  return { isMet: () => existsSync(resticFile(scenario, "met")), mend };
}

function atCommand({ repository, wrapper }: Scenario, fault: Fault): { script: string; mend(): void } {
  if (fault === "repository gone")
    return {
      script: `mv '${repository}' '${repository}.gone'\n`,
      mend: () => {
        if (!existsSync(`${repository}.gone`)) return;
        // a first run makes one where it finds none
        rmSync(repository, { recursive: true, force: true });
        renameSync(`${repository}.gone`, repository);
      },
    };
  if (fault.startsWith("locked")) {
    const isAlive = fault.endsWith("living");
    const owner = isAlive ? { host: "elsewhere", pid: 1 } : { host: hostname(), pid: deadProcess() };
    const lock = addLock(repository, password, { ...owner, exclusive: true });
    const kept = path.join(wrapper, "lock");
    renameSync(lock, kept);
    // the living lets go of it, the lock of the dead is the provider's to remove
    const mend = () => isAlive && rmSync(lock, { force: true });
    return { script: `cp '${kept}' '${lock}'\n`, mend };
  }
  const script = resticScripts[fault];
  if (script === undefined) throw new Error(`restic has no fault '${fault}'`);
  return { script, mend() {} };
}

/** The id of a process that there is not. */
function deadProcess(): number {
  for (let pid = Number(readFileSync("/proc/sys/kernel/pid_max", "utf8")) - 1; ; pid--)
    if (!readdirSync("/proc").includes(String(pid))) return pid;
}

async function failWork(scenario: Scenario, { fault }: FaultCase): Promise<Placed> {
  const placed = await scenario.cloud.failWork(fault, scenario.sourceId("alpha"));
  if (placed) return placed;
  if (fault === "wrong password")
    return { isMet: ({ result }) => result === "failed", mend() {}, run: { password: wrongPassword } };
  if (fault !== "empty source") throw new Error(`this cloud has no fault '${fault}'`);
  // the first set's volume has no file for the time of the run
  const folder = path.join(scenario.wrapper, "nothing");
  mkdirSync(folder);
  const mend = await scenario.cloud.replaceContent(scenario.sourceId("alpha"), image =>
    makeExt4Image(image, { fromDirectory: folder, sizeMib: 8 }),
  );
  return { isMet: ({ result }) => result === "failed", mend };
}
