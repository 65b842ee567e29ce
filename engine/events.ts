import type { Change } from "./property";
import type { Urn } from "./urn";

/** What a step does, in Pulumi's words. */
export type Op =
  | "same"
  | "create"
  | "update"
  | "delete"
  | "replace"
  | "create-replacement"
  | "delete-replaced"
  | "refresh"
  | "remove-pending-replace";

/** How serious a line is. */
export type Severity = "debug" | "info" | "warning" | "error";

/** A step began or ended. */
export interface StepEvent {
  type: "step-begin" | "step-end";
  op: Op;
  urn: Urn;
  /** The resource's own type and name. */
  resourceType: string;
  name: string;
  /** Which inputs change, by name. */
  diff?: Record<string, Change>;
  /** The inputs that force a replacement. */
  replaceKeys?: string[];
  /** False for the halves of a replacement, which the "replace" step stands for. */
  logical: boolean;
  /** True for the default provider, which users do not see. */
  internal: boolean;
  /** Of "step-end": whether it worked, how long it took. */
  ok?: boolean;
  seconds?: number;
  /** Of a refresh that ended: what it found. */
  result?: Op;
  /** True when the resource stays in the cloud though it leaves the state. */
  retained?: boolean;
}

/** A line for the user. */
export interface LogEvent {
  type: "log";
  severity: Severity;
  message: string;
  urn?: Urn;
  /** Progress, of interest only now. */
  ephemeral?: boolean;
}

/** An `up` with policy packs first plans, then does it: one of the two begins. */
export interface PassEvent {
  type: "pass";
  dryRun: boolean;
}

/** A policy pack judges this run. */
export interface PolicyPackEvent {
  type: "policy-pack";
  name: string;
  version: string;
  /** Its directory, as it was given. */
  location: string;
}

/** What a policy makes of a violation. */
export type Enforcement = "advisory" | "mandatory" | "remediate" | "disabled";

/** A policy was violated, or has mended a resource's inputs ("remediate"). */
export interface PolicyEvent {
  type: "policy";
  pack: string;
  version: string;
  policy: string;
  enforcement: Enforcement;
  severity?: "low" | "medium" | "high" | "critical";
  /** The policy's description and what it found. */
  message: string;
  /** The resource; the stack's own for what concerns all of it. */
  urn: Urn;
  /** Of a remediation: which inputs it changed. */
  diff?: Record<string, Change>;
}

/** Everything a run tells while it runs. */
export type EngineEvent = StepEvent | LogEvent | PassEvent | PolicyPackEvent | PolicyEvent;
