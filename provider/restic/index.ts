export type { RepositoryAccess } from "./access";
export type { BackupJob, BackupResult } from "./backup";
export { isKind, ResticError, type ResticErrorKind } from "./errors";
export { locate } from "./location";
export { maskUrl, weakPassword } from "./redact";
export { openRepository, Repository, type ResticSnapshot } from "./repository";
export { NobodyWaits } from "./run";
export { ResticRuntime } from "./runtime";
