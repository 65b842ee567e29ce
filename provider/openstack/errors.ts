/** The services this client talks to, by their official type. */
export type ServiceType = "block-storage" | "compute" | "image" | "network" | "identity";

const PROJECT_NAMES: Record<ServiceType, string> = {
  "block-storage": "cinder",
  compute: "nova",
  image: "glance",
  network: "neutron",
  identity: "keystone",
};

/** A configuration that cannot work; the message names the property or variable and the remedy. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** What is known of a request that did not succeed. */
export interface Failure {
  /** What was being done, "creating snapshot of volume x": the beginning of the message. */
  doing: string;
  /** HTTP status; 0 when no HTTP answer came at all. */
  status: number;
  service: ServiceType;
  method: string;
  path: string;
  /** What came back, in the service's own words, free of secrets. */
  detail: string;
  /** The envelope's name, "overLimit" or "itemNotFound", where there is one. */
  kind?: string | undefined;
  requestId?: string | undefined;
  retryAfterSeconds?: number | undefined;
  /** System or TLS error code when no answer came, "ECONNREFUSED". */
  code?: string | undefined;
}

/** A service answered with an error, with something unreadable, or not at all. Never holds the request's headers or body. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly service: ServiceType;
  readonly method: string;
  readonly path: string;
  readonly detail: string;
  readonly kind?: string;
  readonly requestId?: string;
  readonly retryAfterSeconds?: number;
  readonly code?: string;

  constructor(failure: Failure) {
    const { doing, status, service, method, path, detail, kind, requestId, retryAfterSeconds, code } =
      failure;
    const facts = [status > 0 ? `HTTP ${status}` : undefined, PROJECT_NAMES[service], requestId];
    const known = facts.filter(fact => fact !== undefined).join(", ");
    super(`${doing}: ${detail} (${known})${adviceOn(failure)}`);
    this.status = status;
    this.service = service;
    this.method = method;
    this.path = path;
    this.detail = detail;
    if (kind !== undefined) this.kind = kind;
    if (requestId !== undefined) this.requestId = requestId;
    if (retryAfterSeconds !== undefined) this.retryAfterSeconds = retryAfterSeconds;
    if (code !== undefined) this.code = code;
  }
}

/** What to do, where the status tells. */
function adviceOn({ status, detail, retryAfterSeconds = 0 }: Failure): string {
  if ((status === 413 && retryAfterSeconds === 0) || (status === 403 && saysOverQuota(detail)))
    return "; free some of the project's quota, or have it raised";
  return status === 403 ? "; the user's roles in this project do not allow it: ask who runs the cloud" : "";
}

const saysOverQuota = (detail: string): boolean => /^quota exceeded/i.test(detail);

function hasStatus(error: unknown, ...statuses: number[]): error is ApiError {
  return error instanceof ApiError && statuses.includes(error.status);
}

/** The thing does not exist, or not for this project: the only answer that means gone. */
export function isNotFound(error: unknown): error is ApiError {
  return hasStatus(error, 404);
}

/** Something else is being done to the thing just now (Nova's 409). */
export function isConflict(error: unknown): error is ApiError {
  return hasStatus(error, 409);
}

/** The user may not do this; a quota that Nova reports as 403 is not meant. */
export function isForbidden(error: unknown): error is ApiError {
  return hasStatus(error, 403) && !isOverQuota(error);
}

/** The token, or at login the credentials, were refused. */
export function isUnauthorized(error: unknown): error is ApiError {
  return hasStatus(error, 401);
}

/**
 * A quota is exhausted. Cinder answers 413 overLimit with `Retry-After: 0`, which is no invitation to retry;
 * Nova answers 403 and says it in words only ("Quota exceeded for instances: …").
 */
export function isOverQuota(error: unknown): error is ApiError {
  return hasStatus(error, 413) || (hasStatus(error, 403) && saysOverQuota(error.detail));
}

/** The request cannot be carried out as it is: wrong value, or the thing is in the wrong state (Cinder's 400). */
export function isBadRequest(error: unknown): error is ApiError {
  return hasStatus(error, 400);
}

/** No HTTP answer at all: refused, timed out, dropped, or the certificate was not accepted. */
export function isUnreachable(error: unknown): error is ApiError {
  return hasStatus(error, 0);
}

/** The error's name and words in an answer's body, whichever service wrote it. */
export function explain(status: number, body: unknown, text: string): { detail: string; kind?: string } {
  if (typeof body === "object" && body !== null) {
    // Keystone {"error": {…}}, Cinder and Nova {"badRequest": {…}}: one key that holds code and message.
    for (const [kind, inner] of Object.entries(body)) {
      const message = messageOf(inner);
      if (message !== undefined) return { detail: message, kind };
    }
    const message = messageOf(body);
    if (message !== undefined) return { detail: message };
  }
  return { detail: plain(text) || `no explanation with status ${status}` };
}

function messageOf(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null || !("message" in value)) return undefined;
  return typeof value.message === "string" ? plain(value.message) || undefined : undefined;
}

/** One line without markup: Cinder's 404 for an unknown path carries "<br />", proxies answer whole pages. */
function plain(text: string): string {
  const line = text
    .replace(
      /<(style|script|head)\b[\s\S]*?<\/\1>/gi,
      match => /<title>([\s\S]*?)<\/title>/i.exec(match)?.[1] ?? " ",
    )
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ")
    .trim();
  return line.length > 500 ? `${line.slice(0, 500)}…` : line;
}

/** For `.catch` of a removal: what is gone is well, but a service that has lost its way says 404 of what is there too. */
export function unlessStillThere(look: () => Promise<unknown>): (error: unknown) => Promise<undefined> {
  return async error => {
    if (!isNotFound(error) || (await look().catch(undefinedIfNotFound)) !== undefined) throw error;
  };
}

/** For `.catch`: a thing that is gone reads as undefined, every other error goes on. */
export function undefinedIfNotFound(error: unknown): undefined {
  if (!isNotFound(error)) throw error;
}
