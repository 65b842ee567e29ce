import { randomUUID } from "node:crypto";
import type { Cloud } from "../cloud";
import type { Reply } from "../http";
import type { SnapshotRow, VolumeRow } from "../rows";
import { acceptedEmptyPage, type Call, needAdmin, needMember, snapshotOf, volumeOf } from "./call";
import { canRemove, canSnapshot } from "./drivers";
import { badRequest, notFound } from "./errors";
import { listPage } from "./lists";
import { addMessage } from "./messages";
import { reserveSnapshot } from "./quotas";
import { flagOf, invalidField, metadataOf, pythonRepr, requiredUuid, textOf, wrapped } from "./schema";
import { snapshotDetail, snapshotShown, snapshotSummary } from "./views";

const filters = [
  "name",
  "status",
  "volume_id",
  "metadata",
  "availability_zone",
  "consumes_quota",
  "created_at",
  "updated_at",
];

const notDeletable =
  "Invalid snapshot: Snapshot status must be available or error and must not be part of a group.";

/** The two blanks and the spelling are Cinder's. */
const forceIsGone =
  "Since microversion 3.66 the 'force' flag is invalid for this request.  For backward compatability, however, when the 'force' flag is passed with a value evaluating to True, it is silently ignored.";

export function listSnapshots(call: Call): Reply {
  return list(call, snapshotSummary);
}

export function listSnapshotsDetailed(call: Call): Reply {
  return list(call, snapshotShown);
}

function list(call: Call, view: (call: Call, row: SnapshotRow) => Record<string, unknown>): Reply {
  return {
    status: 200,
    body: listPage(call, {
      name: "snapshots",
      kind: "Snapshot",
      rows: call.cloud.snapshots.values(),
      filters,
      metadataFilterSince: 22,
      view: (call, row) => view(call, row),
    }),
  };
}

export function showSnapshot(call: Call): Reply {
  return { status: 200, body: { snapshot: snapshotShown(call, snapshotOf(call)) } };
}

export function createSnapshot(call: Call): Reply {
  const { cloud } = call;
  const given = wrapped(call.body, "snapshot");
  const unknown = Object.keys(given).filter(
    key =>
      ![
        "volume_id",
        "name",
        "display_name",
        "description",
        "display_description",
        "metadata",
        "force",
      ].includes(key),
  );
  if (unknown.length > 0) {
    const names = unknown.map(pythonRepr).join(", ");
    throw invalidField(
      "snapshot",
      given,
      `Additional properties are not allowed (${names} ${unknown.length === 1 ? "was" : "were"} unexpected)`,
    );
  }
  // the schema allows null, and no volume has that id
  if (given.volume_id === null) throw notFound("Volume None could not be found.");
  const volumeId = requiredUuid(given, "snapshot", "volume_id");
  const name = textOf(given, "name") ?? textOf(given, "display_name");
  const description = textOf(given, "description") ?? textOf(given, "display_description");
  const metadata = metadataOf(given);
  const flag = flagOf(given, "force");
  if (call.minor >= 66 && flag === false) throw badRequest(forceIsGone);
  const volume = volumeOf(call, volumeId);
  needMember(call, "volume:create_snapshot");
  refuseUnlessSnapshotable(volume, call.minor >= 66 || flag === true);
  reserveSnapshot(call, volume);

  const row: SnapshotRow = {
    id: randomUUID(),
    volume_id: volume.id,
    name,
    description,
    status: "creating",
    size: volume.size,
    project_id: volume.project_id,
    user_id: call.token.user.id,
    metadata,
    created_at: cloud.timestamp(),
    updated_at: null,
  };
  cloud.snapshots.set(row.id, row);
  cloud.changed();
  cloud.inBackground("creating snapshot", async () => {
    let status = canSnapshot(cloud, volume) ? cloud.faults.finalStatus("snapshot") : "error";
    if (status === "available") {
      await takeSnapshot(cloud, row).catch(error => {
        process.emitWarning(`devcloud: snapshot ${row.id}: ${String(error)}`);
        status = "error";
      });
    }
    cloud.setSnapshotStatus(row, status);
    if (status === "error") explain(call, row, "create failed");
  });
  return { status: 202, body: { snapshot: snapshotDetail(call, row, true) } };
}

/** Cinder's words for each way in which its work on a snapshot fails. */
const explanations = {
  "create failed": ["009_013", "create snapshot:Snapshot failed to create."],
  "is busy": ["010_015", "delete snapshot:Snapshot is busy."],
  "delete failed": ["010_016", "delete snapshot:Snapshot failed to delete."],
} as const;

function explain(call: Call, row: SnapshotRow, what: keyof typeof explanations): void {
  const [event, text] = explanations[what];
  addMessage(call, {
    eventId: `VOLUME_VOLUME_SNAPSHOT_${event}`,
    text,
    resourceType: "VOLUME_SNAPSHOT",
    resourceId: row.id,
  });
}

/** Copies the volume's image and tells the listeners while no write can happen. */
export async function takeSnapshot(cloud: Cloud, row: SnapshotRow): Promise<void> {
  const image = cloud.storage.snapshotPath(row.id);
  await cloud.storage.snapshot(row.volume_id, row.id, async () => {
    for (const listener of cloud.snapshotListeners) await listener(row, image);
  });
}

function refuseUnlessSnapshotable(volume: VolumeRow, inUseToo: boolean): void {
  if (volume.status === "creating") throw badRequest("Invalid volume: volume is not assigned to a host");
  if (volume.status === "error") {
    throw badRequest("Invalid volume: The snapshot cannot be created when the volume is in error status.");
  }
  const allowed = inUseToo ? ["available", "in-use"] : ["available"];
  if (!allowed.includes(volume.status)) {
    throw badRequest(
      `Invalid volume: Volume ${volume.id} status must be ${allowed.join(", ")}, but current status is: ${volume.status}.`,
    );
  }
}

export function updateSnapshot(call: Call): Reply {
  const given = wrapped(call.body, "snapshot");
  const known = ["name", "display_name", "description", "display_description"];
  if (!known.some(key => key in given)) {
    throw invalidField("snapshot", given, `${pythonRepr(given)} is not valid under any of the given schemas`);
  }
  const row = snapshotOf(call);
  needMember(call, "volume:update_snapshot");
  if ("name" in given || "display_name" in given)
    row.name = textOf(given, "name") ?? textOf(given, "display_name");
  if ("description" in given || "display_description" in given) {
    row.description = textOf(given, "description") ?? textOf(given, "display_description");
  }
  row.updated_at = call.cloud.timestamp();
  call.cloud.changed();
  return { status: 200, body: { snapshot: snapshotDetail(call, row) } };
}

export function deleteSnapshot(call: Call): Reply {
  const row = snapshotOf(call);
  needMember(call, "volume:delete_snapshot");
  if (!["available", "error"].includes(row.status)) throw badRequest(notDeletable);
  startDelete(call, row);
  return acceptedEmptyPage;
}

function startDelete(call: Call, row: SnapshotRow): void {
  const { cloud } = call;
  cloud.setSnapshotStatus(row, "deleting");
  // A volume made from it is flattened first, which takes longer; that volume stays.
  const hasDependents = [...cloud.volumes.values()].some(volume => volume.snapshot_id === row.id);
  const delayMs = cloud.behaviour.statusDelayMs * (hasDependents ? 3 : 1);
  cloud.inBackground(
    "deleting snapshot",
    async () => {
      const bad = cloud.faults.badDelete("snapshot", row.id);
      if (bad === "busy") {
        cloud.setSnapshotStatus(row, "available");
        explain(call, row, "is busy");
      } else if (bad || !canRemove(cloud, row)) {
        cloud.setSnapshotStatus(row, "error_deleting");
        explain(call, row, "delete failed");
      } else await deleteSnapshotNow(cloud, row);
    },
    delayMs,
  );
}

export async function deleteSnapshotNow(cloud: Cloud, row: SnapshotRow): Promise<void> {
  await cloud.storage.removeSnapshot(row.id);
  cloud.snapshots.delete(row.id);
  cloud.changed();
}

export function actOnSnapshot(call: Call): Reply {
  const [name = "", body] = Object.entries(Object(call.body) as Record<string, unknown>)[0] ?? [];
  if (name !== "os-reset_status" && name !== "os-force_delete") {
    throw badRequest(
      `There is no such action: ${name}. Verify the request body and Content-Type header and try again.`,
    );
  }
  const row = snapshotOf(call);
  needAdmin(call, `volume_extension:snapshot_admin_actions:${name.slice(3)}`);
  if (name === "os-force_delete") {
    startDelete(call, row);
  } else {
    const status = (body as { status?: unknown } | null)?.status;
    if (typeof status === "string") call.cloud.setSnapshotStatus(row, status);
  }
  return { status: 202 };
}
