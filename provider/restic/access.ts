import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { ResticError } from "./errors";
import { locate } from "./location";
import { maskUrl, type Redact, redactor } from "./redact";

/** Where a repository is and what opens it. */
export interface RepositoryAccess {
  /** as restic writes it: `/srv/repo`, `s3:https://host/bucket/prefix`, `rest:https://user:pass@host/`, … */
  url: string;
  /** exactly one of password, passwordFile, passwordCommand (or RESTIC_PASSWORD… in environment) */
  password?: string | undefined;
  passwordFile?: string | undefined;
  /** run by restic; its first line of output is the password */
  passwordCommand?: string | undefined;
  /** the keys of the repository's server: AWS_*, B2_*, AZURE_*, GOOGLE_*, OS_*, RCLONE_*, further RESTIC_*; all secret */
  environment?: Record<string, string> | undefined;
  /** PEM file with the certificates to trust */
  caCertFile?: string | undefined;
}

/** An access made ready to run restic with. */
export interface ResolvedAccess {
  url: string;
  /** the url without its password, for messages */
  shownUrl: string;
  /** the same for every way to write and to log in to one repository */
  key: string;
  /** the directory of a repository on this machine */
  localPath: string | undefined;
  /** the variables that reach the repository; they never go into arguments, which every user of the machine can read */
  environment: Record<string, string>;
  /** how the password reaches a source repository (`--from-repo`) */
  secondary: Record<string, string>;
  arguments: string[];
  caCertFile: string | undefined;
  secrets: string[];
}

/**
 * What a restic process inherits from this one: no credentials (AWS_*, OS_* and the like of this process may belong to
 * another cloud), only what it takes to run at all, to find the network and, for sftp, the keys' agent.
 */
const inherited = [
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "TMPDIR",
  "XDG_CACHE_HOME",
  "XDG_CONFIG_HOME",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "ALL_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
  "all_proxy",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "SSH_AUTH_SOCK",
];

/** The variables of `access.environment` that this layer sets itself. */
const reserved = [
  /^RESTIC_REPOSITORY(_FILE)?2?$/,
  /^RESTIC_FROM_/,
  /^RESTIC_PASSWORD(_FILE|_COMMAND)?2$/,
  /^TZ$/,
  /^PWD$/,
];

const passwordVariables = ["RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND"] as const;

/** Checks an access and turns it into variables and arguments; throws a ResticError that names what is wrong. */
export function resolveAccess(access: RepositoryAccess): ResolvedAccess {
  const found = locate(access.url);
  if (typeof found === "string") throw new ResticError("failed", `opening a repository: its url ${found}`);
  const { url, localPath } = found;
  const shownUrl = maskUrl(url);
  const environment = { ...access.environment };
  for (const name of Object.keys(environment)) {
    if (reserved.some(pattern => pattern.test(name)))
      throw new ResticError("failed", `opening ${shownUrl}: environment must not contain ${name}`);
  }
  if (access.password) environment.RESTIC_PASSWORD = access.password;
  if (access.passwordFile) environment.RESTIC_PASSWORD_FILE = resolve(access.passwordFile);
  if (access.passwordCommand) environment.RESTIC_PASSWORD_COMMAND = access.passwordCommand;
  const ways = passwordVariables.filter(name => environment[name]);
  if (ways.length !== 1) {
    const found = ways.length === 0 ? "no password" : `more than one password (${ways.join(", ")})`;
    throw new ResticError(
      "wrong-password",
      `opening ${shownUrl}: ${found} is given; set one of password (RESTIC_PASSWORD), passwordFile (RESTIC_PASSWORD_FILE) and passwordCommand (RESTIC_PASSWORD_COMMAND)`,
    );
  }
  const secondary: Record<string, string> = { RESTIC_FROM_REPOSITORY: url };
  for (const name of ways) secondary[name.replace("RESTIC_", "RESTIC_FROM_")] = environment[name] as string;
  return {
    url,
    shownUrl,
    key: repositoryKey(url, localPath),
    localPath,
    environment,
    secondary,
    arguments: access.caCertFile ? ["--cacert", resolve(access.caCertFile)] : [],
    caCertFile: access.caCertFile && resolve(access.caCertFile),
    secrets: [...(access.password ? [access.password] : []), ...Object.values(environment), ...userInfo(url)],
  };
}

function repositoryKey(url: string, localPath: string | undefined): string {
  const plain = localPath ?? url.replace(/:\/\/[^/]*@/, "://").replace(/\/+$/, "");
  return createHash("sha256").update(plain).digest("hex").slice(0, 32);
}

function userInfo(url: string): string[] {
  const password = /:\/\/[^/:@]*:([^/]*)@/.exec(url)?.[1];
  if (!password) return [];
  try {
    return [password, decodeURIComponent(password)];
  } catch {
    return [password];
  }
}

/** The whole environment of a restic process for this access; `extra` wins. */
export function childEnvironment(
  access: ResolvedAccess,
  extra: Record<string, string>,
): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const name of inherited) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  // restic takes and prints times without a zone
  return { ...environment, ...access.environment, RESTIC_REPOSITORY: access.url, TZ: "UTC", ...extra };
}

/** Takes the secrets of all these accesses out of a text. */
export function redactorOf(...accesses: ResolvedAccess[]): Redact {
  return redactor(accesses.flatMap(access => access.secrets));
}

/**
 * The variables for a command that reads from `source` and writes to `target`. restic knows one set of server keys, so
 * two accesses that need different values of one variable cannot be used together.
 */
export function secondaryEnvironment(target: ResolvedAccess, source: ResolvedAccess): Record<string, string> {
  const environment: Record<string, string> = { ...source.secondary };
  for (const [name, value] of Object.entries(source.environment)) {
    if (name.startsWith("RESTIC_PASSWORD") || target.environment[name] === value) continue;
    if (target.environment[name] !== undefined)
      throw new ResticError(
        "failed",
        `copying from ${source.shownUrl} to ${target.shownUrl}: both need their own ${name}, and restic can hold only one; reach one of them over another backend (rest, rclone)`,
      );
    environment[name] = value;
  }
  return environment;
}
