import { randomUUID } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as the services see it. */
export interface HttpRequest {
  method: string;
  /** Percent-decoded path without the query. */
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** `http://127.0.0.1:<port>`. */
  origin: string;
  /** `req-<uuid>`, answered as x-openstack-request-id. */
  requestId: string;
}

/** An answer: an object is sent as JSON, a string as it is, undefined as an empty body. */
export interface Reply {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
  /** Ends the connection instead of answering. */
  drop?: boolean;
  /** Ends the connection in the middle of the body. */
  half?: boolean;
  /** Called when all is sent. */
  onSent?: () => void;
}

/** Larger bodies are refused, as oslo.middleware's default does. */
const maximumBodyBytes = 114_688;

/** Listens on the loopback interface only and hands each request to the handler. */
export class HttpServer {
  private readonly server: Server;
  private readonly handler: (request: HttpRequest) => Promise<Reply>;
  private port = 0;

  constructor(handler: (request: HttpRequest) => Promise<Reply>) {
    this.handler = handler;
    this.server = createServer((incoming, response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      incoming.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size <= maximumBodyBytes) chunks.push(chunk);
      });
      incoming.on("error", () => response.destroy());
      incoming.on("end", () => {
        const url = new URL(incoming.url ?? "/", this.origin);
        const request: HttpRequest = {
          method: incoming.method ?? "GET",
          path: decodePath(url.pathname),
          query: url.searchParams,
          headers: incoming.headers,
          body: Buffer.concat(chunks),
          origin: this.origin,
          requestId: `req-${randomUUID()}`,
        };
        void this.answer(request, size > maximumBodyBytes, response);
      });
    });
    this.server.keepAliveTimeout = 65_000;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(port, "127.0.0.1", () => {
        this.server.off("error", reject);
        resolve();
      });
    });
    this.port = (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>(resolve => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }

  private async answer(request: HttpRequest, tooLarge: boolean, response: ServerResponse): Promise<void> {
    let reply: Reply;
    try {
      reply = tooLarge ? { status: 413, body: "Request is too large." } : await this.handler(request);
    } catch (error) {
      reply = {
        status: 500,
        body: `devcloud failed: ${error instanceof Error ? error.stack : String(error)}`,
      };
    }
    if (reply.drop) {
      response.socket?.destroy();
      return;
    }
    send(response, request, reply);
  }
}

function send(response: ServerResponse, request: HttpRequest, reply: Reply): void {
  const text =
    reply.body === undefined ? "" : typeof reply.body === "string" ? reply.body : JSON.stringify(reply.body);
  response.statusCode = reply.status;
  response.setHeader(
    "Content-Type",
    typeof reply.body === "string" ? "text/plain; charset=utf8" : "application/json",
  );
  response.setHeader("x-openstack-request-id", request.requestId);
  for (const [name, value] of Object.entries(reply.headers ?? {})) response.setHeader(name, value);
  if (reply.status !== 204) response.setHeader("Content-Length", Buffer.byteLength(text));
  if (reply.onSent) response.once("finish", reply.onSent);
  if (reply.half) {
    response.write(text.slice(0, text.length / 2), () => response.socket?.destroy());
    return;
  }
  response.end(request.method === "HEAD" || reply.status === 204 ? undefined : text);
}

function decodePath(pathname: string): string {
  try {
    return decodeURIComponent(pathname);
  } catch {
    return pathname;
  }
}
