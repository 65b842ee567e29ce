import { countRules, durationRules, parseDuration, type Retention, rulesIn, tagsOf } from "./policy";

/**
 * What is wrong with a retention, by property: values that cannot be, and policies that would keep nothing (no rule, or
 * keepTags alone, where a misspelt tag would remove all but the newest good point). "retention" stands for the whole.
 */
export function validateRetention(retention: Retention): { property: string; reason: string }[] {
  const problems = malformed(retention);
  if (problems.length > 0) return problems;
  if (rulesIn(retention).length === 0) {
    return [
      {
        property: "retention",
        reason: "keeps nothing: set keepLast, keepForDays, keepDaily or another rule above 0",
      },
    ];
  }
  if (rulesIn({ ...retention, keepTags: undefined }).length === 0) {
    return [
      {
        property: "keepTags",
        reason: "is the only rule, so that points without the tag are all removed: add a count or a window",
      },
    ];
  }
  return [];
}

/** Values that no rule can have. They come from programs without types too. */
export function malformed(retention: Retention): { property: string; reason: string }[] {
  const problems: { property: string; reason: string }[] = [];
  for (const [property, value] of Object.entries(retention) as [string, unknown][]) {
    const reason = value === undefined ? undefined : flaw(property, value);
    if (reason) problems.push({ property, reason });
  }
  return problems;
}

function flaw(property: string, value: unknown): string | undefined {
  const is = `is ${typeof value === "string" || typeof value === "object" ? JSON.stringify(value) : String(value)}`;
  if (property in countRules || property === "keepForDays" || property === "minimum") {
    const least = property === "minimum" ? 1 : 0;
    if (value === -1 || value === Number.POSITIVE_INFINITY || value === "unlimited") {
      return `${is}, but there is no unlimited: name a number`;
    }
    const valid = typeof value === "number" && Number.isSafeInteger(value) && value >= least;
    return valid ? undefined : `${is}: use a whole number from ${least} on`;
  }
  if (property in durationRules) {
    const valid = typeof value === "string" && parseDuration(value);
    if (valid) return undefined;
    const weeks = typeof value === "string" && /\dw/.test(value) ? "; a week is 7d" : "";
    return `${is}: use years, months, days and hours such as "1y5m7d2h"${weeks}`;
  }
  if (property === "keepTags") {
    const isText = (tag: unknown) => typeof tag === "string" && tag.trim() !== "";
    const isSet = (set: unknown) =>
      typeof set === "string"
        ? tagsOf(set).every(isText)
        : Array.isArray(set) && set.length > 0 && set.every(isText);
    const valid = Array.isArray(value) && value.every(isSet);
    return valid ? undefined : `is no list of tag sets such as ["legal-hold", "audit,2026"]`;
  }
  return `is no rule: use ${[...Object.keys(countRules), "keepForDays", ...Object.keys(durationRules), "keepTags", "minimum"].join(", ")}`;
}
