export * as attachments from "./attachments";
export { type AuthType, type CloudConfig, type CloudOptions, ofProject, resolveCloud } from "./config";
export {
  ApiError,
  ConfigError,
  isBadRequest,
  isConflict,
  isForbidden,
  isNotFound,
  isOverQuota,
  isUnauthorized,
  isUnreachable,
  type ServiceType,
  undefinedIfNotFound,
} from "./errors";
export * as flavors from "./flavors";
export * as images from "./images";
export * as limits from "./limits";
export * as messages from "./messages";
export * as networks from "./networks";
export { everyPage } from "./paging";
export * as projects from "./projects";
export { RUN_REQUEST_ID } from "./run";
export * as serverVolumes from "./server-volumes";
export * as servers from "./servers";
export { type Answer, type Call, Session, Sessions } from "./session";
export * as snapshots from "./snapshots";
export { parseTime } from "./time";
export * as volumes from "./volumes";
