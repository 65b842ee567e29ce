import { isDeepStrictEqual } from "node:util";
import type { z } from "zod";
import { type Context, metaOf, type ResourceType } from "./resource";
import { hasUnknown } from "./unknown";

/** What diff says: which inputs changed, which of them replace the resource, and what the world changed. */
export interface Difference {
  changed: string[];
  replaces: string[];
  drift: string[];
}

/**
 * Compares checked inputs with the state, for every type alike; then asks the world whether the state still holds.
 * An input that follows another resource's slot and is unknown in preview counts as changed only with the slot.
 */
export async function diff(
  type: ResourceType,
  state: Record<string, unknown>,
  inputs: Record<string, unknown>,
  context: Context,
): Promise<Difference> {
  const shape = type.inputs.shape as Record<string, z.ZodType>;
  const sameRun = same(state.slot, inputs.slot) && same(state.trigger, inputs.trigger);
  const changed = Object.keys(shape).filter(key => {
    if (same(state[key], inputs[key])) return false;
    return !(hasUnknown(inputs[key]) && type.followSlot?.includes(key) && sameRun);
  });
  const replaces = changed.filter(key => metaOf(shape[key]).replaceOnChanges === true);
  let drift: string[] = [];
  if (replaces.length === 0 && type.drift && !hasUnknown(inputs)) {
    try {
      drift = await type.drift(state, inputs, context);
    } catch (error) {
      context.warn(
        `drift was not looked for, the difference goes by the state alone: ${error instanceof Error ? error.message : error}`,
      );
    }
  }
  return { changed, replaces, drift };
}

function same(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(a ?? undefined, b ?? undefined);
}
