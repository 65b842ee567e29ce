import { instant } from "../base/marks";
import { World } from "../driver/world";
import { parseTime } from "../openstack";
import { inventoryOf } from "../operations/inventory";
import { partialTag, resticPoints, unprovenTag } from "../operations/restic-set";
import type { RepositoryAccess } from "../restic";

/** One recovery point, wherever it is. Instants are ISO 8601 in UTC. */
export interface ListedPoint {
  where: "cinder" | "restic";
  owner: string;
  id: string;
  slot: string;
  takenAt: string;
  status: string;
}

/** Prints the recovery points that carry our mark, newest first in each place. */
export async function list(options: {
  owner?: string;
  repository?: string;
  cloud?: string;
  json?: boolean;
}): Promise<void> {
  const world = new World({}, line => console.error(line));
  const points = await cinderPoints(world, options).catch((error: unknown): ListedPoint[] => {
    // On the bad day the cloud may be gone and the repository is what counts.
    if (options.repository === undefined) throw error;
    console.error(`warning: the cloud's points are not listed: ${(error as Error).message}`);
    return [];
  });
  if (options.repository !== undefined)
    points.push(...(await repositoryPoints(world, options.repository, options.owner)));
  if (options.json) {
    console.log(JSON.stringify(points, null, 2));
    return;
  }
  console.log(table(points));
}

async function cinderPoints(
  world: World,
  options: { owner?: string; cloud?: string },
): Promise<ListedPoint[]> {
  const inventory = inventoryOf(world.session({ cloud: options.cloud }));
  const found = await inventory.ownSnapshots(
    mark => mark.role === "recovery-point" && (options.owner ?? mark.owner) === mark.owner,
  );
  return found.map(({ row, mark }) => ({
    where: "cinder",
    owner: mark.owner,
    id: row.id,
    slot: mark.slot ?? "",
    takenAt: mark.takenAt ?? instant(parseTime(row.created_at)),
    status: row.status,
  }));
}

async function repositoryPoints(
  world: World,
  url: string,
  owner: string | undefined,
): Promise<ListedPoint[]> {
  const found = await resticPoints(
    world.repository(accessFromEnvironment(url)),
    owner === undefined ? undefined : [owner],
  );
  return found.map(point => ({
    where: "restic",
    owner: point.owner,
    id: point.id.slice(0, 8),
    slot: point.slot ?? "",
    takenAt: point.takenAt,
    status: point.good ? "good" : point.tags.includes(unprovenTag) ? unprovenTag : partialTag,
  }));
}

/** The variables of restic's own command line: its password and the keys of its stores. */
const resticVariables =
  /^(RESTIC_PASSWORD(_FILE|_COMMAND)?|(AWS|B2|AZURE|GOOGLE|ST|OS|RCLONE|RESTIC_REST)_.+)$/;

/** A repository as restic's own command line would reach it from this shell. */
export function accessFromEnvironment(
  url: string,
  environment: NodeJS.ProcessEnv = process.env,
): RepositoryAccess {
  const given = Object.entries(environment).filter(([name, value]) => resticVariables.test(name) && value);
  const { RESTIC_CACERT: caCertFile } = environment;
  return {
    url,
    environment: Object.fromEntries(given) as Record<string, string>,
    ...(caCertFile ? { caCertFile } : {}),
  };
}

/** Rows under a heading, columns as wide as their widest cell. */
export function table(points: readonly ListedPoint[]): string {
  const columns = ["where", "owner", "slot", "takenAt", "status", "id"] as const;
  const rows = [columns.map(String), ...points.map(point => columns.map(column => point[column]))];
  const widths = columns.map((_, index) => Math.max(...rows.map(row => (row[index] as string).length)));
  return rows
    .map(row =>
      row
        .map((cell, index) => cell.padEnd(widths[index] as number))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
