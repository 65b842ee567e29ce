import {
  Agent,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

/** What happens to a request instead of, or around, its way to the cloud. */
export type Harm =
  /** Answered with this status, headers and body; the cloud never sees the request unless it `takesEffect`. */
  | { status: number; headers?: Record<string, string>; body?: unknown; takesEffect?: boolean }
  /** The connection ends without an answer and the cloud never sees the request. */
  | { lost: "request" }
  /** The cloud carries the request out, and the connection ends without an answer. */
  | { lost: "answer" }
  /** The cloud carries the request out, and the connection ends in the middle of the answer. */
  | { half: true }
  /** The request waits first. */
  | { delayMs: number }
  /** Called first and waited for, then the request goes on. */
  | { before: (request: PassedRequest) => unknown }
  /** Called and waited for when the cloud has answered, before the answer goes on. */
  | { between: (request: PassedRequest, answer: string) => unknown }
  /** Called when the answer has gone. */
  | { after: () => unknown };

/** Which requests a fault harms, and how often. */
export interface ProxyFault {
  harm: Harm;
  /** Tested against "POST /volume/v3/<project>/snapshots"; default every request. */
  match?: RegExp;
  /** Let this many matching requests through first. Default 0. */
  after?: number;
  /** Harm this many. Default 1. */
  times?: number;
}

/** A request that passed by, or did not. */
export interface PassedRequest {
  method: string;
  /** Below the proxy, with the query. */
  path: string;
  /** 0 without an answer. */
  status: number;
}

interface Entry extends ProxyFault {
  seen: number;
  harmed: number;
}

/**
 * Stands on loopback in front of a cloud's endpoints and makes requests fail on command, on any cloud alike. An answer
 * of its own echoes the request's headers and body, as some services' error pages do: secrets in it must not get into
 * messages.
 */
export class FaultProxy {
  readonly requests: PassedRequest[] = [];
  /** Every token that passed by. */
  readonly tokens = new Set<string>();
  /** Called after each request that the cloud has carried out. */
  onPassed: (request: PassedRequest) => void = () => {};
  private readonly server: Server;
  private readonly agent = new Agent({ keepAlive: true });
  private entries: Entry[] = [];
  private readonly inFlight = new Set<Promise<unknown>>();

  private constructor(private readonly upstreams: Readonly<Record<string, string>>) {
    this.server = createServer((incoming, answer) => {
      this.pass(incoming, answer).catch(() => answer.destroy());
    });
  }

  /** `upstreams`: name of each endpoint to its URL; it is then at `url(name)`. */
  static async start(upstreams: Record<string, string>): Promise<FaultProxy> {
    const proxy = new FaultProxy(upstreams);
    await new Promise<void>(resolve => proxy.server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  url(name: string): string {
    const { port } = this.server.address() as AddressInfo;
    return `http://127.0.0.1:${port}/${name}`;
  }

  /** Returns how many requests the fault has harmed so far. */
  inject(fault: ProxyFault): () => number {
    const entry = { ...fault, seen: 0, harmed: 0 };
    this.entries.push(entry);
    return () => entry.harmed;
  }

  clear(): void {
    this.entries = [];
  }

  /** Removes the faults and says which of them met no request: what such a one was to show was not shown. */
  mend(): string[] {
    const unmet = this.entries.filter(({ harmed, times = 1 }) => harmed === 0 && Number.isFinite(times));
    this.clear();
    return unmet.map(({ match, harm }) => `${JSON.stringify(harm)} on ${match ?? "any request"}`);
  }

  /** Resolves when the cloud has answered everything that got through, also to clients that are gone. */
  async idle(): Promise<void> {
    while (this.inFlight.size > 0) await Promise.allSettled(this.inFlight);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise(resolve => this.server.close(resolve));
    this.agent.destroy();
  }

  private async pass(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const method = incoming.method ?? "GET";
    const path = incoming.url ?? "/";
    const record: PassedRequest = { method, path, status: 0 };
    this.requests.push(record);
    const token = incoming.headers["x-auth-token"];
    if (typeof token === "string") this.tokens.add(token);
    const body = await collected(incoming);
    const harm = this.harmOf(`${method} ${path}`);
    if (harm && "before" in harm) await harm.before(record);
    if (harm && "delayMs" in harm) await new Promise(resolve => setTimeout(resolve, harm.delayMs));
    if (harm && "lost" in harm && harm.lost === "request") return void incoming.socket.destroy();
    if (harm && "status" in harm && !harm.takesEffect) {
      record.status = harm.status;
      const echo = `${JSON.stringify(incoming.headers)} ${body}`;
      const said = { computeFault: { code: harm.status, message: `The server has failed on ${echo}` } };
      return answerWith(answer, harm, said);
    }
    const forwarded = this.forward(method, path, incoming, body);
    this.inFlight.add(forwarded);
    const passed = await forwarded.finally(() => this.inFlight.delete(forwarded));
    record.status = passed.status;
    this.onPassed(record);
    if (harm && "between" in harm) await harm.between(record, passed.body.toString("utf8"));
    if (harm && "lost" in harm) return void incoming.socket.destroy();
    if (harm && "status" in harm) return answerWith(answer, harm, {});
    if (harm && "after" in harm) answer.once("finish", harm.after);
    answer.writeHead(passed.status, passed.headers);
    if (!(harm && "half" in harm)) return void answer.end(passed.body);
    answer.write(passed.body.subarray(0, passed.body.length / 2), () => incoming.socket.destroy());
  }

  private harmOf(line: string): Harm | undefined {
    for (const entry of this.entries) {
      if (entry.match && !entry.match.test(line)) continue;
      entry.seen++;
      if (entry.seen <= (entry.after ?? 0) || entry.harmed >= (entry.times ?? 1)) continue;
      entry.harmed++;
      return entry.harm;
    }
    return undefined;
  }

  private forward(
    method: string,
    path: string,
    incoming: IncomingMessage,
    body: Buffer,
  ): Promise<{ status: number; headers: IncomingMessage["headers"]; body: Buffer }> {
    const [, name = "", rest = ""] = /^\/([^/]+)(.*)$/.exec(path) ?? [];
    const url = new URL(`${this.upstreams[name]}${rest}`);
    const { host: _, connection: __, ...headers } = incoming.headers;
    return new Promise((resolve, reject) => {
      const outgoing = request(url, { method, headers, agent: this.agent }, async reply => {
        const { connection: ___, "transfer-encoding": ____, ...kept } = reply.headers;
        resolve({ status: reply.statusCode ?? 502, headers: kept, body: await collected(reply) });
      });
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  }
}

function answerWith(
  answer: ServerResponse,
  { status, headers, body }: { status: number; headers?: Record<string, string>; body?: unknown },
  otherwise: unknown,
): void {
  answer.writeHead(status, { "content-type": "application/json", ...headers });
  answer.end(JSON.stringify(body ?? otherwise));
}

async function collected(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
