/** Numbers from 0 to 1 that `seed` decides (a linear congruential generator). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** The same things in an order that `seed` decides. */
export function shuffled<T>(things: readonly T[], seed: number): T[] {
  const next = random(seed);
  return things
    .map(thing => ({ thing, at: next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ thing }) => thing);
}
