import type { Driver, Properties } from "../driver/driver";
import type { World } from "../driver/world";

/** What commands have alike that do a resource's work without a stack. */

/** Does the work; a signal cancels it, and it still gets to undo what it has begun. */
export async function cancellable<T>(world: World, work: () => Promise<T>): Promise<T> {
  const cancel = () => world.abort.abort(new Error("cancelled"));
  process.once("SIGINT", cancel);
  process.once("SIGTERM", cancel);
  try {
    return await work();
  } finally {
    process.off("SIGINT", cancel);
    process.off("SIGTERM", cancel);
  }
}

/** The checked inputs of a new resource. Throws with all that is refused. */
export async function accepted(driver: Driver, type: string, given: Properties): Promise<Properties> {
  const { inputs, refusals } = await driver.check(type, undefined, given);
  if (refusals.length > 0)
    throw new Error(refusals.map(({ property, reason }) => `${property}: ${reason}`).join("; "));
  return inputs;
}
