import { randomUUID } from "node:crypto";
import { wholeSeconds } from "../cloud";
import type { Reply } from "../http";
import type { MessageRow } from "../rows";
import { type Call, isVisible, needMember } from "./call";
import { notFound } from "./errors";
import { listPage } from "./lists";
import { links } from "./views";

const guaranteedSeconds = 30 * 86_400;

/** Leaves a message for the user about work that failed after its request was accepted. */
export function addMessage(
  call: Call,
  message: { eventId: string; text: string; resourceType: string; resourceId: string },
): void {
  const { cloud } = call;
  const row: MessageRow = {
    id: randomUUID(),
    project_id: call.projectId,
    event_id: message.eventId,
    user_message: message.text,
    message_level: "ERROR",
    created_at: cloud.timestamp(),
    guaranteed_until: cloud.timestamp(guaranteedSeconds),
    request_id: call.requestId,
    resource_type: message.resourceType,
    resource_uuid: message.resourceId,
  };
  cloud.messages.set(row.id, row);
  cloud.changed();
}

function view(call: Call, row: MessageRow): Record<string, unknown> {
  return {
    id: row.id,
    event_id: row.event_id,
    user_message: row.user_message,
    message_level: row.message_level,
    created_at: wholeSeconds(row.created_at),
    guaranteed_until: wholeSeconds(row.guaranteed_until),
    request_id: row.request_id,
    links: links(call, "messages", row.id),
    resource_type: row.resource_type,
    resource_uuid: row.resource_uuid,
  };
}

function messageOf(call: Call): MessageRow {
  const id = call.parameters.id ?? "";
  const row = call.cloud.messages.get(id);
  if (!row || !isVisible(call, row)) throw notFound(`Message ${id} could not be found.`);
  return row;
}

export function listMessages(call: Call): Reply {
  const filters = ["resource_uuid", "resource_type", "event_id", "request_id", "message_level"];
  const rows = call.cloud.messages.values();
  return { status: 200, body: listPage(call, { name: "messages", kind: "Message", rows, filters, view }) };
}

export function showMessage(call: Call): Reply {
  return { status: 200, body: { message: view(call, messageOf(call)) } };
}

export function deleteMessage(call: Call): Reply {
  const row = messageOf(call);
  needMember(call, "message:delete");
  call.cloud.messages.delete(row.id);
  call.cloud.changed();
  return { status: 204 };
}
