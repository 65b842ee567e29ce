import { z } from "zod";
import {
  type CallOptions,
  cinder,
  hasMetadata,
  idPart,
  isBeingDeleted,
  metadataFilter,
  version,
} from "./cinder";
import { isBadRequest } from "./errors";
import { everyPage } from "./paging";
import type { Session } from "./session";

/** A volume as Cinder tells it. Times are UTC without a zone, see parseTime. */
export const Volume = z.looseObject({
  id: z.string(),
  name: z.string().nullable(),
  description: z.string().nullish(),
  /** "creating", "available", "reserved", "attaching", "in-use", "deleting", "error", "error_deleting", "extending", … */
  status: z.string(),
  /** GiB. */
  size: z.number(),
  availability_zone: z.string().nullish(),
  volume_type: z.string().nullish(),
  snapshot_id: z.string().nullish(),
  source_volid: z.string().nullish(),
  created_at: z.string(),
  updated_at: z.string().nullish(),
  metadata: z.record(z.string(), z.string()).default({}),
  /** The strings "true" and "false". */
  bootable: z.string().optional(),
  encrypted: z.boolean().optional(),
  multiattach: z.boolean().optional(),
  attachments: z
    .array(
      z.looseObject({
        id: z.string().optional(),
        attachment_id: z.string().nullish(),
        volume_id: z.string().optional(),
        /** Null when a host, not a server, has the volume attached. */
        server_id: z.string().nullish(),
        host_name: z.string().nullish(),
        device: z.string().nullish(),
        attached_at: z.string().nullish(),
      }),
    )
    .default([]),
});
export type Volume = z.infer<typeof Volume>;

const OneVolume = z.looseObject({ volume: Volume });

export interface NewVolume {
  /** GiB; may be left out with a snapshot. */
  sizeGib?: number;
  /** Snapshot the content comes from. */
  snapshotId?: string;
  name: string;
  description?: string;
  metadata: Record<string, string>;
  /** Name or id. */
  volumeType?: string;
  availabilityZone?: string;
}

/** Starts a volume; it is "creating" when this returns. Never repeated when its outcome is unknown. */
export async function create(
  session: Session,
  volume: NewVolume,
  { signal }: CallOptions = {},
): Promise<Volume> {
  const { sizeGib, snapshotId, name, description, metadata, volumeType, availabilityZone } = volume;
  const { body } = await cinder(session, {
    method: "POST",
    path: "/volumes",
    body: {
      volume: {
        name,
        metadata,
        ...(sizeGib !== undefined && { size: sizeGib }),
        ...(snapshotId !== undefined && { snapshot_id: snapshotId }),
        ...(description !== undefined && { description }),
        ...(volumeType !== undefined && { volume_type: volumeType }),
        ...(availabilityZone !== undefined && { availability_zone: availabilityZone }),
      },
    },
    schema: OneVolume,
    doing:
      snapshotId === undefined
        ? `creating volume "${name}"`
        : `creating volume "${name}" from snapshot ${snapshotId}`,
    signal,
  });
  return body.volume;
}

/** One volume. Throws ApiError; isNotFound says that it is gone. */
export async function get(session: Session, id: string, { signal }: CallOptions = {}): Promise<Volume> {
  const { body } = await cinder(session, {
    method: "GET",
    path: `/volumes/${idPart("volume", id)}`,
    schema: OneVolume,
    doing: `reading volume ${id}`,
    signal,
  });
  return body.volume;
}

export interface VolumeFilter {
  name?: string;
  /** Only volumes with all of these. */
  metadata?: Record<string, string>;
}

/** All volumes of the project that match, newest first. */
export async function list(
  session: Session,
  filter: VolumeFilter = {},
  { signal }: CallOptions = {},
): Promise<Volume[]> {
  const microversion = await version(session);
  const ask = (metadata: string | undefined) =>
    everyPage(session, {
      service: "block-storage",
      path: "/volumes/detail",
      query: { name: filter.name, metadata },
      microversion,
      key: "volumes",
      item: Volume,
      doing: "listing volumes",
      signal,
    });
  const wanted = metadataFilter(filter.metadata);
  const volumes = await ask(wanted).catch(error => {
    // Operators may forbid the filter (resource_filters.json).
    if (wanted !== undefined && isBadRequest(error)) return ask(undefined);
    throw error;
  });
  return volumes.filter(
    volume =>
      (filter.name === undefined || volume.name === filter.name) && hasMetadata(volume, filter.metadata),
  );
}

/** The newest `count` volumes of the project, in one call. */
export async function newest(
  session: Session,
  count: number,
  { signal }: CallOptions = {},
): Promise<Volume[]> {
  const { body } = await cinder(session, {
    method: "GET",
    path: "/volumes/detail",
    query: { limit: count },
    schema: z.looseObject({ volumes: z.array(Volume) }),
    doing: "listing the newest volumes",
    signal,
  });
  return body.volumes;
}

/** Changes a volume's name and description. */
export async function update(
  session: Session,
  id: string,
  change: { name?: string; description?: string },
  { signal }: CallOptions = {},
): Promise<Volume> {
  const { body } = await cinder(session, {
    method: "PUT",
    path: `/volumes/${idPart("volume", id)}`,
    body: { volume: change },
    schema: OneVolume,
    doing: `renaming volume ${id}`,
    isRepeatable: true,
    signal,
  });
  return body.volume;
}

/**
 * Asks for the deletion of a volume, which Cinder carries out later or silently gives up: only a 404 of `get` means gone.
 * One that is already being deleted is fine; one that is gone throws the 404.
 */
export async function remove(
  session: Session,
  id: string,
  { cascade, signal }: CallOptions & { /** Deletes its snapshots too. */ cascade?: boolean } = {},
): Promise<void> {
  try {
    await cinder(session, {
      method: "DELETE",
      path: `/volumes/${idPart("volume", id)}`,
      query: { cascade: cascade ? "true" : undefined },
      doing: `deleting volume ${id}`,
      signal,
    });
  } catch (error) {
    if (!isBadRequest(error) || !(await isBeingDeleted(() => get(session, id, { signal })))) throw error;
  }
}

/** Adds metadata to a volume or changes it, leaving other keys as they are. Returns all of it. */
export async function setMetadata(
  session: Session,
  id: string,
  metadata: Record<string, string>,
  { signal }: CallOptions = {},
): Promise<Record<string, string>> {
  const { body } = await cinder(session, {
    method: "POST",
    path: `/volumes/${idPart("volume", id)}/metadata`,
    body: { metadata },
    schema: z.looseObject({ metadata: z.record(z.string(), z.string()) }),
    doing: `setting metadata of volume ${id}`,
    isRepeatable: true,
    signal,
  });
  return body.metadata;
}

/** Starts making a volume larger; it is "extending" until done. An attached one needs microversion 3.42. */
export async function extend(
  session: Session,
  id: string,
  sizeGib: number,
  { signal }: CallOptions = {},
): Promise<void> {
  await cinder(session, {
    method: "POST",
    path: `/volumes/${idPart("volume", id)}/action`,
    body: { "os-extend": { new_size: sizeGib } },
    doing: `extending volume ${id} to ${sizeGib} GiB`,
    signal,
  });
}
