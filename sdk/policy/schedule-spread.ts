import type { StackValidationPolicy } from "@pulumi/policy";
import { slots } from "../../provider/operations/schedule";
import { define } from "./define";
import { scheduleOf } from "./recovery-points";
import { setsOf } from "./stack-sets";
import { eachKnown } from "./unknown";

interface Config {
  maxAtOnce: number;
}

const monthMs = 31 * 86_400_000;

/** A set that is due every minute has no more slots than this looked at. */
const mostSlots = 5_000;

/** Many sets that are due in the same minute wait for each other, and load the cloud all at once. */
export const scheduleSpread = define<StackValidationPolicy>({
  name: "schedule-spread",
  displayName: "Schedules are spread",
  description: "Checks whether no more sets than allowed are due in the same minute.",
  enforcementLevel: "advisory",
  severity: "low",
  remediationSteps: 'Use "daily-random" and its like, which spread sets over the day by their names.',
  configSchema: {
    properties: {
      maxAtOnce: {
        type: "integer",
        minimum: 1,
        default: 20,
        description: "Sets that may be due in one minute of the coming month.",
      },
    },
  },
  validateStack: (args, reportViolation) => {
    const { maxAtOnce } = args.getConfig<Config>();
    const now = new Date();
    const minutes = new Map<number, number>();
    const ofPattern = new Map<string, number[]>();
    eachKnown(setsOf(args), set => {
      // a ResticBackup follows the slots of its snapshots
      const schedule = set.kind === "ResticBackup" ? undefined : scheduleOf(set);
      if (!schedule?.takesPoints || set.props.paused === true) return;
      const key = `${schedule.pattern} ${schedule.timeZone}`;
      const due =
        ofPattern.get(key) ??
        slots(schedule, now, new Date(now.getTime() + monthMs), mostSlots).map(slot =>
          Math.floor(+slot / 60_000),
        );
      ofPattern.set(key, due);
      for (const minute of due) minutes.set(minute, (minutes.get(minute) ?? 0) + 1);
    });
    const [worst, count] = [...minutes].reduce((a, b) => (b[1] > a[1] ? b : a), [0, 0]);
    if (count > maxAtOnce)
      reportViolation(
        `${count} sets are due at ${new Date(worst * 60_000).toISOString().slice(0, 16)}Z; at most ${maxAtOnce} are allowed in one minute, "daily-random" spreads them (schedule-spread.maxAtOnce)`,
      );
  },
});
