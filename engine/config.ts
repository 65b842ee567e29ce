import { existsSync, readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parseDocument } from "yaml";
import type { Crypter } from "./secrets";
import { writeFileDurably } from "./state";

/** What Pulumi.yaml says. */
export interface Project {
  name: string;
  /** Directory of Pulumi.yaml. */
  directory: string;
  /** Directory that the program runs in: `main`, or the project's. */
  programDirectory: string;
  /** What to run in it: a path, or "." for what package.json names. */
  entryPoint: string;
  /** `runtime.options` of Pulumi.yaml. */
  options: RuntimeOptions;
  /** Defaults of the project's own configuration, full keys. */
  defaults: ConfigMap;
}

/** The options of the nodejs runtime that this engine honours; packagemanager and production concern `install` only. */
export interface RuntimeOptions {
  typescript?: boolean;
  tsconfig?: string;
  nodeargs?: string;
}

/** A configuration value in the clear. */
export interface ConfigValue {
  value: string;
  secret?: boolean;
}
/** Configuration by full key, `project:key`. */
export type ConfigMap = Record<string, ConfigValue>;

/** Reads the Pulumi.yaml of the directory or the nearest one above it. */
export function readProject(directory: string): Project {
  let root = resolve(directory);
  let file: string | undefined;
  for (;;) {
    file = ["Pulumi.yaml", "Pulumi.yml"].map(name => join(root, name)).find(existsSync);
    if (file || dirname(root) === root) break;
    root = dirname(root);
  }
  if (!file) throw new Error(`reading the project: no Pulumi.yaml in ${resolve(directory)} or above it`);
  const document = parseDocument(readFileSync(file, "utf8"));
  if (document.errors[0]) throw new Error(`reading ${file}: ${document.errors[0].message}`);
  const yaml = (document.toJS() ?? {}) as {
    name?: string;
    runtime?: string | { name?: string; options?: Record<string, unknown> };
    main?: string;
    config?: Record<string, unknown>;
    plugins?: { providers?: unknown[] };
    packages?: object;
  };
  if (typeof yaml.name !== "string") throw new Error(`reading ${file}: it has no name`);
  const runtime = typeof yaml.runtime === "string" ? { name: yaml.runtime, options: {} } : yaml.runtime;
  if (runtime?.name !== "nodejs") {
    throw new Error(
      `reading ${file}: runtime ${JSON.stringify(runtime?.name)} is not supported by the embedded engine, only nodejs`,
    );
  }
  root = realpathSync(root);
  const main = resolve(root, yaml.main ?? ".");
  const isDirectory = !/\.[cm]?[jt]s$/.test(main);
  return {
    name: yaml.name,
    directory: root,
    programDirectory: isDirectory ? main : dirname(main),
    entryPoint: isDirectory ? "." : basename(main),
    options: runtimeOptions(file, runtime.options ?? {}),
    defaults: projectDefaults(yaml.name, yaml.config ?? {}),
  };
}

function runtimeOptions(file: string, raw: Record<string, unknown>): RuntimeOptions {
  const types: Record<string, string> = {
    typescript: "boolean",
    tsconfig: "string",
    nodeargs: "string",
    packagemanager: "string",
    production: "boolean",
  };
  for (const [key, value] of Object.entries(raw)) {
    if (!types[key])
      throw new Error(`reading ${file}: runtime option "${key}" is not supported by the embedded engine`);
    if (typeof value !== types[key])
      throw new Error(`reading ${file}: runtime option "${key}" must be a ${types[key]}`);
  }
  return raw as RuntimeOptions;
}

function projectDefaults(project: string, raw: Record<string, unknown>): ConfigMap {
  const defaults: ConfigMap = {};
  for (const [name, entry] of Object.entries(raw)) {
    const key = fullKey(project, name);
    const value =
      typeof entry === "object" && entry !== null && !Array.isArray(entry)
        ? ((entry as { default?: unknown; value?: unknown }).value ??
          (entry as { default?: unknown }).default)
        : entry;
    if (value !== undefined && value !== null) defaults[key] = { value: configText(value) };
  }
  return defaults;
}

const configText = (value: unknown): string =>
  typeof value === "object" ? JSON.stringify(value) : String(value);

/** `key` of the project itself, or `namespace:key` as it is. */
export const fullKey = (project: string, key: string): string =>
  key.includes(":") ? key : `${project}:${key}`;

type RawValue = string | number | boolean | { secure?: string } | object;

/** The stack's settings, Pulumi.<stack>.yaml; keeps the file's comments and order when it changes one value. */
export class StackConfig {
  private constructor(
    readonly path: string,
    private readonly project: string,
    private readonly document: ReturnType<typeof parseDocument>,
  ) {}

  /** Opens the file; a missing one is empty. */
  static read(project: Project, stack: string): StackConfig {
    const path = join(project.directory, `Pulumi.${stack}.yaml`);
    const document = parseDocument(existsSync(path) ? readFileSync(path, "utf8") : "");
    if (document.errors[0]) throw new Error(`reading ${path}: ${document.errors[0].message}`);
    if (document.has("secretsprovider")) {
      throw new Error(
        `reading ${path}: secretsprovider is not supported by the embedded engine, only a passphrase`,
      );
    }
    if (document.has("environment")) {
      throw new Error(
        `reading ${path}: environments (ESC) are not supported by the embedded engine; use the pulumi CLI`,
      );
    }
    return new StackConfig(path, project.name, document);
  }

  /** What `encryptionsalt` says. */
  get salt(): string | undefined {
    const salt = this.document.get("encryptionsalt");
    return typeof salt === "string" ? salt : undefined;
  }

  set salt(salt: string) {
    this.document.set("encryptionsalt", salt);
  }

  /** Whether any value is encrypted. */
  get hasSecrets(): boolean {
    return Object.values(this.raw()).some(value => securedText(value) !== undefined || holdsSecure(value));
  }

  private raw(): Record<string, RawValue> {
    return ((this.document.toJS() ?? {}) as { config?: Record<string, RawValue> }).config ?? {};
  }

  /** All values in the clear, by full key. */
  values(crypter: Crypter | undefined): ConfigMap {
    const clear = (text: string): string => {
      if (!crypter) throw new Error(`reading ${this.path}: it holds secrets; set PULUMI_CONFIG_PASSPHRASE`);
      return crypter.decrypt(text);
    };
    const deep = (value: unknown): unknown => {
      if (typeof value !== "object" || value === null) return value;
      if (Array.isArray(value)) return value.map(deep);
      const secured = securedText(value);
      if (secured !== undefined) return clear(secured);
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, deep(item)]));
    };
    const values: ConfigMap = {};
    for (const [key, value] of Object.entries(this.raw())) {
      const secured = securedText(value);
      if (secured !== undefined) values[fullKey(this.project, key)] = { value: clear(secured), secret: true };
      else {
        const secret = holdsSecure(value);
        values[fullKey(this.project, key)] = {
          value: configText(deep(value)),
          ...(secret ? { secret } : {}),
        };
      }
    }
    return values;
  }

  /** Sets one value; a secret needs the crypter. */
  set(key: string, value: ConfigValue, crypter: Crypter | undefined): void {
    if (value.secret && !crypter)
      throw new Error("encrypting a configuration value: set PULUMI_CONFIG_PASSPHRASE");
    const full = fullKey(this.project, key);
    this.document.setIn(
      ["config", full],
      value.secret ? { secure: crypter?.encrypt(value.value) } : value.value,
    );
  }

  /** Removes one value; false when there was none. */
  remove(key: string): boolean {
    const full = fullKey(this.project, key);
    if (!(full in this.raw())) return false;
    this.document.deleteIn(["config", full]);
    return true;
  }

  /** Writes the file. */
  async save(): Promise<void> {
    await writeFileDurably(this.path, this.document.toString());
  }
}

const securedText = (value: unknown): string | undefined => {
  if (typeof value !== "object" || value === null || Object.keys(value).length !== 1) return undefined;
  const secure = (value as { secure?: unknown }).secure;
  return typeof secure === "string" ? secure : undefined;
};

const holdsSecure = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  (securedText(value) !== undefined || Object.values(value).some(holdsSecure));
