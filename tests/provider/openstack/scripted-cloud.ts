import { type CloudConfig, resolveCloud, type Session, Sessions } from "../../../provider/openstack";
import { PROJECT, type Reply, ScriptedServer } from "./scripted-server";

export const PASSWORD = "pa55-w0rd-öß-of-demo";

/** A Keystone and a Cinder as they were recorded, on a server whose other answers a test scripts. */
export class ScriptedCloud {
  /** Path of Cinder's endpoint. */
  readonly cinder = `/cinder/v3/${PROJECT}`;
  #tokens = 0;

  constructor(readonly server: ScriptedServer) {
    server.on("POST", "/keystone/v3/auth/tokens", () => this.login());
    server.on("GET", "/cinder/v3/", server.recorded("cinder-300-v3-version-with-token"));
  }

  static async start(): Promise<ScriptedCloud> {
    return new ScriptedCloud(await new ScriptedServer().start());
  }

  /** Those of one process that uses it. */
  readonly sessions = new Sessions();

  /** A successful login, "token-1-…" first, that lives so long. */
  login(lifetimeSeconds = 3600): Reply {
    const reply = this.server.recorded("keystone-03-token-password-ok");
    const body = reply.body as { token: { expires_at: string; issued_at: string } };
    const issued = Date.parse(body.token.issued_at);
    body.token.expires_at = new Date(issued + lifetimeSeconds * 1000).toISOString();
    this.#tokens++;
    return {
      ...reply,
      headers: { ...reply.headers, "X-Subject-Token": `token-${this.#tokens}-gAAAAABsecret` },
    };
  }

  /** Lets the cloud's newest microversion be this. */
  newestMicroversion(version: string): this {
    const reply = this.server.recorded("cinder-300-v3-version-with-token");
    for (const entry of (reply.body as { versions: { version: string }[] }).versions) entry.version = version;
    this.server.on("GET", "/cinder/v3/", reply);
    return this;
  }

  get environment(): Record<string, string> {
    return {
      HOME: "/nonexistent",
      OS_AUTH_URL: `${this.server.url}/keystone/v3`,
      OS_USERNAME: "demo",
      OS_PASSWORD: PASSWORD,
      OS_PROJECT_NAME: "demo",
      OS_USER_DOMAIN_ID: "default",
      OS_PROJECT_DOMAIN_ID: "default",
    };
  }

  /** The configuration of a user of this cloud, impatient. */
  config(changes: Partial<CloudConfig> = {}): CloudConfig {
    const config = resolveCloud({ directory: "/" }, this.environment);
    return { ...config, retryDelaySeconds: 0.001, maxRetries: 2, timeoutSeconds: 5, ...changes };
  }

  session(changes: Partial<CloudConfig> = {}): Session {
    return this.sessions.open(this.config(changes));
  }

  async stop(): Promise<void> {
    await this.server.stop();
  }
}
