import limited from "p-limit";

/** Places that are given to so many at once, by what they are places of; one more waits. */
export class Places {
  readonly #limits = new Map<string, ReturnType<typeof limited>>();

  /** Waits for a place, and returns how it is given back. The first one says how many there are. */
  async take(of: string, atOnce: number): Promise<() => void> {
    const limit = this.#limits.get(of) ?? limited(atOnce);
    this.#limits.set(of, limit);
    let release = () => {};
    await new Promise<void>(granted => {
      void limit(
        () =>
          new Promise<void>(done => {
            release = done;
            granted();
          }),
      );
    });
    return release;
  }
}
