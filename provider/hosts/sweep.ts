import { clock, World } from "../driver/world";
import { leftovers, sweep } from "../operations/sweep";

/** Removes, or with `dryRun` only names, the temporary volumes of a stack that no live run owns. */
export async function sweepStack(
  stack: string,
  options: { all?: boolean; dryRun?: boolean; cloud?: string; json?: boolean },
): Promise<void> {
  const log = (line: string) => (options.json ? console.error(line) : console.log(line));
  const session = new World({}, log).session({ cloud: options.cloud });
  const found = await leftovers(session, stack, { now: clock(), everything: options.all === true });
  const left = options.dryRun ? found.map(({ volumeId }) => volumeId) : await sweep(session, found, { log });
  if (!options.dryRun && left.length > 0) process.exitCode = 1;
  if (options.json) {
    const told = found.map(one => ({ ...one, removed: !left.includes(one.volumeId) }));
    console.log(JSON.stringify(told, null, 2));
    return;
  }
  if (found.length === 0) log(`nothing to sweep in ${stack}`);
  if (!options.dryRun) return;
  for (const { volumeId, owner, expiresAt } of found)
    log(`would remove temporary volume ${volumeId} of ${owner}, expires ${expiresAt ?? "never"}`);
}
