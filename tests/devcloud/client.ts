import { strict as assert } from "node:assert";
import { until } from "../until";

export interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: the tests look into answers of any shape
  body: any;
}

/** A bare client: one user's token, paths below the project's endpoint, no retries. */
export class Client {
  token = "";
  endpoint = "";
  projectId = "";
  readonly microversion: string | undefined;
  private readonly environment: Record<string, string>;

  constructor(environment: Record<string, string>, microversion?: string) {
    this.environment = environment;
    this.microversion = microversion;
  }

  static async login(environment: Record<string, string>, microversion?: string): Promise<Client> {
    const client = new Client(environment, microversion);
    await client.authenticate();
    return client;
  }

  async authenticate(): Promise<void> {
    const { OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME } = this.environment;
    const domain = { id: "default" };
    const answer = await call("POST", `${OS_AUTH_URL}/auth/tokens`, {
      auth: {
        identity: {
          methods: ["password"],
          password: { user: { name: OS_USERNAME, domain, password: OS_PASSWORD } },
        },
        scope: { project: { name: OS_PROJECT_NAME, domain } },
      },
    });
    assert.equal(answer.status, 201);
    this.token = answer.headers.get("x-subject-token") ?? "";
    this.projectId = answer.body.token.project.id;
    this.endpoint = answer.body.token.catalog
      .find((service: { type: string }) => service.type === "volumev3")
      .endpoints.find((endpoint: { interface: string }) => endpoint.interface === "public").url;
  }

  send(method: string, path: string, body?: unknown, microversion = this.microversion): Promise<Answer> {
    return call(method, /^https?:/.test(path) ? path : this.endpoint + path, body, {
      "X-Auth-Token": this.token,
      ...(microversion && { "OpenStack-API-Version": `volume ${microversion}` }),
    });
  }

  /** Polls until the volume or snapshot has one of the statuses; 404 counts as "gone". */
  async waitFor(path: string, ...statuses: string[]): Promise<string> {
    const seen: string[] = [];
    const reached = async () => {
      const answer = await this.send("GET", path);
      const status = answer.status === 404 ? "gone" : (answer.body.volume ?? answer.body.snapshot).status;
      if (seen.at(-1) !== status) seen.push(status);
      return statuses.includes(status) && (status as string);
    };
    return until(`${path} to be ${statuses.join(" or ")}`, reached, { seconds: 5, every: 3 }).catch(error => {
      throw new Error(`${error.message}; it went ${seen.join(", ")}`, { cause: error });
    });
  }
}

export async function call(
  method: string,
  url: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(url, {
    method,
    redirect: "manual",
    headers: {
      Accept: "application/json",
      ...(body !== undefined && { "Content-Type": "application/json" }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  return {
    status: response.status,
    headers: response.headers,
    body: isJson && text !== "" ? JSON.parse(text) : text,
  };
}
