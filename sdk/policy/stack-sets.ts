import type { PolicyResource, StackValidationArgs } from "@pulumi/policy";
import { type Retention, validateRetention } from "../../provider/operations/retention";
import type { Schedule } from "../../provider/operations/schedule";
import { typeToken } from "../binding";
import {
  type Examinable,
  isSameTier,
  readSchedule,
  retentionOf,
  type SetType,
  scheduleOf,
  setTypeOf,
  tierIn,
} from "./recovery-points";
import { ifKnown } from "./unknown";

/** A set of recovery points among all the resources of a stack. */
export interface StackSet extends Examinable {
  kind: SetType;
  urn: string;
  /** The CinderSnapshot that a ResticBackup follows, where the stack has it. */
  source: StackSet | undefined;
  /** What it protects, the same for all sets of one volume or server: its id, or its URN while it has none. */
  origin: string;
  /** Points are images or snapshots of a whole server. */
  ofServer: boolean;
}

/** The sets of a stack. */
export function setsOf(args: StackValidationArgs): StackSet[] {
  const sets = args.resources.flatMap((resource): StackSet[] => {
    const kind = setTypeOf(resource);
    if (!kind) return [];
    const { type, name, props, urn } = resource;
    const ofServer = kind === "ServerSnapshot" || kind === "ServerBackup";
    const origin = originOf(resource, ofServer ? "serverId" : "volumeId");
    return [
      {
        kind,
        type,
        name,
        props,
        urn,
        source: undefined,
        origin,
        ofServer,
        notApplicable: args.notApplicable,
      },
    ];
  });
  for (const set of sets) {
    if (set.kind !== "ResticBackup") continue;
    const owner = ifKnown((): unknown => set.props.source?.owner);
    set.source = sets.find(
      other => other.kind === "CinderSnapshot" && owner !== undefined && other.props.owner === owner,
    );
    if (set.source) set.origin = set.source.origin;
  }
  return sets;
}

function originOf(resource: PolicyResource, property: "volumeId" | "serverId"): string {
  const { props, propertyDependencies, urn } = resource;
  const id = ifKnown((): unknown => props[property] ?? props.source?.volumeId);
  if (typeof id === "string") return `${property} ${id}`;
  return (propertyDependencies[property] ?? propertyDependencies.source ?? [])[0]?.urn ?? urn;
}

/** All sets of one volume or server. */
export interface Protected {
  /** Of the first set. */
  name: string;
  first: StackSet;
  sets: [StackSet, ...StackSet[]];
}

/** The sets by what they protect, snapshots before their copies: the order in which a stack was made is no matter. */
export function byOrigin(sets: readonly StackSet[]): Protected[] {
  const groups = new Map<string, Protected>();
  const copiesLast = (a: StackSet, b: StackSet) =>
    Number(a.kind === "ResticBackup") - Number(b.kind === "ResticBackup") || a.name.localeCompare(b.name);
  for (const set of [...sets].sort(copiesLast)) {
    const group = groups.get(set.origin);
    if (group) group.sets.push(set);
    else groups.set(set.origin, { name: set.name, first: set, sets: [set] });
  }
  return [...groups.values()];
}

/** The first of the tiers of a volume's or server's sets that a policy is for; undefined where it is for none. */
export function tierAmong(
  { sets }: Protected,
  { tiers, tierKey }: { tiers: readonly string[]; tierKey: string },
  stackTags: ReadonlyMap<string, string>,
): { tier: string | undefined } | undefined {
  const found = sets.map(set => tierOfSet(set, tierKey, stackTags)).find(tier => isAmong(tiers, tier));
  return found !== undefined || tiers.includes("*") ? { tier: found } : undefined;
}

/** The tier of a set: its own, that of the snapshots it follows, or the stack's. */
function tierOfSet(
  set: StackSet,
  tierKey: string,
  stackTags: ReadonlyMap<string, string>,
): string | undefined {
  return tierIn(set.source?.props ?? set.props, tierKey) ?? stackTags.get(tierKey);
}

/** Whether a policy for these tiers is for that one; "*" stands for every set, with a tier or without. */
export const isAmong = (tiers: readonly string[], tier: string | undefined): boolean =>
  tiers.includes("*") || (tier !== undefined && tiers.some(one => isSameTier(one, tier)));

/** The schedule by which a set takes points: of a ResticBackup that of its snapshots, or the assumed one. */
function scheduleOfSet(set: StackSet, assumed: string): Schedule | undefined {
  if (set.kind !== "ResticBackup") return scheduleOf(set);
  return set.source ? scheduleOf(set.source) : readSchedule(set, assumed, set.props.timeZone);
}

/**
 * By what a set takes points and keeps them; undefined where it takes none, or its retention is malformed, which is the
 * provider's to refuse and retention-rule-required's to report.
 */
export function ruleOf(
  set: StackSet,
  assumed: string,
): { schedule: Schedule; retention: Retention | undefined } | undefined {
  const schedule = scheduleOfSet(set, assumed);
  const retention = retentionOf(set);
  if (!schedule?.takesPoints || (retention && validateRetention(retention).length > 0)) return undefined;
  return { schedule, retention };
}

/** How many good points the set has; undefined where a preview does not know, or nothing was taken yet. */
export const pointsOf = ({ props }: Pick<StackSet, "props">): number | undefined =>
  ifKnown(() => {
    const points: unknown = props.points;
    if (!Array.isArray(points)) return undefined;
    return points.filter(one => (one as { good?: boolean }).good !== false).length;
  });

/** A repository that the stack declares, by the url that sets name. */
export const repositoriesOf = (args: StackValidationArgs): PolicyResource[] =>
  args.resources.filter(({ type }) => type === typeToken("ResticRepository"));
