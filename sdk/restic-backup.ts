import type * as pulumi from "@pulumi/pulumi";
import { BackupResource } from "./binding";
import type { CinderSnapshot } from "./cinder-snapshot";
import { type ResticBackupInputs, type ResticBackupOutputs, resticBackupBinding } from "./generated";
import { type RepositoryAccess, ResticRepository } from "./restic-repository";
import type { TemporaryVolume } from "./temporary-volume";

/** Inputs of ResticBackup: what it reads and where to are given as resources. */
export type ResticBackupArgs = Omit<
  ResticBackupInputs,
  "snapshotId" | "slot" | "trigger" | "takenAt" | "temporaryVolume" | "source" | "repository"
> & {
  /** The set whose current point is backed up. */
  snapshot: CinderSnapshot;
  /** The volume to read it by. */
  temporaryVolume: TemporaryVolume;
  /** The repository, as a resource or by its access. */
  repository: ResticRepository | pulumi.Input<RepositoryAccess>;
};

/** The set of restic snapshots of one source under one retention. */
export class ResticBackup extends BackupResource {
  declare readonly resticSnapshotId: pulumi.Output<ResticBackupOutputs["resticSnapshotId"]>;
  declare readonly phase: pulumi.Output<ResticBackupOutputs["phase"]>;
  declare readonly message: pulumi.Output<ResticBackupOutputs["message"]>;
  declare readonly startedAt: pulumi.Output<ResticBackupOutputs["startedAt"]>;
  declare readonly completedAt: pulumi.Output<ResticBackupOutputs["completedAt"]>;
  declare readonly points: pulumi.Output<ResticBackupOutputs["points"]>;
  declare readonly removed: pulumi.Output<ResticBackupOutputs["removed"]>;
  declare readonly filesTotal: pulumi.Output<ResticBackupOutputs["filesTotal"]>;
  declare readonly bytesTotal: pulumi.Output<ResticBackupOutputs["bytesTotal"]>;
  declare readonly bytesAdded: pulumi.Output<ResticBackupOutputs["bytesAdded"]>;
  declare readonly durationSeconds: pulumi.Output<ResticBackupOutputs["durationSeconds"]>;
  declare readonly readBy: pulumi.Output<ResticBackupOutputs["readBy"]>;

  /** How to reach the repository of these points. */
  readonly repositoryAccess: pulumi.Input<RepositoryAccess>;

  constructor(name: string, args: ResticBackupArgs, options?: pulumi.CustomResourceOptions) {
    const { snapshot, temporaryVolume, repository, ...rest } = args;
    const access = repository instanceof ResticRepository ? repository.access : repository;
    super(
      resticBackupBinding,
      name,
      {
        ...rest,
        snapshotId: snapshot.snapshotId,
        slot: snapshot.slot,
        trigger: snapshot.trigger,
        takenAt: snapshot.takenAt,
        source: { owner: snapshot.owner, volumeId: snapshot.volumeId },
        temporaryVolume: {
          owner: temporaryVolume.owner,
          volumeId: temporaryVolume.volumeId,
          ...temporaryVolume.kind,
          timeoutSeconds: temporaryVolume.timeoutSeconds,
        },
        repository: access,
      },
      options,
    );
    this.repositoryAccess = access;
  }
}
