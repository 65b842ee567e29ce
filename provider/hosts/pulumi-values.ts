import type { Properties } from "../driver/driver";
import { unknown } from "../resources/unknown";

/** How Pulumi spells a value that preview does not know yet. It would pass a test for a UUID. */
const pulumisUnknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** The properties that the engine sent, without the host's own. */
export function fromPulumi(properties: Properties | undefined): Properties {
  const { __provider, ...rest } = properties ?? {};
  return replaced(rest, pulumisUnknown, unknown) as Properties;
}

/** Properties for the engine. */
export const toPulumi = (properties: Properties): Properties =>
  replaced(properties, unknown, pulumisUnknown) as Properties;

/** A copy with every value `from`, however deep, made `to`. */
function replaced(value: unknown, from: unknown, to: unknown): unknown {
  if (value === from) return to;
  if (Array.isArray(value)) return value.map(inner => replaced(inner, from, to));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, replaced(inner, from, to)]));
}
