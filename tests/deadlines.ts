import { cpus, loadavg } from "node:os";
import { Runnable } from "mocha";

/**
 * mocha's timeouts guard against hanging, they are no promises: on a busy machine all of them grow by one measured factor,
 * from 1 on a quiet machine to 6. A deadline that is a promise is asserted by the test itself.
 */
const mostPatience = 6;

/** How much longer than its CPU time a piece of work takes here, or how many processes want each core. */
function measure(): number {
  const from = process.hrtime.bigint();
  const before = process.cpuUsage();
  for (let sum = 0; process.cpuUsage(before).user < 60_000; sum++) Math.sqrt(sum);
  const used = process.cpuUsage(before);
  const wall = Number(process.hrtime.bigint() - from) / 1000;
  const contention = wall / (used.user + used.system);
  const queue = (loadavg()[0] ?? 0) / cpus().length;
  return Math.min(mostPatience, Math.max(1, contention, queue));
}

/** How patient the tests of this process are. */
export const factor = measure();
const original = Runnable.prototype.timeout as (ms?: number) => unknown;

Runnable.prototype.timeout = function (this: Runnable, ms?: number | string) {
  if (ms === undefined) return original.call(this) as never;
  return original.call(this, typeof ms === "number" ? Math.ceil(ms * factor) : (ms as never)) as never;
} as typeof Runnable.prototype.timeout;
