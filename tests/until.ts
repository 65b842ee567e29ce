import { setTimeout as sleep } from "node:timers/promises";
import { factor } from "./deadlines";

/**
 * Asks until the answer is neither undefined nor false, and gives it back. Throws after `seconds` (default 60), which
 * grow with the machine's load as mocha's timeouts do. Asks again after `every` ms.
 */
export async function until<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  { seconds = 60, every = 20 }: { seconds?: number; every?: number } = {},
): Promise<T> {
  const deadline = Date.now() + seconds * 1000 * factor;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > deadline) throw new Error(`waited ${Math.round(seconds * factor)} s for ${what}`);
    await sleep(every);
  }
}
