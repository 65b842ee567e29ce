/** Stands for a value that is not known before the run, in the inputs that a preview looks at. */
export const unknown = Symbol("not known before the run");

/** Whether any part of `value` is unknown. */
export function hasUnknown(value: unknown): boolean {
  if (value === unknown) return true;
  if (Array.isArray(value)) return value.some(hasUnknown);
  if (value !== null && typeof value === "object") return Object.values(value).some(hasUnknown);
  return false;
}
