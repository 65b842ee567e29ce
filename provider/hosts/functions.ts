import limited from "p-limit";
import { fromMetadata } from "../base/marks";
import { clock, World } from "../driver/world";
import { projects, type Session, servers, volumes } from "../openstack";
import type { Volume } from "../openstack/volumes";
import { cloudPoints, type ListedPoint } from "./list";

export type { ListedPoint } from "./list";

/** What programs ask of the cloud before they declare anything. Each call asks anew. */

/** Which cloud to ask. */
export interface Place {
  /** Name in clouds.yaml. Default: the stack's configuration, then OS_*. */
  cloud?: string;
  /** Region, where the cloud has several. */
  region?: string;
  /** Id of the project, of those that the login has a role in. Default: the login's own. */
  projectId?: string;
}

/** Pulumi configuration by its full keys, such as `openstack:authUrl`. */
type Config = Readonly<Record<string, string>>;

/** A volume of the project. */
export interface VolumeInfo {
  id: string;
  /** "" where it has none */
  name: string;
  sizeGib: number;
  /** Cinder's: "available", "in-use", … */
  status: string;
  metadata: Record<string, string>;
  /** The server that has it, and where; absent where none has. */
  serverId?: string;
  device?: string;
}

/** A server of the project, with its volumes in the order of their devices. */
export interface ServerInfo {
  id: string;
  name: string;
  /** Nova's: "ACTIVE", "SHUTOFF", … */
  status: string;
  metadata: Record<string, string>;
  projectId: string;
  volumes: { id: string; name: string; sizeGib: number; device: string }[];
}

/** Which of them. */
export interface Where extends Place {
  /** Only those whose metadata has all of these. */
  where?: { metadata?: Record<string, string> };
}

/** Which servers. */
export interface WhichServers extends Where {
  /** Those of every project that the login has a role in, not of its own alone. Default false. */
  allProjects?: boolean;
}

/** The project's servers with their volumes, by name. Asks Nova and Cinder once a page of 1000. */
export async function getServers(
  config: Config,
  { where, allProjects, ...place }: WhichServers = {},
): Promise<ServerInfo[]> {
  const world = worldOf(config);
  const session = world.session(place);
  if (!allProjects) return serversOf(session, where);
  const limit = limited(projectsAtOnce);
  const found = await Promise.all(
    (await projects.list(session)).map(({ id, name }) =>
      limit(() =>
        serversOf(world.session({ ...place, projectId: id }), where).catch((error: Error) => {
          // left out, its servers would look gone
          throw new Error(`project ${name} (${id}): ${error.message}`, { cause: error });
        }),
      ),
    ),
  );
  return found.flat().sort(byName);
}

const projectsAtOnce = 4;

async function serversOf(session: Session, where: Where["where"]): Promise<ServerInfo[]> {
  const projectId = await session.projectId();
  const [rows, all] = await Promise.all([servers.list(session), volumes.list(session, {})]);
  return rows
    .filter(row => hasMetadata(row.metadata, where?.metadata))
    .map(({ id, name, status, metadata }) => ({
      id,
      name,
      status,
      metadata,
      projectId,
      volumes: volumes.attachedTo(all.filter(isUsers), id).map(({ volume, device }) => ({
        id: volume.id,
        name: volume.name ?? "",
        sizeGib: volume.size,
        device,
      })),
    }))
    .sort(byName);
}

/** The project's volumes, by name; not those that this project's backups have made. */
export async function getVolumes(config: Config, { where, ...place }: Where = {}): Promise<VolumeInfo[]> {
  const rows = await volumes.list(sessionOf(config, place), {});
  return rows
    .filter(row => isUsers(row) && hasMetadata(row.metadata, where?.metadata))
    .map(volumeInfo)
    .sort(byName);
}

const isUsers = ({ metadata }: Volume): boolean => fromMetadata(metadata)?.role !== "temporary";

function volumeInfo({ id, name, size, status, metadata, attachments }: Volume): VolumeInfo {
  const attached = attachments.find(({ server_id }) => server_id);
  return {
    id,
    name: name ?? "",
    sizeGib: size,
    status,
    metadata,
    ...(attached?.server_id && { serverId: attached.server_id, device: attached.device ?? "" }),
  };
}

/** Which points. */
export interface OfOwner extends Place {
  /** Only those of this owner, `<project>/<stack>/<resource>`. */
  owner?: string;
}

/** The recovery points in the cloud, of every stack: Cinder snapshots, then images of servers, newest first. */
export async function listRecoveryPoints(
  config: Config,
  { owner, ...place }: OfOwner = {},
): Promise<ListedPoint[]> {
  const points = await cloudPoints(sessionOf(config, place));
  return points.filter(point => (owner ?? point.owner) === point.owner);
}

/** What counts as protection. */
export interface Unprotected extends Where {
  /** How old the newest point may be, in hours. Default: any age. */
  maxAgeHours?: number;
}

/**
 * The project's volumes that have no good recovery point of this project's in Cinder, of any stack, by name. What only a
 * repository holds is not asked for.
 */
export async function getUnprotectedVolumes(
  config: Config,
  { maxAgeHours = Number.POSITIVE_INFINITY, ...where }: Unprotected = {},
): Promise<VolumeInfo[]> {
  const { where: _, ...place } = where;
  const [all, points] = await Promise.all([getVolumes(config, where), listRecoveryPoints(config, place)]);
  const oldest = clock().getTime() - maxAgeHours * 3_600_000;
  const good = points.filter(
    ({ status, takenAt }) => status === "available" && !(Date.parse(takenAt) < oldest),
  );
  const protectedIds = new Set(good.map(({ volumeId }) => volumeId));
  return all.filter(({ id }) => !protectedIds.has(id));
}

const byName = (a: { name: string; id: string }, b: { name: string; id: string }): number =>
  a.name.localeCompare(b.name) || a.id.localeCompare(b.id);

/** Whether an object has all of these. */
export const hasMetadata = (metadata: Record<string, string>, wanted: Record<string, string> = {}): boolean =>
  Object.entries(wanted).every(([key, value]) => metadata[key] === value);

const worldOf = (config: Config): World => new World(config, line => console.log(line));
const sessionOf = (config: Config, place: Place): Session => worldOf(config).session(place);

export { type ClaimName, type ClaimVolume, volumeOfClaim } from "../kubernetes/claims";
export { type Manifest, manifestsOf, setOf } from "../kubernetes/manifest";
export { valuesOfSecret } from "../kubernetes/secrets";
export {
  type CopySet,
  generalSet,
  type ListedSet,
  parseCopySet,
  parseScheduleFile,
  serverNamed,
  snapmanagersZone,
} from "../operations/schedule-file";
