import { optOutOf, restoreOf } from "./opt-out";

/** A set, as its points in the cloud or a stack's state know it. */
export interface KnownSet {
  /** `<project>/<stack>/<set>`: a component's resources are one set. */
  name: string;
  /** What its points are: two sets of one kind make the same twice. */
  kind: "snapshots" | "images" | "backups";
  /** Id of the volume or server that it protects. */
  of: string;
  /** Its points are of a whole server: all volumes of it. */
  wholeServer: boolean;
}

/** A volume or a server of the project. */
export interface Thing {
  kind: "volume" | "server";
  id: string;
  name: string;
  metadata: Readonly<Record<string, string>>;
  /** Of a volume: the server that has it. */
  serverId?: string | undefined;
  /** Of a server: its volumes, where it has no disk but these. */
  bootsFromVolumes?: readonly string[] | undefined;
}

/** How one of them is covered. */
export interface Covered {
  kind: Thing["kind"];
  id: string;
  name: string;
  state: "protected" | "twice" | "left out" | "unprotected";
  /** The sets that protect it. */
  sets: string[];
  /** Why it is left out and until when, or why that does not count. */
  why?: string;
}

/** What is protected, and the sets that protect nothing that is there. */
export interface Coverage {
  things: Covered[];
  matchNothing: KnownSet[];
}

/**
 * Which volumes and servers are in a set. A volume is by a set of its own or of its server; a server by a set of its own, or
 * where it has no disk but volumes, by those of all of them.
 */
export function coverageOf(things: readonly Thing[], sets: readonly KnownSet[], now: Date): Coverage {
  const ids = new Set(things.map(({ id }) => id));
  const own = (thing: Thing): KnownSet[] =>
    sets.filter(
      set =>
        set.of === thing.id || (set.wholeServer && set.kind === "snapshots" && set.of === thing.serverId),
    );
  const byId = new Map(things.map(thing => [thing.id, thing]));
  const covering = (thing: Thing): KnownSet[] => {
    const found = own(thing);
    const disks = (thing.bootsFromVolumes ?? []).map(id => byId.get(id)).filter(disk => disk !== undefined);
    if (found.length > 0 || disks.length === 0) return found;
    const ofDisks = disks.map(own);
    return ofDisks.every(one => one.length > 0) ? ofDisks.flat() : [];
  };
  return {
    things: things.map(thing => {
      const { kind, id, name } = thing;
      const protecting = covering(thing);
      const names = [...new Set(protecting.map(set => set.name))].sort();
      const common = { kind, id, name, sets: names };
      if (names.length > 0) return { ...common, state: isTwice(own(thing)) ? "twice" : "protected" };
      const restore = restoreOf(thing.metadata);
      if (restore !== undefined) return { ...common, state: "left out", why: `a restore of ${restore}` };
      const optOut = optOutOf(thing.metadata, now);
      if (typeof optOut === "object")
        return { ...common, state: "left out", why: `${optOut.reason}, until ${optOut.until}` };
      return { ...common, state: "unprotected", ...(optOut === undefined ? {} : { why: optOut }) };
    }),
    matchNothing: sets.filter(({ of }) => !ids.has(of)),
  };
}

/** Whether two sets make the same kind of point. */
const isTwice = (sets: readonly KnownSet[]): boolean =>
  (["snapshots", "images", "backups"] as const).some(
    kind => new Set(sets.filter(set => set.kind === kind).map(({ name }) => name)).size > 1,
  );
