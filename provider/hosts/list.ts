import { fromTags, instant, type Mark } from "../base/marks";
import { World } from "../driver/world";
import { ConfigError, parseTime, type ServiceType, type Session } from "../openstack";
import { originOf } from "../operations/image-set";
import { inventoryOf, type Marked } from "../operations/inventory";
import { nearest } from "../operations/nearest";
import { isOfTheFuture, resticPoints, worthOf } from "../operations/restic-set";
import { isAllowedShrink } from "../operations/shrink";
import { maskUrl, type RepositoryAccess } from "../restic";

/** One recovery point, wherever it is. Instants are ISO 8601 in UTC. */
export interface ListedPoint {
  where: "cinder" | "glance" | "restic";
  owner: string;
  id: string;
  slot: string;
  takenAt: string;
  status: string;
  /** Of a Cinder snapshot: its volume's id and size. */
  volumeId?: string;
  sizeGib?: number;
  /** Name of the set. */
  set: string;
  /** Name of the snapshot or image; "" where it has none. */
  name: string;
  trigger?: string;
  /** Of a snapshot that is one of a server's point: "1/2 /dev/vda". */
  part?: string;
  /** Of an image: the server, and "filesystem" where its file systems were at rest, else "crash". */
  serverId?: string;
  consistency?: string;
  /** Of a restic snapshot. */
  tags?: string[];
  /** Of one that is marked as shrunk and counts as good since `allowShrink` covered it. */
  shrinkAllowed?: true;
}

/**
 * Prints the recovery points that carry our mark, newest first in each place.
 *
 * @throws where `owner` has none, with the owners that there are
 */
export async function list(options: {
  owner?: string;
  repository?: string;
  cloud?: string;
  json?: boolean;
}): Promise<void> {
  const world = new World({}, line => console.error(line));
  const points = await listedPoints(world, options);
  const own = points.filter(({ owner }) => (options.owner ?? owner) === owner);
  if (options.owner !== undefined && own.length === 0) {
    const owners = [...new Set(points.map(({ owner }) => owner))].sort();
    const there =
      owners.length > 0 ? `there are points of ${owners.join(", ")}` : "there are no points at all";
    throw new Error(`no recovery point of ${options.owner}${nearest(options.owner, owners)}; ${there}`);
  }
  if (options.json) console.log(JSON.stringify(own, null, 2));
  else console.log(table(own, new Date(), await namesOf(world, own, options)));
}

/** The points in the cloud, and in a repository where one is named. */
export async function listedPoints(
  world: World,
  options: { repository?: string; cloud?: string },
): Promise<ListedPoint[]> {
  const inCloud = async () => cloudPoints(world.session({ cloud: options.cloud }));
  const points = await inCloud().catch((error: unknown): ListedPoint[] => {
    // On the bad day the cloud may be gone and the repository is what counts.
    if (options.repository === undefined) throw error;
    console.error(`warning: the cloud's points are not listed: ${(error as Error).message}`);
    return [];
  });
  if (options.repository !== undefined) points.push(...(await repositoryPoints(world, options.repository)));
  return points;
}

/** The points in the cloud: Cinder snapshots, then images of servers, each newest first. */
export async function cloudPoints(session: Session): Promise<ListedPoint[]> {
  const inventory = inventoryOf(session);
  const isPoint = ({ role }: Mark) => role === "recovery-point";
  const snapshots = await inventory.ownSnapshots(isPoint);
  const images = (await hasService(session, "image")) ? await inventory.ownImages(isPoint) : [];
  return [
    ...snapshots.map(found => ({
      ...listed("cinder", found),
      ...withServer(found.mark.origin),
      volumeId: found.row.volume_id,
      sizeGib: found.row.size,
    })),
    ...images
      .map(found => ({
        ...listed("glance", found),
        ...withServer(originOf(found.row, found.mark)),
      }))
      .sort((a, b) => (a.takenAt < b.takenAt ? 1 : -1)),
  ];
}

const withServer = (serverId: string | undefined) => (serverId === undefined ? {} : { serverId });

const listed = (
  where: ListedPoint["where"],
  { row, mark }: Marked<{ id: string; name: string | null; status: string; created_at: string }>,
): ListedPoint => ({
  where,
  owner: mark.owner,
  id: row.id,
  slot: mark.slot ?? "",
  takenAt: mark.takenAt ?? instant(parseTime(row.created_at)),
  status: row.status,
  set: mark.set,
  name: row.name ?? "",
  ...(mark.trigger !== undefined && { trigger: mark.trigger }),
  ...(mark.part !== undefined && { part: mark.part }),
  ...(mark.consistency !== undefined && { consistency: mark.consistency }),
});

/** Whether the cloud has a service at all. */
export async function hasService(session: Session, service: ServiceType): Promise<boolean> {
  try {
    await session.endpoint(service);
    return true;
  } catch (error) {
    if (error instanceof ConfigError) return false;
    throw error;
  }
}

async function repositoryPoints(world: World, url: string): Promise<ListedPoint[]> {
  const found = await resticPoints(world.repository(accessFromEnvironment(url)));
  if (found.length === 0) console.error(`the repository ${maskUrl(url)} holds no recovery points`);
  return found.map(point => ({
    where: "restic",
    owner: point.owner,
    id: point.id.slice(0, 8),
    slot: point.slot ?? "",
    takenAt: point.takenAt,
    status: isOfTheFuture(point, world.now) ? "of the future" : worthOf(point.tags),
    set: fromTags(point.tags)?.set ?? "",
    name: "",
    ...(point.trigger !== undefined && { trigger: point.trigger }),
    ...(point.origin !== undefined && { volumeId: point.origin }),
    tags: point.tags,
    ...(isAllowedShrink(point) && { shrinkAllowed: true }),
  }));
}

/** The variables of restic's own command line for the keys of its stores. */
const storeVariables = /^(AWS|B2|AZURE|GOOGLE|ST|OS|RCLONE|RESTIC_REST)_.+$/;

/** A repository as restic's own command line would reach it from this shell. */
export function accessFromEnvironment(
  url: string,
  environment: NodeJS.ProcessEnv = process.env,
): RepositoryAccess {
  const keys = Object.entries(environment).filter(([name, value]) => storeVariables.test(name) && value);
  const given = {
    password: environment.RESTIC_PASSWORD,
    passwordFile: environment.RESTIC_PASSWORD_FILE,
    passwordCommand: environment.RESTIC_PASSWORD_COMMAND,
    caCertFile: environment.RESTIC_CACERT,
  };
  return {
    url,
    environment: Object.fromEntries(keys) as Record<string, string>,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value)),
  };
}

/** Names of the volumes and servers of these points, by their ids; what is gone has none. */
async function namesOf(
  world: World,
  points: readonly ListedPoint[],
  { cloud }: { cloud?: string },
): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  try {
    for (const { volumeId, serverId } of points) {
      const inventory = inventoryOf(world.session({ cloud }));
      const found = volumeId
        ? await inventory.volume(volumeId)
        : serverId && (await inventory.server(serverId));
      if (typeof found === "object" && found.name) names.set(found.id, found.name);
    }
  } catch {
    // an ornament: where the cloud does not say, the ids are shown
  }
  return names;
}

/** The status as people read it. */
export const statusOf = ({ status, shrinkAllowed }: ListedPoint): string =>
  shrinkAllowed ? `${status}, shrunk and allowed` : status;

/** Rows under a heading, columns as wide as their widest cell. */
export function table(
  points: readonly ListedPoint[],
  now: Date,
  names: ReadonlyMap<string, string> = new Map(),
): string {
  const columns = ["where", "owner", "of", "slot", "takenAt", "age", "size", "status", "id"] as const;
  const cells = points.map(point => ({
    ...point,
    of: names.get(point.volumeId ?? point.serverId ?? "") ?? point.volumeId ?? point.serverId ?? "-",
    slot: point.slot || "-",
    age: ageOf(point.takenAt, now),
    status: statusOf(point),
    size: point.sizeGib === undefined ? "-" : `${point.sizeGib} GiB`,
  }));
  const rows = [columns.map(String), ...cells.map(point => columns.map(column => point[column]))];
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

/** "3 d", "5 h", "12 min": how long ago the data was captured. */
function ageOf(takenAt: string, now: Date): string {
  const minutes = Math.floor((now.getTime() - Date.parse(takenAt)) / 60_000);
  if (!(minutes >= 0)) return "-";
  if (minutes < 120) return `${minutes} min`;
  return minutes < 2 * 1440 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} d`;
}
