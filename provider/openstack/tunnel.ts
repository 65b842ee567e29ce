import { request as httpRequest } from "node:http";
import { Agent, type AgentOptions, request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { type ConnectionOptions, connect as tlsConnect } from "node:tls";

const LONGEST_CONNECT_MS = 30_000;

type Callback = (error: Error | null, socket?: unknown) => void;

/**
 * Connections to https hosts through a proxy's CONNECT, kept alive like any agent's.
 * https-proxy-agent would do, but it forgets the CA, and the host's name when that is an IP address
 * (it then checks the certificate against "localhost"), as private clouds' endpoints often are.
 */
export class TunnelAgent extends Agent {
  readonly #proxy: URL;

  constructor(proxy: URL, options: AgentOptions) {
    super(options);
    this.#proxy = proxy;
  }

  /** Called by node:http for a new connection; the callback gets it when the proxy has opened the way. */
  override createConnection(
    options: ConnectionOptions & { host?: string; port?: number | string },
    done: Callback,
  ): undefined {
    const { host = "", port = 443 } = options;
    const target = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
    const proxy = this.#proxy;
    const request = (proxy.protocol === "https:" ? httpsRequest : httpRequest)({
      method: "CONNECT",
      host: proxy.hostname.replace(/^\[|\]$/g, ""),
      port: proxy.port || (proxy.protocol === "https:" ? 443 : 80),
      path: target,
      headers: { Host: target, ...authorization(proxy) },
      agent: false,
      timeout: LONGEST_CONNECT_MS,
    });
    request.once("connect", (response, socket) => {
      if (response.statusCode === 200) {
        done(null, tlsConnect({ ...options, socket, ...(isIP(host) === 0 && { servername: host }) }));
        return;
      }
      socket.destroy();
      done(refusal(proxy, target, response.statusCode));
    });
    request.once("response", response => {
      response.destroy();
      done(refusal(proxy, target, response.statusCode));
    });
    request.once("timeout", () => request.destroy(new Error(`the proxy ${proxy.origin} does not answer`)));
    request.once("error", done);
    request.end();
    return undefined;
  }
}

function authorization({ username, password }: URL): { "Proxy-Authorization"?: string } {
  if (username === "") return {};
  const text = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { "Proxy-Authorization": `Basic ${Buffer.from(text).toString("base64")}` };
}

function refusal(proxy: URL, target: string, status: number | undefined): Error {
  const message = `the proxy ${proxy.origin} refuses a tunnel to ${target} with HTTP ${status}`;
  return Object.assign(new Error(message), { code: "ERR_PROXY" });
}
