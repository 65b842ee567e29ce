import { flavors, networks } from "../openstack";
import type { Flavor } from "../openstack/flavors";
import type { Image } from "../openstack/images";
import { volumeRebuildMicroversion } from "../openstack/servers";
import { flavorProperty } from "../operations/image-set";
import { inventoryOf } from "../operations/inventory";
import type { Context, Refusal } from "./resource";
import type { FoundPoint } from "./server-restore-point";
import type { Inputs } from "./server-restore-schema";

/** The flavor that is asked for or, without one, the one that the image's server had. */
export function flavorIn(
  all: readonly Flavor[],
  given: Inputs,
  image: Image | undefined,
): Flavor | undefined {
  const wanted = given.flavor ?? image?.metadata[flavorProperty];
  return all.find(({ id }) => id === wanted) ?? all.find(({ name }) => name === wanted);
}

/** Why no new server can be made as the inputs want it. */
export async function newServerRefusals(
  given: Inputs,
  point: FoundPoint,
  context: Context,
): Promise<Refusal[]> {
  const session = context.session(given);
  const refusals: Refusal[] = [];
  const refuse = (property: string, reason: string) => refusals.push({ property, reason });
  const { image } = point;
  const all = await flavors.list(session);
  const flavor = flavorIn(all, given, image);
  const names = all.map(({ name }) => name).sort();
  if (!flavor) {
    const had = image?.metadata[flavorProperty];
    const why =
      given.flavor !== undefined
        ? `there is no flavor '${given.flavor}'`
        : had === undefined
          ? "is required: the point does not say what its server had"
          : `is required: flavor ${had}, which its server had, is gone`;
    refuse("flavor", `${why}; there are ${names.join(", ")}`);
  } else if (image) {
    const disk =
      point.source.imageId === undefined ? 0 : Math.max(image.min_disk, (image.size ?? 0) / 2 ** 30);
    // a disk of 0 is as large as the image
    if (flavor.disk > 0 && flavor.disk < disk)
      refuse(
        "flavor",
        `'${flavor.name}' has a disk of ${flavor.disk} GiB, the image needs ${Math.ceil(disk)}`,
      );
    if (flavor.ram < image.min_ram)
      refuse("flavor", `'${flavor.name}' has ${flavor.ram} MiB of memory, the image needs ${image.min_ram}`);
  }
  for (const [place, one] of (typeof given.networks === "string" ? [] : given.networks).entries()) {
    const [what, id] =
      one.portId === undefined ? (["network", one.networkId] as const) : (["port", one.portId] as const);
    if (id !== undefined && !(await networks.exists(session, what, id)))
      refuse(`networks.${place}.${what}Id`, `${what} ${id} does not exist, see \`openstack ${what} list\``);
  }
  if (given.floatingIp !== undefined && !(await networks.floatingIp(session, given.floatingIp)))
    refuse("floatingIp", `the project has no floating IP ${given.floatingIp}`);
  return refusals;
}

/** Why Nova would not rebuild the server, or not from this point. */
export async function rebuildRefusals(
  given: Inputs,
  serverId: string,
  { source, image }: FoundPoint,
  context: Context,
): Promise<Refusal[]> {
  const session = context.session(given);
  const server = await inventoryOf(session).server(serverId);
  const refuse = (property: string, reason: string) => [{ property, reason }];
  if (!server)
    return refuse("serverId", `server ${serverId} does not exist in project ${await session.projectId()}`);
  if (!image || source.imageId === undefined)
    return refuse(
      "imageId",
      "the point is snapshots of volumes, from which no server is rebuilt: leave serverId out, a new server gets the volumes",
    );
  if (server.image === "" && !(await session.supports("compute", volumeRebuildMicroversion)))
    return refuse(
      "serverId",
      `server ${server.name} boots from a volume, and this Nova rebuilds such servers only from ${volumeRebuildMicroversion} (Zed) on: leave serverId out and boot a new one`,
    );
  return [];
}
