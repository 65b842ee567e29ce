import type { PolicyResource, StackValidationPolicy } from "@pulumi/policy";
import { optOutOf, restoreOf } from "../../provider/operations/opt-out";
import { define } from "./define";
import { type StackSet, setsOf } from "./stack-sets";
import { eachKnown, ifKnown } from "./unknown";

interface Config {
  scan: boolean;
  cloud: string;
  region: string;
}

const kinds = {
  "openstack:blockstorage/volume:Volume": "volume",
  "openstack:compute/instance:Instance": "server",
} as const;

const attachments = "openstack:compute/volumeAttach:VolumeAttach";

/** What nobody thought of: volumes and servers of the stack, or with `scan` of the project, that no set protects. */
export const coverage = define<StackValidationPolicy>({
  name: "coverage",
  displayName: "Everything is protected",
  description: "Checks whether each volume and server is in a set, or left out with a reason and an end.",
  enforcementLevel: "advisory",
  severity: "high",
  remediationSteps:
    'Add a VolumeBackup or a ServerBackup of it, or give it the metadata backup: "none", backup-reason and backup-until.',
  configSchema: {
    properties: {
      scan: {
        type: "boolean",
        default: false,
        description:
          "True looks at each volume of the project too, with the login of the environment: those that have no point.",
      },
      cloud: {
        type: "string",
        default: "",
        description: "With scan: name in clouds.yaml; empty takes the default.",
      },
      region: { type: "string", default: "", description: "With scan: the region; empty takes the login's." },
    },
  },
  validateStack: async (args, reportViolation) => {
    const { scan, cloud, region } = args.getConfig<Config>();
    const now = new Date();
    const sets = setsOf(args);
    const found = args.resources.filter(({ type }) => type in kinds);
    if (scan)
      await scanned(
        { cloud, region },
        [...found.map(idOf), ...sets.map(({ origin }) => origin)],
        now,
        reportViolation,
      );
    eachKnown(found, resource => {
      if (sets.some(set => protects(set, resource, args.resources))) return;
      const kind = kinds[resource.type as keyof typeof kinds];
      const optOut = optOutOf(
        ifKnown((): Record<string, unknown> => resource.props.metadata ?? {}) ?? {},
        now,
      );
      if (typeof optOut === "object") return;
      reportViolation(
        `${kind} ${resource.name} is in no set${optOut === undefined ? "" : `: it ${optOut}`}`,
        resource.urn,
      );
    });
  },
});

const idOf = ({ props }: PolicyResource): unknown => ifKnown((): unknown => props.id);

/** A set is of a resource by its URN, while that has no id, or by its id; one of a server has all its volumes. */
function protects(set: StackSet, resource: PolicyResource, all: readonly PolicyResource[]): boolean {
  const is = ({ urn, props }: PolicyResource) => {
    const id = ifKnown((): unknown => props.id);
    return set.origin === urn || (id !== undefined && set.origin.split(" ")[1] === id);
  };
  if (is(resource)) return true;
  if (set.kind !== "ServerSnapshot") return false;
  return all.some(attachment => {
    if (attachment.type !== attachments) return false;
    const ends = (property: string, { urn, props }: PolicyResource) =>
      (attachment.propertyDependencies[property] ?? []).some(one => one.urn === urn) ||
      (ifKnown((): unknown => attachment.props[property]) ?? "no") ===
        (ifKnown((): unknown => props.id) ?? "");
    return ends("volumeId", resource) && all.some(server => is(server) && ends("instanceId", server));
  });
}

/** The volumes of the project that have no point, and that this stack does not speak of. */
async function scanned(
  { cloud, region }: { cloud: string; region: string },
  known: readonly unknown[],
  now: Date,
  report: (message: string) => void,
): Promise<void> {
  // by the package's name: a pack that does not scan loads no client of the cloud
  const { getUnprotectedVolumes } =
    require("pulumi-openstack-backup/functions") as typeof import("pulumi-openstack-backup/functions");
  const place = { ...(cloud === "" ? {} : { cloud }), ...(region === "" ? {} : { region }) };
  for (const { id, name, metadata } of await getUnprotectedVolumes({}, place)) {
    if (known.some(one => one === id || one === `volumeId ${id}`)) continue;
    const optOut = optOutOf(metadata, now);
    if (typeof optOut === "object" || restoreOf(metadata) !== undefined) continue;
    report(
      `volume ${name || "without a name"} (${id}) of the project has no recovery point${optOut === undefined ? "" : `: it ${optOut}`}`,
    );
  }
}
