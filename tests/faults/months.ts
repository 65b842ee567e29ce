import { fork } from "node:child_process";
import path from "node:path";
import type { MonthReport } from "./month";
import type { FromMonth } from "./month-worker";

/** Plays a month in a process of its own: the program's and the provider's settings are those of a process. */
export function playInProcess(
  { seed, hours }: { seed: number; hours: number },
  onDay: (line: string) => void = () => {},
): Promise<MonthReport> {
  const child = fork(path.join(__dirname, "month-worker.ts"), [String(seed), String(hours)], {
    execArgv: ["--import", "tsx"],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  let said = "";
  child.stderr?.on("data", text => {
    said = (said + text).slice(-4000);
  });
  return new Promise((resolve, reject) => {
    child.on("message", (message: FromMonth) => {
      if (message.kind === "day") onDay(message.line);
      else resolve(message.report);
    });
    child.once("error", reject);
    child.once("exit", code => reject(new Error(`the month of seed ${seed} ended with ${code}: ${said}`)));
  });
}

/** Nothing is wrong, and most of the faults were met: one that met nothing has shown nothing. */
export const isWell = ({ problems, placed, unmet }: MonthReport): boolean =>
  problems.length === 0 && (placed === 0 || unmet.length * 3 < placed);

/** The counts of a month, in a line. */
export function inWords(report: MonthReport): string {
  const { seed, hours, runs, disturbed, failed, placed, unmet, specials, points, seconds } = report;
  const met = placed - unmet.length;
  return (
    `seed ${seed}: ${hours} hours, ${runs} runs, ${disturbed} of them with a fault in place, ${failed} failed; ` +
    `${met} of ${placed} faults met; ${specials.length} events; ${points} points at the end; ${Math.round(seconds)} s`
  );
}
