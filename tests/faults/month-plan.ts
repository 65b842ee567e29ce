import { random, shuffled } from "../random";

/** What a fault of the month is drawn from; a lasting one stays for some hours. */
export const kinds = ["request", "restic", "work", "end", "lasting"] as const;
export type Kind = (typeof kinds)[number];

/** What happens once in the month beside the faults. */
export const specials = [
  "the clock is an hour back",
  "the run is five hours late",
  "the state is lost",
  "the state is that of three hours before",
  "a refresh",
  "somebody removes a Cinder point",
  "the volume is extended",
] as const;
export type Special = (typeof specials)[number];

/** What is drawn for an hour; which call and which fault of the kind that is, is chosen by `pick` when the calls are known. */
export interface Drawn {
  kind: Kind;
  pick: number;
  /** Of a lasting one. */
  hours: number;
}

export interface Hour {
  drawn: Drawn[];
  special?: Special;
}

/** In so many hours at first nothing happens: retention has something to remove by the end of them. */
export const quietHours = 7;

const hoursLate = 5;
const oneIn = 5;
const twoAtOnce = 0.1;
/** Of the kinds; an end costs a process of its own. */
const shares: Record<Kind, number> = { request: 0.4, restic: 0.25, work: 0.2, end: 0.07, lasting: 0.08 };

/** What the seed has in store, hour by hour; undefined where no run comes. */
export function planOf(seed: number, hours: number): (Hour | undefined)[] {
  const next = random(seed);
  // the first numbers of neighbouring seeds are neighbours too
  for (let times = 0; times < 8; times++) next();
  const plan: (Hour | undefined)[] = Array.from({ length: hours }, (_, hour) => {
    const isMet = hour >= quietHours && next() < 1 / oneIn;
    const count = isMet ? (next() < twoAtOnce ? 2 : 1) : 0;
    return { drawn: Array.from({ length: count }, () => draw(next)) };
  });
  const quiet = plan.flatMap((_, hour) => (isQuiet(plan, hour) ? [hour] : []));
  const chosen: number[] = [];
  for (const hour of shuffled(quiet, seed)) {
    const special = specials[(chosen.length + seed) % specials.length];
    if (special === undefined || chosen.length >= Math.min(specials.length, hours / 12)) break;
    if (chosen.some(other => Math.abs(other - hour) < 2 * hoursLate)) continue;
    chosen.push(hour);
    plan[hour] = { drawn: [], special };
    if (special === "the run is five hours late") {
      for (let missed = 0; missed < hoursLate; missed++) plan[hour + missed] = undefined;
      plan[hour + hoursLate] = { drawn: [], special };
    }
  }
  return plan;
}

/** Whether no fault is there, none was just before, and there is time to be late. */
function isQuiet(plan: readonly (Hour | undefined)[], hour: number): boolean {
  if (hour <= quietHours || hour + hoursLate >= plan.length) return false;
  const lasts = plan.some((other, at) =>
    other?.drawn.some(({ hours }) => at <= hour + hoursLate && at + hours > hour),
  );
  return !lasts && [hour - 1, hour].every(near => plan[near]?.drawn.length === 0);
}

function draw(next: () => number): Drawn {
  const at = next();
  let sum = 0;
  const kind = kinds.find(one => {
    sum += shares[one];
    return at < sum;
  });
  return {
    kind: kind ?? "request",
    pick: next(),
    hours: kind === "lasting" ? 2 + Math.floor(next() ** 2 * 11) : 1,
  };
}
