export { runEngineCli } from "./cli";
export {
  type ConfigMap,
  type ConfigValue,
  type Project,
  type RuntimeOptions,
  readProject,
  StackConfig,
} from "./config";
export { Display, Mask, plainOutputs, stepLine, summaryLines } from "./display";
export { Engine, type EngineOptions, exitCodes, type RunOptions, type RunResult, readExport } from "./engine";
export type { EngineEvent, LogEvent, Op, PolicyEvent, Severity, StepEvent } from "./events";
export { type LockHolder, lockStack, StackLockedError } from "./lock";
export type { Properties, Value } from "./property";
export { Crypter, passphraseFrom } from "./secrets";
export type { Deployment, DeploymentFile, PendingOperation, ResourceState } from "./state";
