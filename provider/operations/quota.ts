import { limits, type Session } from "../openstack";

/** What one set makes in a run before it removes anything. */
export interface Demand {
  snapshots: number;
  volumes: number;
  gib: number;
}

const kinds = [
  ["snapshots", "maxTotalSnapshots", "totalSnapshotsUsed"],
  ["volumes", "maxTotalVolumes", "totalVolumesUsed"],
  ["gib", "maxTotalVolumeGigabytes", "totalGigabytesUsed"],
] as const;

const words = { snapshots: "snapshots", volumes: "volumes", gib: "GiB" };

/** The project's quota against what a run has announced so far, a set at a time, as it is when the run begins. */
export class Quota {
  readonly #demands = new Map<string, Demand>();
  #limits: Promise<limits.Limits> | undefined;

  constructor(private readonly session: Session) {}

  /**
   * Notes what a set will make, and says what of the quota that may exceed: with all that was noted before, should none of
   * them remove anything first. Undefined where it fits.
   */
  async shortage(owner: string, demand: Demand): Promise<string | undefined> {
    this.#demands.set(owner, demand);
    this.#limits ??= limits.get(this.session);
    const found = await this.#limits;
    const short = kinds.flatMap(([kind, most, used]) => {
      if (found[most] < 0) return [];
      const free = Math.max(0, found[most] - found[used]);
      const asked = [...this.#demands.values()].reduce((sum, one) => sum + one[kind], 0);
      return asked > free ? [`${asked} ${words[kind]} where ${free} of ${found[most]} are free`] : [];
    });
    return short.length === 0
      ? undefined
      : `the sets of this run up to here take ${short.join(", ")}, before they remove any`;
  }
}

export const quotaOf = (session: Session): Quota => session.companions.of(Quota);
