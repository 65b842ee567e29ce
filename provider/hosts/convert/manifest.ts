import { type Manifest, manifestKind, readManifests, setOf } from "../../kubernetes/manifest";
import type { Converted, Source } from "./source";

/** Whether a text holds manifests of the operator. */
export const isManifest = (text: string): boolean =>
  new RegExp(`^\\s*kind:\\s*["']?${manifestKind}\\b`, "m").test(text);

/** Fields of the operator's that have no meaning here, and what stands for them. */
const without: Readonly<Record<string, string>> = {
  "spec.openstack.credentialsSecretRef":
    "the login is that of clouds.yaml, OS_* or the stack's configuration",
  "spec.temporaryVolume.storageClass": "give temporaryVolume.volumeType, the Cinder type of that class",
  "spec.repository.type": "the url says it",
  "spec.repository.secretRef": "its values are the stack's secrets",
  "spec.resources": "restic runs on the machine that runs the stack",
  status: "what was done is in the operator's snapshots alone",
};

/** The program that stands for manifests of the operator. */
export function fromManifests({ text, name }: Source): Converted {
  const { found, others, unknown } = readManifests(text, name);
  const notes = [
    ...others.map(({ kind, line }) => `left out: a ${kind} in line ${line}`),
    ...found.flatMap(meaningless),
    ...unknown.map(
      ({ manifest, path, line }) =>
        `${manifest}: ${path} is left out: the operator has no such field (line ${line})`,
    ),
  ];
  const urls = [...new Set(found.map(({ spec }) => spec.repository.url))];
  const config: Converted["config"] = {};
  for (const [place] of urls.entries()) {
    config[`repositoryPassword${place || ""}`] = { what: "RESTIC_PASSWORD of the Secret", secret: true };
    config[`repositoryEnvironment${place || ""}`] = {
      what: 'the keys of its store, {"AWS_ACCESS_KEY_ID": "…", "AWS_SECRET_ACCESS_KEY": "…"}; {} without any',
      secret: true,
    };
  }
  const given = found.filter(({ spec }) => !spec.openstack.autoDiscover);
  for (const one of given) config[volumeKey(one)] = { what: "id of the Cinder volume" };
  if (given.length < found.length)
    notes.push(
      "Volumes are found through Kubernetes, by KUBECONFIG or ~/.kube/config: npm install @kubernetes/client-node",
    );
  notes.unshift(`${found.length} set${found.length === 1 ? "" : "s"}, of ${urls.join(", ")}`);
  notes.push(
    "To run it by Jobs in the cluster, as it is: VolumeBackup.fromManifest, see docs/kubernetes.md.",
  );
  notes.push(
    "The operator has no schedule of its own: what started it is written as `schedule` of each set.",
  );
  return { program: programOf(found, urls), notes, config };
}

const volumeKey = (one: Manifest): string => `${setOf(one).name}-volumeId`;

/** Lines on the fields that have no meaning here. */
function meaningless(one: Manifest): string[] {
  return Object.entries(without).flatMap(([path, why]) => {
    let value: unknown = one;
    for (const key of path.split(".")) value = (value as Record<string, unknown> | undefined)?.[key];
    return value === undefined ? [] : [`${one.metadata.name}: ${path} is left out: ${why}`];
  });
}

function programOf(found: readonly Manifest[], urls: readonly string[]): string {
  const discovers = found.some(({ spec }) => spec.openstack.autoDiscover);
  const repositories = urls.map(
    (url, place) => `const repository${place || ""} = new ResticRepository("repository${place || ""}", {
  url: ${JSON.stringify(url)},
  password: config.requireSecret("repositoryPassword${place || ""}"),
  environment: config.requireSecretObject<Record<string, string>>("repositoryEnvironment${place || ""}"),
});`,
  );
  const sets = found.map(one => {
    const { temporaryVolume, repository } = one.spec;
    const place = urls.indexOf(repository.url) || "";
    const { name, inputs } = setOf(one);
    const { snapshot, ...others } = inputs;
    const given = {
      snapshot,
      temporaryVolume: temporaryVolume?.timeout && { timeoutSeconds: temporaryVolume.timeout },
      ...others,
    };
    const lines = Object.entries(given)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => `  ${key}: ${literal(value)},`);
    return `new VolumeBackup(${JSON.stringify(name)}, {
  volumeId: ${volumeOf(one)},
  // schedule: "30 2 * * *", // without one a single point is taken
  repository${place === "" ? "" : `: repository${place}`},
${lines.join("\n")}
});`;
  });
  return [
    `import * as pulumi from "@pulumi/pulumi";
import { ${discovers ? "getClaimVolumeOutput, " : ""}ResticRepository, VolumeBackup } from "pulumi-openstack-backup";

const config = new pulumi.Config();`,
    ...repositories,
    ...sets,
  ].join("\n\n");
}

const volumeOf = (one: Manifest): string =>
  one.spec.openstack.autoDiscover
    ? `getClaimVolumeOutput({ name: ${JSON.stringify(one.spec.volumeClaimRef.name)}, namespace: ${JSON.stringify(one.metadata.namespace)} }).volumeId`
    : `config.require(${JSON.stringify(volumeKey(one))})`;

/** A value as TypeScript spells it; JSON is that too, but for quotes around names. */
const literal = (value: unknown): string =>
  JSON.stringify(value, null, 2)
    .replace(/^(\s*)"([A-Za-z_]\w*)":/gm, "$1$2:")
    .replaceAll("\n", "\n  ");
