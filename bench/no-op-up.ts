import { type Benchmark, median, ratioRow } from "./benchmark";
import { count, isListing, largeStacks, requestsOf } from "./sets";

const rounds = 5;

/** A second `up` of a thousand unchanged sets against one of a thousand resources that do nothing. */
export const noOpUp: Benchmark = {
  name: "no-op-up",
  async run(log) {
    const { cloud, sets, empty } = await largeStacks(log);
    const ratios: { wall: number; cpu: number }[] = [];
    let requests = 0;
    let listings = 0;
    for (let round = 0; round < rounds; round++) {
      cloud.requests.length = 0;
      const ours = await sets.up();
      const asked = requestsOf(cloud);
      requests = asked.length;
      listings = asked.filter(isListing).length;
      const theirs = await empty.up();
      ratios.push({ wall: ours.seconds / theirs.seconds, cpu: ours.cpuSeconds / theirs.cpuSeconds });
      log(
        `round ${round + 1}: ${ours.seconds.toFixed(1)} s (${ours.cpuSeconds.toFixed(1)} CPU) against ` +
          `${theirs.seconds.toFixed(1)} s (${theirs.cpuSeconds.toFixed(1)} CPU), ${requests} requests`,
      );
    }
    const bar = Math.ceil(count / 1000) + 5;
    return [
      ratioRow(
        `no-op \`up\`, ${count} sets : ${count} empty dynamic resources`,
        median(ratios.map(({ wall }) => wall)),
        1.1,
        `wall clock, median of ${rounds} pairs run in turn`,
      ),
      {
        what: "the same in CPU time of engine, program and provider",
        measured: median(ratios.map(({ cpu }) => cpu)).toFixed(2),
        bar: "",
      },
      {
        what: "API calls of a no-op `up`",
        measured: String(requests),
        bar: `≤ ${bar}`,
        met: requests <= bar,
        note: `${listings} of them listings; the rest is the login and the version document`,
      },
    ];
  },
};
