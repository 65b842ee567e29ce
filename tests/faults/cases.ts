import { shuffled } from "../random";
import { type Stage, stages } from "./scenario";

/** A call of the clean run: a request, by its method and its path without ids, or a command of restic. */
export interface Call {
  stage: Stage;
  on: "request" | "restic";
  /** "POST /volume/v3/{id}/snapshots", or "backup". */
  what: string;
  /** How many there were in the stage. */
  times: number;
}

/** Ways to end a run at a call. */
export const ends = ["kill before", "kill during", "kill after", "SIGINT", "SIGINT, SIGTERM"] as const;

/** Ways in which a request fails, once or in the whole of the run. */
export const requestFaults = [
  "500 once",
  "500 always",
  "502 always",
  "503 once",
  "429 once",
  "401 once",
  "403 always",
  "413 once",
  "time-out once",
  "connection reset before",
  "connection reset after",
  "half an answer",
  "an answer of another shape",
  "404 once",
] as const;

/** Ways in which a command of restic fails. */
export const resticFaults = [
  "exit 1 before",
  "exit 1 after",
  "exit 1 always",
  "exit 3",
  "exit 10",
  "exit 11 always",
  "exit 12",
  "no space left",
  "killed",
  "repository gone",
  "locked by the living",
  "locked by the dead",
] as const;

/** Ways in which the cloud's work in the background, or the source, fails. */
export const workFaults = [
  "snapshot stuck in creating",
  "snapshot ends in error",
  "volume stuck in creating",
  "volume ends in error",
  "snapshot stuck in deleting",
  "snapshot busy",
  "snapshot ends in error_deleting",
  "volume stuck in deleting",
  "volume busy",
  "volume ends in error_deleting",
  "image is given up",
  "tokens expire in the middle",
  "wrong password",
  "empty source",
] as const;

export type Fault =
  | (typeof ends)[number]
  | (typeof requestFaults)[number]
  | (typeof resticFaults)[number]
  | (typeof workFaults)[number];

/** One run with one fault. */
export interface FaultCase {
  stage: Stage;
  /** Where; absent of a fault that has no call of its own. */
  call?: Omit<Call, "stage" | "times"> & {
    /** Which of them in the stage, from 1. */
    nth: number;
  };
  fault: Fault;
}

/** "third: POST /volume/v3/{id}/snapshots (2nd): kill during". */
export function titleOf({ stage, call, fault }: FaultCase): string {
  const nth = call && call.nth > 1 ? ` (${call.nth})` : "";
  return [stage, ...(call ? [`${call.what}${nth}`] : []), fault].join(": ");
}

const signature = ({ on, what }: Omit<Call, "stage" | "times">) => `${on} ${what}`;

/** Where each fault of the background applies. */
const stagesOf: Partial<Record<Fault, readonly Stage[]>> = {
  "snapshot stuck in creating": ["first", "third"],
  "snapshot ends in error": ["first", "third"],
  "volume stuck in creating": ["first", "third", "restore"],
  "volume ends in error": ["first", "third", "restore"],
  "snapshot stuck in deleting": ["third", "destroy"],
  "snapshot busy": ["third", "destroy"],
  "snapshot ends in error_deleting": ["third", "destroy"],
  "volume stuck in deleting": ["first", "third", "destroy"],
  "volume busy": ["first", "third", "destroy"],
  "volume ends in error_deleting": ["first", "third", "destroy"],
  "image is given up": ["first", "third"],
  "tokens expire in the middle": stages,
  "wrong password": ["second", "third", "restore"],
  // the first slot's point is kept, as the only one of its set, and stays empty until the next slot
  "empty source": ["third"],
};

/**
 * Every case of the recorded calls. Of calls that a stage makes several times the first is a point of its own, and the
 * last where it changes something. The second slot makes no call that the third does not make too, and has no case of its
 * own for them unless `ofEveryStage`.
 */
export function allCases(calls: readonly Call[], { ofEveryStage = false } = {}): FaultCase[] {
  const cases: FaultCase[] = [];
  const ofThird = new Set(calls.filter(({ stage }) => stage === "third").map(signature));
  for (const call of calls) {
    const { stage, on, what, times } = call;
    if (!ofEveryStage && stage === "second" && ofThird.has(signature(call))) continue;
    const changes = on === "restic" || !what.startsWith("GET ");
    // a look that is not answered is the same to the cloud whether it has begun or not
    for (const fault of ends)
      if (changes || fault !== "kill during") cases.push({ stage, call: { on, what, nth: 1 }, fault });
    if (changes && times > 1)
      for (const fault of ends.slice(0, 3)) cases.push({ stage, call: { on, what, nth: times }, fault });
    for (const fault of on === "restic" ? resticFaults : requestFaults)
      if (applies(fault, call)) cases.push({ stage, call: { on, what, nth: 1 }, fault });
  }
  for (const fault of workFaults) for (const stage of stagesOf[fault] ?? []) cases.push({ stage, fault });
  return cases;
}

function applies(fault: Fault, { stage, what }: Call): boolean {
  // where no repository is found at first a new one is made, and the old one that comes back is refused
  if (fault === "repository gone" && stage === "first") return what !== "cat";
  if (what.startsWith("DELETE ")) return fault !== "half an answer" && fault !== "an answer of another shape";
  if (fault === "404 once") return what.includes("{id}/") || what.endsWith("{id}");
  if (fault === "exit 3") return what === "backup";
  // what reads takes no lock that matters
  if (fault.startsWith("locked")) return what === "backup" || what === "forget";
  return true;
}

/** So many of the cases, of each kind of fault at least one while there is room, by the seed. */
export function sampleOf(cases: readonly FaultCase[], count: number, seed: number): FaultCase[] {
  const inOrder = shuffled(cases, seed);
  const firsts = [...new Map(inOrder.map(one => [one.fault, one])).values()];
  return [...new Set([...firsts, ...inOrder])].slice(0, count);
}

/** So many rows of cases, each with one of every stage in the stages' order; of each kind of fault at least one while there is room. */
export function walksOf(cases: readonly FaultCase[], walks: number, seed: number): FaultCase[][] {
  const inOrder = shuffled(cases, seed);
  const chosen = new Map(stages.map(stage => [stage, [] as FaultCase[]]));
  const take = (one: FaultCase): boolean => {
    const row = chosen.get(one.stage) ?? [];
    return row.length < walks && !row.includes(one) && row.push(one) > 0;
  };
  const kinds = [...new Set(inOrder.map(({ fault }) => fault))].map(kind =>
    inOrder.filter(({ fault }) => fault === kind),
  );
  const stagesOfKind = (of: readonly FaultCase[]) => new Set(of.map(({ stage }) => stage)).size;
  // what few stages know finds its room first
  for (const ofKind of kinds.sort((a, b) => stagesOfKind(a) - stagesOfKind(b))) ofKind.some(take);
  inOrder.forEach(take);
  const rows = stages.map(stage => shuffled(chosen.get(stage) ?? [], seed));
  return Array.from({ length: walks }, (_, index) => rows.flatMap(row => row[index] ?? []));
}
