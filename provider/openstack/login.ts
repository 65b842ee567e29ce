import { z } from "zod";
import { Catalog, keystoneUrl } from "./catalog";
import type { CloudConfig, Named } from "./config";
import { ApiError, ConfigError, explain } from "./errors";
import { retrying } from "./retry";
import { RUN_REQUEST_ID } from "./run";
import { Secret, withoutSecrets } from "./secret";
import {
  type HttpAnswer,
  NoAnswer,
  parseJson,
  refusedRedirect,
  requestIdOf,
  retryAfterOf,
  type Transport,
} from "./transport";

/** A token and what Keystone said with it. */
export interface Token {
  text: Secret;
  /** On this process's monotonic clock, milliseconds: Keystone's and this machine's calendars may differ. */
  issuedAtMs: number;
  expiresAtMs: number;
  projectId?: string;
  userId?: string;
  /** Names of the user's roles in the scope. */
  roles: string[];
  /** By how much this machine's calendar is ahead of Keystone's, in milliseconds; negative where it is behind. */
  aheadMs: number;
  catalog: Catalog;
}

const TokenAnswer = z.looseObject({
  token: z.looseObject({
    expires_at: z.string(),
    issued_at: z.string().optional(),
    user: z.looseObject({ id: z.string() }).optional(),
    project: z.looseObject({ id: z.string() }).optional(),
    roles: z.array(z.looseObject({ name: z.string() })).default([]),
    catalog: Catalog.default([]),
  }),
});

const RENEW_BEFORE_MS = 60_000;

/** The token of one cloud and scope: made once for all callers, renewed before it expires. */
export class Login {
  readonly #config: CloudConfig;
  readonly #transport: Transport;
  #current: Token | undefined;
  #pending: Promise<Token> | undefined;

  /** HTTP requests sent so far. */
  get sent(): number {
    return this.#transport.sent;
  }

  constructor(config: CloudConfig, transport: Transport) {
    this.#config = config;
    this.#transport = transport;
  }

  /** A token that lives for another minute at least, if Keystone gives such ones. */
  async token(signal?: AbortSignal): Promise<Token> {
    return this.#livingFor(RENEW_BEFORE_MS, signal);
  }

  /** Makes sure that the token lives for so many seconds; logs in anew if it does not and was not made just now. */
  async fresh(minimumSeconds: number, signal?: AbortSignal): Promise<void> {
    await this.#livingFor(Math.max(minimumSeconds * 1000, RENEW_BEFORE_MS), signal);
  }

  /** A token other than the one that was refused; callers that were refused together share one login. */
  async replace(refused: Token, signal?: AbortSignal): Promise<Token> {
    if (this.#current === refused) this.#current = undefined;
    return this.token(signal);
  }

  async #livingFor(minimumMs: number, signal: AbortSignal | undefined): Promise<Token> {
    signal?.throwIfAborted();
    const now = performance.now();
    const token = this.#current;
    // A new token is the best there is, even if Keystone's lifetimes are shorter than what is asked for.
    const isNew =
      token !== undefined && now - token.issuedAtMs < Math.min(RENEW_BEFORE_MS, lifetime(token) / 2);
    if (token && (token.expiresAtMs - now >= minimumMs || isNew)) return token;
    this.#pending ??= this.#logIn().finally(() => {
      this.#pending = undefined;
    });
    return abortable(this.#pending, signal);
  }

  async #logIn(): Promise<Token> {
    this.#current = await logIn(this.#config, this.#transport);
    return this.#current;
  }
}

function lifetime(token: Token): number {
  return token.expiresAtMs - token.issuedAtMs;
}

/** The login is shared, so one caller's abort ends only that caller's wait. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function logIn(config: CloudConfig, transport: Transport): Promise<Token> {
  const now = performance.now();
  if (config.authType === "none" || config.authType === "adminToken") {
    return {
      text: config.token ?? new Secret(""),
      issuedAtMs: now,
      expiresAtMs: Number.POSITIVE_INFINITY,
      ...(config.scope.kind === "project" && config.scope.id !== undefined && { projectId: config.scope.id }),
      ...(config.user.id !== undefined && { userId: config.user.id }),
      roles: [],
      aheadMs: 0,
      catalog: [],
    };
  }
  const answer = await retrying(
    () => ask(config, transport),
    // Tokens cost nothing, so a login whose outcome is unknown may be repeated.
    { isRepeatable: true, maxRetries: config.maxRetries, retryDelaySeconds: config.retryDelaySeconds },
  );
  const subject = answer.headers["x-subject-token"];
  const parsed = TokenAnswer.safeParse(parseJson(answer.text));
  if (!subject || !parsed.success) {
    throw failure(
      config,
      answer,
      `the answer of ${keystoneUrl(config.authUrl)} is not Keystone's: is the auth URL right`,
    );
  }
  const { expires_at, issued_at, project, user, roles, catalog } = parsed.data.token;
  const issuedMs = issued_at === undefined ? Date.now() : Date.parse(issued_at);
  const lifetimeMs = Date.parse(expires_at) - issuedMs;
  return {
    text: new Secret(subject),
    issuedAtMs: now,
    expiresAtMs: now + (Number.isFinite(lifetimeMs) ? lifetimeMs : 0),
    ...(project && { projectId: project.id }),
    ...(user && { userId: user.id }),
    roles: roles.map(({ name }) => name),
    // a token that was given lives on from an earlier time
    aheadMs: config.authType === "token" || !Number.isFinite(issuedMs) ? 0 : Date.now() - issuedMs,
    catalog,
  };
}

async function ask(config: CloudConfig, transport: Transport): Promise<HttpAnswer> {
  let answer: HttpAnswer;
  try {
    answer = await transport.send({
      method: "POST",
      url: `${keystoneUrl(config.authUrl)}/auth/tokens`,
      headers: {
        Accept: "application/json",
        "Content-Type": "application/json",
        "X-Openstack-Request-Id": RUN_REQUEST_ID,
      },
      body: { auth: { identity: identity(config), ...scope(config) } },
      timeoutSeconds: config.timeoutSeconds,
    });
  } catch (error) {
    if (error instanceof NoAnswer) throw failure(config, undefined, error.message, error);
    throw error;
  }
  if (answer.status === 201 || answer.status === 200) return answer;
  const { detail, kind } = explain(
    answer.status,
    parseJson(answer.text),
    refusedRedirect(answer) ?? answer.text,
  );
  throw failure(config, answer, withoutSecrets(detail, secretsOf(config)), undefined, kind);
}

function failure(
  config: CloudConfig,
  answer: HttpAnswer | undefined,
  detail: string,
  noAnswer?: NoAnswer,
  kind?: string,
): ApiError {
  return new ApiError({
    doing: "failed to authenticate with OpenStack",
    status: answer?.status ?? 0,
    service: "identity",
    method: "POST",
    path: "/auth/tokens",
    detail: `${detail.replace(/\.$/, "")}; ${who(config)} at ${keystoneUrl(config.authUrl)}, by ${config.source}${remedy(config, answer)}`,
    kind,
    requestId: answer && requestIdOf(answer.headers),
    retryAfterSeconds: answer && retryAfterOf(answer),
    code: noAnswer?.code,
  });
}

function who(config: CloudConfig): string {
  const parts: string[] = [];
  if (config.authType === "applicationCredential") {
    parts.push(
      `application credential ${config.applicationCredentialId ?? config.applicationCredentialName}`,
    );
  }
  const user = describe("user", config.user);
  if (config.authType === "token") parts.push("a given token");
  else if (user && config.applicationCredentialId === undefined) parts.push(user);
  const { scope } = config;
  if (scope.kind === "project") parts.push(describe("project", scope) ?? "");
  else if (scope.kind === "domain") parts.push(`domain ${scope.id ?? scope.name}`);
  else if (scope.kind !== "unscoped") parts.push(`${scope.kind} scope`);
  return parts.join(", ");
}

function describe(what: string, { id, name, domainId, domainName }: Named): string | undefined {
  if (id !== undefined) return `${what} ${id}`;
  return name === undefined ? undefined : `${what} "${name}" of domain ${domainName ?? domainId}`;
}

function remedy(config: CloudConfig, answer: HttpAnswer | undefined): string {
  if (answer?.status !== 401) return "";
  switch (config.authType) {
    case "password":
      return "; check user, password, project and both domains (Keystone does not tell which is wrong), and that the user has a role in the project";
    case "applicationCredential":
      return "; check id and secret, and that the credential has not expired";
    default:
      return "; the token may have expired: use a password or an application credential for unattended runs";
  }
}

function identity(config: CloudConfig): Record<string, unknown> {
  switch (config.authType) {
    case "token":
      return { methods: ["token"], token: { id: config.token?.reveal() } };
    case "applicationCredential": {
      const { applicationCredentialId: id, applicationCredentialName: name } = config;
      return {
        methods: ["application_credential"],
        application_credential: {
          ...(id !== undefined ? { id } : { name, user: wire(config.user) }),
          secret: config.applicationCredentialSecret?.reveal(),
        },
      };
    }
    case "password":
      return {
        methods: ["password"],
        password: { user: { ...wire(config.user), password: config.password?.reveal() } },
      };
    default:
      throw new ConfigError(`the auth type ${config.authType} has no login`);
  }
}

function scope(config: CloudConfig): { scope?: unknown } {
  const { scope } = config;
  switch (scope.kind) {
    case "project":
      return { scope: { project: wire(scope) } };
    case "domain":
      return { scope: { domain: scope.id !== undefined ? { id: scope.id } : { name: scope.name } } };
    case "system":
      return { scope: { system: { all: true } } };
    case "trust":
      return { scope: { "OS-TRUST:trust": { id: scope.id } } };
    case "unscoped":
      return {};
  }
}

function wire({ id, name, domainId, domainName }: Named): Record<string, unknown> {
  if (id !== undefined) return { id };
  return { name, domain: domainId !== undefined ? { id: domainId } : { name: domainName } };
}

function secretsOf(config: CloudConfig): (Secret | undefined)[] {
  return [config.password, config.token, config.applicationCredentialSecret];
}
