import { readFileSync } from "node:fs";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";

/** What the server answers; "drop" cuts the connection, "hang" never answers. */
export interface Reply {
  status?: number;
  headers?: Record<string, string>;
  /** An object is sent as JSON, a string as it is. */
  body?: unknown;
  fault?: "drop" | "hang";
}

/** A request as the server saw it. */
export interface Seen {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: Record<string, string>;
  body: unknown;
}

type Replier = Reply | ((seen: Seen) => Reply | Promise<Reply>);

/** A server that answers from a script, over real HTTP on a free port of 127.0.0.1. */
export class ScriptedServer {
  readonly requests: Seen[] = [];
  readonly #routes: { method: string; path: string | RegExp; repliers: Replier[] }[] = [];
  readonly #server: Server;
  readonly #scheme: string;

  constructor(tls?: ServerOptions) {
    const listener: RequestListener = (request, response) => void this.#answer(request, response);
    this.#scheme = tls ? "https" : "http";
    this.#server = tls ? createTlsServer(tls, listener) : createServer(listener);
  }

  async start(): Promise<this> {
    await new Promise<void>(resolve => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise(resolve => this.#server.close(resolve));
  }

  /** Calls the listener for every connection from now on, over TLS when its handshake is done. */
  onConnection(listener: (socket: Socket) => void): void {
    this.#server.on(this.#scheme === "https" ? "secureConnection" : "connection", listener);
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Answers requests by the replies in turn, the last one for ever. A later call for the same route replaces it. */
  on(method: string, path: string | RegExp, ...repliers: Replier[]): this {
    this.#routes.unshift({ method, path, repliers: [...repliers] });
    return this;
  }

  /** The requests of a method whose path ends so. */
  seen(method: string, pathEnd: string): Seen[] {
    return this.requests.filter(request => request.method === method && request.path.endsWith(pathEnd));
  }

  /** A recorded answer of a real cloud, its URLs turned to this server: Keystone below /keystone, Cinder below /cinder. */
  recorded(name: string): Reply {
    const path = join(__dirname, "../../fixtures/openstack/recordings", `${name}.json`);
    const text = readFileSync(path, "utf8")
      .replaceAll("http://127.0.0.1:15000", `${this.url}/keystone`)
      .replaceAll("http://127.0.0.1:18776", `${this.url}/cinder`);
    const { status, headers, body } = JSON.parse(text).response;
    const kept = Object.entries(headers as Record<string, string>).filter(
      ([header]) => !/^(content-length|date|server|connection)$/i.test(header),
    );
    return { status, headers: Object.fromEntries(kept), body };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? "/", this.url);
    const text = Buffer.concat(chunks).toString("utf8");
    const seen: Seen = {
      method: request.method ?? "",
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers as Record<string, string>,
      body: text === "" ? undefined : JSON.parse(text),
    };
    this.requests.push(seen);
    const reply = await this.#reply(seen);
    if (reply.fault === "hang") return;
    if (reply.fault === "drop") {
      request.socket.destroy();
      return;
    }
    const { body } = reply;
    const payload = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
    response.writeHead(reply.status ?? 200, { "Content-Type": "application/json", ...reply.headers });
    response.end(payload);
  }

  async #reply(seen: Seen): Promise<Reply> {
    const route = this.#routes.find(
      ({ method, path }) =>
        method === seen.method && (typeof path === "string" ? path === seen.path : path.test(seen.path)),
    );
    if (!route) return { status: 599, body: { unscripted: `${seen.method} ${seen.path}` } };
    const replier = (route.repliers.length > 1 ? route.repliers.shift() : route.repliers[0]) ?? {};
    return typeof replier === "function" ? replier(seen) : replier;
  }
}

/** The project of the recordings. */
export const PROJECT = "19f8ab3acb5144b38a6d5cea67111b83";
