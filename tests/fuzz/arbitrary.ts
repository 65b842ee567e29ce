import fc from "fast-check";
import { z } from "zod";

type Schema = Record<string, unknown> & {
  type?: string;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
};

/** What people, and attackers, put where a name or a path is asked for. */
export const hostileText = fc.oneof(
  fc.constantFrom(
    "",
    " ",
    "daily",
    "0 2 * * *",
    "7@mon-fri",
    "UTC",
    "Europe/Berlin",
    "retain",
    "4b825dc6-42cb-4ce0-9d1a-2c8f4a3b5e6f",
    "/srv/restic",
    "s3:https://s3.example.com/b",
    "../../etc/passwd",
    "--help",
    "-",
    "'; rm -rf / #",
    '"; $(reboot) `id`',
    "line\nbreak\r\n",
    "nul\u0000byte",
    "\u202e\u200bx",
    "ü".repeat(300),
    "x".repeat(300),
    "__proto__",
    "constructor",
    "%s%n",
    "[object Object]",
    "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
  ),
  fc.string({ maxLength: 40, unit: "binary" }),
);

const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  hostileText,
  fc.constantFrom(
    null,
    0,
    -1,
    1.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    2 ** 53,
    true,
    [],
    {},
    [[]],
    [null],
  ),
  fc.dictionary(fc.constantFrom("__proto__", "constructor", "x", "keepLast"), fc.constantFrom(1, "a", null)),
);

/** Values that are mostly, but never only, of the schema. */
export function nearly(schema: z.ZodType): fc.Arbitrary<unknown> {
  return of(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Schema);
}

function of(schema: Schema): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 9, arbitrary: fitting(schema) }, { weight: 1, arbitrary: oddValue });
}

function fitting({
  type,
  enum: choices,
  const: constant,
  anyOf,
  properties,
  additionalProperties,
  items,
}: Schema): fc.Arbitrary<unknown> {
  if (constant !== undefined) return fc.constant(constant);
  if (choices) return fc.constantFrom(...choices);
  if (anyOf) return fc.oneof(...anyOf.map(of));
  if (type === "object" && properties) {
    const known = fc.record(
      Object.fromEntries(Object.entries(properties).map(([key, schema]) => [key, of(schema)])),
      { requiredKeys: [] },
    );
    const extra = fc.option(fc.dictionary(hostileText, oddValue, { maxKeys: 1 }), { freq: 12, nil: {} });
    return fc.tuple(known, extra).map(([one, other]) => ({ ...one, ...other }));
  }
  if (type === "object")
    return fc.dictionary(
      hostileText,
      typeof additionalProperties === "object" ? of(additionalProperties) : oddValue,
      { maxKeys: 3 },
    );
  if (type === "array") return fc.array(items ? of(items) : oddValue, { maxLength: 3 });
  if (type === "integer") return fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer());
  if (type === "number") return fc.oneof(fc.integer({ min: 0, max: 100_000 }), fc.double());
  if (type === "boolean") return fc.boolean();
  return type === "string" ? hostileText : oddValue;
}
