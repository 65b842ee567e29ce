import type * as pulumi from "@pulumi/pulumi";
import { BackupResource } from "./binding";
import { type VolumeRestoreInputs, type VolumeRestoreOutputs, volumeRestoreBinding } from "./generated";
import type { ResticBackup } from "./restic-backup";
import { type RepositoryAccess, ResticRepository } from "./restic-repository";

/** Inputs of VolumeRestore: from a Cinder snapshot, from a restic snapshot, or from a point of a ResticBackup. */
export type VolumeRestoreArgs = Omit<VolumeRestoreInputs, "repository"> & {
  /** The set whose point is restored; its repository is used, and 'latest' means its newest good point. */
  backup?: ResticBackup;
  /** The repository, where no `backup` is given; 'latest' then means the newest good point of `backupOwner`. */
  repository?: ResticRepository | pulumi.Input<RepositoryAccess>;
};

const idsOf = ({ points }: ResticBackup): pulumi.Output<string[]> =>
  points.apply(known => known.map(({ resticSnapshotId }) => resticSnapshotId));

/** A new volume made from a Cinder snapshot or filled from a restic snapshot. */
export class VolumeRestore extends BackupResource {
  declare readonly volumeId: pulumi.Output<VolumeRestoreOutputs["volumeId"]>;
  declare readonly restoredSizeGib: pulumi.Output<VolumeRestoreOutputs["restoredSizeGib"]>;
  declare readonly source: pulumi.Output<VolumeRestoreOutputs["source"]>;
  declare readonly capturedAt: pulumi.Output<VolumeRestoreOutputs["capturedAt"]>;
  declare readonly verified: pulumi.Output<VolumeRestoreOutputs["verified"]>;
  declare readonly compared: pulumi.Output<VolumeRestoreOutputs["compared"]>;
  declare readonly durationSeconds: pulumi.Output<VolumeRestoreOutputs["durationSeconds"]>;
  declare readonly restoredAt: pulumi.Output<VolumeRestoreOutputs["restoredAt"]>;
  declare readonly restoredAs: pulumi.Output<VolumeRestoreOutputs["restoredAs"]>;
  declare readonly claimedBy: pulumi.Output<VolumeRestoreOutputs["claimedBy"]>;
  declare readonly writtenBy: pulumi.Output<VolumeRestoreOutputs["writtenBy"]>;

  constructor(name: string, args: VolumeRestoreArgs, options?: pulumi.CustomResourceOptions) {
    const { backup, repository, ...rest } = args;
    const access = backup
      ? backup.repositoryAccess
      : repository instanceof ResticRepository
        ? repository.access
        : repository;
    super(
      volumeRestoreBinding,
      name,
      {
        ...rest,
        ...(backup ? { backupOwner: backup.owner, backupPoints: idsOf(backup) } : {}),
        ...(access ? { repository: access } : {}),
      },
      options,
    );
  }
}
