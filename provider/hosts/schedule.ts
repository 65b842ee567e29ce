import { describeSchedule, nextSlot, parseSchedule } from "../operations/schedule";
import { parseCopySet } from "../operations/schedule-file";
import { inZone } from "./wall-clock";

/** Says a schedule in words and its next runs, each in its own zone and in UTC. */
export function schedule(
  text: string,
  options: { zone: string; count: number; snapmanager?: boolean; json?: boolean },
): void {
  const copySet = options.snapmanager ? parseCopySet(text) : undefined;
  const read = parseSchedule(copySet?.schedule ?? text, { timeZone: options.zone, seed: "osbackup" });
  const runs: Date[] = [];
  for (let after = new Date(); runs.length < options.count; ) {
    const next = copySet?.takesPoints === false ? undefined : nextSlot(read, after);
    if (!next) break;
    runs.push(next);
    after = next;
  }
  const words = copySet
    ? `copy set "${copySet.name}": ${copySet.takesPoints ? describeSchedule(read) : "takes no new points"}, keeping the last ${copySet.count}`
    : describeSchedule(read);
  if (options.json) {
    console.log(
      JSON.stringify({ words, timeZone: options.zone, next: runs.map(run => run.toISOString()) }, null, 2),
    );
    return;
  }
  console.log(words);
  for (const run of runs)
    console.log(`  ${inZone(run, options.zone)} ${options.zone} (${run.toISOString().slice(0, 16)}Z)`);
}
