import Ajv, { type ErrorObject } from "ajv";
import type { Properties, Value } from "./property";

/** Policies describe their configuration by draft 7; a keyword or format of somebody's own is no reason to refuse it. */
const ajv = new Ajv({ allErrors: true, strict: false, validateFormats: false, verbose: true });

/** What is wrong with the value, each with the path of the part that is wrong; nothing when it fits the schema. */
export function schemaProblems(schema: Properties, value: Value, path: string): string[] {
  const validate = ajv.compile(schema);
  return validate(value) ? [] : (validate.errors ?? []).map(error => problemOf(error, path));
}

function problemOf(
  { instancePath, keyword, params, message = keyword, data }: ErrorObject,
  path: string,
): string {
  const at = instancePath
    .slice(1)
    .split("/")
    .filter(Boolean)
    .map(part => (/^\d+$/.test(part) ? `[${part}]` : `.${part.replaceAll("~1", "/").replaceAll("~0", "~")}`))
    .join("");
  const choices =
    keyword === "enum" ? ` ${params.allowedValues.map((one: Value) => JSON.stringify(one)).join(", ")}` : "";
  const extra = keyword === "additionalProperties" ? ` (${params.additionalProperty})` : "";
  const shown = typeof data === "object" && data !== null ? "" : `: ${JSON.stringify(data)}`;
  return `${path}${at} ${message}${choices}${extra}${shown}`;
}
