import type { Benchmark } from "./benchmark";
import { apiDelayMs, count, isListing, largeStacks, type Span, settleMs } from "./sets";

/** The first `up`: how many calls an object costs, and which part of the time is neither the engine's nor the API's. */
export const create: Benchmark = {
  name: "create",
  async run(log) {
    const { created, asked, working } = await largeStacks(log);
    const others = asked.filter(one => !isListing(one));
    const perObject = others.length / count;
    // The cloud is at work while it answers, and while a snapshot that it has accepted settles.
    const cloudAtWork = asked.map(({ method, path, from, to }): Span => {
      const settling = method === "POST" && path.endsWith("/snapshots") ? settleMs : 0;
      return [from, to + settling];
    });
    const provider = total(union(working));
    const both = total(union([...working, ...cloudAtWork])) - total(union(cloudAtWork));
    const wall = created.seconds * 1000;
    return [
      {
        what: `calls per snapshot made beyond the listings, ${apiDelayMs} ms API`,
        measured: perObject.toFixed(3),
        bar: "≤ 1.2",
        met: perObject <= 1.2,
        note: `${asked.length} in all, ${asked.length - others.length} of them listings`,
      },
      {
        what: `create of ${count} sets: share that is neither the engine's nor the API's`,
        measured: `${((100 * both) / wall).toFixed(1)} %`,
        bar: "",
        note:
          `${(wall / 1000).toFixed(1)} s; a call of the provider was under way for ${(provider / 1000).toFixed(1)} s of it, ` +
          `the share is when one was and the cloud neither answered nor settled a snapshot`,
      },
    ];
  },
};

/** The spans in order, joined where they touch. */
export function union(spans: readonly Span[]): Span[] {
  const joined: Span[] = [];
  for (const [from, to] of [...spans].sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else joined.push([from, to]);
  }
  return joined;
}

function total(spans: readonly Span[]): number {
  return spans.reduce((sum, [from, to]) => sum + to - from, 0);
}
