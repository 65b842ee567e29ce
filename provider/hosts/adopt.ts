import { fromMetadata, instant, toMetadata } from "../base/marks";
import { World } from "../driver/world";
import { images, parseTime, type Session, snapshots, undefinedIfNotFound } from "../openstack";
import { nearest } from "../operations/nearest";
import { cloudPoints, hasService } from "./list";

/** A slip in the owner would give it to nobody, and only the owner itself lets it go again. */
async function requireSet(session: Session, owner: string, volumeId: string | undefined): Promise<void> {
  const points = await cloudPoints(session);
  const own = points.filter(point => point.owner === owner);
  if (own.length === 0) {
    const owners = [...new Set(points.map(point => point.owner))].sort();
    const there = owners.length > 0 ? `there are ${owners.join(", ")}` : "no set has any";
    throw new Error(`no set ${owner} has points yet${nearest(owner, owners)}; ${there}`);
  }
  const other = own.find(point => point.volumeId !== undefined && point.volumeId !== volumeId);
  if (volumeId !== undefined && other)
    throw new Error(`the points of ${owner} are of volume ${other.volumeId}, this one is of ${volumeId}`);
}

/**
 * Gives a snapshot or image that was made by other means to a set, by its owner mark: the next run finds it as one of the
 * set's points, counts it and lets it go in its turn. A set of images takes images, one of snapshots those of its volume.
 *
 * @throws where it is another set's, or not whole
 */
export async function adopt(
  id: string,
  options: { owner: string; cloud?: string; json?: boolean },
): Promise<void> {
  if (!/^[^/]+\/[^/]+\/.+$/.test(options.owner))
    throw new Error(`the owner is <project>/<stack>/<resource>, not '${options.owner}'`);
  const session = new World({}, line => console.error(line)).session({ cloud: options.cloud });
  const snapshot = await snapshots.get(session, id).catch(undefinedIfNotFound);
  const image = snapshot || !(await hasService(session, "image")) ? undefined : await images.get(session, id);
  const found = snapshot ?? image;
  if (!found) throw new Error(`the project has no snapshot or image ${id}`);
  const known = fromMetadata(found.metadata);
  if (known && known.owner !== options.owner)
    throw new Error(
      `${id} belongs to ${known.owner} already; a set takes over another's by a rename in the program`,
    );
  await requireSet(session, options.owner, snapshot?.volume_id);
  const whole = snapshot ? "available" : "active";
  if (found.status !== whole) throw new Error(`${id} is '${found.status}', expected '${whole}'`);
  const takenAt = instant(parseTime(found.created_at));
  const set = options.owner.split("/").slice(2).join("/");
  const mark = toMetadata({ owner: options.owner, set, role: "recovery-point", time: takenAt, takenAt });
  if (snapshot) await snapshots.setMetadata(session, id, mark);
  else await images.setProperties(session, id, mark);
  const kind = snapshot ? "snapshot" : "image";
  if (options.json) console.log(JSON.stringify({ id, kind, owner: options.owner, takenAt }, null, 2));
  else
    console.log(
      `${snapshot ? "snapshot" : "image"} ${id} of ${takenAt} belongs to ${options.owner} now; its next run counts it`,
    );
}
