import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { parseDocument } from "yaml";
import { ConfigError } from "./errors";

/** The process environment, or a test's own. */
export type Environment = Record<string, string | undefined>;

/** A cloud's settings as openstacksdk names them (`region_name`, `auth`, …); every scalar is the text as it was written. */
export type Settings = { [key: string]: unknown };

/** What the configuration files say. */
export interface CloudFiles {
  /** Path of the clouds file that was read, undefined without one. */
  path?: string;
  clouds: Record<string, Settings>;
  /** Settings of a vendor profile of clouds-public.yaml, undefined when no such profile is there. */
  profile(name: string): Settings | undefined;
}

const SUFFIXES = [".yaml", ".yml", ".json"];

/**
 * Reads clouds.yaml, secure.yaml and clouds-public.yaml from where openstacksdk looks for them: the directory, the user's
 * and the site's configuration directories; the first file of a kind wins, secure.yaml is merged over clouds.yaml.
 */
export function readCloudFiles(directory: string, environment: Environment): CloudFiles {
  const places = searchPath(directory, environment);
  const clouds = readFirst("clouds", "OS_CLIENT_CONFIG_FILE", places, directory, environment);
  const secure = readFirst("secure", "OS_CLIENT_SECURE_FILE", places, directory, environment);
  const merged = merge(clouds?.content ?? {}, secure?.content ?? {});
  const path = clouds?.path ?? secure?.path;
  return {
    ...(path !== undefined && { path }),
    clouds: mapOfMaps(merged.clouds, path),
    profile(name) {
      const vendors = readFirst("clouds-public", undefined, places, directory, environment);
      return vendors && mapOfMaps(vendors.content["public-clouds"], vendors.path)[name];
    },
  };
}

/** Merges nested settings; the second wins. */
export function merge(under: Settings, over: Settings): Settings {
  const result = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const old = result[key];
    result[key] = isSettings(old) && isSettings(value) ? merge(old, value) : value;
  }
  return result;
}

export function isSettings(value: unknown): value is Settings {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A path of a configuration file, "~" and relative ones made absolute. */
export function absolutePath(path: string, directory: string, environment: Environment): string {
  const home = environment.HOME ?? homedir();
  return resolve(directory, path === "~" || path.startsWith("~/") ? join(home, path.slice(1)) : path);
}

function searchPath(directory: string, environment: Environment): string[] {
  const home = environment.HOME ?? homedir();
  const userHome = environment.SNAP_REAL_HOME ?? home;
  const mac = process.platform === "darwin";
  const userConfig =
    environment.XDG_CONFIG_HOME || join(home, mac ? "Library/Application Support" : ".config");
  const siteConfigs = (environment.XDG_CONFIG_DIRS || (mac ? "/Library/Application Support" : "/etc/xdg"))
    .split(delimiter)
    .filter(place => place !== "");
  return [
    directory,
    join(userConfig, "openstack"),
    join(userHome, ".config", "openstack"),
    ...siteConfigs.map(place => join(place, "openstack")),
    "/etc/openstack",
  ];
}

function readFirst(
  name: string,
  variable: string | undefined,
  places: string[],
  directory: string,
  environment: Environment,
): { path: string; content: Settings } | undefined {
  const named = variable === undefined ? undefined : environment[variable];
  if (named) {
    const path = absolutePath(named, directory, environment);
    if (!existsSync(path)) throw new ConfigError(`${variable}: there is no file ${path}`);
    return { path, content: read(path) };
  }
  for (const path of places.flatMap(place => SUFFIXES.map(suffix => join(place, name + suffix)))) {
    if (!existsSync(path)) continue;
    try {
      return { path, content: read(path) };
    } catch (error) {
      // Another user's file in a shared directory is not ours to read, as in openstacksdk.
      if (!isErrno(error, "EACCES")) throw error;
    }
  }
  return undefined;
}

function read(path: string): Settings {
  const text = readFileSync(path, "utf8");
  const content = path.endsWith(".json") ? parseJson(path, text) : parseYaml(path, text);
  if (!isSettings(content)) throw new ConfigError(`${path}: is empty or not a mapping`);
  return content;
}

// The parsers' own messages quote the text, and the text holds passwords: only the position is told.
function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const place = /at position \d+/.exec(String(error))?.[0] ?? "";
    throw new ConfigError(`${path}: is not valid JSON ${place}`.trimEnd());
  }
}

function parseYaml(path: string, text: string): unknown {
  // Scalars stay the text they are: an unquoted password 0123 or 1e3 must not become a number.
  const document = parseDocument(text, {
    schema: "failsafe",
    customTags: ["null"],
    merge: true,
    prettyErrors: true,
    logLevel: "silent",
  });
  const [error] = document.errors;
  if (error) {
    const place = error.linePos ? `line ${error.linePos[0].line}, column ${error.linePos[0].col}` : "";
    throw new ConfigError(`${path}: is not valid YAML at ${place} (${error.code})`);
  }
  try {
    return document.toJS();
  } catch {
    throw new ConfigError(`${path}: is not valid YAML: an alias refers to nothing or repeats too much`);
  }
}

function mapOfMaps(value: unknown, path: string | undefined): Record<string, Settings> {
  if (value === undefined || value === null) return {};
  if (!isSettings(value)) throw new ConfigError(`${path}: "clouds" is not a mapping`);
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]) => [name, isSettings(entry) ? entry : {}]),
  );
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
