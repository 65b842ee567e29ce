import { createHash } from "node:crypto";
import type { ZodType } from "zod";
import { Companions } from "../base/companions";
import { propertyPath } from "../base/property-path";
import { completeEndpoint, findEndpoint } from "./catalog";
import type { CloudConfig } from "./config";
import { ApiError, ConfigError, explain, isForbidden, isNotFound, type ServiceType } from "./errors";
import { Login, type Token } from "./login";
import { compareVersions, microversionHeader, newestMicroversion, olderOf } from "./microversion";
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
  Transport,
} from "./transport";

/** One request to a service. */
export interface Call<T> {
  service: ServiceType;
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below the service's endpoint, which includes version and project: "/snapshots/detail". */
  path: string;
  query?: Record<string, string | number | undefined>;
  /** Sent as JSON. */
  body?: unknown;
  /** What the body is; default "application/json". */
  contentType?: string;
  /** What the answer must look like; without it the body is taken as it is. */
  schema?: ZodType<T>;
  /** "3.66"; the service's oldest without it. */
  microversion?: string;
  /** "creating snapshot of volume x": how an error's message begins. */
  doing: string;
  signal?: AbortSignal | undefined;
  /** Longest wait for this answer; the configuration's without it. */
  timeoutSeconds?: number;
  /** True for a POST or PUT that may be sent again when its outcome is unknown. GET and DELETE always are. */
  isRepeatable?: boolean;
}

type AnyCall = Omit<Call<unknown>, "schema">;

export interface Answer<T> {
  status: number;
  body: T;
  /** Names in lower case. */
  headers: Record<string, string>;
  requestId?: string;
}

const OLDEST_MICROVERSIONS: Partial<Record<ServiceType, string>> = { "block-storage": "3.0", compute: "2.1" };

/** The sessions of one process: all resources share a token, and all of one cloud a session and its connections. */
export class Sessions {
  readonly #sessions = new Map<string, Session>();
  readonly #logins = new Map<string, Login>();

  /** The session for a cloud, login and scope. */
  open(config: CloudConfig): Session {
    const key = fingerprint(config);
    const session = this.#sessions.get(key) ?? new Session(config, this.#login(config));
    this.#sessions.set(key, session);
    return session;
  }

  /** A login serves every region and service of its cloud. */
  #login(config: CloudConfig): Login {
    const { services: _, region: __, cloudName: ___, source: ____, ...rest } = config;
    const key = fingerprint(rest);
    const login = this.#logins.get(key) ?? new Login(config, new Transport(config));
    this.#logins.set(key, login);
    return login;
  }
}

/** Talks to the services of one cloud as one user in one scope. Logs in when first needed. */
export class Session {
  readonly cloudName: string;
  /** What others keep of this session. */
  readonly companions = new Companions<Session>(this);
  readonly #config: CloudConfig;
  readonly #transport: Transport;
  readonly #login: Login;
  readonly #microversions = new Map<ServiceType, Promise<string>>();

  constructor(config: CloudConfig, login: Login) {
    this.cloudName = config.cloudName;
    this.#config = config;
    this.#transport = new Transport(config);
    this.#login = login;
  }

  /** HTTP requests sent so far, logins included. */
  get calls(): number {
    return this.#transport.sent + this.#login.sent;
  }

  /** Id of the project the token is for. Throws ConfigError when it is for none. */
  async projectId(): Promise<string> {
    const { projectId } = await this.#login.token();
    if (projectId === undefined) throw this.#noProject();
    return projectId;
  }

  /** Id of the user who is logged in. */
  async userId(): Promise<string> {
    const { userId } = await this.#login.token();
    if (userId === undefined) throw new ConfigError(`${this.#config.source}: the login names no user`);
    return userId;
  }

  /** What a login says of itself: roles in the project, how long it lives, and by how much this machine's clock is ahead. */
  async loginFacts(): Promise<{
    roles: string[];
    livesSeconds: number;
    canRenew: boolean;
    aheadSeconds: number;
  }> {
    const { roles, expiresAtMs, aheadMs } = await this.#login.token();
    return {
      roles,
      livesSeconds: (expiresAtMs - performance.now()) / 1000,
      canRenew: this.#config.authType !== "token",
      aheadSeconds: aheadMs / 1000,
    };
  }

  /** Base URL of a service, with version and, for block storage, project. */
  async endpoint(service: ServiceType): Promise<string> {
    return this.#endpoint(service, await this.#login.token());
  }

  /** Renews the token now if it lives shorter than that: before a long operation that cannot log in by itself. */
  async fresh(minimumSeconds: number): Promise<void> {
    await this.#login.fresh(minimumSeconds);
  }

  /** Newest microversion of the service, from its version document; asked once. */
  async maxMicroversion(service: ServiceType): Promise<string> {
    let known = this.#microversions.get(service);
    if (!known) {
      known = this.#discover(service);
      this.#microversions.set(service, known);
      // A failed question is asked again next time.
      known.catch(() => this.#microversions.delete(service));
    }
    return known;
  }

  /** The microversion to use where this client knows up to `known` and may get less from the cloud or the configuration. */
  async microversion(service: ServiceType, known: string): Promise<string> {
    const newest = olderOf(known, await this.maxMicroversion(service));
    const wanted = this.#config.services[service].newestMicroversion;
    return wanted !== undefined && /^\d+\.\d+$/.test(wanted) ? olderOf(newest, wanted) : newest;
  }

  /** Whether the service has a microversion. */
  async supports(service: ServiceType, version: string): Promise<boolean> {
    return compareVersions(await this.microversion(service, version), version) >= 0;
  }

  /** Sends a request, with the token, retries and a second login if the token is refused. Throws ApiError for every answer but 2xx. */
  async request<T = unknown>(call: Call<T>): Promise<Answer<T>> {
    return this.#retrying(call, () =>
      this.#attempt(call, token => this.#endpoint(call.service, token) + call.path),
    );
  }

  #retrying<T>(call: AnyCall, run: () => Promise<T>): Promise<T> {
    return retrying(run, {
      isRepeatable: call.isRepeatable ?? ["GET", "HEAD", "DELETE"].includes(call.method),
      maxRetries: this.#config.maxRetries,
      retryDelaySeconds: this.#config.retryDelaySeconds,
      signal: call.signal,
    });
  }

  async #attempt<T>(call: Call<T>, urlFor: (token: Token) => string): Promise<Answer<T>> {
    let token = await this.#login.token(call.signal);
    let answer = await this.#send(call, urlFor(token), token);
    if (answer.status === 401) {
      // Revoked, or the service's clock is ahead of Keystone's.
      token = await this.#login.replace(token, call.signal);
      answer = await this.#send(call, urlFor(token), token);
    }
    return this.#read(call, token, answer);
  }

  async #send(call: AnyCall, base: string, token: Token): Promise<HttpAnswer> {
    const url = new URL(base);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const tokenText = token.text.reveal();
    try {
      return await this.#transport.send({
        method: call.method,
        url: url.href,
        headers: {
          Accept: "application/json",
          ...(tokenText !== "" && { "X-Auth-Token": tokenText }),
          ...(call.body !== undefined && { "Content-Type": call.contentType ?? "application/json" }),
          "X-Openstack-Request-Id": RUN_REQUEST_ID,
          ...microversionHeader(call.service, call.microversion),
        },
        body: call.body,
        signal: call.signal,
        timeoutSeconds: call.timeoutSeconds ?? this.#config.timeoutSeconds,
      });
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      throw this.#failure(call, token, undefined, { detail: error.message }, error.code);
    }
  }

  #read<T>(call: Call<T>, token: Token, answer: HttpAnswer): Answer<T> {
    const { status, headers, text } = answer;
    const json = parseJson(text);
    // 300 is how a version document is answered.
    if ((status < 200 || status > 299) && status !== 300) {
      const redirect = refusedRedirect(answer);
      throw this.#failure(call, token, answer, redirect ? { detail: redirect } : explain(status, json, text));
    }
    const requestId = requestIdOf(headers);
    const common = { status, headers, ...(requestId !== undefined && { requestId }) };
    if (!call.schema) return { ...common, body: json as T };
    if (json === undefined) {
      const kind = text.trim() === "" ? "an empty answer" : "an answer that is not JSON";
      throw this.#failure(call, token, answer, { detail: `${kind} where one with content was expected` });
    }
    const parsed = call.schema.safeParse(json);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      const place = propertyPath(issue?.path ?? []) || "the answer";
      throw this.#failure(call, token, answer, {
        detail: `an unexpected answer: ${place}: ${issue?.message}`,
      });
    }
    return { ...common, body: parsed.data };
  }

  #failure(
    call: AnyCall,
    token: Token,
    answer: HttpAnswer | undefined,
    explained: { detail: string; kind?: string },
    code?: string,
  ): ApiError {
    const { password, token: given, applicationCredentialSecret } = this.#config;
    return new ApiError({
      doing: call.doing,
      status: answer?.status ?? 0,
      service: call.service,
      method: call.method,
      path: call.path,
      detail: withoutSecrets(explained.detail, [token.text, password, given, applicationCredentialSecret]),
      kind: explained.kind,
      requestId: answer && requestIdOf(answer.headers),
      retryAfterSeconds: answer && retryAfterOf(answer),
      code,
    });
  }

  #endpoint(service: ServiceType, token: Token): string {
    const settings = this.#config.services[service];
    if (service === "identity" && settings.endpointOverride === undefined && this.#config.authUrl !== "") {
      return completeEndpoint(service, this.#config.authUrl, undefined);
    }
    if (settings.endpointOverride !== undefined) {
      return completeEndpoint(service, settings.endpointOverride, token.projectId);
    }
    if (token.catalog.length === 0 && token.projectId === undefined) throw this.#noProject();
    return completeEndpoint(service, findEndpoint(token.catalog, service, settings), token.projectId);
  }

  async #discover(service: ServiceType): Promise<string> {
    const oldest = OLDEST_MICROVERSIONS[service];
    if (oldest === undefined) throw new ConfigError(`the service ${service} has no microversions`);
    const base = (await this.endpoint(service)).replace(/(\/v\d+(\.\d+)?)(\/[^/]+)?$/, "$1");
    // The versioned document needs a token; the root's needs none, but not every proxy lets it through.
    for (const url of [`${base}/`, base.replace(/\/v\d+(\.\d+)?$/, "/")]) {
      const call = {
        service,
        method: "GET",
        path: new URL(url).pathname,
        doing: `asking ${url} for its versions`,
      } as const;
      try {
        const answer = await this.#retrying(call, () => this.#attempt(call, () => url));
        const newest = newestMicroversion(service, answer.body);
        if (newest !== undefined) return newest;
      } catch (error) {
        if (!isNotFound(error) && !isForbidden(error)) throw error;
      }
    }
    return oldest;
  }

  #noProject(): ConfigError {
    return new ConfigError(
      `${this.#config.source}: the token is for no project: set openstack:tenantName, OS_PROJECT_NAME or project_name in clouds.yaml`,
    );
  }
}

/** A digest of everything in a configuration, secrets included, that tells nothing of them. */
function fingerprint(config: object): string {
  const revealed = JSON.stringify(reveal(config));
  return createHash("sha256").update(revealed).digest("hex");
}

function reveal(value: unknown): unknown {
  if (value instanceof Secret) return value.reveal();
  if (Array.isArray(value)) return value.map(reveal);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, reveal(inner)]));
}
