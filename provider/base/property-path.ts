/** The path of a property as people write it: `retention.keepLast`, `adoptIds[0]`. */
export const propertyPath = (path: readonly PropertyKey[]): string =>
  path
    .map((key, index) => (typeof key === "number" ? `[${key}]` : `${index > 0 ? "." : ""}${String(key)}`))
    .join("");
