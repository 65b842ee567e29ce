import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { makeSecret, type Properties, SECRET, SIGNATURE, type Value } from "./property";
import type { Crypter } from "./secrets";
import { PROVIDER_TYPE, parseProviderReference, STACK_TYPE, type Urn } from "./urn";

/** Version of the deployment format and of the CLI whose states these are like. */
const FORMAT_VERSION = 3;
const MANIFEST_VERSION = "v3.260.0";

/** Seconds per operation. */
export interface CustomTimeouts {
  create?: number;
  update?: number;
  delete?: number;
  read?: number;
}

/** One resource of a deployment, with the field names of Pulumi's state format. */
export interface ResourceState {
  urn: Urn;
  custom: boolean;
  delete?: boolean;
  id?: string;
  type: string;
  inputs: Properties;
  outputs?: Properties;
  parent?: Urn;
  protect?: boolean;
  dependencies?: Urn[];
  initErrors?: string[];
  provider?: string;
  propertyDependencies?: Record<string, Urn[]>;
  pendingReplacement?: boolean;
  additionalSecretOutputs?: string[];
  aliases?: Urn[];
  customTimeouts?: CustomTimeouts;
  retainOnDelete?: boolean;
  created?: string;
  modified?: string;
  ignoreChanges?: string[];
  replaceOnChanges?: string[];
}

/** What was under way when a checkpoint was written. */
export type OperationType = "creating" | "updating" | "deleting" | "reading";
export interface PendingOperation {
  resource: ResourceState;
  type: OperationType;
}

/** A stack's state in memory: secrets are in the clear inside their wrappers. */
export interface Deployment {
  resources: ResourceState[];
  pendingOperations: PendingOperation[];
}

/** A stack's state on disk, Pulumi's v3 format. */
export interface DeploymentFile {
  version: number;
  deployment: {
    manifest: { time: string; magic: string; version: string };
    secrets_providers?: { type: string; state?: { salt?: string } };
    resources?: ResourceState[];
    pending_operations?: PendingOperation[];
    metadata?: object;
    [key: string]: unknown;
  };
}

/** The checksum that `pulumi stack import` asks for. */
const magic = (version: string): string => createHash("sha256").update(version).digest("hex");

/** A copy without the keys that are undefined. */
export const withoutUndefined = <T extends object>(object: { [K in keyof T]: T[K] | undefined }): T =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;

/** The URNs the resource needs: dependencies, property dependencies and, if asked for, the parent. */
export function dependenciesOf(state: ResourceState): Set<Urn> {
  const urns = new Set(state.dependencies);
  for (const list of Object.values(state.propertyDependencies ?? {})) for (const urn of list) urns.add(urn);
  if (state.provider) urns.add(parseProviderReference(state.provider).urn);
  return urns;
}

/** Turns states into text; remembers both the ciphertext of a secret and the text of a resource that has not changed. */
export class StateWriter {
  private readonly ciphertexts = new Map<string, string>();
  private readonly texts = new WeakMap<ResourceState, { mutable: string; text: string }>();

  constructor(private readonly crypter: Crypter) {}

  /** Must be told what `readDeployment` deciphered, so that an unchanged secret keeps its ciphertext. */
  remember(urn: Urn, clear: string, ciphertext: string): void {
    this.ciphertexts.set(`${urn}\0${clear}`, ciphertext);
  }

  /** The whole deployment as the text of a state file. */
  write(deployment: Deployment): string {
    const resources = deployment.resources.map(state => this.resourceText(state));
    const pending = deployment.pendingOperations.map(
      operation => `{"resource":${this.resourceText(operation.resource)},"type":"${operation.type}"}`,
    );
    const manifest = {
      time: new Date().toISOString(),
      magic: magic(MANIFEST_VERSION),
      version: MANIFEST_VERSION,
    };
    const provider = { type: "passphrase", state: { salt: this.crypter.salt } };
    return (
      `{"version":${FORMAT_VERSION},"deployment":{"manifest":${JSON.stringify(manifest)},` +
      `"secrets_providers":${JSON.stringify(provider)},"resources":[\n${resources.join(",\n")}\n],` +
      (pending.length > 0 ? `"pending_operations":[${pending.join(",\n")}],` : "") +
      `"metadata":{}}}\n`
    );
  }

  private resourceText(state: ResourceState): string {
    // The two marks are all that changes in a state once its step is done; inputs and outputs are replaced, never edited.
    const mutable = `${state.delete}${state.pendingReplacement}`;
    const known = this.texts.get(state);
    if (known && known.mutable === mutable && known.text) return known.text;
    const text = JSON.stringify(this.resource(state));
    this.texts.set(state, { mutable, text });
    return text;
  }

  /** Forgets the text of a state that was changed after it was first written. */
  changed(state: ResourceState): void {
    this.texts.delete(state);
  }

  private resource(state: ResourceState): object {
    const some = <T>(list: T[] | undefined) => (list && list.length > 0 ? list : undefined);
    const bag = (properties: Properties | undefined) =>
      properties && Object.keys(properties).length > 0 ? this.encrypted(state.urn, properties) : undefined;
    return {
      urn: state.urn,
      custom: state.custom,
      delete: state.delete || undefined,
      id: state.id || undefined,
      type: state.type,
      inputs: bag(state.inputs),
      outputs: bag(state.outputs),
      parent: state.parent,
      protect: state.protect || undefined,
      dependencies: some(state.dependencies),
      initErrors: some(state.initErrors),
      provider: state.provider,
      propertyDependencies: state.propertyDependencies,
      pendingReplacement: state.pendingReplacement || undefined,
      additionalSecretOutputs: some(state.additionalSecretOutputs),
      aliases: some(state.aliases),
      customTimeouts: state.customTimeouts,
      retainOnDelete: state.retainOnDelete || undefined,
      created: state.created,
      modified: state.modified,
      ignoreChanges: some(state.ignoreChanges),
      replaceOnChanges: some(state.replaceOnChanges),
    };
  }

  private encrypted(urn: Urn, value: Value): Value {
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(item => this.encrypted(urn, item));
    if (value[SIGNATURE] === SECRET) {
      const clear = JSON.stringify(value.value);
      const key = `${urn}\0${clear}`;
      let ciphertext = this.ciphertexts.get(key);
      if (ciphertext === undefined) {
        ciphertext = this.crypter.encrypt(clear);
        this.ciphertexts.set(key, ciphertext);
      }
      return { [SIGNATURE]: SECRET, ciphertext };
    }
    const result: Properties = {};
    for (const key of Object.keys(value).sort()) result[key] = this.encrypted(urn, value[key] as Value);
    return result;
  }
}

/** Options a real engine can leave in a state that this one would not honour. */
const refusedFields: Record<string, string> = {
  external: "resources read with `get`",
  deletedWith: "the deletedWith option",
  replaceWith: "the replaceWith option",
  replacementTrigger: "the replacementTrigger option",
  resourceHooks: "resource hooks",
  viewOf: "views",
  extensionRef: "provider extensions",
  taint: "tainted resources",
  refreshBeforeUpdate: "refreshBeforeUpdate",
};

/** Reads a state file's content; refuses what this engine cannot drive, in a sentence that names it. */
export function readDeployment(
  file: DeploymentFile,
  crypter: Crypter | undefined,
  remember: (urn: Urn, clear: string, ciphertext: string) => void = () => {},
): Deployment {
  if (file.version !== FORMAT_VERSION || typeof file.deployment !== "object") {
    throw new Error(`reading the stack's state: version ${file.version} is not supported, only version 3`);
  }
  const { deployment } = file;
  if (deployment.manifest?.magic && deployment.manifest.magic !== magic(deployment.manifest.version)) {
    throw new Error(
      "reading the stack's state: the manifest's checksum does not match; the file was changed or cut",
    );
  }
  const provider = deployment.secrets_providers?.type;
  if (provider && provider !== "passphrase") {
    throw new Error(
      `reading the stack's state: secrets provider "${provider}" is not supported by the embedded engine; use the pulumi CLI, or export with --show-secrets`,
    );
  }
  const decrypted = (urn: Urn, value: Value): Value => {
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(item => decrypted(urn, item));
    if (value[SIGNATURE] === SECRET) {
      if (typeof value.plaintext === "string") return makeSecret(JSON.parse(value.plaintext) as Value);
      if (!crypter)
        throw new Error("reading the stack's state: it holds secrets but names no secrets provider");
      const ciphertext = String(value.ciphertext);
      const clear = crypter.decrypt(ciphertext);
      remember(urn, clear, ciphertext);
      return { [SIGNATURE]: SECRET, value: JSON.parse(clear) as Value };
    }
    const result: Properties = {};
    for (const [key, item] of Object.entries(value)) result[key] = decrypted(urn, item);
    return result;
  };
  const read = (raw: ResourceState): ResourceState => {
    refuseForeign(raw);
    const { inputs, outputs, ...rest } = raw;
    const bag = (properties: Properties) => decrypted(raw.urn, properties) as Properties;
    return { ...rest, inputs: inputs ? bag(inputs) : {}, ...(outputs ? { outputs: bag(outputs) } : {}) };
  };
  return {
    resources: (deployment.resources ?? []).map(read),
    pendingOperations: (deployment.pending_operations ?? []).map(operation => ({
      type: operation.type,
      resource: read(operation.resource),
    })),
  };
}

function refuseForeign(raw: ResourceState): void {
  const refuse = (what: string) => {
    throw new Error(
      `reading the stack's state: ${raw.urn} uses ${what}, not supported by the embedded engine; use the pulumi CLI`,
    );
  };
  for (const [field, what] of Object.entries(refusedFields)) {
    const value = (raw as unknown as Record<string, unknown>)[field];
    if (value && (!Array.isArray(value) || value.length > 0)) refuse(what);
  }
  if (raw.custom && raw.type !== PROVIDER_TYPE && !isDynamic(raw.type))
    refuse(`the provider of type ${raw.type}`);
}

/** Whether the type is a Node dynamic resource's. */
export const isDynamic = (type: string): boolean => /^pulumi-nodejs:dynamic[/:]/.test(type);

/** Checks what `pulumi stack import` checks: everything a resource refers to comes before it. */
export function verifyIntegrity(deployment: Deployment): void {
  const seen = new Map<Urn, number>();
  const providers = new Set<string>();
  for (const state of deployment.resources) {
    if (state.type === PROVIDER_TYPE) providers.add(`${state.urn}::${state.id}`);
    if (state.provider && !providers.has(state.provider) && !state.pendingReplacement) {
      throw new Error(
        `checking the stack's state: ${state.urn} refers to the unknown provider ${state.provider}`,
      );
    }
    const needs = [...(state.parent ? [state.parent] : []), ...(state.dependencies ?? [])];
    for (const list of Object.values(state.propertyDependencies ?? {})) needs.push(...list);
    for (const urn of needs) {
      if (!seen.has(urn)) {
        throw new Error(
          `checking the stack's state: ${state.urn} refers to ${urn}, which does not come before it`,
        );
      }
    }
    seen.set(state.urn, (seen.get(state.urn) ?? 0) + (state.delete ? 0 : 1));
    if ((seen.get(state.urn) ?? 0) > 1) {
      throw new Error(`checking the stack's state: there are two of ${state.urn}`);
    }
  }
}

/** Renames what resources refer to after a resource was found under an alias. */
export function followAliases(resources: ResourceState[]): ResourceState[] {
  const renamed = new Map<Urn, Urn>();
  for (const state of resources) {
    for (const alias of state.aliases ?? []) {
      const other = renamed.get(alias);
      if (other && other !== state.urn) {
        throw new Error(`two resources (${other} and ${state.urn}) are aliased to the same one, ${alias}`);
      }
      renamed.set(alias, state.urn);
    }
    const parent = state.parent && renamed.get(state.parent);
    if (parent) {
      const [stack, , , ...name] = state.urn.split("::");
      const project = state.urn.split("::")[1];
      const parentType = parent.split("::")[2];
      const own = state.type;
      const type = parentType && parentType !== STACK_TYPE ? `${parentType}$${own}` : own;
      const urn = `${stack}::${project}::${type}::${name.join("::")}`;
      if (urn !== state.urn) renamed.set(state.urn, urn);
    }
  }
  if (renamed.size === 0) return resources;
  const fix = (urn: Urn): Urn => renamed.get(urn) ?? urn;
  return resources.map(state => {
    const fixed: ResourceState = { ...state, urn: fix(state.urn) };
    if (state.parent) fixed.parent = fix(state.parent);
    if (state.dependencies) fixed.dependencies = state.dependencies.map(fix);
    if (state.provider) {
      const { urn, id } = parseProviderReference(state.provider);
      fixed.provider = `${fix(urn)}::${id}`;
    }
    if (state.propertyDependencies) {
      fixed.propertyDependencies = Object.fromEntries(
        Object.entries(state.propertyDependencies).map(([key, urns]) => [key, urns.map(fix)]),
      );
    }
    delete fixed.aliases;
    return fixed;
  });
}

/** Replaces the file in one step and forces it to the disk: after a crash it holds the old or the new text, whole. */
export async function writeFileDurably(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomUUID()}.tmp`;
  const file = await open(temporary, "wx", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const directory = await open(dirname(path), "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** The state file's content; undefined when there is none. */
export function readStateFile(path: string): DeploymentFile | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as DeploymentFile;
  } catch (cause) {
    throw new Error(`reading the stack's state: ${path} is not JSON`, { cause });
  }
}
