import type { Cloud } from "../cloud";
import type { Reply } from "../http";
import type { Token } from "../identities";
import type { AttachmentRow, SnapshotRow, VolumeRow } from "../rows";
import { notFound, policyForbids } from "./errors";

/** One request to Cinder after authentication and routing. */
export interface Call {
  cloud: Cloud;
  method: string;
  /** The values of the `:names` in the route. */
  parameters: Record<string, string>;
  query: URLSearchParams;
  body: unknown;
  /** The microversion's second number: 66 for 3.66. */
  minor: number;
  token: Token;
  projectId: string;
  requestId: string;
  /** `http://127.0.0.1:<port>/volume`. */
  base: string;
  /** The whole URL without the query. */
  url: string;
  hasServiceToken: boolean;
}

export type Handler = (call: Call) => Reply | Promise<Reply>;

/** How Cinder answers when the work goes on after the answer: 202 and an empty page. */
export const acceptedEmptyPage: Reply = {
  status: 202,
  headers: { "Content-Type": "text/html; charset=UTF-8" },
};

export function isAdmin(call: Call): boolean {
  return call.token.roles.includes("admin");
}

/** Refuses a caller who may only read, in the name of Cinder's policy rule. */
export function needMember(call: Call, rule: string): void {
  if (!call.token.roles.includes("member") && !isAdmin(call)) throw policyForbids(rule);
}

export function needAdmin(call: Call, rule: string): void {
  if (!isAdmin(call)) throw policyForbids(rule);
}

/** True when the caller may know of it: it is in the caller's project, or the caller is an admin. */
export function isVisible(call: Call, row: { project_id: string }): boolean {
  return row.project_id === call.projectId || isAdmin(call);
}

export function volumeOf(call: Call, id = call.parameters.id ?? ""): VolumeRow {
  const row = call.cloud.volumes.get(id);
  if (!row || !isVisible(call, row)) throw notFound(`Volume ${id} could not be found.`);
  return row;
}

export function snapshotOf(call: Call, id = call.parameters.id ?? ""): SnapshotRow {
  const row = call.cloud.snapshots.get(id);
  if (!row || !isVisible(call, row)) throw notFound(`Snapshot ${id} could not be found.`);
  return row;
}

export function attachmentOf(call: Call, id = call.parameters.id ?? ""): AttachmentRow {
  const row = call.cloud.attachments.get(id);
  if (!row || !isVisible(call, row)) {
    throw notFound(`Volume attachment could not be found with filter: attachment_id = ${id}.`);
  }
  return row;
}
