/** What @pulumi/policy throws where a property is read that a preview does not know. It declares no type for it. */
interface NotKnown extends Error {
  props: string[];
}

const isNotKnown = (error: unknown): error is NotKnown =>
  error instanceof Error && "unknownTypeSentinel" in error && "props" in error;

/**
 * Judges each by itself. What a preview does not know of one hides no violation of another: it is told when all are
 * judged, as the notice that the engine makes of it.
 */
export function eachKnown<T extends { name: string }>(all: Iterable<T>, judge: (one: T) => void): void {
  let first: NotKnown | undefined;
  for (const one of all) {
    try {
      judge(one);
    } catch (error) {
      if (!isNotKnown(error)) throw error;
      error.message = `${error.props.join(".")} of ${one.name} is not known until the update, which looks again`;
      first ??= error;
    }
  }
  if (first) throw first;
}

/** A value, or undefined where a preview does not know it. */
export function ifKnown<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isNotKnown(error)) return undefined;
    throw error;
  }
}
