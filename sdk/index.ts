/** What a stack author imports. */
export { ownerOf } from "./binding";
export { CinderSnapshot, type CinderSnapshotArgs } from "./cinder-snapshot";
export { conventions } from "./components/conventions";
export type { FromManifest } from "./components/manifest";
export {
  type PlannedBackup,
  ServerBackupPlan,
  type ServerBackupPlanArgs,
} from "./components/server-backup-plan";
export {
  type SelectedServers,
  SnapshotSchedule,
  type SnapshotScheduleArgs,
} from "./components/snapshot-schedule";
export { VolumeBackup, type VolumeBackupArgs } from "./components/volume-backup";
export {
  type ClaimName,
  type ClaimVolume,
  getClaimVolume,
  getClaimVolumeOutput,
  getServers,
  getServersOutput,
  getUnprotectedVolumes,
  getUnprotectedVolumesOutput,
  getVolumes,
  getVolumesOutput,
  listRecoveryPoints,
  listRecoveryPointsOutput,
  type RecoveryPoint,
  type ServerInfo,
  type VolumeInfo,
  type Where,
  type WhichServers,
} from "./functions";
export { type KarborProtect, type KarborRestore, karborProtect, karborRestore } from "./karbor";
export { pointLines } from "./point-lines";
export { ResticBackup, type ResticBackupArgs } from "./restic-backup";
export { type RepositoryAccess, ResticRepository, type ResticRepositoryArgs } from "./restic-repository";
export { ServerBackup, type ServerBackupArgs } from "./server-backup";
export { ServerRestore, type ServerRestoreArgs } from "./server-restore";
export { ServerSnapshot, type ServerSnapshotArgs } from "./server-snapshot";
export { TemporaryVolume, type TemporaryVolumeArgs } from "./temporary-volume";
export { VolumeRestore, type VolumeRestoreArgs } from "./volume-restore";
