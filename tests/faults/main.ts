import { parseArgs } from "node:util";
import { allCases, type FaultCase, sampleOf, titleOf } from "./cases";
import { tryMutations } from "./mutate";
import { playAll } from "./pool";

/**
 * Plays the fault matrix: all of it, those whose title matches `--grep`, or `--sample` of them by `--seed`; with
 * `--mutations` against providers that are broken on purpose.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      grep: { type: "string" },
      sample: { type: "string" },
      seed: { type: "string", default: "1" },
      workers: { type: "string", default: "3" },
      list: { type: "boolean", default: false },
      mutations: { type: "boolean", default: false },
    },
  });
  const began = Date.now();
  const pattern = values.grep === undefined ? undefined : new RegExp(values.grep);
  if (values.mutations) {
    const { caught, missed } = await tryMutations(pattern, line => console.log(line));
    console.log(`${caught} passed, ${missed.length} failed, 0 skipped`);
    process.exitCode = missed.length > 0 || caught === 0 ? 1 : 0;
    return;
  }
  let chosen = 0;
  const choose = (all: FaultCase[]) => {
    const matching = all.filter(one => !pattern || pattern.test(titleOf(one)));
    const cases = values.sample ? sampleOf(matching, Number(values.sample), Number(values.seed)) : matching;
    chosen = cases.length;
    console.log(`${chosen} of ${all.length} cases`);
    return cases;
  };
  let done = 0;
  const played = await playAll(calls => choose(allCases(calls)), {
    workers: Number(values.workers),
    onPlayed({ one, problems, seconds }) {
      done++;
      if (values.list) console.log(`${titleOf(one)} ${seconds.toFixed(1)} s`);
      if (problems.length > 0)
        console.log(
          `FAILED ${titleOf(one)} (${seconds.toFixed(1)} s)\n  ${problems.join("\n  ").replaceAll("\n", "\n    ")}`,
        );
      else if (done % 50 === 0) console.log(`${done} of ${chosen}`);
    },
  });
  const failed = played.filter(({ problems }) => problems.length > 0);
  for (const { one } of failed) console.log(`failed: ${titleOf(one)}`);
  console.log(`${((Date.now() - began) / 60_000).toFixed(1)} minutes`);
  console.log(`${played.length - failed.length} passed, ${failed.length} failed, 0 skipped`);
  process.exitCode = failed.length > 0 || (played.length === 0 && !values.list) ? 1 : 0;
}

void main();
