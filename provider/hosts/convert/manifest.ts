import { isMap, LineCounter, parseAllDocuments } from "yaml";
import { z } from "zod";
import type { Converted, Source } from "./source";

const kind = "VolumeSnapshotBackup";

/** Whether a text holds manifests of the operator. */
export const isManifest = (text: string): boolean =>
  new RegExp(`^\\s*kind:\\s*["']?${kind}\\b`, "m").test(text);

const count = z.int().min(0);

/** The manifest's fields that mean something here, by the names and defaults of the operator. */
const manifest = z.looseObject({
  metadata: z.looseObject({ name: z.string().min(1), namespace: z.string().default("default") }),
  spec: z.looseObject({
    volumeClaimRef: z.looseObject({ name: z.string().min(1) }),
    openstack: z.looseObject({ autoDiscover: z.boolean().default(true) }).default({ autoDiscover: true }),
    snapshot: z
      .looseObject({
        force: z.boolean().optional(),
        timeout: z.number().positive().optional(),
        namePrefix: z.string().optional(),
        retention: z.looseObject({ keepLast: count.optional(), keepForDays: count.optional() }).optional(),
      })
      .optional(),
    temporaryVolume: z.looseObject({ timeout: z.number().positive().optional() }).optional(),
    repository: z.looseObject({ url: z.string().min(1) }),
    host: z.string().optional(),
    paths: z.array(z.string()).optional(),
    exclude: z.array(z.string()).optional(),
    retention: z
      .looseObject({
        keepLast: count.optional(),
        keepDaily: count.optional(),
        keepWeekly: count.optional(),
        keepMonthly: count.optional(),
        keepYearly: count.optional(),
      })
      .optional(),
  }),
});
type Manifest = z.infer<typeof manifest>;

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

const known = new Set([
  ...[
    "volumeClaimRef.name",
    "openstack.autoDiscover",
    "host",
    "paths",
    "exclude",
    "repository.url",
    "temporaryVolume.timeout",
  ],
  ...["force", "timeout", "namePrefix", "retention.keepLast", "retention.keepForDays"].map(
    key => `snapshot.${key}`,
  ),
  ...["Last", "Daily", "Weekly", "Monthly", "Yearly"].map(key => `retention.keep${key}`),
]);

/** The program that stands for manifests of the operator. */
export function fromManifests({ text, name }: Source): Converted {
  const lines = new LineCounter();
  const found: Manifest[] = [];
  const notes: string[] = [];
  for (const document of parseAllDocuments(text, { lineCounter: lines })) {
    if (!("contents" in document) || !document.contents) continue;
    const start = lines.linePos(document.contents.range?.[0] ?? 0).line;
    const [problem] = document.errors;
    if (problem) throw new Error(`${name}, line ${problem.linePos?.[0].line ?? start}: ${problem.message}`);
    const value = document.toJS() as { kind?: unknown };
    if (value.kind !== kind) {
      notes.push(`left out: a ${String(value.kind ?? "document without kind")} in line ${start}`);
      continue;
    }
    const parsed = manifest.safeParse(value);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      const path = (issue?.path ?? []).map(String);
      const node = isMap(document.contents) ? document.contents.getIn(path, true) : undefined;
      const range = (node as { range?: [number] } | undefined)?.range;
      const line = range ? lines.linePos(range[0]).line : start;
      throw new Error(`${name}, line ${line}: ${path.join(".")}: ${issue?.message}`);
    }
    found.push(parsed.data);
    notes.push(...meaningless(parsed.data));
  }
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
    "The operator has no schedule of its own: what started it is written as `schedule` of each set.",
  );
  return { program: programOf(found, urls), notes, config };
}

const setName = ({ metadata, spec }: Manifest): string => `${metadata.namespace}-${spec.volumeClaimRef.name}`;
const volumeKey = (one: Manifest): string => `${setName(one)}-volumeId`;

/** Lines on the fields that have no meaning here, and on those that nobody knows. */
function meaningless(one: Manifest): string[] {
  const { spec, status } = one as Manifest & { status?: unknown };
  const paths = [...pathsOf(spec, "spec"), ...(status === undefined ? [] : ["status"])];
  const said = new Set<string>();
  for (const path of paths) {
    if (known.has(path.replace(/^spec\./, ""))) continue;
    const key = Object.keys(without).find(prefix => path === prefix || path.startsWith(`${prefix}.`));
    said.add(
      `${one.metadata.name}: ${key ?? path} is left out: ${key ? without[key] : "the operator has no such field"}`,
    );
  }
  return [...said];
}

/** Paths of all values that are no objects. */
function pathsOf(value: unknown, path: string): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [path];
  return Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, `${path}.${key}`));
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
    const { snapshot, temporaryVolume, repository, host, paths, exclude, retention } = one.spec;
    const place = urls.indexOf(repository.url) || "";
    const given = {
      snapshot: snapshot && {
        force: snapshot.force,
        timeoutSeconds: snapshot.timeout,
        namePrefix: snapshot.namePrefix,
        retention: snapshot.retention && {
          keepLast: snapshot.retention.keepLast,
          keepForDays: snapshot.retention.keepForDays,
        },
      },
      temporaryVolume: temporaryVolume?.timeout && { timeoutSeconds: temporaryVolume.timeout },
      host,
      paths,
      exclude,
      retention: retention && {
        keepLast: retention.keepLast,
        keepDaily: retention.keepDaily,
        keepWeekly: retention.keepWeekly,
        keepMonthly: retention.keepMonthly,
        keepYearly: retention.keepYearly,
      },
    };
    const lines = Object.entries(given)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => `  ${key}: ${literal(value)},`);
    return `new VolumeBackup(${JSON.stringify(setName(one))}, {
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
