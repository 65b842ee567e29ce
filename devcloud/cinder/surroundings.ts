import { randomBytes, randomUUID } from "node:crypto";
import { wholeSeconds } from "../cloud";
import type { Reply } from "../http";
import type { BackupRow, TransferRow, VolumeTypeRow } from "../rows";
import { acceptedEmptyPage, type Call, isAdmin, isVisible, needAdmin, needMember, volumeOf } from "./call";
import { badRequest, notFound } from "./errors";
import { listPage } from "./lists";
import { addMessage } from "./messages";
import { requiredUuid, saysYes, textOf, wrapped } from "./schema";
import { links } from "./views";
import { hostOf } from "./volumes";

function typeView(call: Call, type: VolumeTypeRow): Record<string, unknown> {
  return {
    id: type.id,
    name: type.name,
    is_public: true,
    description: type.description,
    extra_specs: {},
    ...(isAdmin(call) && { qos_specs_id: null }),
    "os-volume-type-access:is_public": true,
  };
}

export function listTypes(call: Call): Reply {
  return { status: 200, body: { volume_types: call.cloud.volumeTypes.map(type => typeView(call, type)) } };
}

export function showType(call: Call): Reply {
  const { id } = call.parameters;
  const type =
    id === "default" ? call.cloud.volumeTypes[0] : call.cloud.volumeTypes.find(type => type.id === id);
  if (!type) throw notFound(`Volume type ${id} could not be found.`);
  return { status: 200, body: { volume_type: typeView(call, type) } };
}

export function listZones(): Reply {
  return {
    status: 200,
    body: { availabilityZoneInfo: [{ zoneName: "nova", zoneState: { available: true } }] },
  };
}

export function listExtensions(): Reply {
  const extension = (name: string, alias: string, description: string, updated: string) => ({
    name,
    alias,
    description,
    updated,
    links: [],
  });
  return {
    status: 200,
    body: {
      extensions: [
        extension("AdminActions", "os-admin-actions", "Enable admin actions.", "2012-08-25T00:00:00+00:00"),
        extension("Quotas", "os-quota-sets", "Quota management support.", "2011-08-08T00:00:00+00:00"),
        extension("Services", "os-services", "Services support.", "2012-10-28T00:00:00-00:00"),
        extension(
          "VolumeActions",
          "os-volume-actions",
          "Enable volume actions.",
          "2012-05-31T00:00:00+00:00",
        ),
      ],
    },
  };
}

/** The services behind the API: a scheduler and one volume service for each volume type. */
export function listServices(call: Call): Reply {
  needAdmin(call, "volume_extension:services:index");
  const up = call.cloud.faults.volumeServiceIsDown ? "down" : "up";
  const common = {
    zone: "nova",
    status: "enabled",
    updated_at: wholeSeconds(call.cloud.timestamp()),
    disabled_reason: null,
  };
  const volumes = pools(call).map(type => ({
    binary: "cinder-volume",
    host: hostOf(type).split("#")[0],
    ...common,
    state: up,
    replication_status: "disabled",
    active_backend_id: null,
    frozen: false,
  }));
  const services = [{ binary: "cinder-scheduler", host: "devcloud", ...common, state: "up" }, ...volumes];
  const [binary, host] = ["binary", "host"].map(name => call.query.get(name));
  return {
    status: 200,
    body: {
      services: services.filter(
        service =>
          (!binary || service.binary === binary) &&
          // a host stands for all of its back ends
          (!host || service.host === host || service.host?.startsWith(`${host}@`)),
      ),
    },
  };
}

export function listPools(call: Call): Reply {
  needAdmin(call, "scheduler_extension:scheduler_stats:get_pools");
  const detail = saysYes(call.query.get("detail"));
  const { capacityGib } = call.cloud.behaviour;
  return {
    status: 200,
    body: {
      pools: pools(call).map(type => {
        if (!detail) return { name: hostOf(type) };
        const used = [...call.cloud.volumes.values()]
          .filter(volume => volume.volume_type === type)
          .reduce((sum, volume) => sum + volume.size, 0);
        return {
          name: hostOf(type),
          capabilities: {
            volume_backend_name: type,
            vendor_name: "Open Source",
            driver_version: "1.4.0",
            storage_protocol: "NFS",
            total_capacity_gb: capacityGib,
            free_capacity_gb: capacityGib - used,
            reserved_percentage: 0,
            QoS_support: false,
            sparse_copy_volume: true,
            provisioned_capacity_gb: used,
            max_over_subscription_ratio: 20,
            thin_provisioning_support: true,
            thick_provisioning_support: false,
            allocated_capacity_gb: used,
            filter_function: null,
            goodness_function: null,
            timestamp: call.cloud.timestamp(),
          },
        };
      }),
    },
  };
}

function pools(call: Call): string[] {
  return call.cloud.volumeTypes.map(({ name }) => name).filter(name => name !== "__DEFAULT__");
}

export function listManageableSnapshots(call: Call): Reply {
  needAdmin(call, "snapshot_extension:list_manageable");
  return { status: 200, body: { "manageable-snapshots": [] } };
}

function transferOf(call: Call): TransferRow {
  const id = call.parameters.id ?? "";
  const row = call.cloud.transfers.get(id);
  if (!row || !isVisible(call, row)) throw notFound(`Transfer ${id} could not be found.`);
  return row;
}

function transferView(call: Call, row: TransferRow): Record<string, unknown> {
  return {
    id: row.id,
    created_at: row.created_at,
    name: row.name,
    volume_id: row.volume_id,
    links: links(call, "os-volume-transfer", row.id),
  };
}

export function createTransfer(call: Call): Reply {
  const given = wrapped(call.body, "transfer");
  const volume = volumeOf(call, requiredUuid(given, "transfer", "volume_id"));
  needMember(call, "volume:create_transfer");
  if (volume.status !== "available") throw badRequest("Invalid volume: status must be available");
  const row: TransferRow = {
    id: randomUUID(),
    project_id: call.projectId,
    name: textOf(given, "name"),
    volume_id: volume.id,
    created_at: call.cloud.timestamp(),
  };
  call.cloud.transfers.set(row.id, row);
  call.cloud.setVolumeStatus(volume, "awaiting-transfer");
  const { links: rowLinks, ...view } = transferView(call, row);
  return {
    status: 202,
    body: { transfer: { ...view, auth_key: randomBytes(8).toString("hex"), links: rowLinks } },
  };
}

export function listTransfers(call: Call): Reply {
  const rows = [...call.cloud.transfers.values()].filter(row => row.project_id === call.projectId);
  return {
    status: 200,
    body: {
      transfers: rows.map(row => ({
        id: row.id,
        volume_id: row.volume_id,
        name: row.name,
        links: links(call, "os-volume-transfer", row.id),
      })),
    },
  };
}

export function showTransfer(call: Call): Reply {
  return { status: 200, body: { transfer: transferView(call, transferOf(call)) } };
}

/** Takes the offer back: the volume is available again. */
export function deleteTransfer(call: Call): Reply {
  const row = transferOf(call);
  needMember(call, "volume:delete_transfer");
  call.cloud.transfers.delete(row.id);
  const volume = call.cloud.volumes.get(row.volume_id);
  if (volume) call.cloud.setVolumeStatus(volume, "available");
  return acceptedEmptyPage;
}

function backupOf(call: Call): BackupRow {
  const id = call.parameters.id ?? "";
  const row = call.cloud.backups.get(id);
  if (!row || !isVisible(call, row)) throw notFound(`Backup ${id} could not be found.`);
  return row;
}

function backupSummary(call: Call, row: BackupRow): Record<string, unknown> {
  return { id: row.id, name: row.name, links: links(call, "backups", row.id) };
}

function backupDetail(call: Call, row: BackupRow): Record<string, unknown> {
  return {
    id: row.id,
    status: row.status,
    size: row.size,
    object_count: 0,
    availability_zone: null,
    container: null,
    created_at: wholeSeconds(row.created_at),
    updated_at: row.updated_at === null ? null : wholeSeconds(row.updated_at),
    name: row.name,
    description: row.description,
    fail_reason: row.fail_reason,
    volume_id: row.volume_id,
    links: links(call, "backups", row.id),
    is_incremental: false,
    has_dependent_backups: false,
    snapshot_id: null,
    data_timestamp: wholeSeconds(row.created_at),
  };
}

/** Accepted and then failed, as in a cloud that runs no cinder-backup. */
export function createBackup(call: Call): Reply {
  const { cloud } = call;
  const given = wrapped(call.body, "backup");
  const volume = volumeOf(call, requiredUuid(given, "backup", "volume_id"));
  needMember(call, "backup:create");
  const row: BackupRow = {
    id: randomUUID(),
    project_id: call.projectId,
    name: textOf(given, "name"),
    description: textOf(given, "description"),
    volume_id: volume.id,
    size: volume.size,
    status: "creating",
    fail_reason: null,
    created_at: cloud.timestamp(),
    updated_at: null,
  };
  cloud.backups.set(row.id, row);
  setImmediate(() => {
    row.status = "error";
    row.fail_reason = "Service not found for creating backup.";
    row.updated_at = cloud.timestamp();
    addMessage(call, {
      eventId: "VOLUME_VOLUME_BACKUP_013_024",
      text: "create backup:Backup failed to schedule. Service not found for creating backup.",
      resourceType: "VOLUME_BACKUP",
      resourceId: row.id,
    });
  });
  return { status: 202, body: { backup: backupSummary(call, row) } };
}

const backupFilters = ["name", "status", "volume_id"];

export function listBackups(call: Call): Reply {
  const rows = call.cloud.backups.values();
  return {
    status: 200,
    body: listPage(call, {
      name: "backups",
      kind: "Backup",
      rows,
      filters: backupFilters,
      view: backupSummary,
    }),
  };
}

export function listBackupsDetailed(call: Call): Reply {
  const rows = call.cloud.backups.values();
  return {
    status: 200,
    body: listPage(call, {
      name: "backups",
      kind: "Backup",
      rows,
      filters: backupFilters,
      view: backupDetail,
    }),
  };
}

export function showBackup(call: Call): Reply {
  return { status: 200, body: { backup: backupDetail(call, backupOf(call)) } };
}

export function deleteBackup(call: Call): Reply {
  const row = backupOf(call);
  needMember(call, "backup:delete");
  call.cloud.backups.delete(row.id);
  call.cloud.changed();
  return acceptedEmptyPage;
}
