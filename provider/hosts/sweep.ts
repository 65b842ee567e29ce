import { clock, World } from "../driver/world";
import { leftovers, sweep } from "../operations/sweep";

/** Removes, or with `dryRun` only names, the temporary volumes of a stack that no live run owns. */
export async function sweepStack(
  stack: string,
  options: { all?: boolean; dryRun?: boolean; cloud?: string },
): Promise<void> {
  const session = new World({}, line => console.log(line)).session({ cloud: options.cloud });
  const found = await leftovers(session, stack, { now: clock(), everything: options.all === true });
  if (found.length === 0) console.log(`nothing to sweep in ${stack}`);
  if (!options.dryRun) {
    const left = await sweep(session, found, { log: line => console.log(line) });
    if (left.length > 0) process.exitCode = 1;
    return;
  }
  for (const { volumeId, owner, expiresAt } of found)
    console.log(`would remove temporary volume ${volumeId} of ${owner}, expires ${expiresAt ?? "never"}`);
}
