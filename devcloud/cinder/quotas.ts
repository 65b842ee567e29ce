import type { Cloud } from "../cloud";
import type { Reply } from "../http";
import type { VolumeRow } from "../rows";
import { type Call, isAdmin, needAdmin } from "./call";
import { badRequest, overLimit, policyForbids } from "./errors";
import { invalidField, pythonRepr, saysYes, wrapped } from "./schema";

/** Limits as Cinder has them out of the box, except that a devcloud gives more room. */
export const roomyQuota: Record<string, number> = {
  volumes: 10_000,
  per_volume_gigabytes: -1,
  snapshots: 10_000,
  gigabytes: 1_000_000,
  backups: 10,
  backup_gigabytes: 1000,
  groups: 10,
};

function limitsOf(cloud: Cloud, projectId: string): Record<string, number> {
  const { groups = 10, ...common } = { ...roomyQuota, ...cloud.behaviour.defaultQuota };
  const limits: Record<string, number> = { ...common };
  for (const { name } of cloud.volumeTypes) {
    for (const resource of ["volumes", "gigabytes", "snapshots"]) limits[`${resource}_${name}`] ??= -1;
  }
  return { ...limits, groups, ...cloud.quotas.get(projectId) };
}

function usageOf(cloud: Cloud, projectId: string): Record<string, number> {
  const usage: Record<string, number> = {};
  const count = (resource: string, type: string | undefined, amount: number) => {
    usage[resource] = (usage[resource] ?? 0) + amount;
    if (type !== undefined) usage[`${resource}_${type}`] = (usage[`${resource}_${type}`] ?? 0) + amount;
  };
  for (const volume of cloud.volumes.values()) {
    if (volume.project_id !== projectId) continue;
    count("volumes", volume.volume_type, 1);
    count("gigabytes", volume.volume_type, volume.size);
  }
  for (const snapshot of cloud.snapshots.values()) {
    if (snapshot.project_id !== projectId) continue;
    const type = cloud.volumes.get(snapshot.volume_id)?.volume_type;
    count("snapshots", type, 1);
    count("gigabytes", type, snapshot.size);
  }
  for (const backup of cloud.backups.values()) {
    if (backup.project_id !== projectId) continue;
    count("backups", undefined, 1);
    count("backup_gigabytes", undefined, backup.size);
  }
  return usage;
}

/** Refuses with 413 when one more of it would be over the project's quota. */
export function reserve(
  call: Call,
  projectId: string,
  wanted: {
    what: "volumes" | "snapshots" | "extend";
    gibibytes: number;
    volumeType: string;
    volumeSize?: number;
  },
): void {
  const limits = limitsOf(call.cloud, projectId);
  const usage = usageOf(call.cloud, projectId);
  const largest = limits.per_volume_gigabytes ?? -1;
  if (wanted.volumeSize !== undefined && largest >= 0 && wanted.volumeSize > largest) {
    throw overLimit(
      `VolumeSizeExceedsLimit: Requested volume size ${wanted.volumeSize}G is larger than maximum allowed limit ${largest}G.`,
    );
  }
  const exceeded = (resource: string, amount: number) => {
    const limit = limits[resource] ?? -1;
    return limit >= 0 && (usage[resource] ?? 0) + amount > limit;
  };
  for (const resource of ["gigabytes", `gigabytes_${wanted.volumeType}`]) {
    if (exceeded(resource, wanted.gibibytes)) {
      throw overLimit(
        `VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed ${resource} quota. Requested ${wanted.gibibytes}G, quota is ${limits[resource]}G and ${usage[resource] ?? 0}G has been consumed.`,
      );
    }
  }
  if (wanted.what === "extend") return;
  for (const resource of [wanted.what, `${wanted.what}_${wanted.volumeType}`]) {
    if (!exceeded(resource, 1)) continue;
    throw overLimit(
      wanted.what === "snapshots"
        ? `SnapshotLimitExceeded: Maximum number of snapshots allowed (${limits[resource]}) exceeded`
        : `VolumeLimitExceeded: Maximum number of volumes allowed (${limits[resource]}) exceeded for quota '${resource}'.`,
    );
  }
}

/** Refuses a snapshot that would be over quota: it counts with its volume's size. */
export function reserveSnapshot(call: Call, volume: VolumeRow): void {
  reserve(call, volume.project_id, {
    what: "snapshots",
    gibibytes: volume.size,
    volumeType: volume.volume_type,
  });
}

export function showQuota(call: Call): Reply {
  const projectId = call.parameters.project ?? "";
  if (projectId !== call.projectId && !isAdmin(call)) throw policyForbids("volume_extension:quotas:show");
  const limits = limitsOf(call.cloud, projectId);
  if (!saysYes(call.query.get("usage")))
    return { status: 200, body: { quota_set: { ...limits, id: projectId } } };
  const usage = usageOf(call.cloud, projectId);
  const rows = Object.entries(limits).map(([resource, limit]) => [
    resource,
    { limit, in_use: usage[resource] ?? 0, reserved: 0 },
  ]);
  return { status: 200, body: { quota_set: { ...Object.fromEntries(rows), id: projectId } } };
}

export function updateQuota(call: Call): Reply {
  needAdmin(call, "volume_extension:quotas:update");
  const projectId = call.parameters.project ?? "";
  const wanted = wrapped(call.body, "quota_set");
  const known = limitsOf(call.cloud, projectId);
  const unknown = Object.keys(wanted).filter(
    key => !(key in known) && key !== "tenant_id" && key !== "force",
  );
  if (unknown.length > 0)
    throw badRequest(`Invalid input received: Bad key(s) in quota set: ${unknown.join(", ")}`);
  const changes: Record<string, number> = {};
  for (const [key, value] of Object.entries(wanted)) {
    if (!(key in known)) continue;
    const limit = Number(value);
    if (!Number.isInteger(limit))
      throw invalidField(key, value, `${pythonRepr(value)} is not of type 'integer', 'string'`);
    if (limit < -1) throw invalidField(key, value, `${limit} is less than the minimum of -1`);
    changes[key] = limit;
  }
  call.cloud.quotas.set(projectId, { ...call.cloud.quotas.get(projectId), ...changes });
  call.cloud.changed();
  return { status: 200, body: { quota_set: limitsOf(call.cloud, projectId) } };
}

export function showLimits(call: Call): Reply {
  const limits = limitsOf(call.cloud, call.projectId);
  const usage = usageOf(call.cloud, call.projectId);
  return {
    status: 200,
    body: {
      limits: {
        rate: [],
        absolute: {
          maxTotalVolumes: limits.volumes,
          maxTotalSnapshots: limits.snapshots,
          maxTotalVolumeGigabytes: limits.gigabytes,
          maxTotalBackups: limits.backups,
          maxTotalBackupGigabytes: limits.backup_gigabytes,
          totalVolumesUsed: usage.volumes ?? 0,
          totalGigabytesUsed: usage.gigabytes ?? 0,
          totalSnapshotsUsed: usage.snapshots ?? 0,
          totalBackupsUsed: usage.backups ?? 0,
          totalBackupGigabytesUsed: usage.backup_gigabytes ?? 0,
        },
      },
    },
  };
}
