import { wholeSeconds } from "../cloud";
import type { AttachmentRow, SnapshotRow, VolumeRow } from "../rows";
import { type Call, isAdmin } from "./call";

const seconds = (time: string | null) => (time === null ? null : wholeSeconds(time));

/** The links every entity has; the second is the bookmark without version. */
export function links(call: Call, collection: string, id: string): { rel: string; href: string }[] {
  const path = `${call.projectId}/${collection}/${id}`;
  return [
    { rel: "self", href: `${call.base}/v3/${path}` },
    { rel: "bookmark", href: `${call.base}/${path}` },
  ];
}

export function volumeSummary(call: Call, row: VolumeRow): Record<string, unknown> {
  return { id: row.id, name: row.name, links: links(call, "volumes", row.id) };
}

/** `fresh`: as POST answers, with microseconds. */
export function volumeDetail(call: Call, row: VolumeRow, fresh = false): Record<string, unknown> {
  const view: Record<string, unknown> = {
    id: row.id,
    status: row.status,
    size: row.size,
    availability_zone: row.availability_zone,
    created_at: fresh ? row.created_at : wholeSeconds(row.created_at),
    updated_at: seconds(row.updated_at),
    name: row.name,
    description: row.description,
    volume_type: row.volume_type,
    snapshot_id: row.snapshot_id,
    source_volid: row.source_volid,
    metadata: { ...row.metadata, ...row.admin_metadata },
    links: links(call, "volumes", row.id),
    user_id: row.user_id,
    bootable: String(row.bootable),
    encrypted: false,
    replication_status: null,
    consistencygroup_id: null,
    multiattach: row.multiattach,
    attachments: call.cloud
      .attachmentsOf(row.id)
      .filter(attachment => attachment.status === "attached")
      .map(attachment => ({
        id: row.id,
        attachment_id: attachment.id,
        volume_id: row.id,
        server_id: attachment.instance,
        host_name: null,
        device: attachment.device,
        attached_at: seconds(attachment.attached_at),
      })),
  };
  if (isAdmin(call)) view.migration_status = null;
  if (call.minor >= 13) view.group_id = null;
  if (call.minor >= 21 && isAdmin(call)) view.provider_id = null;
  if (call.minor >= 48) {
    view.shared_targets = row.host === null;
    view.service_uuid = row.host === null ? null : call.cloud.serviceUuid;
  }
  if (call.minor >= 61 && isAdmin(call)) view.cluster_name = null;
  if (call.minor >= 63) view.volume_type_id = typeId(call, row.volume_type);
  if (call.minor >= 65) view.consumes_quota = true;
  return view;
}

/** What show and the detailed list add to `volumeDetail`. */
export function volumeShown(call: Call, row: VolumeRow): Record<string, unknown> {
  const view = volumeDetail(call, row);
  view["os-vol-tenant-attr:tenant_id"] = row.project_id;
  if (isAdmin(call)) {
    view["os-vol-mig-status-attr:migstat"] = null;
    view["os-vol-mig-status-attr:name_id"] = null;
    view["os-vol-host-attr:host"] = row.host;
  }
  return view;
}

export function typeId(call: Call, name: string): string | null {
  return call.cloud.volumeTypes.find(type => type.name === name)?.id ?? null;
}

export function snapshotSummary(_call: Call, row: SnapshotRow, fresh = false): Record<string, unknown> {
  return {
    id: row.id,
    created_at: fresh ? row.created_at : wholeSeconds(row.created_at),
    updated_at: seconds(row.updated_at),
    name: row.name,
    description: row.description,
    volume_id: row.volume_id,
    status: row.status,
    size: row.size,
    metadata: row.metadata,
  };
}

export function snapshotDetail(call: Call, row: SnapshotRow, fresh = false): Record<string, unknown> {
  const view = snapshotSummary(call, row, fresh);
  if (call.minor >= 14) view.group_snapshot_id = null;
  if (call.minor >= 41) view.user_id = row.user_id;
  if (call.minor >= 65) view.consumes_quota = true;
  return view;
}

/** What show and the detailed list add to `snapshotDetail`. */
export function snapshotShown(call: Call, row: SnapshotRow): Record<string, unknown> {
  const view = snapshotDetail(call, row);
  view["os-extended-snapshot-attributes:project_id"] = row.project_id;
  view["os-extended-snapshot-attributes:progress"] = row.status === "creating" ? "0%" : "100%";
  return view;
}

export function attachmentSummary(_call: Call, row: AttachmentRow): Record<string, unknown> {
  return { id: row.id, status: row.status, instance: row.instance, volume_id: row.volume_id };
}

export function attachmentDetail(call: Call, row: AttachmentRow): Record<string, unknown> {
  return {
    ...attachmentSummary(call, row),
    attached_at: seconds(row.attached_at) ?? "",
    detached_at: "",
    attach_mode: row.attach_mode ?? "null",
    connection_info: row.connection_info,
  };
}
