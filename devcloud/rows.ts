/** A volume as the cloud's database holds it; names as in Cinder's answers, `size` in GiB. */
export interface VolumeRow {
  id: string;
  name: string | null;
  description: string | null;
  status: string;
  size: number;
  project_id: string;
  user_id: string;
  volume_type: string;
  availability_zone: string;
  snapshot_id: string | null;
  source_volid: string | null;
  bootable: boolean;
  multiattach: boolean;
  metadata: Record<string, string>;
  /** "readonly" and "attached_mode", shown among the metadata but set by Cinder. */
  admin_metadata: Record<string, string>;
  /** Where it was scheduled to; null before that, and for a volume that fits nowhere. */
  host: string | null;
  /** UTC without zone, with microseconds; answers to GET cut it to the second. */
  created_at: string;
  updated_at: string | null;
}

/** An image as the cloud's database holds it. */
export interface ImageRow {
  id: string;
  name: string;
  status: string;
  size: number | null;
  owner: string;
  created_at: string;
  /** Those of its own, such as `backup_type`. */
  properties: Record<string, string>;
}

/** A server as the cloud's database holds it. */
export interface ServerRow {
  id: string;
  name: string;
  status: string;
  project_id: string;
  user_id: string;
  metadata: Record<string, string>;
  /** ISO 8601 in UTC, to the second. */
  created: string;
  /** What Nova does with it now; null when it is idle. */
  taskState: string | null;
  flavorId: string;
  /** The image that its disk was made of; null where it boots from a volume, and an image of it is snapshots of all its volumes. */
  imageId: string | null;
  /** On its only network; null without one. */
  address: string | null;
  /** Why it is in ERROR. */
  fault?: string;
}

/** A floating IP as the cloud's database holds it. */
export interface FloatingIpRow {
  id: string;
  project_id: string;
  floating_ip_address: string;
  port_id: string | null;
}

/** A snapshot as the cloud's database holds it; `size` is that of its volume in GiB. */
export interface SnapshotRow {
  id: string;
  volume_id: string;
  name: string | null;
  description: string | null;
  status: string;
  size: number;
  project_id: string;
  user_id: string;
  metadata: Record<string, string>;
  created_at: string;
  updated_at: string | null;
}

/** A volume attachment as the cloud's database holds it. */
export interface AttachmentRow {
  id: string;
  volume_id: string;
  project_id: string;
  /** The server's id; null when a host attached the volume for itself. */
  instance: string | null;
  status: "reserved" | "attached";
  attach_mode: "rw" | "ro" | null;
  /** "na" for attachments made through the attachments API. */
  device: string;
  created_at: string;
  attached_at: string | null;
  connection_info: Record<string, unknown>;
}

/** A user message: why asynchronous work failed. */
export interface MessageRow {
  id: string;
  project_id: string;
  event_id: string;
  user_message: string;
  message_level: "ERROR";
  created_at: string;
  guaranteed_until: string;
  request_id: string;
  resource_type: string;
  resource_uuid: string;
}

/** A volume transfer that waits to be accepted. */
export interface TransferRow {
  id: string;
  project_id: string;
  name: string | null;
  volume_id: string;
  created_at: string;
}

/** A Cinder backup; they all end in "error", for devcloud has no backup service. */
export interface BackupRow {
  id: string;
  project_id: string;
  name: string | null;
  description: string | null;
  volume_id: string;
  size: number;
  status: string;
  fail_reason: string | null;
  created_at: string;
  updated_at: string | null;
}

/** A volume type; each has a pool of its own. */
export interface VolumeTypeRow {
  id: string;
  name: string;
  description: string | null;
}
