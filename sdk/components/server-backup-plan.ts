import * as pulumi from "@pulumi/pulumi";
import { refuseUnknownKeys } from "../known-keys";
import { ServerBackup, type ServerBackupArgs } from "../server-backup";

/** One kind of backup of a plan: when it is taken, and how many of it stay. */
export interface PlannedBackup {
  /** As ServerBackup's schedule. */
  schedule: string;
  /** How many images stay. */
  rotation: number;
}

/** The nova backup script's cron lines: daily at 01:01, weekly on Sunday, monthly on the 1st, yearly on 1 January. */
export const scriptsPlan = {
  daily: { schedule: "1 1 * * *", rotation: 7 },
  weekly: { schedule: "1 2 * * 0", rotation: 4 },
  monthly: { schedule: "1 3 1 * *", rotation: 12 },
  yearly: { schedule: "1 4 1 1 *", rotation: 2 },
} as const satisfies Record<string, PlannedBackup>;

/** Inputs of ServerBackupPlan. */
export interface ServerBackupPlanArgs
  extends Pick<
    ServerBackupArgs,
    | "serverId"
    | "serverName"
    | "timeZone"
    | "paused"
    | "whileBusy"
    | "timeoutSeconds"
    | "namePrefix"
    | "metadata"
    | "adoptImages"
    | "quiesce"
    | "deletionPolicy"
    | "cloud"
    | "region"
  > {
  /** Backups by their type, which is also the image's property `backup_type`. Default: daily 7, weekly 4, monthly 12, yearly 2. */
  backups?: Record<string, PlannedBackup>;
}

const keys = Object.keys({
  serverId: true,
  serverName: true,
  timeZone: true,
  paused: true,
  whileBusy: true,
  timeoutSeconds: true,
  namePrefix: true,
  metadata: true,
  adoptImages: true,
  quiesce: true,
  deletionPolicy: true,
  cloud: true,
  region: true,
  backups: true,
} satisfies Record<keyof ServerBackupPlanArgs, true>);

/**
 * The nova backup script's rotation of one server: a ServerBackup for each type. A server takes one image at a time: where
 * two are due at once, one waits for the other.
 */
export class ServerBackupPlan extends pulumi.ComponentResource {
  /** By type. */
  readonly sets: Record<string, ServerBackup>;

  constructor(name: string, args: ServerBackupPlanArgs, options?: pulumi.ComponentResourceOptions) {
    super("openstack-backup:index:ServerBackupPlan", name, {}, options);
    refuseUnknownKeys(`ServerBackupPlan '${name}'`, args, keys);
    const { backups = scriptsPlan, ...given } = args;
    for (const [type, { rotation }] of Object.entries(backups))
      if (!Number.isInteger(rotation) || rotation < 1)
        throw new pulumi.RunError(
          `ServerBackupPlan '${name}': the rotation of '${type}' is ${rotation}, give a whole number from 1 on`,
        );
    this.sets = {};
    for (const [type, { schedule, rotation }] of Object.entries(backups))
      this.sets[type] = new ServerBackup(
        `${name}-${type}`,
        { ...given, backupType: type, schedule, retention: { keepLast: rotation } },
        { parent: this },
      );
    this.registerOutputs();
  }
}
