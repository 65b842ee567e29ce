import { resolve } from "node:path";
import {
  absolutePath,
  type CloudFiles,
  type Environment,
  isSettings,
  readCloudFiles,
  type Settings,
} from "./clouds-yaml";
import { ConfigError, type ServiceType } from "./errors";
import { type Proxies, proxiesOf } from "./proxy";
import { Secret } from "./secret";

export type { Environment } from "./clouds-yaml";

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

/** How the user proves who they are. Both "v3password" and "password" of openstacksdk are "password" here, and so on. */
export type AuthType = "password" | "token" | "applicationCredential" | "adminToken" | "none";

/** A user or project, by id or by name within a domain. */
export interface Named {
  id?: string;
  name?: string;
  domainId?: string;
  domainName?: string;
}

/** What a token is to be valid for; an application credential carries its own scope. */
export type Scope =
  | ({ kind: "project" } & Named)
  | { kind: "domain"; id?: string; name?: string }
  | { kind: "system" }
  | { kind: "trust"; id: string }
  | { kind: "unscoped" };

export interface ServiceSettings {
  /** "public", "internal" or "admin", in order of preference. */
  interfaces: string[];
  region?: string;
  /** URL used in place of the catalog's. */
  endpointOverride?: string;
  /** Newest microversion the user wants to be used, "3.60". */
  newestMicroversion?: string;
  /** Name of the service in the catalog, where several of one type are there. */
  serviceName?: string;
}

/** Everything needed to log in to a cloud and find its services. Printing it shows no secret. */
export interface CloudConfig {
  /** Name in clouds.yaml; "envvars" when the login comes from OS_* variables, "" from the Pulumi config alone. */
  cloudName: string;
  /** Where the login comes from, for messages: `cloud "prod" of /etc/openstack/clouds.yaml`. */
  source: string;
  /** "" for the types that ask no Keystone. */
  authUrl: string;
  authType: AuthType;
  user: Named;
  password?: Secret;
  token?: Secret;
  applicationCredentialId?: string;
  applicationCredentialName?: string;
  applicationCredentialSecret?: Secret;
  scope: Scope;
  region?: string;
  services: Record<ServiceType, ServiceSettings>;
  /** False: certificates are not checked. */
  verify: boolean;
  /** PEM text or absolute path of the bundle that replaces the system's. */
  caCert?: string;
  /** PEM text or absolute path of the client certificate; may hold the key too. */
  clientCert?: string;
  /** Absolute path of the client certificate's key. */
  clientKeyFile?: string;
  /** The key itself, PEM. */
  clientKey?: Secret;
  proxies: Proxies;
  /** Longest wait for one answer; default 60. */
  timeoutSeconds: number;
  /** Repetitions after the first try; default 4. */
  maxRetries: number;
  /** First delay between tries, doubled each time up to 16 times; default 0.5. */
  retryDelaySeconds: number;
  /** HTTP requests under way at once; default 16. */
  maxConcurrentRequests: number;
}

/** Names a service type goes by in configuration keys and catalogs, the official one first. */
export const SERVICE_ALIASES: Record<ServiceType, readonly string[]> = {
  "block-storage": ["block-storage", "volumev3", "volumev2", "volume", "block-store"],
  compute: ["compute"],
  image: ["image"],
  identity: ["identity"],
};

const AUTH_TYPES: Record<string, AuthType> = {
  password: "password",
  v3password: "password",
  token: "token",
  v3token: "token",
  v3applicationcredential: "applicationCredential",
  admin_token: "adminToken",
  token_endpoint: "adminToken",
  none: "none",
  None: "none",
};

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

type Flat = Record<string, string>;

/**
 * Finds out which cloud is meant and how to log in to it. Explicit options win over the Pulumi config, that over OS_*
 * variables, those over clouds.yaml; but an entry of clouds.yaml that is named (by option, config or OS_CLOUD) is taken
 * whole, as openstacksdk does, so that a sourced openrc of one cloud never leaks into another.
 * Throws ConfigError when something is missing, contradictory or not supported.
 */
export function resolveCloud(
  options: CloudOptions = {},
  environment: Environment = process.env,
): CloudConfig {
  const directory = resolve(options.directory ?? process.cwd());
  const explicit = explicitSettings(options);
  const files = readCloudFiles(directory, environment);
  const chosen = chooseCloud(options, explicit, files, environment);
  const flat = overlay(chosen.settings, explicit);
  expandTemplates(flat);
  return assemble(chosen, flat, directory, environment, files);
}

function explicitSettings(options: CloudOptions): Flat {
  const flat: Flat = {};
  for (const namespace of ["openstack", "openstackbackup"]) {
    const own: Flat = {};
    for (const [fullKey, value] of Object.entries(options.config ?? {})) {
      if (!fullKey.startsWith(`${namespace}:`) || value === "") continue;
      const key = fullKey.slice(namespace.length + 1);
      const name = PULUMI_KEYS[key];
      if (name !== undefined) own[name] = value;
      if (key === "endpointOverrides") Object.assign(own, endpointOverrides(fullKey, value));
    }
    Object.assign(flat, overlay(flat, own));
  }
  if (options.region) flat.region_name = options.region;
  return flat;
}

function endpointOverrides(fullKey: string, text: string): Flat {
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

interface Chosen {
  name: string;
  source: string;
  settings: Flat;
}

function chooseCloud(
  options: CloudOptions,
  explicit: Flat,
  files: CloudFiles,
  environment: Environment,
): Chosen {
  const named =
    options.cloud || options.config?.["openstackbackup:cloud"] || options.config?.["openstack:cloud"];
  const ownName = environment.OS_CLOUD_NAME || "envvars";
  if (ownName in files.clouds) {
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

function fromFile(name: string, explicit: Flat, files: CloudFiles, environment: Environment): Chosen {
  const entry = files.clouds[name];
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
function flatten(entry: Settings, wantedRegion: string | undefined, strictFor: string | undefined): Flat {
  const region = chooseRegion(entry, wantedRegion, strictFor);
  const { auth: regionAuth, ...regionRest } = region.values;
  const { auth: ownAuth, regions: _, region_name: __, profile: ___, cloud: ____, ...ownRest } = entry;
  const auth = texts({ ...(isSettings(ownAuth) && ownAuth), ...(isSettings(regionAuth) && regionAuth) });
  const top = texts({ ...ownRest, ...regionRest });
  if (region.name) top.region_name = region.name;

  const flat: Flat = { ...top, ...auth };
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

function texts(settings: Settings): Flat {
  const flat: Flat = {};
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

function overlay(under: Flat, over: Flat): Flat {
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
function expandTemplates(flat: Flat): void {
  for (const [key, value] of Object.entries(flat)) {
    if ((SECRETS as readonly string[]).includes(key)) continue;
    flat[key] = value.replace(/\{(\w+)\}/g, (whole, name: string) =>
      (SECRETS as readonly string[]).includes(name) ? whole : (flat[name] ?? whole),
    );
  }
}

function assemble(
  chosen: Chosen,
  flat: Flat,
  directory: string,
  environment: Environment,
  files: CloudFiles,
): CloudConfig {
  const { source } = chosen;
  const authType = authTypeOf(flat, source);
  fillDomains(flat);
  const user = named(flat, "user", "username");
  const endpoint = flat.endpoint ?? flat.url;
  const config: CloudConfig = {
    cloudName: chosen.name,
    source,
    authUrl: authType === "none" || authType === "adminToken" ? "" : authUrlOf(flat, source, files),
    authType,
    user,
    scope: scopeOf(flat, authType),
    ...(flat.password !== undefined && { password: new Secret(flat.password) }),
    ...(flat.token !== undefined && { token: new Secret(flat.token) }),
    ...(flat.application_credential_id !== undefined && {
      applicationCredentialId: flat.application_credential_id,
    }),
    ...(flat.application_credential_name !== undefined && {
      applicationCredentialName: flat.application_credential_name,
    }),
    ...(flat.application_credential_secret !== undefined && {
      applicationCredentialSecret: new Secret(flat.application_credential_secret),
    }),
    ...(flat.region_name !== undefined && { region: flat.region_name }),
    services: Object.fromEntries(
      (Object.keys(SERVICE_ALIASES) as ServiceType[]).map(type => [
        type,
        serviceSettings(type, flat, authType === "none" || authType === "adminToken" ? endpoint : undefined),
      ]),
    ) as Record<ServiceType, ServiceSettings>,
    ...certificates(flat, directory, environment),
    proxies: proxiesOf(environment),
    timeoutSeconds: number(flat, "api_timeout", 60),
    maxRetries: number(flat, "connect_retries", 4),
    retryDelaySeconds: number(flat, "connect_retry_delay", 0.5),
    maxConcurrentRequests: 16,
  };
  requireCredentials(config, endpoint);
  return config;
}

function authTypeOf(flat: Flat, source: string): AuthType {
  const wanted = flat.auth_type;
  if (wanted === undefined) {
    if (flat.application_credential_id ?? flat.application_credential_name) return "applicationCredential";
    return flat.token !== undefined && flat.password === undefined ? "token" : "password";
  }
  const type = AUTH_TYPES[wanted];
  if (type) return type;
  const remedy = wanted.startsWith("v2")
    ? "Keystone v2 is gone since 2018, use v3password"
    : "use password, token, v3applicationcredential, admin_token or none; for federated users (saml, websso, kerberos, oidc) and second factors create an application credential";
  throw new ConfigError(`${source}: the auth type "${wanted}" is not supported: ${remedy}`);
}

function authUrlOf(flat: Flat, source: string, files: CloudFiles): string {
  if (flat.auth_url === undefined) {
    const hint =
      source === "the OS_* variables" && Object.keys(files.clouds).length > 0
        ? `; or name a cloud of ${files.path} with OS_CLOUD`
        : "";
    throw new ConfigError(
      `${source}: no auth URL: set openstack:authUrl, OS_AUTH_URL or auth_url in clouds.yaml${hint}`,
    );
  }
  const url = URL.canParse(flat.auth_url) ? new URL(flat.auth_url) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new ConfigError(`${source}: the auth URL is not an http or https URL`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new ConfigError(
      `${source}: the auth URL holds a user name or password; give them in their own settings`,
    );
  }
  return flat.auth_url;
}

/** One domain may be given for all, and a user without any is looked for in the domain "default". */
function fillDomains(flat: Flat): void {
  const isProjectScoped = flat.project_id !== undefined || flat.project_name !== undefined;
  const lacks = (prefix: string) =>
    flat[`${prefix}_domain_id`] === undefined && flat[`${prefix}_domain_name`] === undefined;
  const fill = (prefix: string, id: string | undefined, name: string | undefined) => {
    if (!lacks(prefix)) return;
    if (id !== undefined) flat[`${prefix}_domain_id`] = id;
    if (name !== undefined) flat[`${prefix}_domain_name`] = name;
  };
  if (isProjectScoped) {
    for (const prefix of ["user", "project"]) fill(prefix, flat.domain_id, flat.domain_name);
    delete flat.domain_id;
    delete flat.domain_name;
  }
  for (const prefix of ["user", "project"]) fill(prefix, flat.default_domain_id, flat.default_domain_name);
  fill("user", flat.project_domain_id ?? flat.domain_id, flat.project_domain_name ?? flat.domain_name);
  fill("project", flat.user_domain_id, flat.user_domain_name);
  for (const prefix of ["user", "project"]) fill(prefix, "default", undefined);
}

function named(flat: Flat, prefix: "user" | "project", nameKey: string): Named {
  const id = flat[`${prefix}_id`];
  const name = flat[nameKey];
  // An id is unique in the cloud; Keystone refuses a domain beside it only in some versions, and never needs it.
  if (id !== undefined) return { id, ...(name !== undefined && { name }) };
  if (name === undefined) return {};
  const domainId = flat[`${prefix}_domain_id`];
  const domainName = flat[`${prefix}_domain_name`];
  return {
    name,
    ...(domainId !== undefined ? { domainId } : domainName !== undefined && { domainName }),
  };
}

function scopeOf(flat: Flat, authType: AuthType): Scope {
  if (authType === "applicationCredential") return { kind: "unscoped" };
  if (flat.trust_id !== undefined) return { kind: "trust", id: flat.trust_id };
  if (flat.system_scope !== undefined && flat.system_scope.toLowerCase() !== "false")
    return { kind: "system" };
  const project = named(flat, "project", "project_name");
  if (project.id !== undefined || project.name !== undefined) return { kind: "project", ...project };
  if (flat.domain_id !== undefined) return { kind: "domain", id: flat.domain_id };
  if (flat.domain_name !== undefined) return { kind: "domain", name: flat.domain_name };
  return { kind: "unscoped" };
}

function serviceSettings(type: ServiceType, flat: Flat, endpoint: string | undefined): ServiceSettings {
  const find = (key: string): string | undefined => {
    for (const alias of SERVICE_ALIASES[type]) {
      const value = flat[`${alias.replaceAll("-", "_")}_${key}`];
      if (value !== undefined) return value;
    }
    return undefined;
  };
  const override = find("endpoint_override") ?? find("endpoint") ?? endpoint;
  if (override !== undefined && !URL.canParse(override.replace(/[%$]\(\w+\)s/g, "x"))) {
    throw new ConfigError(`endpoint override of ${type}: ${JSON.stringify(override)} is not a URL`);
  }
  const region = find("region_name") ?? flat.region_name;
  const newestMicroversion = find("default_microversion");
  const serviceName = find("service_name");
  return {
    interfaces: interfacesOf(find("interface") ?? flat.interface ?? "public"),
    ...(region !== undefined && { region }),
    ...(override !== undefined && { endpointOverride: override }),
    ...(newestMicroversion !== undefined && { newestMicroversion }),
    ...(serviceName !== undefined && { serviceName }),
  };
}

function interfacesOf(value: string): string[] {
  return value.split(",").map(item => {
    const name = item.trim().replace(/URL$/i, "").toLowerCase();
    if (!["public", "internal", "admin"].includes(name)) {
      throw new ConfigError(`interface "${item.trim()}" is not known: use public, internal or admin`);
    }
    return name;
  });
}

function certificates(
  flat: Flat,
  directory: string,
  environment: Environment,
): Pick<CloudConfig, "verify"> &
  Partial<Pick<CloudConfig, "caCert" | "clientCert" | "clientKey" | "clientKeyFile">> {
  const source = (value: string) =>
    value.includes("-----BEGIN") ? value : absolutePath(value, directory, environment);
  const verifyFlag = boolean(flat.verify);
  const verify = boolean(flat.insecure) === true ? false : (verifyFlag ?? true);
  // requests takes a path in place of true, and openstacksdk hands it through.
  const caCert = flat.cacert ?? (verifyFlag === undefined ? flat.verify : undefined);
  const key = flat.key;
  return {
    verify,
    ...(caCert !== undefined && { caCert: source(caCert) }),
    ...(flat.cert !== undefined && { clientCert: source(flat.cert) }),
    ...(flat.cert !== undefined &&
      key !== undefined &&
      (key.includes("-----BEGIN") ? { clientKey: new Secret(key) } : { clientKeyFile: source(key) })),
  };
}

function boolean(value: string | undefined): boolean | undefined {
  if (value === undefined) return undefined;
  if (/^(true|yes|on|y|1)$/i.test(value)) return true;
  return /^(false|no|off|n|0)$/i.test(value) ? false : undefined;
}

function number(flat: Flat, key: string, otherwise: number): number {
  const value = flat[key];
  if (value === undefined) return otherwise;
  const parsed = Number(value);
  if (!Number.isFinite(parsed) || parsed < 0) {
    throw new ConfigError(`${key}: ${JSON.stringify(value)} is not a number of zero or more`);
  }
  return parsed;
}

function requireCredentials(config: CloudConfig, endpoint: string | undefined): void {
  const missing = (what: string) => new ConfigError(`${config.source}: ${what}`);
  const hasUser = config.user.id !== undefined || config.user.name !== undefined;
  switch (config.authType) {
    case "password":
      if (!hasUser) throw missing("no user: set openstack:userName, OS_USERNAME or username in clouds.yaml");
      if (!config.password)
        throw missing("no password: set openstack:password, OS_PASSWORD or password in clouds.yaml");
      return;
    case "token":
      if (!config.token) throw missing("no token: set openstack:token, OS_TOKEN or token in clouds.yaml");
      return;
    case "applicationCredential":
      if (!config.applicationCredentialSecret) {
        throw missing("no secret of the application credential: set application_credential_secret");
      }
      if (config.applicationCredentialId === undefined && !hasUser) {
        throw missing("an application credential given by name needs its user too: set the id, or the user");
      }
      if (config.applicationCredentialId === undefined && config.applicationCredentialName === undefined) {
        throw missing("no application credential: set application_credential_id");
      }
      return;
    case "adminToken":
      if (!config.token) throw missing("the auth type admin_token needs a token");
      if (endpoint === undefined && config.services["block-storage"].endpointOverride === undefined) {
        throw missing("the auth type admin_token needs an endpoint");
      }
      return;
    case "none":
      if (endpoint === undefined && config.services["block-storage"].endpointOverride === undefined) {
        throw missing("the auth type none needs an endpoint");
      }
  }
}
