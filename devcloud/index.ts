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
export { type Ext4Image, type Extent, fileExtents, fileInImage, makeExt4Image } from "./images";
export { emptyLedger, Ledger, type LedgerReport, verifyLedger } from "./ledger";
export type { AttachmentRow, SnapshotRow, VolumeRow } from "./rows";
export { type RunOptions, runDevcloud } from "./run-devcloud";
export type { Guest } from "./storage";
