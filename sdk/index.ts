/** What a stack author imports. */
export { CinderSnapshot, type CinderSnapshotArgs } from "./cinder-snapshot";
export { VolumeBackup, type VolumeBackupArgs } from "./components/volume-backup";
export { ResticBackup, type ResticBackupArgs } from "./restic-backup";
export { type RepositoryAccess, ResticRepository, type ResticRepositoryArgs } from "./restic-repository";
export { ServerSnapshot, type ServerSnapshotArgs } from "./server-snapshot";
export { TemporaryVolume, type TemporaryVolumeArgs } from "./temporary-volume";
export { VolumeRestore, type VolumeRestoreArgs } from "./volume-restore";
