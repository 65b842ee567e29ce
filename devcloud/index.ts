export {
  Devcloud,
  type DevcloudOptions,
  type NewSnapshot,
  type NewVolume,
  type RecordedRequest,
  startDevcloud,
} from "./devcloud";
export type { AddedFault, Fault, Faults, Work } from "./faults";
export type { Role, UserOptions } from "./identities";
export type { AttachmentRow, SnapshotRow, VolumeRow } from "./rows";
export type { Guest } from "./storage";
