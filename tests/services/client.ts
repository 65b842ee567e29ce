/** OS_* variables of one user in one project. */
export type OpenstackEnvironment = Record<string, string>;

/** Answer of a service: its status, headers and JSON (an empty object when there is none). */
export interface ClientAnswer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: fixtures read single fields of many documents
  body: any;
}

/** A signed-in user: plain requests to the services of the catalog. */
export interface Client {
  projectId: string;
  userId: string;
  /** Sends the request and answers whatever came back, errors too. */
  send(method: string, serviceType: string, path: string, body?: unknown): Promise<ClientAnswer>;
  /** The same, but throws on a status of 400 and more. */
  call(method: string, serviceType: string, path: string, body?: unknown): Promise<ClientAnswer>;
  /** Puts bytes, as an image's data; throws on a status of 400 and more. */
  upload(serviceType: string, path: string, bytes: string): Promise<void>;
}

const microversions: Record<string, string> = {
  volumev3: "volume 3.71",
  compute: "compute 2.96",
  placement: "placement 1.39",
};

async function send(
  method: string,
  url: string,
  headers: Record<string, string>,
  body: unknown,
): Promise<ClientAnswer> {
  const answer = await fetch(url, {
    method,
    headers: { Accept: "application/json", "Content-Type": "application/json", ...headers },
    signal: AbortSignal.timeout(30_000),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  const json = answer.headers.get("content-type")?.includes("json") && text !== "";
  return { status: answer.status, headers: answer.headers, body: json ? JSON.parse(text) : {} };
}

/** Signs in with a password; throws when Keystone refuses. */
export async function signIn(environment: OpenstackEnvironment): Promise<Client> {
  const domain = { id: "default" };
  const user = { name: environment.OS_USERNAME, password: environment.OS_PASSWORD, domain };
  const auth = {
    identity: { methods: ["password"], password: { user } },
    scope: { project: { name: environment.OS_PROJECT_NAME, domain } },
  };
  const signedIn = await send("POST", `${environment.OS_AUTH_URL}/auth/tokens`, {}, { auth });
  if (signedIn.status !== 201)
    throw new Error(`signing in ${environment.OS_USERNAME}: HTTP ${signedIn.status}`);
  const token = signedIn.body.token;
  const endpoint = (type: string): string => {
    // Keystone has no catalog entries before its own are made.
    if (type === "identity") return environment.OS_AUTH_URL ?? "";
    const service = token.catalog.find((one: { type: string }) => one.type === type);
    if (!service) throw new Error(`calling ${type}: not in the catalog`);
    return service.endpoints.find((one: { interface: string }) => one.interface === "public").url;
  };
  const client: Client = {
    projectId: token.project.id,
    userId: token.user.id,
    send(method, type, path, body) {
      const headers: Record<string, string> = {
        "X-Auth-Token": signedIn.headers.get("x-subject-token") ?? "",
      };
      const microversion = microversions[type];
      if (microversion) headers["OpenStack-API-Version"] = microversion;
      return send(method, `${endpoint(type)}${path}`, headers, body);
    },
    async call(method, type, path, body) {
      const answer = await client.send(method, type, path, body);
      if (answer.status >= 400) {
        throw new Error(`${method} ${type} ${path}: HTTP ${answer.status} ${JSON.stringify(answer.body)}`);
      }
      return answer;
    },
    async upload(type, path, bytes) {
      const headers = {
        "X-Auth-Token": signedIn.headers.get("x-subject-token") ?? "",
        "Content-Type": "application/octet-stream",
      };
      const answer = await fetch(`${endpoint(type)}${path}`, { method: "PUT", headers, body: bytes });
      if (!answer.ok) throw new Error(`PUT ${type} ${path}: HTTP ${answer.status} ${await answer.text()}`);
    },
  };
  return client;
}
