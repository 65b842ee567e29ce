import { createServer, request, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";

/** A proxy as companies have it: CONNECT for https, absolute URLs for http; it writes down what it could read. */
export class ScriptedProxy {
  /** "CONNECT 127.0.0.1:443" and "GET http://…". */
  readonly seen: string[] = [];
  readonly authorizations: (string | undefined)[] = [];
  /** Status with which CONNECT is refused. */
  refusal: number | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor() {
    this.#server = createServer((incoming, outgoing) => {
      this.#note(incoming.method, incoming.url, incoming.headers["proxy-authorization"]);
      const { "proxy-authorization": _, ...headers } = incoming.headers;
      const onward = request(
        incoming.url ?? "",
        { method: incoming.method, headers, agent: false },
        answer => {
          outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
          answer.pipe(outgoing);
        },
      );
      incoming.pipe(onward);
    });
    this.#server.on("connect", (incoming, client: Socket) => {
      this.#note("CONNECT", incoming.url, incoming.headers["proxy-authorization"]);
      if (this.refusal !== undefined) {
        client.end(`HTTP/1.1 ${this.refusal} No\r\nContent-Length: 0\r\n\r\n`);
        return;
      }
      const [host, port] = (incoming.url ?? "").split(":");
      const target = connect(Number(port), host ?? "", () => {
        client.write("HTTP/1.1 200 Connection established\r\n\r\n");
        target.pipe(client).pipe(target);
      });
      for (const socket of [client, target]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
      }
    });
  }

  async start(): Promise<this> {
    await new Promise<void>(resolve => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.closeAllConnections();
    await new Promise(resolve => this.#server.close(resolve));
  }

  #note(method: string | undefined, url: string | undefined, authorization: string | undefined): void {
    this.seen.push(`${method} ${url}`);
    this.authorizations.push(authorization);
  }
}
