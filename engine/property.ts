/**
 * Property values in the form they have on Pulumi's wire: JSON, where secrets and resource references are objects
 * with a signature key and unknowns are a reserved string.
 */
export type Value = null | boolean | number | string | Value[] | { [key: string]: Value };
/** The inputs or outputs of one resource. */
export type Properties = { [key: string]: Value };

/** The key that marks an object as something other than a plain object. */
export const SIGNATURE = "4dabf18193072939515e22adb298388d";
/** Signature of a secret: `{[SIGNATURE]: SECRET, value}` on the wire, `ciphertext` instead of `value` in the state. */
export const SECRET = "1b47061264138c4ac30d75fd1eb44270";
/** Signature of a reference to another resource. */
export const RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e";
/** What stands in a preview for a value that is known only after the update. */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

const refusedSignatures: Record<string, string> = {
  c44067f5952c0a294b673a41bacd8c17: "assets",
  "0def7320c3a5731c473e5ecbe6d01bc7": "archives",
  d0e6a833031e9bbcd3f4e8bde6ca49a4: "output values",
};

type Secret = { [SIGNATURE]: string; value: Value };

const isObject = (value: Value | undefined): value is { [key: string]: Value } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether the value is a secret on the outside. */
export const isSecret = (value: Value | undefined): value is Secret =>
  isObject(value) && value[SIGNATURE] === SECRET;

const isPlainObject = (value: Value | undefined): value is { [key: string]: Value } =>
  isObject(value) && !(SIGNATURE in value);

/** The value as one secret; secrets inside it are unwrapped, for the outer one covers them. */
export const makeSecret = (value: Value): Value =>
  isSecret(value) ? value : { [SIGNATURE]: SECRET, value: withoutSecrets(value) };

/** Whether the value is or holds a secret. */
export function containsSecret(value: Value): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.some(containsSecret);
  return value[SIGNATURE] === SECRET || Object.values(value).some(containsSecret);
}

/** Whether the value is or holds something not known yet. */
export function containsUnknown(value: Value): boolean {
  if (value === UNKNOWN) return true;
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some(containsUnknown);
}

/** A copy with every secret replaced by what it hides. */
export function withoutSecrets<T extends Value>(value: T): T;
export function withoutSecrets(value: Value): Value {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(item => withoutSecrets(item));
  if (isSecret(value)) return withoutSecrets(value.value);
  return mapValues(value, item => withoutSecrets(item));
}

/** A copy as a dynamic provider gets it: secrets in the clear, references as the resource's id (or URN without one). */
export function forProvider(properties: Properties): Properties {
  const plain = (value: Value): Value => {
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(plain);
    if (isSecret(value)) return plain(value.value);
    if (value[SIGNATURE] === RESOURCE) return plain(value.id || value.urn || "");
    return mapValues(value, plain);
  };
  return mapValues(properties, plain);
}

/** A copy as policies get it: references as the resource's id, secrets in their wrappers, none of what Pulumi keeps there for itself. */
export function forPolicies(properties: Properties): Properties {
  const plain = (value: Value): Value => {
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(plain);
    if (value[SIGNATURE] === RESOURCE) return value.id || value.urn || "";
    return mapValues(value, plain);
  };
  const own = Object.entries(properties).filter(([key]) => !key.startsWith("__"));
  return mapValues(Object.fromEntries(own), plain);
}

const mapValues = (object: Properties, change: (value: Value) => Value): Properties => {
  const result: Properties = {};
  for (const key of Object.keys(object)) result[key] = change(object[key] as Value);
  return result;
};

/**
 * Takes what came over the wire into use: throws when it holds something this engine does not carry (assets,
 * archives, output values), and completes references to resources as they are kept in the state.
 */
export function accept(value: Value, where: string): void {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value) && typeof value[SIGNATURE] === "string") {
    const kind = refusedSignatures[value[SIGNATURE]];
    if (kind)
      throw new Error(`${where}: ${kind} are not supported by the embedded engine; use the pulumi CLI`);
    if (value[SIGNATURE] === RESOURCE) value.packageVersion ??= "";
  }
  for (const item of Object.values(value)) accept(item, where);
}

/** Whether two values are equal; secrets are equal when what they hide is, and only to secrets. */
export function equal(a: Value | undefined, b: Value | undefined): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, index) => equal(item, b[index]))
    );
  }
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every(key => key in b && equal(a[key], b[key]));
}

/** How a property differs between two bags. */
export type Change = "add" | "delete" | "update";

/** The top-level keys that differ, in alphabetical order. Null and absent are the same, as in Pulumi. */
export function changedKeys(olds: Properties, news: Properties): Map<string, Change> {
  const changes = new Map<string, Change>();
  for (const key of [...new Set([...Object.keys(olds), ...Object.keys(news)])].sort()) {
    const before = olds[key];
    const after = news[key];
    const had = before !== undefined && before !== null;
    const has = after !== undefined && after !== null;
    if (had && !has) changes.set(key, "delete");
    else if (!had && has) changes.set(key, "add");
    else if (had && has && !equal(before, after)) changes.set(key, "update");
  }
  return changes;
}

/**
 * Marks in `outputs` what is secret in `inputs` under the same name: objects key by key, anything else as a whole.
 * A dynamic provider is handed plain values, so this is how secrets stay secrets.
 */
export function annotateSecrets(outputs: Properties, inputs: Properties): void {
  for (const [key, input] of Object.entries(inputs)) {
    const output = outputs[key];
    if (output === undefined) continue;
    if (isPlainObject(output) && isPlainObject(input)) annotateSecrets(output, input);
    else if (!isSecret(output) && containsSecret(input)) outputs[key] = makeSecret(output);
  }
}

/** A property path: names, indexes and "*". */
export type Path = (string | number)[];

/** Parses `a.b[0]["c d"].*`; undefined when it is not a path. */
export function parsePath(text: string): Path | undefined {
  const path: Path = [];
  const pattern = /\.?\["((?:\\"|[^"])*)"\]|\.?\[(\*|-?\d+)\]|(\.?)([^.[]+)/y;
  while (pattern.lastIndex < text.length) {
    const first = pattern.lastIndex === 0;
    const match = pattern.exec(text);
    if (!match || (first && text.startsWith("."))) return undefined;
    const [, quoted, index, , name] = match;
    if (quoted !== undefined) path.push(quoted.replaceAll('\\"', '"'));
    else if (index !== undefined) path.push(index === "*" ? "*" : Number(index));
    else path.push(name as string);
  }
  return path;
}

/** Whether `inner` is `outer` or lies below it; "*" in `outer` matches any one step. */
export const pathContains = (outer: Path, inner: Path): boolean =>
  outer.length <= inner.length && outer.every((step, index) => step === "*" || step === inner[index]);

/**
 * Copies the value at `path` from `olds` into `news`, in place; false when the path cannot be followed in both.
 * A value that was secret in `olds` is made secret again where `news` is not.
 */
export function resetPath(path: Path, olds: Properties, news: Properties): boolean {
  return reset(path, olds, news, false, false);
}

function reset(path: Path, old: Value, fresh: Value, oldSecret: boolean, freshSecret: boolean): boolean {
  if (isSecret(old)) return reset(path, old.value, fresh, true, freshSecret);
  if (isSecret(fresh)) return reset(path, old, fresh.value, oldSecret, true);
  const [step, ...rest] = path;
  if (step === undefined) return true;
  const kept = (value: Value) => (oldSecret && !freshSecret ? makeSecret(value) : value);
  const down = (a: Value, b: Value) => reset(rest, a, b, oldSecret, freshSecret);

  if (step === "*") {
    if (rest.length === 0 && isPlainObject(fresh)) {
      if (!isPlainObject(old)) return true;
      for (const key of Object.keys(fresh)) if (!(key in old)) delete fresh[key];
      for (const [key, value] of Object.entries(old)) fresh[key] = kept(value);
      return true;
    }
    if (rest.length === 0 && Array.isArray(fresh)) {
      if (!Array.isArray(old)) return true;
      for (let index = 0; index < Math.min(old.length, fresh.length); index++) {
        fresh[index] = kept(old[index] as Value);
      }
      return old.length === fresh.length;
    }
    if (isPlainObject(old) && isPlainObject(fresh)) {
      return Object.entries(old).every(([key, value]) => key in fresh && down(value, fresh[key] as Value));
    }
    if (Array.isArray(old) && Array.isArray(fresh)) {
      const pairs = old.slice(0, fresh.length).every((value, index) => down(value, fresh[index] as Value));
      return pairs && old.length === fresh.length;
    }
    return false;
  }

  if (typeof step === "number") {
    if (!Array.isArray(old) || !Array.isArray(fresh)) return !Array.isArray(old) && !Array.isArray(fresh);
    if (step < 0 || step >= old.length || step >= fresh.length) return false;
    if (rest.length > 0) return down(old[step] as Value, fresh[step] as Value);
    fresh[step] = kept(old[step] as Value);
    return true;
  }

  if (rest.length === 0) {
    if (isPlainObject(old) && step in old) {
      if (!isPlainObject(fresh)) return false;
      fresh[step] = kept(old[step] as Value);
    } else if (isPlainObject(fresh)) delete fresh[step];
    return true;
  }
  if (!isPlainObject(old) || !isPlainObject(fresh)) return !isPlainObject(old) && !isPlainObject(fresh);
  if (!(step in old)) return !(step in fresh) || down(null, fresh[step] as Value);
  if (!(step in fresh)) return false;
  return down(old[step] as Value, fresh[step] as Value);
}

/** Calls `found` with every string that a secret in the value hides: what the display must mask. */
export function eachSecretText(value: Value, found: (text: string) => void, inside = false): void {
  if (typeof value === "string") {
    if (inside) found(value);
  } else if (typeof value === "number") {
    if (inside) found(String(value));
  } else if (typeof value === "object" && value !== null) {
    const secret = inside || isSecret(value);
    for (const [key, item] of Object.entries(value)) {
      if (key !== SIGNATURE) eachSecretText(item, found, secret);
    }
  }
}
