import { resolve } from "node:path";
import { type CloudOptions, type CloudSettings, cloudSettings, type FlatSettings } from "./cloud-settings";
import { absolutePath, type CloudFiles, type Environment } from "./clouds-yaml";
import { ConfigError, type ServiceType } from "./errors";
import { type Proxies, proxiesOf } from "./proxy";
import { Secret } from "./secret";

export type { CloudOptions } from "./cloud-settings";
export type { Environment } from "./clouds-yaml";

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
  network: ["network"],
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
  return assemble(cloudSettings(options, directory, environment), directory, environment);
}

/** The same login for another project, by its id. Throws ConfigError where the login is of one project for good. */
export function ofProject(config: CloudConfig, id: string): CloudConfig {
  if (config.scope.kind === "project" && config.scope.id === id) return config;
  if (config.authType !== "password" && config.authType !== "token")
    throw new ConfigError(
      `${config.source}: projectId is '${id}', and a login by ${config.authType} is of one project: use a password`,
    );
  return { ...config, scope: { kind: "project", id } };
}

function assemble(
  { name, source, settings, files }: CloudSettings,
  directory: string,
  environment: Environment,
): CloudConfig {
  const flat = { ...settings };
  const authType = authTypeOf(flat, source);
  fillDomains(flat);
  const user = named(flat, "user", "username");
  const endpoint = flat.endpoint ?? flat.url;
  const config: CloudConfig = {
    cloudName: name,
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

function authTypeOf(flat: FlatSettings, source: string): AuthType {
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

function authUrlOf(flat: FlatSettings, source: string, files: CloudFiles): string {
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
function fillDomains(flat: FlatSettings): void {
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

function named(flat: FlatSettings, prefix: "user" | "project", nameKey: string): Named {
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

function scopeOf(flat: FlatSettings, authType: AuthType): Scope {
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

function serviceSettings(
  type: ServiceType,
  flat: FlatSettings,
  endpoint: string | undefined,
): ServiceSettings {
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
  flat: FlatSettings,
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

function number(flat: FlatSettings, key: string, otherwise: number): number {
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
