import { randomUUID } from "node:crypto";
import type { Reply } from "../http";
import type { SnapshotRow, VolumeRow } from "../rows";
import { acceptedEmptyPage, type Call, isVisible, needAdmin, needMember, volumeOf } from "./call";
import { initializeConnection } from "./connection";
import { badRequest, malformed, notFound } from "./errors";
import { listPage } from "./lists";
import { addMessage } from "./messages";
import { reserve } from "./quotas";
import { flagOf, metadataOf, pythonRepr, saysYes, sizeOf, uuidOf, volumeTextOf, wrapped } from "./schema";
import { deleteSnapshotNow } from "./snapshots";
import { typeId, volumeDetail, volumeShown, volumeSummary } from "./views";

const gibibyte = 1024 ** 3;

const notDeletable =
  "Invalid volume: Volume status must be available or error or error_restoring or error_extending or error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer.";

const filters = [
  "name",
  "status",
  "metadata",
  "bootable",
  "migration_status",
  "availability_zone",
  "group_id",
  "size",
  "volume_type",
  "created_at",
  "updated_at",
];

export function listVolumes(call: Call): Reply {
  const rows = call.cloud.volumes.values();
  return {
    status: 200,
    body: listPage(call, { name: "volumes", kind: "Volume", rows, filters, view: volumeSummary }),
  };
}

export function listVolumesDetailed(call: Call): Reply {
  const rows = call.cloud.volumes.values();
  return {
    status: 200,
    body: listPage(call, { name: "volumes", kind: "Volume", rows, filters, view: volumeShown }),
  };
}

export function summarizeVolumes(call: Call): Reply {
  const rows = [...call.cloud.volumes.values()].filter(row => row.project_id === call.projectId);
  const metadata: Record<string, string[]> = {};
  for (const row of rows) {
    for (const [key, value] of Object.entries(row.metadata)) {
      metadata[key] ??= [];
      if (!metadata[key].includes(value)) metadata[key].push(value);
    }
  }
  const summary: Record<string, unknown> = {
    total_count: rows.length,
    total_size: rows.reduce((sum, row) => sum + row.size, 0),
  };
  if (call.minor >= 36) summary.metadata = metadata;
  return { status: 200, body: { "volume-summary": summary } };
}

export function showVolume(call: Call): Reply {
  return { status: 200, body: { volume: volumeShown(call, volumeOf(call)) } };
}

export function createVolume(call: Call): Reply {
  const { cloud } = call;
  const given = wrapped(call.body, "volume");
  let size = sizeOf(given, "size");
  const snapshotId = uuidOf(given, "snapshot_id");
  const sourceId = uuidOf(given, "source_volid");
  const metadata = metadataOf(given);
  const name = volumeTextOf(given, "name") ?? volumeTextOf(given, "display_name");
  const description = volumeTextOf(given, "description") ?? volumeTextOf(given, "display_description");
  needMember(call, "volume:create");

  const requestedType = typeof given.volume_type === "string" ? given.volume_type : undefined;
  if (requestedType !== undefined && !findType(call, requestedType)) {
    throw notFound(`Volume type with name ${requestedType} could not be found.`);
  }
  if (given.imageRef) throw badRequest("Invalid image identifier or unable to access requested image.");
  const snapshot =
    snapshotId === undefined
      ? undefined
      : visible(call, "Snapshot", snapshotId, cloud.snapshots.get(snapshotId));
  const source =
    sourceId === undefined ? undefined : visible(call, "Volume", sourceId, cloud.volumes.get(sourceId));
  const sourceSize = snapshot?.size ?? source?.size;
  size ??= sourceSize;
  if (size === undefined) throw badRequest(malformed);
  if (snapshot && source) {
    throw badRequest(
      "Invalid input received: May specify only one of backup, imageRef, snapshot, source volume",
    );
  }
  if (snapshot && snapshot.status !== "available") {
    throw badRequest("Invalid snapshot: Originating snapshot status must be one of 'available' values");
  }
  if (source && !["available", "in-use"].includes(source.status)) {
    throw badRequest("Invalid volume: Originating volume status must be one of 'available, in-use' values");
  }
  if (snapshot && size < snapshot.size) {
    throw badRequest(
      `Invalid input received: Volume size '${size}'GB cannot be smaller than the snapshot size ${snapshot.size}GB. They must be >= original snapshot size.`,
    );
  }
  if (source && size < source.size) {
    throw badRequest(
      `Invalid input received: Volume size '${size}GB' cannot be smaller than original volume size  ${source.size}GB. They must be >= original volume size.`,
    );
  }
  const zone = given.availability_zone;
  if (zone !== undefined && zone !== null && zone !== "nova") {
    throw badRequest(`Availability zone ${pythonRepr(zone)} is invalid.`);
  }
  const parent = snapshot ? cloud.volumes.get(snapshot.volume_id) : source;
  const volumeType =
    requestedType === undefined ? (parent?.volume_type ?? defaultType(call)) : findType(call, requestedType);
  if (parent && volumeType !== parent.volume_type) {
    throw badRequest(
      `Invalid input received: Invalid volume_type provided: ${typeId(call, volumeType ?? "")} (requested type is not compatible; recommend omitting the type argument).`,
    );
  }
  if (volumeType === undefined) throw new Error("devcloud has no volume type");
  reserve(call, call.projectId, { what: "volumes", gibibytes: size, volumeType, volumeSize: size });

  const row: VolumeRow = {
    id: randomUUID(),
    name,
    description,
    status: "creating",
    size,
    project_id: call.projectId,
    user_id: call.token.user.id,
    volume_type: volumeType,
    availability_zone: "nova",
    snapshot_id: snapshot?.id ?? null,
    source_volid: source?.id ?? null,
    bootable: parent?.bootable ?? false,
    multiattach: flagOf(given, "multiattach") ?? false,
    metadata,
    admin_metadata: {},
    host: null,
    created_at: cloud.timestamp(),
    updated_at: null,
  };
  cloud.volumes.set(row.id, row);
  cloud.changed();
  cloud.inBackground("creating volume", () => build(call, row, snapshot, source));
  return { status: 202, body: { volume: volumeDetail(call, row, true) } };
}

async function build(
  call: Call,
  row: VolumeRow,
  snapshot: SnapshotRow | undefined,
  source: VolumeRow | undefined,
): Promise<void> {
  const { cloud } = call;
  if (row.size > cloud.behaviour.capacityGib) {
    cloud.setVolumeStatus(row, "error");
    addMessage(call, {
      eventId: "VOLUME_VOLUME_001_003",
      text: "schedule allocate volume:Could not find any available weighted backend.",
      resourceType: "VOLUME",
      resourceId: row.id,
    });
    return;
  }
  row.host = hostOf(row.volume_type);
  const status = cloud.faults.finalStatus("volume");
  const grownTo = (sourceSize: number) => (row.size > sourceSize ? row.size * gibibyte : 0);
  try {
    if (snapshot) {
      await cloud.storage.createFrom(row.id, cloud.storage.snapshotPath(snapshot.id), grownTo(snapshot.size));
    } else if (source) {
      await cloud.storage.cloneVolume(source.id, row.id, grownTo(source.size));
    } else {
      await cloud.storage.createBlank(row.id, row.size * gibibyte);
    }
    cloud.setVolumeStatus(row, status);
  } catch (error) {
    cloud.setVolumeStatus(row, "error");
    addMessage(call, {
      eventId: "VOLUME_VOLUME_001_001",
      text: `create volume:${error instanceof Error ? error.message : String(error)}`,
      resourceType: "VOLUME",
      resourceId: row.id,
    });
  }
}

/** The pool that volumes of a type live in. */
export function hostOf(volumeType: string): string {
  return `devcloud@${volumeType}#${volumeType}`;
}

export function updateVolume(call: Call): Reply {
  const given = wrapped(call.body, "volume");
  const row = volumeOf(call);
  needMember(call, "volume:update");
  if ("name" in given || "display_name" in given)
    row.name = volumeTextOf(given, "name") ?? volumeTextOf(given, "display_name");
  if ("description" in given || "display_description" in given) {
    row.description = volumeTextOf(given, "description") ?? volumeTextOf(given, "display_description");
  }
  if ("metadata" in given) row.metadata = metadataOf(given);
  row.updated_at = call.cloud.timestamp();
  call.cloud.changed();
  return { status: 200, body: { volume: volumeDetail(call, row) } };
}

export function deleteVolume(call: Call): Reply {
  const row = volumeOf(call);
  needMember(call, "volume:delete");
  const force = call.minor >= 23 && saysYes(call.query.get("force"));
  if (force) needAdmin(call, "volume:force_delete");
  const cascade = saysYes(call.query.get("cascade"));
  const statuses = ["available", "error", "error_restoring", "error_extending", "error_managing"];
  if (!force && !statuses.includes(row.status)) throw badRequest(notDeletable);
  if (call.cloud.attachmentsOf(row.id).length > 0) throw badRequest(notDeletable);
  const snapshots = call.cloud.snapshotsOf(row.id);
  if (snapshots.length > 0 && !cascade) throw badRequest(notDeletable);
  if (snapshots.some(snapshot => !["available", "error"].includes(snapshot.status)))
    throw badRequest(notDeletable);
  startDelete(call, row, snapshots);
  return acceptedEmptyPage;
}

function startDelete(call: Call, row: VolumeRow, snapshots: SnapshotRow[]): void {
  const { cloud } = call;
  if (row.host === null && row.status === "error") {
    cloud.volumes.delete(row.id);
    cloud.changed();
    return;
  }
  cloud.setVolumeStatus(row, "deleting");
  for (const snapshot of snapshots) cloud.setSnapshotStatus(snapshot, "deleting");
  cloud.inBackground("deleting volume", async () => {
    for (const snapshot of snapshots) await deleteSnapshotNow(cloud, snapshot);
    // As with RBD: an image that something still holds is not deleted, and nobody is told why.
    const bad = cloud.faults.badDelete("volume", row.id);
    if (bad === "error_deleting") {
      cloud.setVolumeStatus(row, bad);
      return;
    }
    if (bad || (await cloud.storage.isWatched(row.id))) {
      cloud.setVolumeStatus(row, "available");
      return;
    }
    await cloud.storage.removeVolume(row.id);
    for (const attachment of cloud.attachmentsOf(row.id)) cloud.attachments.delete(attachment.id);
    cloud.volumes.delete(row.id);
  });
}

type Action = {
  rule: string;
  admin?: boolean;
  since?: number;
  run: (call: Call, row: VolumeRow, body: unknown) => Reply;
};

const done: Reply = { status: 202 };

const actions: Record<string, Action> = {
  "os-extend": { rule: "volume:extend", run: extend },
  revert: { rule: "volume:revert_to_snapshot", since: 40, run: revert },
  "os-reset_status": {
    rule: "volume_extension:volume_admin_actions:reset_status",
    admin: true,
    run: (call, row, body) => {
      const status = (body as { status?: unknown } | null)?.status;
      if (typeof status === "string") call.cloud.setVolumeStatus(row, status);
      return done;
    },
  },
  "os-force_delete": {
    rule: "volume_extension:volume_admin_actions:force_delete",
    admin: true,
    run: (call, row) => {
      startDelete(call, row, call.cloud.snapshotsOf(row.id));
      return done;
    },
  },
  "os-set_bootable": {
    rule: "volume_extension:volume_actions:set_bootable",
    run: (call, row, body) => {
      row.bootable = flagOf(Object(body) as Record<string, unknown>, "bootable") ?? false;
      call.cloud.changed();
      return { status: 200 };
    },
  },
  "os-update_readonly_flag": {
    rule: "volume_extension:volume_actions:update_readonly_flag",
    run: (call, row, body) => {
      const readonly = flagOf(Object(body) as Record<string, unknown>, "readonly") ?? false;
      row.admin_metadata.readonly = readonly ? "True" : "False";
      row.updated_at = call.cloud.timestamp();
      call.cloud.changed();
      return done;
    },
  },
  "os-reserve": {
    rule: "volume_extension:volume_actions:reserve",
    run: (call, row) => {
      if (row.status !== "available") {
        throw badRequest(
          `Invalid volume: Volume status must be available to reserve, but the status is ${row.status}.`,
        );
      }
      call.cloud.setVolumeStatus(row, "attaching");
      return done;
    },
  },
  "os-unreserve": {
    rule: "volume_extension:volume_actions:unreserve",
    run: (call, row) => {
      if (row.status === "attaching") call.cloud.setVolumeStatus(row, call.cloud.restingStatus(row.id));
      return done;
    },
  },
  "os-begin_detaching": {
    rule: "volume_extension:volume_actions:begin_detaching",
    run: (call, row) => {
      if (row.status !== "in-use") {
        throw badRequest(
          `Invalid volume: Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.`,
        );
      }
      call.cloud.setVolumeStatus(row, "detaching");
      return done;
    },
  },
  "os-roll_detaching": {
    rule: "volume_extension:volume_actions:roll_detaching",
    run: (call, row) => {
      if (row.status === "detaching") call.cloud.setVolumeStatus(row, "in-use");
      return done;
    },
  },
  "os-initialize_connection": {
    rule: "volume_extension:volume_actions:initialize_connection",
    run: (call, row) => {
      const { driver_volume_type, enforce_multipath, ...data } = initializeConnection(call, row);
      return {
        status: 200,
        body: {
          connection_info: { driver_volume_type, data: { ...data, enforce_multipath }, enforce_multipath },
        },
      };
    },
  },
  "os-terminate_connection": {
    rule: "volume_extension:volume_actions:terminate_connection",
    run: () => done,
  },
  "os-attach": {
    rule: "volume_extension:volume_actions:attach",
    run: (call, row, body) => {
      const given = Object(body) as Record<string, unknown>;
      const mode = given.mode === "ro" ? "ro" : "rw";
      if (!["available", "attaching"].includes(row.status)) {
        throw badRequest(
          `Invalid volume: Volume status must be available to attach, but the status is ${row.status}.`,
        );
      }
      const now = call.cloud.timestamp();
      const id = randomUUID();
      call.cloud.attachments.set(id, {
        id,
        volume_id: row.id,
        project_id: row.project_id,
        instance: uuidOf(given, "instance_uuid") ?? null,
        status: "attached",
        attach_mode: mode,
        device: typeof given.mountpoint === "string" ? given.mountpoint : "na",
        created_at: now,
        attached_at: now,
        connection_info: {},
      });
      row.admin_metadata = { readonly: row.admin_metadata.readonly ?? "False", attached_mode: mode };
      call.cloud.setVolumeStatus(row, "in-use");
      return done;
    },
  },
  "os-detach": {
    rule: "volume_extension:volume_actions:detach",
    run: (call, row) => {
      for (const attachment of call.cloud.attachmentsOf(row.id)) call.cloud.attachments.delete(attachment.id);
      delete row.admin_metadata.attached_mode;
      call.cloud.setVolumeStatus(row, "available");
      return done;
    },
  },
};

export function actOnVolume(call: Call): Reply {
  const [name = "", body] = Object.entries(Object(call.body) as Record<string, unknown>)[0] ?? [];
  const action = actions[name];
  if (!action || call.minor < (action.since ?? 0)) {
    throw badRequest(
      `There is no such action: ${name}. Verify the request body and Content-Type header and try again.`,
    );
  }
  const row = volumeOf(call);
  if (action.admin) needAdmin(call, action.rule);
  else needMember(call, action.rule);
  return action.run(call, row, body);
}

function extend(call: Call, row: VolumeRow, body: unknown): Reply {
  const { cloud } = call;
  const size = sizeOf(Object(body) as Record<string, unknown>, "new_size");
  if (size === undefined) throw badRequest(malformed);
  const allowed = call.minor >= 42 ? ["available", "in-use"] : ["available"];
  if (!allowed.includes(row.status)) {
    throw badRequest(
      `Invalid volume: Volume ${row.id} status must be ${allowed.join(", ")} to extend, but current status is: ${row.status}.`,
    );
  }
  if (size <= row.size) {
    throw badRequest(
      `Invalid input received: New size for extend must be greater than current size. (current: ${row.size}, extended: ${size}).`,
    );
  }
  const growth = size - row.size;
  reserve(call, row.project_id, {
    what: "extend",
    gibibytes: growth,
    volumeType: row.volume_type,
    volumeSize: size,
  });
  const before = row.status;
  cloud.setVolumeStatus(row, "extending");
  cloud.inBackground("extending volume", async () => {
    await cloud.storage.extend(row.id, size * gibibyte);
    row.size = size;
    cloud.setVolumeStatus(row, before);
  });
  return done;
}

function revert(call: Call, row: VolumeRow, body: unknown): Reply {
  const { cloud } = call;
  const snapshotId = (body as { snapshot_id?: unknown } | null)?.snapshot_id;
  const snapshots = cloud.snapshotsOf(row.id).sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
  const latest = snapshots.at(-1);
  if (!latest || latest.id !== snapshotId) {
    throw badRequest(
      `Specified snapshot ${String(snapshotId)} is None or not the latest one of volume ${row.id}.`,
    );
  }
  if (row.status !== "available" || latest.status !== "available" || row.size !== latest.size) {
    throw badRequest(
      `Invalid volume: Volume ${row.id} status must be available to revert, but current status is: ${row.status}.`,
    );
  }
  cloud.setVolumeStatus(row, "reverting");
  cloud.setSnapshotStatus(latest, "restoring");
  cloud.inBackground("reverting volume", async () => {
    await cloud.storage.revert(row.id, latest.id);
    cloud.setVolumeStatus(row, "available");
    cloud.setSnapshotStatus(latest, "available");
  });
  return done;
}

function visible<R extends { project_id: string }>(
  call: Call,
  kind: string,
  id: string,
  row: R | undefined,
): R {
  if (!row || !isVisible(call, row)) throw notFound(`${kind} ${id} could not be found.`);
  return row;
}

function findType(call: Call, nameOrId: string): string | undefined {
  return call.cloud.volumeTypes.find(type => type.name === nameOrId || type.id === nameOrId)?.name;
}

function defaultType(call: Call): string | undefined {
  return call.cloud.volumeTypes[0]?.name;
}
