import { type FileSystemIdentity, isExt, type NewFileSystem } from "./file-system";

/**
 * What restic does not keep of a file system, kept as tags of its snapshot: `/etc/fstab` names a file system by its UUID
 * or label, and without them a restored server does not boot.
 */
export function identityTags(identity: FileSystemIdentity): string[] {
  const { uuid, label, blockSize, inodeSize } = identity;
  return [
    ...(uuid ? [`fs-uuid=${uuid}`] : []),
    // restic splits tags at commas
    ...(label ? [`fs-label=${encodeURIComponent(label)}`] : []),
    ...(blockSize ? [`fs-block=${blockSize}`] : []),
    ...(inodeSize ? [`fs-inode=${inodeSize}`] : []),
  ];
}

/** What of it a new file system can take over: all where it is of the same kind, the label else. */
export function identityFor(type: NewFileSystem, tags: readonly string[]): FileSystemIdentity {
  const value = (key: string) => tags.find(tag => tag.startsWith(`${key}=`))?.slice(key.length + 1);
  const number = (key: string) => (/^\d+$/.test(value(key) ?? "") ? Number(value(key)) : undefined);
  const before = value("filesystem") ?? "";
  const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.exec(value("fs-uuid") ?? "")?.[0];
  const label = decodeURIComponent(value("fs-label") ?? "").slice(0, type === "xfs" ? 12 : 16) || undefined;
  if (type === "xfs") return { label, uuid: before === "xfs" ? uuid : undefined };
  if (!isExt(before)) return { label };
  return { label, uuid, blockSize: number("fs-block"), inodeSize: number("fs-inode") };
}
