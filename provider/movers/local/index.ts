export { cleanUp } from "./clean-up";
export type { Connection } from "./connection";
export { VolumeError, type VolumeErrorKind } from "./errors";
export { makeFileSystem, type NewFileSystem, type Partition, type Probe, probe } from "./file-system";
export { type OpenedVolume, type OpenVolume, openVolume } from "./open-volume";
export { type Readiness, readiness } from "./readiness";
