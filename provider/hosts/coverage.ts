import { stackOf } from "../base/marks";
import { clock, World } from "../driver/world";
import { type Session, servers } from "../openstack";
import { type Coverage, coverageOf, type KnownSet, type Thing } from "../operations/coverage";
import { getVolumes } from "./functions";
import { cloudPoints, hasService, type ListedPoint } from "./list";
import { readState, resourcesOf, type Stored, typeOf } from "./stack-state";

/** What of the project is in a set, and what is not. */
export interface CoverageOptions {
  /** What `pulumi stack export` wrote, of each stack; "-" is standard input. */
  state?: string[];
  cloud?: string;
  json?: boolean;
  markdown?: boolean;
}

/**
 * Prints which volumes and servers are in no set, in two, and which sets match nothing: from the marks of the points in the
 * cloud, and from the states that are given, which know sets that have no point there.
 *
 * @returns 1 where something is unprotected or a set matches nothing
 */
export async function coverage(options: CoverageOptions): Promise<number> {
  const { cloud } = options;
  const world = new World({}, line => console.error(line));
  const session = world.session({ cloud });
  const [things, points] = await Promise.all([thingsOf(session, cloud), cloudPoints(session)]);
  const states = (options.state ?? []).map(file => resourcesOf(readState(file === "-" ? undefined : file)));
  const declared = states.flat().flatMap(setOfResource);
  const stacks = new Set(declared.map(({ name }) => stackOf(name)));
  // of a stack whose state is given, points of a set that it no longer has protect nothing any more
  const isLive = ({ name }: KnownSet) =>
    !stacks.has(stackOf(name)) || declared.some(set => set.name === name);
  const sets = unique([...points.flatMap(setOfPoint).filter(isLive), ...declared]);
  const found = coverageOf(things, sets, clock());
  if (options.json) console.log(JSON.stringify(found, null, 2));
  else console.log(options.markdown ? markdownOf(found) : textOf(found));
  return found.matchNothing.length > 0 || found.things.some(({ state }) => state === "unprotected") ? 1 : 0;
}

async function thingsOf(session: Session, cloud: string | undefined): Promise<Thing[]> {
  const [all, machines] = await Promise.all([
    getVolumes({}, cloud === undefined ? {} : { cloud }),
    hasService(session, "compute").then(has => (has ? servers.list(session) : [])),
  ]);
  return [
    ...all.map(
      ({ id, name, metadata, serverId }): Thing => ({ kind: "volume", id, name, metadata, serverId }),
    ),
    ...machines.map(
      ({ id, name, metadata, image }): Thing => ({
        kind: "server",
        id,
        name,
        metadata,
        ...(image === "" && {
          bootsFromVolumes: all.filter(({ serverId }) => serverId === id).map(one => one.id),
        }),
      }),
    ),
  ];
}

/** The set's name in its stack: of the mark's owner, the stack alone. */
const setName = (owner: string, set: string): string => `${stackOf(owner)}/${set}`;

function setOfPoint({ where, owner, set, volumeId, serverId, part }: ListedPoint): KnownSet[] {
  const name = setName(owner, set);
  if (where === "glance") return serverId ? [{ name, kind: "images", of: serverId, wholeServer: true }] : [];
  if (part !== undefined && serverId) return [{ name, kind: "snapshots", of: serverId, wholeServer: true }];
  return volumeId ? [{ name, kind: "snapshots", of: volumeId, wholeServer: false }] : [];
}

const kinds: Record<string, Pick<KnownSet, "kind" | "wholeServer">> = {
  CinderSnapshot: { kind: "snapshots", wholeServer: false },
  ResticBackup: { kind: "backups", wholeServer: false },
  ServerSnapshot: { kind: "snapshots", wholeServer: true },
  ServerBackup: { kind: "images", wholeServer: true },
};

function setOfResource(resource: Stored): KnownSet[] {
  const kind = kinds[typeOf(resource) ?? ""];
  const outputs = resource.outputs ?? {};
  const { owner, volumeId, serverId, source } = outputs as Record<string, string> & {
    source?: { volumeId?: string };
  };
  const of = serverId ?? volumeId ?? source?.volumeId;
  if (!kind || typeof owner !== "string" || typeof of !== "string" || of === "") return [];
  const set = typeof outputs.set === "string" ? outputs.set : owner.split("/").slice(2).join("/");
  return [{ name: setName(owner, set), ...kind, of }];
}

const unique = (sets: readonly KnownSet[]): KnownSet[] => [
  ...new Map(sets.map(set => [JSON.stringify([set.name, set.kind, set.of]), set])).values(),
];

/** What users wrote, without what would make lines of its own. */
const plain = (text: string): string => text.replace(/\p{Cc}+/gu, " ");

const words = ({ kind, name, id }: { kind: string; name: string; id: string }): string =>
  `${kind} ${name === "" ? id : `${name} (${id})`}`;

const nothingWords = ({ name, kind, of }: KnownSet): string =>
  `${name} (${kind} of ${of}, which is not in the project)`;

function textOf({ things, matchNothing }: Coverage): string {
  const having = (state: string) => things.filter(thing => thing.state === state);
  const lines = [
    ...having("unprotected").map(
      thing => `unprotected  ${words(thing)}${thing.why ? `: it ${thing.why}` : ""}`,
    ),
    ...matchNothing.map(set => `no match     ${nothingWords(set)}`),
    ...having("twice").map(thing => `twice        ${words(thing)}: ${thing.sets.join(", ")}`),
    ...having("left out").map(thing => `left out     ${words(thing)}: ${thing.why}`),
  ];
  return [...lines.map(plain), summaryOf({ things, matchNothing })].join("\n");
}

function summaryOf({ things, matchNothing }: Coverage): string {
  const count = (...states: string[]) => things.filter(({ state }) => states.includes(state)).length;
  return `${count("protected", "twice")} of ${things.length} protected, ${count("unprotected")} unprotected, ${count("left out")} left out, ${count("twice")} twice; ${matchNothing.length} sets match nothing`;
}

/** For a comment on a pull request. */
function markdownOf(found: Coverage): string {
  const { things, matchNothing } = found;
  const order = ["unprotected", "twice", "left out"] as const;
  const rows = order.flatMap(state =>
    things
      .filter(thing => thing.state === state)
      .map(({ kind, name, id, sets, why }) => [
        state,
        kind,
        name,
        `\`${id}\``,
        [...sets, why ?? ""].filter(Boolean).join(", "),
      ]),
  );
  for (const set of matchNothing) rows.push(["no match", "set", set.name, `\`${set.of}\``, set.kind]);
  const table =
    rows.length === 0
      ? []
      : [
          "",
          "| State | Kind | Name | Id | Sets, or why |",
          "|---|---|---|---|---|",
          ...rows.map(row => `| ${row.map(escaped).join(" | ")} |`),
        ];
  return [`**Backup coverage:** ${summaryOf(found)}`, ...table].join("\n");
}

const escaped = (text: string): string => text.replaceAll(/[|\\<>]/g, "\\$&").replaceAll("\n", " ");
