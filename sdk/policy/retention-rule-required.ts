import type { ResourceValidationPolicy } from "@pulumi/policy";
import { validateRetention } from "../../provider/operations/retention";
import { define } from "./define";
import { retentionOf, scheduleOf, setTypeOf } from "./recovery-points";

/** No set without a rule: it would grow without bound, or be left to what another tool takes "nothing" for. */
export const retentionRuleRequired = define<ResourceValidationPolicy>({
  name: "retention-rule-required",
  displayName: "A retention rule is there",
  description:
    "Checks whether a set of recovery points has at least one retention rule that keeps something.",
  enforcementLevel: "mandatory",
  severity: "critical",
  remediationSteps: "Set retention, for example { keepLast: 3, keepDaily: 7 }.",
  validateResource: (args, reportViolation) => {
    if (!setTypeOf(args)) return;
    const retention = retentionOf(args);
    if (!retention) {
      // A count of 0 says: take none and keep what there is.
      if (scheduleOf(args)?.takesPoints === false) return;
      reportViolation(
        `${args.name} has no retention, so that its points are kept for ever; set retention.keepLast or another rule`,
      );
      return;
    }
    for (const { property, reason } of validateRetention(retention)) {
      const path = property === "retention" ? property : `retention.${property}`;
      reportViolation(`${args.name}: ${path} ${reason}`);
    }
  },
});
