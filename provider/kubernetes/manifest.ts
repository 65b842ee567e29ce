import { type Document, isMap, LineCounter, parseAllDocuments, stringify } from "yaml";
import { z } from "zod";
import { propertyPath } from "../base/property-path";

/** The kind of the operator whose manifests are read here. */
export const manifestKind = "VolumeSnapshotBackup";

const count = z.int().min(0);
const quantities = z.record(z.string(), z.union([z.string(), z.number().transform(String)]));
const secretRef = z.looseObject({ name: z.string().min(1), namespace: z.string().optional() });
// of the repository: the Job reads it, which has the Secrets of its own namespace alone
const localSecretRef = z.looseObject({ name: z.string().min(1) });

/** A manifest by the names of the operator; its defaults are those of the resources here. */
const manifest = z.looseObject({
  metadata: z.looseObject({ name: z.string().min(1), namespace: z.string().default("default") }),
  spec: z.looseObject({
    volumeClaimRef: z.looseObject({ name: z.string().min(1) }),
    openstack: z
      .looseObject({ credentialsSecretRef: secretRef.optional(), autoDiscover: z.boolean().default(true) })
      .default({ autoDiscover: true }),
    snapshot: z
      .looseObject({
        force: z.boolean().optional(),
        timeout: z.number().positive().optional(),
        namePrefix: z.string().optional(),
        retention: z.looseObject({ keepLast: count.optional(), keepForDays: count.optional() }).optional(),
      })
      .optional(),
    temporaryVolume: z
      .looseObject({ storageClass: z.string().optional(), timeout: z.number().positive().optional() })
      .optional(),
    repository: z.looseObject({
      type: z.string().optional(),
      url: z.string().min(1),
      secretRef: localSecretRef.optional(),
    }),
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
    resources: z.looseObject({ requests: quantities.optional(), limits: quantities.optional() }).optional(),
  }),
});

/** One manifest of the operator. */
export type Manifest = z.infer<typeof manifest>;

/** Fields that stand in every manifest of Kubernetes and mean nothing to a backup. */
const common = new Set(["apiVersion", "kind", "status"]);

/** What a text of manifests holds. */
export interface Manifests {
  found: Manifest[];
  /** Documents of other kinds. */
  others: { kind: string; line: number }[];
  /** Fields that the operator does not have, where they stand. */
  unknown: { manifest: string; path: string; line: number; column: number }[];
}

/**
 * Reads manifests, one document or many.
 *
 * @param name of the file, for errors
 * @throws with line and column of what is no YAML, or not of the form
 */
export function readManifests(text: string, name: string): Manifests {
  const lines = new LineCounter();
  const read: Manifests = { found: [], others: [], unknown: [] };
  for (const document of parseAllDocuments(text, { lineCounter: lines })) {
    if (!("contents" in document) || !document.contents) continue;
    const at = (path: readonly string[]) => placeOf(document, path, lines);
    const [problem] = document.errors;
    if (problem)
      throw new Error(`${name}, line ${problem.linePos?.[0].line ?? at([]).line}: ${problem.message}`);
    const value = document.toJS() as { kind?: unknown } | null;
    if (value?.kind !== manifestKind) {
      const kind = typeof value?.kind === "string" ? value.kind : "document without kind";
      read.others.push({ kind, line: at([]).line });
      continue;
    }
    const parsed = manifest.safeParse(value);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      const path = issue?.path ?? [];
      const { line, column } = at(path.map(String));
      throw new Error(`${name}, line ${line}, column ${column}: ${propertyPath(path)}: ${issue?.message}`);
    }
    read.found.push(parsed.data);
    for (const path of unknownPaths(value, manifest))
      read.unknown.push({ manifest: parsed.data.metadata.name, path: path.join("."), ...at(path) });
  }
  return read;
}

/**
 * The manifests of a YAML text, of an object, or of several.
 *
 * @throws with line and column of a field that the operator does not have, or of another kind
 */
export function manifestsOf(given: string | object | readonly object[]): Manifest[] {
  const text =
    typeof given === "string"
      ? given
      : (Array.isArray(given) ? given : [given]).map(one => stringify(one)).join("---\n");
  const { found, others, unknown } = readManifests(text, "manifest");
  const [other] = others;
  if (other) throw new Error(`manifest, line ${other.line}: a ${other.kind}, expected ${manifestKind}`);
  const [field] = unknown;
  if (field)
    throw new Error(
      `manifest, line ${field.line}, column ${field.column}: ${field.path}: the operator has no such field`,
    );
  if (found.length === 0) throw new Error(`manifest: there is no ${manifestKind} in it`);
  return found;
}

/**
 * The set that a manifest describes, by the names of VolumeBackup's inputs as far as both have them; what it does not say
 * is absent. The set's name is part of its snapshots' names, as it is with the operator.
 */
export function setOf({ metadata, spec }: Manifest) {
  const { snapshot, retention, host, paths, exclude } = spec;
  const { keepLast, keepDaily, keepWeekly, keepMonthly, keepYearly } = retention ?? {};
  return {
    name: `${metadata.namespace}-${spec.volumeClaimRef.name}`,
    inputs: said({
      snapshot:
        snapshot &&
        said({
          force: snapshot.force,
          timeoutSeconds: snapshot.timeout,
          namePrefix: snapshot.namePrefix,
          retention:
            snapshot.retention &&
            said({ keepLast: snapshot.retention.keepLast, keepForDays: snapshot.retention.keepForDays }),
        }),
      host,
      paths,
      exclude,
      retention: retention && said({ keepLast, keepDaily, keepWeekly, keepMonthly, keepYearly }),
    }),
  };
}

/** Without what is undefined. */
const said = <T extends object>(given: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as never;

function placeOf(
  { contents }: Document.Parsed | Document,
  path: readonly string[],
  lines: LineCounter,
): { line: number; column: number } {
  // the nearest that is there: what is missing has no place
  for (let length = path.length; length > 0; length--) {
    const parent = isMap(contents) ? contents.getIn(path.slice(0, length - 1), true) : undefined;
    const map = length === 1 ? contents : parent;
    const pair = isMap(map) ? map.items.find(({ key }) => String(key) === path[length - 1]) : undefined;
    const range = (pair?.key as { range?: [number] } | undefined)?.range;
    if (range) {
      const { line, col } = lines.linePos(range[0]);
      return { line, column: col };
    }
  }
  const { line, col } = lines.linePos(contents?.range?.[0] ?? 0);
  return { line, column: col };
}

/** The paths that the form does not have. Metadata is Kubernetes' own. */
function unknownPaths(value: unknown, form: z.ZodType, path: string[] = []): string[][] {
  let inner: z.ZodType = form;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault) inner = inner.unwrap() as z.ZodType;
  if (!(inner instanceof z.ZodObject) || typeof value !== "object" || value === null) return [];
  if (path[0] === "metadata") return [];
  return Object.entries(value).flatMap(([key, given]) => {
    const known = (inner as z.ZodObject).shape[key] as z.ZodType | undefined;
    if (known) return unknownPaths(given, known, [...path, key]);
    return path.length === 0 && common.has(key) ? [] : [[...path, key]];
  });
}
