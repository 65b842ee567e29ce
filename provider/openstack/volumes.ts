import { z } from "zod";
import { type CallOptions, cinder, idPart } from "./cinder";
import { collection } from "./collection";
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
  /** Of a bootable volume: the properties of the image that it was made of. */
  volume_image_metadata: z.record(z.string(), z.unknown()).optional(),
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

export const { get, list, newest, remove, setMetadata } = collection("volume", Volume);

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

/** A volume and where a server has it, such as "/dev/vdb"; "" where Cinder does not say. */
export interface AttachedTo {
  volume: Volume;
  device: string;
}

/** The volumes that a server has, in the order of their devices: the one it boots from comes first. */
export function attachedTo(all: readonly Volume[], serverId: string): AttachedTo[] {
  return all
    .flatMap(volume => {
      const there = volume.attachments.find(({ server_id }) => server_id === serverId);
      return there ? [{ volume, device: there.device ?? "" }] : [];
    })
    .sort(
      (a, b) =>
        a.device.length - b.device.length ||
        a.device.localeCompare(b.device) ||
        a.volume.id.localeCompare(b.volume.id),
    );
}
