import { randomUUID } from "node:crypto";
import type { Reply } from "../http";
import type { AttachmentRow, VolumeRow } from "../rows";
import { attachmentOf, type Call, needMember, volumeOf } from "./call";
import { initializeConnection } from "./connection";
import { badRequest, CinderError, erred } from "./errors";
import { listPage } from "./lists";
import { invalidField, pythonRepr, requiredUuid, uuidOf, wrapped } from "./schema";
import { attachmentDetail, attachmentSummary } from "./views";

const filters = ["volume_id", "status", "instance_id", "attach_status"];

function connect(call: Call, row: AttachmentRow, volume: VolumeRow): void {
  const { enforce_multipath, ...info } = initializeConnection(call, volume);
  row.connection_info = { ...info, attachment_id: row.id, enforce_multipath };
  call.cloud.setVolumeStatus(volume, "attaching");
}

export function listAttachments(call: Call): Reply {
  const rows = call.cloud.attachments.values();
  return {
    status: 200,
    body: listPage(call, { name: "attachments", kind: "Attachment", rows, filters, view: attachmentSummary }),
  };
}

export function listAttachmentsDetailed(call: Call): Reply {
  const rows = call.cloud.attachments.values();
  return {
    status: 200,
    body: listPage(call, { name: "attachments", kind: "Attachment", rows, filters, view: attachmentDetail }),
  };
}

export function showAttachment(call: Call): Reply {
  return { status: 200, body: { attachment: attachmentDetail(call, attachmentOf(call)) } };
}

export function createAttachment(call: Call): Reply {
  const { cloud } = call;
  const given = wrapped(call.body, "attachment");
  const volumeId = requiredUuid(given, "attachment", "volume_uuid");
  const instance = uuidOf(given, "instance_uuid") ?? null;
  const mode = call.minor >= 54 ? given.mode : undefined;
  if (mode !== undefined && mode !== "rw" && mode !== "ro") {
    throw invalidField("mode", mode, `${pythonRepr(mode)} is not one of ['rw', 'ro']`);
  }
  const volume = volumeOf(call, volumeId);
  needMember(call, "volume:attachment_create");
  const reservable = ["available", "downloading"].includes(volume.status);
  if (!reservable && !(volume.multiattach && volume.status === "in-use")) {
    throw badRequest(
      `Invalid volume: Volume ${volume.id} status must be available or downloading to reserve, but the current status is ${volume.status}.`,
    );
  }
  const row: AttachmentRow = {
    id: randomUUID(),
    volume_id: volume.id,
    project_id: volume.project_id,
    instance,
    status: "reserved",
    attach_mode: mode ?? null,
    device: "na",
    created_at: cloud.timestamp(),
    attached_at: null,
    connection_info: {},
  };
  cloud.attachments.set(row.id, row);
  if (volume.status !== "in-use") cloud.setVolumeStatus(volume, "reserved");
  if (given.connector) connect(call, row, volume);
  cloud.changed();
  return { status: 200, body: { attachment: attachmentDetail(call, row) } };
}

export function updateAttachment(call: Call): Reply {
  const given = wrapped(call.body, "attachment");
  const row = attachmentOf(call);
  needMember(call, "volume:attachment_update");
  if (!given.connector) throw invalidField("attachment", given, "'connector' is a required property");
  connect(call, row, volumeOf(call, row.volume_id));
  call.cloud.changed();
  return { status: 200, body: { attachment: attachmentDetail(call, row) } };
}

export function actOnAttachment(call: Call): Reply {
  const [name = ""] = Object.keys(Object(call.body));
  if (name !== "os-complete" || call.minor < 44) {
    throw badRequest(
      `There is no such action: ${name}. Verify the request body and Content-Type header and try again.`,
    );
  }
  const row = attachmentOf(call);
  needMember(call, "volume:attachment_complete");
  const volume = volumeOf(call, row.volume_id);
  row.status = "attached";
  row.attached_at = call.cloud.timestamp();
  row.attach_mode ??= "rw";
  call.cloud.setVolumeStatus(volume, "in-use");
  return { status: 204 };
}

export function deleteAttachment(call: Call): Reply {
  const { cloud } = call;
  const row = attachmentOf(call);
  needMember(call, "volume:attachment_delete");
  // A server's attachment may only be removed by Nova, which Cinder asks first; devcloud has no Nova to ask.
  if (row.instance !== null && row.status === "attached" && !call.hasServiceToken)
    throw new CinderError(500, erred);
  cloud.attachments.delete(row.id);
  const volume = cloud.volumes.get(row.volume_id);
  if (volume) {
    if (row.status === "attached")
      volume.admin_metadata = { readonly: volume.admin_metadata.readonly ?? "False" };
    cloud.setVolumeStatus(volume, cloud.restingStatus(volume.id));
  }
  cloud.changed();
  return {
    status: 200,
    body: { attachments: cloud.attachmentsOf(row.volume_id).map(other => attachmentSummary(call, other)) },
  };
}
