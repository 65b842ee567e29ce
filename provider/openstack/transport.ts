import { readFileSync } from "node:fs";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import axios, { type AxiosProxyConfig, type AxiosRequestConfig, isAxiosError } from "axios";
import pLimit from "p-limit";
import type { CloudConfig } from "./config";
import { ConfigError } from "./errors";
import { proxyFor } from "./proxy";
import { TunnelAgent } from "./tunnel";

export interface HttpRequest {
  method: string;
  url: string;
  headers: Record<string, string>;
  /** Sent as JSON. */
  body?: unknown;
  signal?: AbortSignal | undefined;
  timeoutSeconds: number;
}

export interface HttpAnswer {
  status: number;
  /** Names in lower case. */
  headers: Record<string, string>;
  text: string;
}

/** No HTTP answer came. Its fields are copied out of axios's error, which holds the token and is let go. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
  constructor(
    message: string,
    readonly code: string,
  ) {
    super(message);
  }
}

const MAXIMUM_ANSWER_BYTES = 256 * 1024 * 1024;
const MAXIMUM_REDIRECTS = 5;

const http = axios.create({
  responseType: "text",
  transformRequest: data => data,
  transformResponse: data => data,
  // Version documents answer 300; every status is judged in one place, the session.
  validateStatus: () => true,
  maxRedirects: 0,
  maxContentLength: MAXIMUM_ANSWER_BYTES,
  maxBodyLength: MAXIMUM_ANSWER_BYTES,
  headers: { "User-Agent": "pulumi-openstack-backup" },
});

/** Sends HTTP requests of one cloud: its certificates, proxies, connections kept alive, so many at once. */
export class Transport {
  /** HTTP requests sent so far. */
  sent = 0;
  readonly #config: CloudConfig;
  readonly #limit: <T>(run: () => Promise<T>) => Promise<T>;
  readonly #tls: { ca?: string; cert?: string; key?: string; rejectUnauthorized: boolean };
  readonly #agents = new Map<string, HttpAgent>();

  constructor(config: CloudConfig) {
    this.#config = config;
    this.#limit = pLimit(config.maxConcurrentRequests);
    this.#tls = {
      rejectUnauthorized: config.verify,
      ...(config.verify &&
        config.caCert !== undefined && { ca: pem("the CA bundle (cacert)", config.caCert) }),
      ...(config.clientCert !== undefined && {
        cert: pem("the client certificate (cert)", config.clientCert),
      }),
    };
    if (config.clientCert !== undefined) {
      // A certificate file without a key file beside it holds both.
      this.#tls.key =
        config.clientKey?.reveal() ??
        pem("the client certificate's key (key)", config.clientKeyFile ?? config.clientCert);
    }
  }

  /** Sends a request; follows redirects of a GET to the same host only, for it carries the token. Throws NoAnswer. */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    let url = new URL(request.url);
    for (let hops = 0; ; hops++) {
      const answer = await this.#limit(() => this.#once(request, url));
      const target = redirectTarget(answer, url);
      if (request.method !== "GET" || hops >= MAXIMUM_REDIRECTS || !target || !isSameHost(url, target))
        return answer;
      url = target;
    }
  }

  async #once(request: HttpRequest, url: URL): Promise<HttpAnswer> {
    request.signal?.throwIfAborted();
    const { timeoutSeconds } = request;
    const abort = new AbortController();
    const onAbort = () => abort.abort();
    const timer = setTimeout(onAbort, timeoutSeconds * 1000);
    request.signal?.addEventListener("abort", onAbort, { once: true });
    this.sent++;
    try {
      const response = await http.request<string>({
        ...this.#route(url, request.method),
        method: request.method,
        url: url.href,
        headers: request.headers,
        ...(request.body !== undefined && { data: JSON.stringify(request.body) }),
        signal: abort.signal,
      });
      return { status: response.status, headers: lowerCase(response.headers), text: response.data ?? "" };
    } catch (error) {
      request.signal?.throwIfAborted();
      if (abort.signal.aborted) {
        throw new NoAnswer(`${url.origin} did not answer within ${timeoutSeconds} s`, "ETIMEDOUT");
      }
      throw noAnswer(error, url);
    } finally {
      clearTimeout(timer);
      request.signal?.removeEventListener("abort", onAbort);
    }
  }

  #route(url: URL, method: string): AxiosRequestConfig {
    // A POST on a connection that the server is just closing has an unknown outcome, so only repeatable verbs reuse one.
    const keepAlive = method === "GET" || method === "DELETE" || method === "HEAD";
    const proxy = proxyFor(url, this.#config.proxies);
    if (url.protocol === "http:") {
      return {
        httpAgent: this.#agent(`http ${keepAlive}`, () => new HttpAgent({ keepAlive })),
        proxy: proxy ? forwardProxy(proxy) : false,
      };
    }
    const options = { ...this.#tls, keepAlive };
    const make = () => (proxy ? new TunnelAgent(proxy, options) : new HttpsAgent(options));
    return { httpsAgent: this.#agent(`https ${keepAlive} ${proxy?.origin}`, make), proxy: false };
  }

  #agent(key: string, make: () => HttpAgent): HttpAgent {
    let agent = this.#agents.get(key);
    if (!agent) {
      agent = make();
      this.#agents.set(key, agent);
    }
    return agent;
  }
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);

function redirectTarget(answer: HttpAnswer, from: URL): URL | undefined {
  const { location } = answer.headers;
  if (!REDIRECTS.has(answer.status) || location === undefined) return undefined;
  return URL.canParse(location, from.href) ? new URL(location, from.href) : undefined;
}

/** Why an answer that came back from `send` as a redirect was not followed. */
export function refusedRedirect(answer: HttpAnswer): string | undefined {
  if (!REDIRECTS.has(answer.status)) return undefined;
  const { location } = answer.headers;
  const target = location !== undefined && URL.canParse(location) ? new URL(location).origin : location;
  return `a redirect to ${target ?? "nowhere"}, which is not followed so that the token goes nowhere else; set the endpoint to where the service is`;
}

/** The service's own id of the request, for its operators' logs. */
export function requestIdOf(headers: Record<string, string>): string | undefined {
  return headers["x-openstack-request-id"] ?? headers["x-compute-request-id"];
}

/** Seconds of a Retry-After header, which may also be a date. */
export function retryAfterOf(answer: HttpAnswer): number | undefined {
  const value = answer.headers["retry-after"];
  if (value === undefined) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}

/** The text's JSON value, undefined when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function forwardProxy(proxy: URL): AxiosProxyConfig {
  const port = Number(proxy.port) || (proxy.protocol === "https:" ? 443 : 80);
  return {
    protocol: proxy.protocol,
    host: proxy.hostname,
    port,
    ...(proxy.username !== "" && {
      auth: { username: decodeURIComponent(proxy.username), password: decodeURIComponent(proxy.password) },
    }),
  };
}

function pem(what: string, source: string): string {
  if (source.includes("-----BEGIN")) return source;
  try {
    return readFileSync(source, "utf8");
  } catch (error) {
    throw new ConfigError(`${what} cannot be read: ${source} (${codeOf(error) || "unknown error"})`);
  }
}

function isSameHost(from: URL, to: URL): boolean {
  if (from.hostname !== to.hostname) return false;
  const isUpgrade =
    from.protocol === "http:" && to.protocol === "https:" && from.port === "" && to.port === "";
  return isUpgrade || (from.protocol === to.protocol && from.port === to.port);
}

function noAnswer(error: unknown, url: URL): NoAnswer {
  const inner: unknown = isAxiosError(error) ? (error.cause ?? error) : error;
  const code = codeOf(error) || codeOf(inner) || "unknown error";
  const message = inner instanceof Error && !(inner instanceof AggregateError) ? inner.message : code;
  const reason = certificateTrouble(code) ?? message;
  return new NoAnswer(`no answer from ${url.origin}: ${reason}`, code);
}

function certificateTrouble(code: string): string | undefined {
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return `its certificate is for another name (${code})`;
  if (code === "CERT_HAS_EXPIRED") return `its certificate has expired (${code})`;
  return /^(DEPTH_ZERO_)?SELF_SIGNED|^UNABLE_TO_|^CERT_/.test(code)
    ? `its certificate is not trusted (${code}); set cacert to the CA that signed it`
    : undefined;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

function lowerCase(headers: object): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers)
      .filter(([, value]) => value !== undefined && value !== null)
      .map(([name, value]) => [name.toLowerCase(), String(value)]),
  );
}
