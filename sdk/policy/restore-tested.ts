import type { PolicyResource, StackValidationPolicy } from "@pulumi/policy";
import { typeToken } from "../binding";
import { define } from "./define";
import { inDays, rounded, tierKeySchema, tiersSchema } from "./recovery-points";
import { byOrigin, type StackSet, setsOf, tierAmong } from "./stack-sets";
import { eachKnown, ifKnown } from "./unknown";

interface Config {
  maxDaysSinceVerified: number;
  maxRestoreMinutes: number;
  tiers: string[];
  tierKey: string;
}

const day = 86_400_000;

/**
 * A backup that nobody has restored is a hope. A VolumeRestore that was read back and compared counts, and a ServerRestore
 * that came up, of a point of the set.
 */
export const restoreTested = define<StackValidationPolicy>({
  name: "restore-tested",
  displayName: "Restores are tested",
  description: "Checks whether each set was restored and compared lately, and fast enough.",
  enforcementLevel: "advisory",
  severity: "medium",
  remediationSteps:
    "Add a VolumeRestore of the set's newest point (verify is its default), and replace it now and then.",
  configSchema: {
    properties: {
      maxDaysSinceVerified: {
        type: "number",
        exclusiveMinimum: 0,
        default: 90,
        description: "Days since the last restore that was compared.",
      },
      maxRestoreMinutes: {
        type: "number",
        exclusiveMinimum: 0,
        default: 240,
        description: "Minutes that it may have taken.",
      },
      tiers: tiersSchema(["*"]),
      tierKey: tierKeySchema,
    },
  },
  validateStack: (args, reportViolation) => {
    const config = args.getConfig<Config>();
    const restores = args.resources.filter(({ type }) =>
      ["VolumeRestore", "ServerRestore"].some(name => type === typeToken(name)),
    );
    eachKnown(byOrigin(setsOf(args)), group => {
      const { first, sets } = group;
      if (!tierAmong(group, config, args.stackTags)) return;
      const found = restores
        .filter(restore => sets.some(set => isOf(restore, set)))
        .map(one => judge(one, config));
      if (found.includes(undefined)) return;
      const set = sets.find(({ kind }) => kind === "ResticBackup") ?? first;
      const why = found.filter(text => text !== undefined).join("; ") || "no restore in the stack is of it";
      reportViolation(`${set.name} is not known to come back: ${why} (restore-tested)`, set.urn);
    });
  },
});

function isOf({ props }: PolicyResource, set: StackSet): boolean {
  const is = (read: () => unknown, other: unknown) =>
    other !== undefined && other !== "" && ifKnown(read) === other;
  if (
    is(
      () => props.backupOwner,
      ifKnown((): unknown => set.props.owner),
    )
  )
    return true;
  const ids = ifKnown(() => idsOf(set)) ?? [];
  const named = [
    () => props.resticSnapshotId,
    () => props.snapshotId,
    () => props.imageId,
    () => props.snapshotIds?.[0],
  ].map(read => ifKnown((): unknown => read()));
  return named.some(id => typeof id === "string" && id.length >= 8 && ids.some(one => one.startsWith(id)));
}

/** Ids of all points of a set, and of their parts. */
const idsOf = ({ props }: StackSet): string[] =>
  (JSON.stringify(props.points ?? []).match(/"[0-9a-f-]{32,64}"/g) ?? []).map(text => text.slice(1, -1));

/** Why a restore proves nothing; undefined where it does, or will when it is made. */
function judge(
  restore: PolicyResource,
  { maxDaysSinceVerified, maxRestoreMinutes }: Config,
): string | undefined {
  const { name, props } = restore;
  const at = ifKnown((): unknown => props.restoredAt);
  // yet to be made
  if (typeof at !== "string" || at === "") return undefined;
  if (restore.type === typeToken("VolumeRestore") && props.verified !== true)
    return `${name} was not compared with the repository`;
  const days = (Date.now() - Date.parse(at)) / day;
  if (days > maxDaysSinceVerified)
    return `${name} is ${inDays(Math.floor(days))} old, at most ${inDays(maxDaysSinceVerified)} are allowed`;
  const minutes = Number(props.durationSeconds) / 60;
  if (minutes > maxRestoreMinutes)
    return `${name} took ${rounded(minutes)} minutes, at most ${rounded(maxRestoreMinutes)} are allowed`;
  return undefined;
}
