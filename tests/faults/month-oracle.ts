/** How many points of each tier stay, as the provider's retention spells it. */
export interface Tiers {
  keepLast: number;
  keepHourly?: number;
  keepDaily?: number;
  keepWeekly?: number;
}

/** The slots of a set's good points, in the cloud and in the repository. */
export interface Slots {
  cinder: readonly string[];
  copies: readonly string[];
}

const day = 86_400_000;

/** The Monday of a slot's week; 1 January 1970 was a Thursday. */
const weekOf = (slot: string): string => String(Math.floor((Date.parse(slot) / day + 3) / 7));

/** Which slots stay: by what docs/retention.md says of the tiers, and by none of the provider's code. */
export function kept(slots: readonly string[], tiers: Tiers): string[] {
  const newestFirst = [...new Set(slots)].sort().reverse();
  const newestOfEach = (bucketOf: (slot: string) => string, count = 0): string[] => {
    const newest = new Map<string, string>();
    for (const slot of newestFirst) if (!newest.has(bucketOf(slot))) newest.set(bucketOf(slot), slot);
    return [...newest.values()].slice(0, count);
  };
  return [
    ...new Set([
      ...newestFirst.slice(0, tiers.keepLast),
      ...newestOfEach(slot => slot.slice(0, 13), tiers.keepHourly),
      ...newestOfEach(slot => slot.slice(0, 10), tiers.keepDaily),
      ...newestOfEach(weekOf, tiers.keepWeekly),
    ]),
  ].sort();
}

/**
 * What must be there of one set. It learns of a point by a run that ended well and left it, and forgets it by the tiers
 * alone: a slot that failed and one that was missed are not asked for.
 */
export class Oracle {
  /** What is proven, and kept by the tiers. */
  owed: Slots = { cinder: [], copies: [] };
  /** What the newest slot that ended well found owed. */
  private before: Slots = { cinder: [], copies: [] };
  private newest = "";
  /** What the latest run has left: of one that failed a point may be good all the same, and push another out. */
  private seen: Slots = { cinder: [], copies: [] };

  constructor(private readonly tiers: { cinder: Tiers; copies: Tiers }) {}

  /** A run has left these; what it left is proven where it ended well. */
  note(found: Slots, endedWell = true): void {
    this.seen = found;
    if (!endedWell) return;
    const newest = newestOf(found.copies);
    if (newest !== this.newest) this.before = this.owed;
    this.newest = newest;
    this.owed = this.after(found);
  }

  /** What is owed where these are proven. */
  private after(found: Slots): Slots {
    // a younger Cinder point has no copy yet, and pushes none out
    const copied = found.cinder.filter(slot => slot <= newestOf(found.copies));
    return {
      cinder: kept([...this.owed.cinder, ...copied], this.tiers.cinder),
      copies: kept([...this.owed.copies, ...found.copies], this.tiers.copies),
    };
  }

  /** Somebody else has removed a Cinder point. */
  isWithout(slot: string): void {
    const without = (slots: readonly string[]) => slots.filter(other => other !== slot);
    this.owed = { ...this.owed, cinder: without(this.owed.cinder) };
    this.before = { ...this.before, cinder: without(this.before.cinder) };
    this.seen = { ...this.seen, cinder: without(this.seen.cinder) };
  }

  /** What is owed and not there. */
  lacking(found: Slots): string[] {
    const least = this.after(this.seen);
    const lost = (what: keyof Slots) =>
      this.owed[what].filter(slot => least[what].includes(slot) && !found[what].includes(slot));
    return [
      ...lost("cinder").map(slot => `Cinder point of ${slot}`),
      ...lost("copies").map(slot => `copy of ${slot}`),
    ];
  }

  /**
   * All that may be there when two slots in a row ended well: the copies that are owed, and of the Cinder points those that
   * were owed when the newest was taken, because they go before it is copied.
   */
  exactly(): Slots {
    const cinder = [...new Set([...this.before.cinder, this.newest])].sort();
    return { cinder, copies: this.owed.copies };
  }
}

const newestOf = (slots: readonly string[]): string => [...slots].sort().at(-1) ?? "";
