import type { ResourceValidationPolicy } from "@pulumi/policy";
import { typeToken } from "../binding";
import { define } from "./define";
import { rounded } from "./recovery-points";

/** A volume that a dead run left costs until a sweep may take it. */
export const temporaryVolumeCleanup = define<ResourceValidationPolicy>({
  name: "temporary-volume-cleanup",
  displayName: "Temporary volumes expire",
  description: "Checks whether a temporary volume that nobody released may be swept soon.",
  enforcementLevel: "advisory",
  severity: "low",
  remediationSteps: "Lower expiresAfterSeconds of the TemporaryVolume; it must exceed the longest backup.",
  configSchema: {
    properties: {
      maxHours: {
        type: "number",
        exclusiveMinimum: 0,
        default: 72,
        description: "Hours after which a sweep must be allowed to remove it.",
      },
    },
  },
  validateResource: (args, reportViolation) => {
    if (args.type !== typeToken("TemporaryVolume")) return;
    const { maxHours } = args.getConfig<{ maxHours: number }>();
    const seconds: unknown = args.props.expiresAfterSeconds;
    if (typeof seconds !== "number" || seconds <= maxHours * 3600) return;
    reportViolation(
      `${args.name} expires after ${rounded(seconds / 3600)} hours; at most ${rounded(maxHours)} are allowed (expiresAfterSeconds)`,
    );
  },
});
