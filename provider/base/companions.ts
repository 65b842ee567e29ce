/**
 * What others keep about one object, such as the inventory of a session: one of each class, made when it is first asked
 * for, and gone with the object.
 */
export class Companions<Host> {
  readonly #made = new Map<new (host: Host) => object, object>();

  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  of<T extends object>(kind: new (host: Host) => T): T {
    const known = this.#made.get(kind);
    if (known) return known as T;
    const made = new kind(this.#host);
    this.#made.set(kind, made);
    return made;
  }
}
