import { type CloudFiles, type Environment, isSettings, readCloudFiles, type Settings } from "./clouds-yaml";
import { ConfigError } from "./errors";

/** What a caller chooses explicitly; everything left out comes from the environment and clouds.yaml. */
export interface CloudOptions {
  /** Name of an entry of clouds.yaml. */
  cloud?: string;
  region?: string;
  /** Pulumi config, full keys to values: `openstackbackup:*` wins over the Pulumi OpenStack provider's `openstack:*`. */
  config?: Record<string, string>;
  /** Where the search for clouds.yaml begins and relative paths are rooted; default is the working directory. */
  directory?: string;
}

/** A cloud's settings by openstacksdk's names, without levels: `auth_url`, `project_name`, `volume_endpoint_override`. */
export type FlatSettings = Record<string, string>;

/** The cloud that was chosen and all that is said of it. */
export interface CloudSettings {
  /** Name in clouds.yaml; "envvars" when the login comes from OS_* variables, "" from the Pulumi config alone. */
  name: string;
  /** Where the login comes from, for messages. */
  source: string;
  settings: FlatSettings;
  files: CloudFiles;
}

/** Keys of the Pulumi OpenStack provider (and ours) to openstacksdk's. */
const PULUMI_KEYS: Record<string, string> = {
  authUrl: "auth_url",
  authType: "auth_type",
  region: "region_name",
  userName: "username",
  userId: "user_id",
  password: "password",
  token: "token",
  applicationCredentialId: "application_credential_id",
  applicationCredentialName: "application_credential_name",
  applicationCredentialSecret: "application_credential_secret",
  tenantId: "project_id",
  tenantName: "project_name",
  projectId: "project_id",
  projectName: "project_name",
  userDomainName: "user_domain_name",
  userDomainId: "user_domain_id",
  projectDomainName: "project_domain_name",
  projectDomainId: "project_domain_id",
  domainId: "domain_id",
  domainName: "domain_name",
  defaultDomain: "default_domain_id",
  systemScope: "system_scope",
  insecure: "insecure",
  cacertFile: "cacert",
  cert: "cert",
  key: "key",
  endpointType: "interface",
  maxRetries: "connect_retries",
};

/**
 * The Pulumi configuration keys that are read: our own, then those that users of the Pulumi OpenStack provider already
 * have (https://www.pulumi.com/registry/packages/openstack/installation-configuration/).
 */
export const configurationKeys: readonly string[] = ["openstackbackup", "openstack"].flatMap(namespace =>
  ["cloud", ...Object.keys(PULUMI_KEYS), "endpointOverrides"].map(key => `${namespace}:${key}`),
);

/** Settings of which a higher source's one makes a lower source's other meaningless. */
const RIVALS = [
  ["user_id", "username"],
  ["project_id", "project_name"],
  ["user_domain_id", "user_domain_name"],
  ["project_domain_id", "project_domain_name"],
  ["domain_id", "domain_name"],
] as const;

const SECRETS = ["password", "token", "application_credential_secret"] as const;

/** Ways to log in: a higher source that chooses one way drops the lower sources' others. */
const WAYS = [
  ["application_credential_id", "application_credential_name", "application_credential_secret"],
  ["token"],
  ["password"],
] as const;

/** Variables that describe a login; other OS_* ones (OS_NAME of a build machine) make no cloud. */
const LOGIN_KEYS = new Set([
  ...Object.values(PULUMI_KEYS).filter(
    key => !["region_name", "insecure", "cacert", "cert", "key", "interface"].includes(key),
  ),
  "tenant_id",
  "tenant_name",
  "user_name",
  "auth_token",
  "auth_plugin",
  "default_domain_name",
  "endpoint",
  "trust_id",
]);

/**
 * Chooses a cloud and brings together what options, Pulumi config, OS_* variables and configuration files say of it.
 * Throws ConfigError.
 */
export function cloudSettings(
  options: CloudOptions,
  directory: string,
  environment: Environment,
): CloudSettings {
  const explicit = explicitSettings(options);
  const files = readCloudFiles(directory, environment);
  const { name, source, settings } = chooseCloud(options, explicit, files, environment);
  return { name, source, settings: expandTemplates(overlay(settings, explicit)), files };
}

function explicitSettings(options: CloudOptions): FlatSettings {
  let flat: FlatSettings = {};
  for (const namespace of ["openstack", "openstackbackup"]) {
    const own: FlatSettings = {};
    for (const [fullKey, value] of Object.entries(options.config ?? {})) {
      if (!fullKey.startsWith(`${namespace}:`) || value === "") continue;
      const key = fullKey.slice(namespace.length + 1);
      const name = PULUMI_KEYS[key];
      if (name !== undefined) own[name] = value;
      if (key === "endpointOverrides") Object.assign(own, endpointOverrides(fullKey, value));
    }
    flat = overlay(flat, own);
  }
  if (options.region) flat.region_name = options.region;
  return flat;
}

function endpointOverrides(fullKey: string, text: string): FlatSettings {
  const refusal = new ConfigError(`${fullKey}: is not a JSON object of service types and URLs`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refusal;
  }
  if (!isSettings(value)) throw refusal;
  return Object.fromEntries(
    Object.entries(value).map(([type, url]) => {
      const official = type === "blockstorage" ? "block_storage" : type.replaceAll("-", "_");
      return [`${official}_endpoint_override`, String(url)];
    }),
  );
}

type Chosen = Omit<CloudSettings, "files">;

function chooseCloud(
  options: CloudOptions,
  explicit: FlatSettings,
  files: CloudFiles,
  environment: Environment,
): Chosen {
  const named =
    options.cloud || options.config?.["openstackbackup:cloud"] || options.config?.["openstack:cloud"];
  const ownName = environment.OS_CLOUD_NAME || "envvars";
  if (Object.hasOwn(files.clouds, ownName)) {
    throw new ConfigError(
      `${files.path}: defines a cloud named "${ownName}", which is the name of the login by OS_* variables; rename it, or set OS_CLOUD_NAME`,
    );
  }
  const variables = fromEnvironment(environment);
  const isLogin = Object.keys(variables).some(key => LOGIN_KEYS.has(key));
  const name = named || environment.OS_CLOUD;
  if (name && name !== ownName) return fromFile(name, explicit, files, environment);
  if (isLogin || name === ownName) {
    return {
      name: ownName,
      source: "the OS_* variables",
      settings: flatten(variables, explicit.region_name, undefined),
    };
  }
  if (explicit.auth_url !== undefined) return { name: "", source: "the Pulumi config", settings: {} };
  const names = Object.keys(files.clouds);
  const [only] = names;
  if (only !== undefined && names.length === 1) return fromFile(only, explicit, files, environment);
  if (names.length > 1) {
    throw new ConfigError(
      `${files.path} has the clouds ${names.join(", ")}: choose one with the cloud property or OS_CLOUD`,
    );
  }
  if (Object.keys(explicit).length > 0 || Object.keys(variables).length > 0) {
    return { name: "", source: "the Pulumi config and the OS_* variables", settings: {} };
  }
  throw new ConfigError(
    "no OpenStack login is configured: set openstack:authUrl and the keys with it, or OS_AUTH_URL and the variables with it, or name a cloud of clouds.yaml with the cloud property or OS_CLOUD",
  );
}

function fromEnvironment(environment: Environment): Settings {
  const settings: Settings = {};
  for (const [variable, value] of Object.entries(environment)) {
    if (!variable.startsWith("OS_") || /^OS_(TEST|STD|LOG)/.test(variable) || value === undefined) continue;
    if (["OS_CLOUD", "OS_CLOUD_NAME", "OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE"].includes(variable))
      continue;
    // An openrc exports what it does not know as an empty string.
    if (value !== "") settings[variable.slice(3).toLowerCase()] = value;
  }
  return settings;
}

function fromFile(name: string, explicit: FlatSettings, files: CloudFiles, environment: Environment): Chosen {
  const entry = Object.hasOwn(files.clouds, name) ? files.clouds[name] : undefined;
  if (entry === undefined) {
    const known = Object.keys(files.clouds);
    const where = files.path ?? "clouds.yaml, which was not found";
    throw new ConfigError(
      `cloud "${name}" is not in ${where}${known.length > 0 ? `; it has ${known.join(", ")}` : ""}`,
    );
  }
  const own = normalize(entry);
  const profileName = text(own.profile) ?? text(own.cloud);
  const profile = normalize((profileName && files.profile(profileName)) || {});
  const { auth: profileAuth, ...profileRest } = profile;
  const combined: Settings = {
    ...profileRest,
    ...own,
    auth: { ...(isSettings(profileAuth) && profileAuth), ...(isSettings(own.auth) && own.auth) },
  };
  const region = explicit.region_name ?? (environment.OS_REGION_NAME || undefined);
  const settings = flatten(combined, region, name);
  for (const secret of SECRETS) {
    // A clouds.yaml without secrets, the secret in the CI job's environment.
    const value = environment[`OS_${secret.toUpperCase()}`];
    if (value && !SECRETS.some(key => settings[key] !== undefined)) settings[secret] = value;
  }
  if (profileName && settings.auth_url === undefined && Object.keys(profile).length === 0) {
    throw new ConfigError(
      `cloud "${name}" of ${files.path}: there is no profile "${profileName}" in clouds-public.yaml; set auth_url in the entry`,
    );
  }
  return { name, source: `cloud "${name}" of ${files.path}`, settings };
}

/** Keys with "-" are written with "_", at every level; scalars become text. */
function normalize(settings: Settings): Settings {
  return Object.fromEntries(
    Object.entries(settings)
      .filter(([, value]) => value !== undefined && value !== null)
      .map(([key, value]) => [key.replaceAll("-", "_"), isSettings(value) ? normalize(value) : value]),
  );
}

function text(value: unknown): string | undefined {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    ? String(value)
    : undefined;
}

/** One flat record of a cloud entry: the region's values over the entry's, the `auth` block, old names made new. */
function flatten(
  entry: Settings,
  wantedRegion: string | undefined,
  strictFor: string | undefined,
): FlatSettings {
  const region = chooseRegion(entry, wantedRegion, strictFor);
  const { auth: regionAuth, ...regionRest } = region.values;
  const { auth: ownAuth, regions: _, region_name: __, profile: ___, cloud: ____, ...ownRest } = entry;
  const auth = texts({ ...(isSettings(ownAuth) && ownAuth), ...(isSettings(regionAuth) && regionAuth) });
  const top = texts({ ...ownRest, ...regionRest });
  if (region.name) top.region_name = region.name;

  const flat: FlatSettings = { ...top, ...auth };
  // What describes the scope counts more outside the auth block than inside (openstacksdk's _fix_backwards_auth).
  for (const [target, ...old] of [
    ["project_id", "tenant_id"],
    ["project_name", "tenant_name"],
    ["domain_id"],
    ["domain_name"],
    ["user_domain_id"],
    ["user_domain_name"],
    ["project_domain_id"],
    ["project_domain_name"],
    ["token", "auth_token"],
    ["auth_type", "auth_plugin"],
    ["username", "user_name"],
  ] as const) {
    const winner = target === "username" ? [auth, top] : [top, auth];
    const values = [target, ...old].flatMap(key => winner.map(place => place[key]));
    for (const key of old) delete flat[key];
    const value = values.find(candidate => candidate !== undefined);
    if (value !== undefined) flat[target] = value;
  }
  for (const key of Object.keys(flat)) {
    if (!key.endsWith("endpoint_type")) continue;
    const target = key.replace(/endpoint_type$/, "interface");
    flat[target] = flat[key] as string;
    delete flat[key];
  }
  return flat;
}

function texts(settings: Settings): FlatSettings {
  const flat: FlatSettings = {};
  for (const [key, value] of Object.entries(settings)) {
    const scalar = Array.isArray(value) ? value.map(String).join(",") : text(value);
    if (scalar !== undefined && scalar !== "") flat[key] = scalar;
  }
  return flat;
}

function chooseRegion(
  entry: Settings,
  wanted: string | undefined,
  cloud: string | undefined,
): { name: string; values: Settings } {
  const listed = Array.isArray(entry.regions) ? entry.regions : undefined;
  const regions = (listed ?? text(entry.region_name)?.split(",") ?? entry.region_name ?? []) as unknown[];
  const known = (Array.isArray(regions) ? regions : []).map(region =>
    isSettings(region)
      ? { name: text(region.name) ?? "", values: isSettings(region.values) ? normalize(region.values) : {} }
      : { name: String(region), values: {} },
  );
  if (!wanted) return known[0] ?? { name: "", values: {} };
  const found = known.find(region => region.name === wanted);
  if (found) return found;
  if (known.length === 0 || cloud === undefined) return { name: wanted, values: {} };
  throw new ConfigError(
    `region "${wanted}" is not a region of cloud "${cloud}": it has ${known.map(region => region.name).join(", ")} (upper and lower case count)`,
  );
}

function overlay(under: FlatSettings, over: FlatSettings): FlatSettings {
  const result = { ...under };
  for (const pair of RIVALS) {
    if (!pair.some(key => over[key] !== undefined)) continue;
    for (const key of pair) delete result[key];
  }
  const way = WAYS.find(keys => keys.some(key => over[key] !== undefined));
  if (way) {
    for (const keys of WAYS) if (keys !== way) for (const key of keys) delete result[key];
    delete result.auth_type;
  }
  return Object.assign(result, over);
}

/** Values may refer to others: `auth_url: https://{region_name}.example.com:5000/v3`. Secrets are taken as they are. */
function expandTemplates(flat: FlatSettings): FlatSettings {
  const result = { ...flat };
  for (const [key, value] of Object.entries(flat)) {
    if ((SECRETS as readonly string[]).includes(key)) continue;
    result[key] = value.replace(/\{(\w+)\}/g, (whole, name: string) =>
      (SECRETS as readonly string[]).includes(name) ? whole : (flat[name] ?? whole),
    );
  }
  return result;
}
