import type { StackValidationPolicy } from "@pulumi/policy";
import { applyRetention, daysKept, type Point, type Retention } from "../../provider/operations/retention";
import { newestSlot, type Schedule, slots } from "../../provider/operations/schedule";
import { define } from "./define";
import { remember } from "./remember";
import { byOrigin, ruleOf, setsOf } from "./stack-sets";
import { eachKnown } from "./unknown";

interface Config {
  maxSnapshots: number;
}

/** Backends slow down or refuse with many snapshots of one volume, and a project's quota is small by default. */
export const snapshotCountLimit = define<StackValidationPolicy>({
  name: "snapshot-count-limit",
  displayName: "Snapshots of a volume stay few",
  description: "Checks how many Cinder snapshots of one volume its sets keep at the same time.",
  enforcementLevel: "mandatory",
  severity: "medium",
  remediationSteps: "Keep fewer Cinder snapshots, and older points as ResticBackup.",
  configSchema: {
    properties: {
      maxSnapshots: {
        type: "integer",
        minimum: 1,
        default: 100,
        description:
          "Snapshots of one volume that all its sets may keep together, the one being taken included.",
      },
    },
  },
  validateStack: (args, reportViolation) => {
    const { maxSnapshots } = args.getConfig<Config>();
    const now = new Date();
    const sets = setsOf(args).filter(({ kind }) => kind === "CinderSnapshot" || kind === "ServerSnapshot");
    eachKnown(byOrigin(sets), ({ first, sets: group }) => {
      const counts = group.map(set => {
        const { schedule, retention } = ruleOf(set, "") ?? {};
        // one without retention is retention-rule-required's
        if (!schedule || !retention) return 0;
        const { pattern, timeZone } = schedule;
        return remember(["atOnce", retention, pattern, timeZone, maxSnapshots], now, () =>
          atOnce(retention, schedule, now, maxSnapshots),
        );
      });
      const sum = counts.reduce((one, other) => one + other, 0);
      if (sum <= maxSnapshots) return;
      const whose = first.ofServer ? "each volume of its server" : "its volume";
      const names = group.map(({ name }) => name).join(" and ");
      const more = sum > 2 * maxSnapshots ? `more than ${2 * maxSnapshots}` : String(sum);
      reportViolation(
        `${names} keep${group.length === 1 ? "s" : ""} ${more} snapshots of ${whose} at once; at most ${maxSnapshots} are allowed (snapshot-count-limit.maxSnapshots)`,
        first.urn,
      );
    });
  },
});

/** How many points there are just before the old ones are removed, had every slot made one. Counts no further than twice the limit. */
function atOnce(retention: Retention, schedule: Schedule, now: Date, limit: number): number {
  const asOf = newestSlot(schedule, now) ?? now;
  const days = Math.min(daysKept(retention, schedule, now), 36_525);
  const { timeZone } = schedule;
  const times = slots(schedule, new Date(asOf.getTime() - (days + 1) * 86_400_000), asOf, mostSlots);
  if (times.length === mostSlots && (retention.keepWithin ?? retention.keepForDays) !== undefined)
    return 2 * limit + 1;
  const points = times.map((time, index): Point => ({ id: String(index), time, good: true }));
  return applyRetention(points, retention, { asOf, timeZone }).keep.length + 1;
}

const mostSlots = 50_000;
