/**
 * The ownership mark: what this project writes on every object that it makes, so that an object can be found,
 * adopted or removed with the stack's state lost. In OpenStack it is metadata, in restic it is tags.
 */

/** Value of `managed-by` on everything this project makes. */
export const managedBy = "pulumi-openstack-backup";

/** What a marked object is for. */
export type Role = "recovery-point" | "temporary" | "restored";

/** The mark of one object. Instants are ISO 8601 in UTC with whole seconds. */
export interface Mark {
  /** `<project>/<stack>/<resource name>`. */
  owner: string;
  /** Name of the backup set; the resource's name unless a component groups several resources. */
  set: string;
  role: Role;
  /** The slot this point was taken for; absent where there is no schedule. */
  slot?: string | undefined;
  /** The `trigger` input at that time; absent when there was none. */
  trigger?: string | undefined;
  /** The instant retention counts with: the slot, or for a triggered point the moment it was taken. */
  time?: string | undefined;
  /** When the data was captured. */
  takenAt?: string | undefined;
  /** When a temporary object may be swept although nobody released it. */
  expiresAt?: string | undefined;
  /** Of a Cinder point whose set waits for the copy in a repository: "awaited", then "proven". */
  copy?: string | undefined;
  /** Of a snapshot that is one of a server's point: "1/2 /dev/vda", its place, how many there are, and the device. */
  part?: string | undefined;
  /** What the point is of: id of the server, or of the volume that a repository has it of. */
  origin?: string | undefined;
  /** Of an image of a server: "filesystem" where the guest's file systems were at rest, "crash" where that is not known. */
  consistency?: string | undefined;
}

/** What every Cinder object of ours says of itself. */
export const ourMark = { "managed-by": managedBy };

/** The metadata key of each part of the mark. */
export const metadataKeys = {
  owner: "osbackup-owner",
  set: "osbackup-set",
  role: "osbackup-role",
  slot: "osbackup-slot",
  trigger: "osbackup-trigger",
  time: "osbackup-time",
  takenAt: "osbackup-taken-at",
  expiresAt: "osbackup-expires-at",
  copy: "osbackup-copy",
  part: "osbackup-part",
  origin: "osbackup-origin",
  consistency: "osbackup-consistency",
} as const satisfies Record<keyof Mark, string>;

type MarkKey = keyof typeof metadataKeys;
const markKeys = Object.keys(metadataKeys) as MarkKey[];

/** The metadata that carries `mark` on a Cinder object. Cinder takes values of 255 characters at most. */
export function toMetadata(mark: Mark): Record<string, string> {
  const metadata: Record<string, string> = { "managed-by": managedBy };
  for (const key of markKeys) {
    const value = mark[key];
    if (value !== undefined && value !== "") metadata[metadataKeys[key]] = value;
  }
  return metadata;
}

/** The mark in `metadata`, or undefined when the object is not ours. */
export function fromMetadata(metadata: Record<string, string> | undefined): Mark | undefined {
  if (metadata?.["managed-by"] !== managedBy) return undefined;
  return complete(key => metadata[metadataKeys[key]]);
}

/** The restic tags that carry `mark`. restic splits tags at commas, so those are percent-encoded. */
export function toTags(mark: Mark): string[] {
  const tags = [`managed-by=${managedBy}`];
  for (const key of markKeys) {
    const value = mark[key];
    if (value !== undefined && value !== "") tags.push(tag(key, value));
  }
  return tags;
}

/** The tag of one part of the mark, to search with. */
export function tag(key: MarkKey, value: string): string {
  return `${key}=${value.replaceAll("%", "%25").replaceAll(",", "%2C")}`;
}

/** The mark in a restic snapshot's tags, or undefined when the snapshot is not ours. */
export function fromTags(tags: readonly string[]): Mark | undefined {
  if (!tags.includes(`managed-by=${managedBy}`)) return undefined;
  return complete(key => {
    const found = tags.find(candidate => candidate.startsWith(`${key}=`));
    return found
      ?.slice(key.length + 1)
      .replaceAll("%2C", ",")
      .replaceAll("%25", "%");
  });
}

const isInstant: ReadonlySet<MarkKey> = new Set(["time", "takenAt", "expiresAt"]);

function complete(value: (key: MarkKey) => string | undefined): Mark | undefined {
  const owner = value("owner");
  const role = value("role");
  if (owner === undefined || role === undefined) return undefined;
  const mark: Mark = { owner, role: role as Role, set: value("set") ?? owner };
  for (const key of [
    "slot",
    "trigger",
    "time",
    "takenAt",
    "expiresAt",
    "copy",
    "part",
    "origin",
    "consistency",
  ] as const) {
    const found = value(key);
    // an instant that somebody has made unreadable is as good as none: each has another to stand in for it
    if (found !== undefined && !(isInstant.has(key) && Number.isNaN(Date.parse(found)))) mark[key] = found;
  }
  return mark;
}

/**
 * What makes one run of a set different from every other: its slot and its trigger. Two runs with the same key
 * make one recovery point.
 */
export function runKey(run: { slot?: string | undefined; trigger?: string | undefined }): string {
  return `${run.slot || "unscheduled"}${run.trigger ? `+${run.trigger}` : ""}`;
}

/** `<project>/<stack>` of an owner. */
export function stackOf(owner: string): string {
  return owner.split("/").slice(0, 2).join("/");
}

/** An instant as the marks spell it: ISO 8601, UTC, whole seconds. */
export function instant(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}
