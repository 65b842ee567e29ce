import type { Reply } from "../http";
import type { SnapshotRow, VolumeRow } from "../rows";
import { type Call, needMember, snapshotOf, volumeOf } from "./call";
import { badRequest, notFound } from "./errors";
import { metadataOf, pythonRepr, wrapped } from "./schema";

interface Subject {
  row: VolumeRow | SnapshotRow;
  /** What Cinder calls it, "Snapshot <id>". */
  title: string;
  createRule: string;
  updateRule: string;
  deleteRule: string;
}

function subjectOf(call: Call): Subject {
  if (call.parameters.kind === "snapshots") {
    const row = snapshotOf(call);
    return {
      row,
      title: `Snapshot ${row.id}`,
      createRule: "volume:update_snapshot_metadata",
      updateRule: "volume:update_snapshot_metadata",
      deleteRule: "volume:delete_snapshot_metadata",
    };
  }
  const row = volumeOf(call);
  return {
    row,
    title: `Volume ${row.id}`,
    createRule: "volume:create_volume_metadata",
    updateRule: "volume:update_volume_metadata",
    deleteRule: "volume:delete_volume_metadata",
  };
}

function given(call: Call): Record<string, string> {
  if (typeof call.body !== "object" || call.body === null || !("metadata" in call.body)) {
    throw badRequest("'metadata' is a required property");
  }
  return metadataOf(call.body as Record<string, unknown>);
}

function store(call: Call, row: VolumeRow | SnapshotRow, metadata: Record<string, string>): void {
  row.metadata = metadata;
  row.updated_at = call.cloud.timestamp();
  call.cloud.changed();
}

export function showMetadata(call: Call): Reply {
  return { status: 200, body: { metadata: subjectOf(call).row.metadata } };
}

/** POST adds to what is there. */
export function mergeMetadata(call: Call): Reply {
  const added = given(call);
  const { row, createRule } = subjectOf(call);
  needMember(call, createRule);
  store(call, row, { ...row.metadata, ...added });
  return { status: 200, body: { metadata: row.metadata } };
}

/** PUT replaces all of it. */
export function replaceMetadata(call: Call): Reply {
  const all = given(call);
  const { row, updateRule } = subjectOf(call);
  needMember(call, updateRule);
  store(call, row, all);
  return { status: 200, body: { metadata: row.metadata } };
}

function present(call: Call, { row, title }: Subject): string {
  const key = call.parameters.key ?? "";
  const value = row.metadata[key];
  if (value === undefined) throw notFound(`${title} has no metadata with key ${key}.`);
  return value;
}

export function showMetadataItem(call: Call): Reply {
  const value = present(call, subjectOf(call));
  return { status: 200, body: { meta: { [call.parameters.key ?? ""]: value } } };
}

export function putMetadataItem(call: Call): Reply {
  const item = metadataOf({ meta: wrapped(call.body, "meta") }, "meta");
  const key = call.parameters.key ?? "";
  const { row, updateRule } = subjectOf(call);
  needMember(call, updateRule);
  const value = item[key];
  if (value === undefined) throw badRequest("Request body and URI mismatch");
  if (Object.keys(item).length > 1)
    throw badRequest(`Request body contains too many items: ${pythonRepr(item)}`);
  store(call, row, { ...row.metadata, [key]: value });
  return { status: 200, body: { meta: { [key]: value } } };
}

export function deleteMetadataItem(call: Call): Reply {
  const subject = subjectOf(call);
  needMember(call, subject.deleteRule);
  present(call, subject);
  const { [call.parameters.key ?? ""]: _removed, ...rest } = subject.row.metadata;
  store(call, subject.row, rest);
  return { status: 200, headers: { "Content-Type": "text/html; charset=UTF-8" } };
}
