import type { PolicyResource, StackValidationPolicy } from "@pulumi/policy";
import picomatch from "picomatch";
import { define } from "./define";
import { tierKeySchema, tiersSchema } from "./recovery-points";
import { type RepositoryUrl, readRepositoryUrl } from "./repository-url";
import { byOrigin, pointsOf, repositoriesOf, type StackSet, setsOf, tierAmong } from "./stack-sets";
import { eachKnown, ifKnown } from "./unknown";

interface Config {
  copies: number;
  media: number;
  offsite: number;
  onsiteHosts: string[];
  tiers: string[];
  tierKey: string;
}

/** One copy of the data. */
interface Copy {
  where: string;
  medium: string;
  isOffsite: boolean;
  /** Declared, but it holds nothing. */
  isEmpty: boolean;
}

const atLeast = (what: string, byDefault: number) =>
  ({ type: "integer", minimum: 0, default: byDefault, description: `At least so many ${what}.` }) as const;

/**
 * 3-2-1: copies are the volume itself, each repository with points of it, and images of its server. Cinder's snapshots lie
 * where the volume lies and are none. Counted is what is there: a repository without a point counts only until the first
 * update has ended.
 */
export const offsiteCopyRequired = define<StackValidationPolicy>({
  name: "offsite-copy-required",
  displayName: "Copies are elsewhere",
  description: "Checks whether each volume has enough copies, on enough media, and off site.",
  enforcementLevel: "mandatory",
  severity: "high",
  remediationSteps: "Back the volume up into a remote repository, and give that ResticRepository a copyTo.",
  configSchema: {
    properties: {
      copies: atLeast("copies, the volume itself among them", 3),
      media: atLeast("different stores: the cloud's, and each repository's scheme and host", 2),
      offsite: atLeast("copies off site", 1),
      onsiteHosts: {
        type: "array",
        items: { type: "string" },
        default: [],
        description:
          'Hosts of repositories that are on site, "*" in a name stands for any part. Folders and 127.0.0.1 always are.',
      },
      tiers: tiersSchema(["gold", "silver"]),
      tierKey: tierKeySchema,
    },
  },
  validateStack: (args, reportViolation) => {
    const config = args.getConfig<Config>();
    const repositories = repositoriesOf(args);
    eachKnown(byOrigin(setsOf(args)), group => {
      const { first, sets } = group;
      const among = tierAmong(group, config, args.stackTags);
      if (!among) return;
      const copies = [
        {
          where: first.ofServer ? "the server" : "the volume",
          medium: "cloud",
          isOffsite: false,
          isEmpty: false,
        },
        ...sets.flatMap(set => copiesOf(set, repositories, config)),
      ];
      const there = unique(copies.filter(({ isEmpty }) => !isEmpty));
      const empty = unique(copies.filter(({ isEmpty }) => isEmpty));
      const counted = {
        copies: there.length,
        media: new Set(there.map(({ medium }) => medium)).size,
        offsite: there.filter(({ isOffsite }) => isOffsite).length,
      };
      const short = (["copies", "media", "offsite"] as const).filter(what => counted[what] < config[what]);
      if (short.length === 0) return;
      const lacks = short.map(what => `${counted[what]} of ${config[what]} ${what}`).join(", ");
      const has = there.map(({ where }) => where).join(", ");
      const without = empty.map(({ where }) => `; ${where} has no point yet`).join("");
      const whose = among.tier === undefined ? "" : ` of tier ${among.tier}`;
      reportViolation(
        `${first.name}${whose} has ${lacks}: ${has}${without}; give it a repository elsewhere, or its repository a copyTo`,
        first.urn,
      );
    });
  },
});

function copiesOf(set: StackSet, repositories: readonly PolicyResource[], config: Config): Copy[] {
  if (set.kind === "ServerBackup")
    return [
      { where: "images of the server", medium: "images", isOffsite: false, isEmpty: pointsOf(set) === 0 },
    ];
  if (set.kind !== "ResticBackup") return [];
  const url = readRepositoryUrl(set.props.repository?.url ?? "");
  const copies = [copyIn(url, config, pointsOf(set) === 0)];
  const repository = repositories.find(({ props }) => ifKnown(() => props.url) === set.props.repository?.url);
  const second: unknown = repository && ifKnown(() => repository.props.copyTo?.url);
  if (typeof second === "string")
    copies.push(
      copyIn(readRepositoryUrl(second), config, ifKnown((): unknown => repository?.props.lastCopy) === ""),
    );
  return copies;
}

function copyIn({ scheme, host, shown }: RepositoryUrl, { onsiteHosts }: Config, isEmpty: boolean): Copy {
  const isHere = scheme === "local" || /^(localhost|127\..*|\[::1\])$/.test(host);
  const isOnsite = isHere || (host !== "" && picomatch.isMatch(host, onsiteHosts));
  return { where: shown, medium: `${scheme.split(":")[0]} ${host || shown}`, isOffsite: !isOnsite, isEmpty };
}

const unique = (copies: readonly Copy[]): Copy[] => [
  ...new Map(copies.map(copy => [copy.where, copy])).values(),
];
