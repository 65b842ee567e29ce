import { equal, type Properties, type Value } from "./property";

/** A JSON schema of draft 7, as far as a policy's configuration may use it; `format` and `$ref` are not judged. */
export type Schema = Properties;

const isObject = (value: Value | undefined): value is Properties =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const typeOf = (value: Value): string => {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "number" && Number.isInteger(value) ? "integer" : typeof value;
};

const hasType = (value: Value, type: string): boolean =>
  typeOf(value) === type || (type === "number" && typeof value === "number");

/** What is wrong with the value, each with the path of the part that is wrong; nothing when it fits the schema. */
export function schemaProblems(schema: Value | undefined, value: Value, path: string): string[] {
  if (schema === false) return [`${path} is not allowed`];
  if (!isObject(schema)) return [];
  const { type, enum: choices, const: constant } = schema;
  const shown = JSON.stringify(value);
  const types = Array.isArray(type) ? type.map(String) : typeof type === "string" ? [type] : [];
  if (types.length > 0 && !types.some(name => hasType(value, name)))
    return [`${path} must be of type ${types.join(" or ")}, not ${typeOf(value)}: ${shown}`];
  const problems: string[] = [];
  if (Array.isArray(choices) && !choices.some(choice => equal(choice, value)))
    problems.push(
      `${path} must be one of ${choices.map(choice => JSON.stringify(choice)).join(", ")}: ${shown}`,
    );
  if (constant !== undefined && !equal(constant, value))
    problems.push(`${path} must be ${JSON.stringify(constant)}: ${shown}`);
  if (typeof value === "number") problems.push(...numberProblems(schema, value, path));
  if (typeof value === "string") problems.push(...stringProblems(schema, value, path));
  if (Array.isArray(value)) problems.push(...arrayProblems(schema, value, path));
  if (isObject(value)) problems.push(...objectProblems(schema, value, path));
  return problems;
}

/** One sentence for each bound of the schema that the figure breaks. */
function boundProblems(
  schema: Schema,
  figure: number,
  bounds: Record<string, [isWithin: (figure: number, bound: number) => boolean, words: string]>,
  tell: (words: string) => string,
): string[] {
  return Object.entries(bounds).flatMap(([keyword, [isWithin, words]]) => {
    const bound = schema[keyword];
    return typeof bound === "number" && !isWithin(figure, bound) ? [tell(`${words} ${bound}`)] : [];
  });
}

const atLeast = (figure: number, bound: number) => figure >= bound;
const atMost = (figure: number, bound: number) => figure <= bound;

const numberProblems = (schema: Schema, value: number, path: string): string[] =>
  boundProblems(
    schema,
    value,
    {
      minimum: [atLeast, "at least"],
      maximum: [atMost, "at most"],
      exclusiveMinimum: [(figure, bound) => figure > bound, "above"],
      exclusiveMaximum: [(figure, bound) => figure < bound, "below"],
      multipleOf: [(figure, bound) => Number.isInteger(figure / bound), "a multiple of"],
    },
    words => `${path} must be ${words}: ${value}`,
  );

function stringProblems(schema: Schema, value: string, path: string): string[] {
  const shown = JSON.stringify(value);
  const problems = boundProblems(
    schema,
    [...value].length,
    { minLength: [atLeast, "at least"], maxLength: [atMost, "at most"] },
    words => `${path} must have ${words} characters: ${shown}`,
  );
  const { pattern } = schema;
  if (typeof pattern === "string" && !new RegExp(pattern, "u").test(value))
    problems.push(`${path} must match ${pattern}: ${shown}`);
  return problems;
}

function arrayProblems(schema: Schema, value: Value[], path: string): string[] {
  const { items, additionalItems, contains, uniqueItems } = schema;
  const problems = boundProblems(
    schema,
    value.length,
    { minItems: [atLeast, "at least"], maxItems: [atMost, "at most"] },
    words => `${path} must have ${words} items, not ${value.length}`,
  );
  for (const [index, item] of value.entries()) {
    const own = Array.isArray(items) ? (index < items.length ? items[index] : additionalItems) : items;
    problems.push(...schemaProblems(own, item, `${path}[${index}]`));
  }
  if (contains !== undefined && !value.some(item => schemaProblems(contains, item, path).length === 0))
    problems.push(`${path} must have an item that fits ${JSON.stringify(contains)}`);
  if (
    uniqueItems === true &&
    value.some((item, index) => value.slice(0, index).some(one => equal(one, item)))
  )
    problems.push(`${path} must not have an item twice`);
  return problems;
}

function objectProblems(schema: Schema, value: Properties, path: string): string[] {
  const { required, propertyNames, additionalProperties } = schema;
  const keys = Object.keys(value);
  const below = (key: string) => (path ? `${path}.${key}` : key);
  const objectOf = (keyword: string): Properties => {
    const found = schema[keyword];
    return isObject(found) ? found : {};
  };
  const missing = (names: Value | undefined) =>
    Array.isArray(names) ? names.map(String).filter(name => !(name in value)) : [];

  const problems = boundProblems(
    schema,
    keys.length,
    { minProperties: [atLeast, "at least"], maxProperties: [atMost, "at most"] },
    words => `${path} must have ${words} properties, not ${keys.length}`,
  );
  for (const name of missing(required)) problems.push(`${below(name)} is required`);
  for (const [key, dependency] of Object.entries(objectOf("dependencies"))) {
    if (!(key in value)) continue;
    if (!Array.isArray(dependency)) problems.push(...schemaProblems(dependency, value, path));
    for (const name of missing(dependency)) problems.push(`${below(name)} is required by ${below(key)}`);
  }
  const named = objectOf("properties");
  const patterns = Object.entries(objectOf("patternProperties"));
  for (const [key, item] of Object.entries(value)) {
    const own = patterns.filter(([pattern]) => new RegExp(pattern, "u").test(key)).map(([, one]) => one);
    if (key in named) own.push(named[key] as Value);
    if (own.length === 0 && additionalProperties !== undefined) own.push(additionalProperties);
    for (const one of own) problems.push(...schemaProblems(one, item, below(key)));
    problems.push(...schemaProblems(propertyNames, key, `the name of ${below(key)}`));
  }
  return problems;
}
