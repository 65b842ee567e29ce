import { inspect } from "node:util";

const HIDDEN = "[secret]";

/** A password, token or key that shows itself only to `reveal()`: printing, joining, JSON and inspect give "[secret]". */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return HIDDEN;
  }

  toJSON(): string {
    return HIDDEN;
  }

  [inspect.custom](): string {
    return HIDDEN;
  }
}

/** Replaces every occurrence of the secrets in a text that came from outside: Keystone echoes a refused login. */
export function withoutSecrets(text: string, secrets: Iterable<Secret | undefined>): string {
  let clean = text;
  for (const secret of secrets) {
    const hidden = secret?.reveal();
    // A text of a few letters would blank out ordinary words and hide nothing.
    if (hidden !== undefined && hidden.length >= 4) clean = clean.replaceAll(hidden, HIDDEN);
  }
  return clean;
}
