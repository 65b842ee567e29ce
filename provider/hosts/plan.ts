import { World } from "../driver/world";
import { inventoryOf } from "../operations/inventory";
import { nameOf, readState, resourcesOf, type Stored, typeOf } from "./stack-state";

/** What a destroy does to one resource of a stack. */
export interface Leaving {
  /** The resource's name in the program. */
  name: string;
  type: string;
  /** Points (or volumes) that go, by their ids; from the cloud where it could be asked, else from the state. */
  removes: string[];
  /** Those that stay, because of `deletionPolicy: "retain"`. */
  stays: string[];
}

/** A point in a state. */
interface StoredPoint {
  snapshotId?: string;
  /** Of a server's point: by the volume's id. */
  snapshots?: Record<string, string>;
  resticSnapshotId?: string;
  imageId?: string;
}

/**
 * Prints what `pulumi destroy`, or the removal of some sets from the program, takes from a stack: the engine asks the
 * provider nothing before a delete, so no preview can say it.
 */
export async function planDestroy(
  names: readonly string[],
  options: { state?: string; cloud?: string; json?: boolean },
): Promise<void> {
  const stored = resourcesOf(readState(options.state), names);
  const world = new World({}, line => console.error(line));
  const inventory = async (owner: string) => {
    const found = await inventoryOf(world.session({ cloud: options.cloud })).ownSnapshots(
      mark => mark.role === "recovery-point" && mark.owner === owner,
    );
    return found.map(({ row }) => row.id);
  };
  const leaving: Leaving[] = [];
  for (const resource of stored) leaving.push(await leavingOf(resource, inventory));
  if (options.json) console.log(JSON.stringify(leaving, null, 2));
  else console.log(leavingText(leaving));
}

/** `inCloud` gives the ids of an owner's Cinder points as the cloud has them. */
export async function leavingOf(
  resource: Stored,
  inCloud: (owner: string) => Promise<string[]>,
): Promise<Leaving> {
  const type = typeOf(resource) ?? resource.type;
  const outputs = resource.outputs ?? {};
  const points = (outputs.points ?? []) as StoredPoint[];
  const ids = await (async () => {
    if (type === "CinderSnapshot" || type === "ServerSnapshot")
      return inCloud(String(outputs.owner)).catch((error: Error) => {
        console.error(
          `warning: ${nameOf(resource)}: as the state knows it, the cloud was not asked: ${error.message}`,
        );
        return points.flatMap(({ snapshotId, snapshots }) =>
          snapshots ? Object.values(snapshots) : [String(snapshotId)],
        );
      });
    if (type === "ServerBackup") return points.map(point => String(point.imageId));
    if (type === "ResticBackup") return points.map(point => String(point.resticSnapshotId));
    if (type === "VolumeRestore" && outputs.volumeId) return [String(outputs.volumeId)];
    return [];
  })();
  const stays = outputs.deletionPolicy === "retain";
  return { name: nameOf(resource), type, removes: stays ? [] : ids, stays: stays ? ids : [] };
}

const things: Record<string, string> = {
  CinderSnapshot: "Cinder point",
  ServerSnapshot: "Cinder snapshot",
  ServerBackup: "image",
  ResticBackup: "restic point",
  VolumeRestore: "restored volume",
};

/** One line for each resource that has something, and the sum. */
export function leavingText(leaving: readonly Leaving[]): string {
  const lines = leaving.flatMap(({ name, type, removes, stays }) => {
    const what = (ids: string[]) => `${ids.length} ${things[type]}${ids.length === 1 ? "" : "s"}`;
    const named = (ids: string[]) => ids.map(id => id.slice(0, 8)).join(", ");
    return [
      ...(removes.length > 0 ? [`- ${name}: ${what(removes)} go: ${named(removes)}`] : []),
      ...(stays.length > 0 ? [`  ${name}: ${what(stays)} stay (deletionPolicy is "retain")`] : []),
    ];
  });
  const sum = (key: "removes" | "stays") => leaving.reduce((total, one) => total + one[key].length, 0);
  return [...lines, `${sum("removes")} go, ${sum("stays")} stay`].join("\n");
}
