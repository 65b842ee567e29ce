import type { PolicyResource, StackValidationPolicy } from "@pulumi/policy";
import { daysCovered } from "../../provider/operations/retention";
import { define } from "./define";
import { assumedScheduleSchema, inDays, tierKeySchema, tiersSchema } from "./recovery-points";
import { byOrigin, repositoriesOf, ruleOf, type StackSet, setsOf, tierAmong } from "./stack-sets";
import { eachKnown, ifKnown } from "./unknown";

interface Config {
  minLockDays: number;
  locked: boolean;
  tiers: string[];
  tierKey: string;
  assumedSchedule: string;
}

/** What a ResticRepository says of its store. */
interface Immutability {
  mode: "append-only" | "governance" | "compliance";
  days?: number;
}

/** A copy that an intruder with the stack's keys cannot delete. What a repository declares is believed. */
export const immutabilityRequired = define<StackValidationPolicy>({
  name: "immutability-required",
  displayName: "A copy cannot be deleted",
  description: "Checks whether each volume has a copy that the keys of the stack cannot delete.",
  enforcementLevel: "advisory",
  severity: "high",
  remediationSteps:
    "Let the store lock its objects or take the right to delete from these keys, and say so in immutability of the ResticRepository.",
  configSchema: {
    properties: {
      minLockDays: {
        type: "number",
        minimum: 0,
        default: 14,
        description: "Days for which objects must be locked; append-only counts as long enough.",
      },
      locked: {
        type: "boolean",
        default: false,
        description: "True takes only locks that nobody can lift: mode 'compliance'.",
      },
      tiers: tiersSchema(["gold"]),
      tierKey: tierKeySchema,
      assumedSchedule: assumedScheduleSchema,
    },
  },
  validateStack: (args, reportViolation) => {
    const config = args.getConfig<Config>();
    const repositories = repositoriesOf(args);
    eachKnown(byOrigin(setsOf(args)), group => {
      const { first, sets } = group;
      if (!tierAmong(group, config, args.stackTags)) return;
      const declared = sets.flatMap(set => declaredOf(set, repositories));
      const found = declared.map(({ immutability }) => shortfall(immutability, config));
      if (!found.includes(undefined)) {
        const why = [...new Set(found)].join(", ") || "it has no repository";
        reportViolation(
          `${first.name} has no copy that the keys of the stack cannot delete: ${why} (immutability-required)`,
          first.urn,
        );
      }
      for (const { set, immutability } of declared) refuseShort(set, immutability, config, reportViolation);
    });
  },
});

function declaredOf(
  set: StackSet,
  repositories: readonly PolicyResource[],
): { set: StackSet; immutability: Immutability | undefined }[] {
  if (set.kind !== "ResticBackup") return [];
  const url: unknown = set.props.repository?.url;
  const repository = repositories.find(({ props }) => ifKnown(() => props.url) === url);
  const copy = repository?.props.copyTo === undefined ? [] : [repository.props.copyImmutability];
  return [repository?.props.immutability, ...copy].map(immutability => ({ set, immutability }));
}

/** What a declaration lacks; undefined where nothing. */
function shortfall(given: Immutability | undefined, { minLockDays, locked }: Config): string | undefined {
  if (given === undefined) return "its repository declares no immutability";
  const { mode, days = 0 } = given;
  if (locked && mode !== "compliance") return `'${mode}' can be lifted, and 'compliance' is required`;
  if (mode === "append-only" || days >= minLockDays) return undefined;
  return `objects are locked for ${inDays(days)}, and ${inDays(minLockDays)} are required`;
}

/** What retention forgets before its lock ends cannot be pruned until then. */
function refuseShort(
  set: StackSet,
  immutability: Immutability | undefined,
  { assumedSchedule }: Config,
  report: (message: string, urn: string) => void,
): void {
  const { mode, days = 0 } = immutability ?? {};
  const { schedule, retention } = ruleOf(set, assumedSchedule) ?? {};
  if (mode === undefined || mode === "append-only" || !schedule || !retention) return;
  const reach = daysCovered(retention, schedule, new Date());
  if (reach < days)
    report(
      `${set.name} forgets points after ${inDays(reach)}, while the store locks them for ${inDays(days)}: they cannot be pruned before`,
      set.urn,
    );
}
