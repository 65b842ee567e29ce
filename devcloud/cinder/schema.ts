import { badRequest } from "./errors";

/** A value as Python prints it, for the messages of Cinder's schema validation. */
export function pythonRepr(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "string") {
    const quote = value.includes("'") && !value.includes('"') ? '"' : "'";
    const escaped = value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
    return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
  }
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value)
      .map(([key, item]) => `${pythonRepr(key)}: ${pythonRepr(item)}`)
      .join(", ")}}`;
  }
  return String(value);
}

/** The refusal of one field's value. */
export function invalidField(field: string, value: unknown, reason: string): Error {
  const shown = typeof value === "string" ? value : pythonRepr(value);
  return badRequest(`Invalid input for field/attribute ${field}. Value: ${shown}. ${reason}`);
}

/** The object below `name` in the body, `{"volume": {…}}`. */
export function wrapped(body: unknown, name: string): Record<string, unknown> {
  if (typeof body !== "object" || body === null || !(name in body)) {
    throw badRequest(`${pythonRepr(name)} is a required property`);
  }
  const value = (body as Record<string, unknown>)[name];
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalidField(name, value, `${pythonRepr(value)} is not of type 'object'`);
  }
  return value as Record<string, unknown>;
}

const uuid = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const metadataKey = /^[a-zA-Z0-9-_:. /]{1,255}$/;
const longest = 255;

/** A property that must be a uuid when given; null counts as absent. */
export function uuidOf(object: Record<string, unknown>, field: string): string | undefined {
  const value = object[field];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" || !uuid.test(value)) {
    throw invalidField(field, value, `${pythonRepr(value)} is not valid under any of the given schemas`);
  }
  return value;
}

/** Like `uuidOf`, of a property that must be there. */
export function requiredUuid(object: Record<string, unknown>, wrapper: string, field: string): string {
  if (!(field in object)) throw invalidField(wrapper, object, `${pythonRepr(field)} is a required property`);
  const value = uuidOf(object, field);
  if (value === undefined)
    throw invalidField(field, null, "None is not valid under any of the given schemas");
  return value;
}

/** A text or null; longer than 255 is refused in the words of the schema. */
export function textOf(object: Record<string, unknown>, field: string): string | null {
  const value = object[field];
  if (value === undefined || value === null) return null;
  if (typeof value !== "string")
    throw invalidField(field, value, `${pythonRepr(value)} is not of type 'string', 'null'`);
  if (value.length > longest) throw invalidField(field, value, `${pythonRepr(value)} is too long`);
  return value;
}

/** A volume's name or description: its length is refused in other words than a snapshot's. */
export function volumeTextOf(object: Record<string, unknown>, field: string): string | null {
  const value = object[field];
  if (typeof value === "string" && value.length > longest) {
    throw badRequest(
      `Invalid input received: ${field} has ${value.length} characters, more than ${longest}.`,
    );
  }
  return textOf(object, field);
}

/** Metadata: keys of a limited alphabet, values texts of up to 255 characters. */
export function metadataOf(object: Record<string, unknown>, field = "metadata"): Record<string, string> {
  const value = object[field];
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) {
    throw invalidField(field, value, `${pythonRepr(value)} is not of type 'object', 'null'`);
  }
  const metadata: Record<string, string> = {};
  for (const [key, item] of Object.entries(value)) {
    if (!metadataKey.test(key)) {
      throw invalidField(
        field,
        value,
        `${pythonRepr(key)} does not match any of the regexes: '${metadataKey.source.replaceAll("\\", "")}'`,
      );
    }
    if (typeof item !== "string")
      throw invalidField(key, item, `${pythonRepr(item)} is not of type 'string'`);
    if (item.length > longest) throw invalidField(key, item, `${pythonRepr(item)} is too long`);
    metadata[key] = item;
  }
  return metadata;
}

/** A size in GiB, as a number or digits; undefined when absent. */
export function sizeOf(object: Record<string, unknown>, field: string): number | undefined {
  const value = object[field];
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") {
    if (!/^[0-9]+$/.test(value))
      throw invalidField(field, value, `${pythonRepr(value)} does not match '^[0-9]+$'`);
    if (Number(value) < 1)
      throw badRequest(
        `Invalid input received: Volume size ${pythonRepr(value)} must be an integer and greater than 0`,
      );
    return Number(value);
  }
  if (typeof value !== "number" || !Number.isInteger(value)) {
    throw invalidField(field, value, `${pythonRepr(value)} is not of type 'integer', 'string', 'null'`);
  }
  if (value < 1) throw invalidField(field, value, `${value} is less than the minimum of 1`);
  return value;
}

const yes: unknown[] = [true, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "y", "t"];
const no: unknown[] = [
  false,
  "False",
  "FALSE",
  "false",
  "0",
  "OFF",
  "Off",
  "off",
  "NO",
  "No",
  "no",
  "n",
  "f",
];

/** A flag in any of the spellings that Cinder takes; undefined when absent. */
export function flagOf(object: Record<string, unknown>, field: string): boolean | undefined {
  const value = object[field];
  if (value === undefined) return undefined;
  if (yes.includes(value)) return true;
  if (no.includes(value)) return false;
  throw invalidField(field, value, `${pythonRepr(value)} is not one of ${pythonRepr([...yes, ...no])}`);
}

/** True for a query parameter that says yes. */
export function saysYes(value: string | null): boolean {
  return value !== null && yes.includes(value);
}

/** True for a query parameter that says no. */
export function saysNo(value: string | null): boolean {
  return value !== null && no.includes(value);
}
