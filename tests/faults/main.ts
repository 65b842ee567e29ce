import { parseArgs } from "node:util";
import { allCases, type FaultCase, sampleOf, titleOf } from "./cases";
import { inWords, isWell, playInProcess } from "./months";
import { tryMutations } from "./mutate";
import { playAll } from "./pool";

const usage = `npm run test:faults -- [options]

  --grep <pattern>   the cases of the matrix whose title matches; all without it
  --sample <count>   so many of them, by --seed
  --list             names them, and plays none
  --times            tells the seconds of each
  --mutations        against providers that are broken on purpose
  --month            thirty days of hourly runs on one state, instead of the matrix
  --hours <count>    so many hours of the month in place of 720
  --seed <number>    what is drawn; default 1
  --workers <count>  of the matrix, default 5; months at once, each with a seed of its own, default 1
  --help`;

/** Plays the fault matrix, or months of hourly runs. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      grep: { type: "string" },
      sample: { type: "string" },
      seed: { type: "string", default: "1" },
      workers: { type: "string" },
      list: { type: "boolean", default: false },
      times: { type: "boolean", default: false },
      mutations: { type: "boolean", default: false },
      month: { type: "boolean", default: false },
      hours: { type: "string", default: "720" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(usage);
  if (values.month) {
    const seeds = Array.from(
      { length: Number(values.workers ?? 1) },
      (_, index) => Number(values.seed) + index,
    );
    return playMonths(seeds, Number(values.hours));
  }
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
    if (values.list) console.log(cases.map(titleOf).join("\n"));
    console.log(`${chosen} of ${all.length} cases`);
    return values.list ? [] : cases;
  };
  let done = 0;
  const played = await playAll(calls => choose(allCases(calls)), {
    workers: values.list ? 1 : Number(values.workers ?? 5),
    onPlayed({ one, problems, seconds }) {
      done++;
      if (values.times) console.log(`${titleOf(one)} ${seconds.toFixed(1)} s`);
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

/** A month of each seed, all at once. */
async function playMonths(seeds: readonly number[], hours: number): Promise<void> {
  let passed = 0;
  const play = async (seed: number) => {
    const report = await playInProcess({ seed, hours }, line => console.log(`seed ${seed}, ${line}`));
    for (const problem of report.problems) console.log(`FAILED ${problem.replaceAll("\n", "\n    ")}`);
    for (const title of report.unmet) console.log(`met by nothing: ${title}`);
    console.log(inWords(report));
    if (isWell(report)) passed++;
  };
  await Promise.all(seeds.map(play));
  console.log(`${passed} passed, ${seeds.length - passed} failed, 0 skipped`);
  process.exitCode = passed === seeds.length && passed > 0 ? 0 : 1;
}

void main();
