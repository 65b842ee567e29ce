import { createHash, randomBytes } from "node:crypto";
import type { Cloud } from "./cloud";
import type { HttpRequest, Reply } from "./http";
import {
  type ApplicationCredential,
  newId,
  type Project,
  type Role,
  type Token,
  type User,
  withImplied,
} from "./identities";

/** Where the identity service begins on devcloud's port. */
export const identityPath = "/identity";
/** Where the block storage service begins on devcloud's port. */
export const volumePath = "/volume";

const defaultDomain = { id: "default", name: "Default" };

export interface KeystoneOptions {
  tokenLifetimeSeconds: number;
  region: string;
  /** The block storage service's type in the catalog: "volumev3", "block-storage", … */
  blockStorageType: string;
}

class Refused extends Error {
  readonly status: number;
  readonly title: string;

  constructor(status: number, title: string, message: string) {
    super(message);
    this.status = status;
    this.title = title;
  }
}

const unauthorized = () =>
  new Refused(401, "Unauthorized", "The request you have made requires authentication.");
const notFound = (message: string) => new Refused(404, "Not Found", message);
const badRequest = (message: string) => new Refused(400, "Bad Request", message);
const forbidden = (action: string) =>
  new Refused(403, "Forbidden", `You are not authorized to perform the requested action: ${action}.`);

/** Identity API v3, as far as a client of block storage needs it. */
export class Keystone {
  /** Every token given out so far, also those that are no longer valid. */
  readonly given = new Set<string>();
  private readonly tokens = new Map<string, Token>();
  private readonly cloud: Cloud;
  private readonly options: KeystoneOptions;

  constructor(cloud: Cloud, options: KeystoneOptions) {
    this.cloud = cloud;
    this.options = options;
  }

  /** The token, when it is one of ours and still valid. */
  validToken(value: string | string[] | undefined): Token | undefined {
    const token = typeof value === "string" ? this.tokens.get(value) : undefined;
    return token && token.expiresAt > this.cloud.clock() ? token : undefined;
  }

  /** Every token given out so far stops being valid. */
  expireTokens(): void {
    this.tokens.clear();
  }

  handle(request: HttpRequest): Reply {
    let reply: Reply;
    try {
      reply = this.route(request);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      reply = {
        status: error.status,
        body: { error: { code: error.status, message: error.message, title: error.title } },
        headers:
          error.status === 401
            ? { "WWW-Authenticate": `Keystone uri="${request.origin}${identityPath}/v3"` }
            : {},
      };
    }
    return { ...reply, headers: { Vary: "X-Auth-Token", ...reply.headers } };
  }

  private route(request: HttpRequest): Reply {
    const path = request.path.slice(identityPath.length).replace(/\/+$/, "");
    const self = `${request.origin}${identityPath}/v3`;
    if (path === "") {
      return {
        status: 300,
        body: { versions: { values: [versionDocument(self)] } },
        headers: { Location: `${self}/` },
      };
    }
    if (path === "/v3") return { status: 200, body: { version: versionDocument(self) } };
    if (path === "/v3/auth/tokens") return this.tokenRequest(request);

    const caller = this.validToken(request.headers["x-auth-token"]);
    const [, , ...segments] = path.split("/");
    const route = `${request.method} ${segments.join("/")}`;
    if (!caller) throw unauthorized();
    if (route === "GET auth/catalog") {
      if (!caller.project) throw forbidden("identity:get_auth_catalog");
      return {
        status: 200,
        body: {
          catalog: this.catalog(request.origin, caller.project),
          links: { self: `${self}/auth/catalog` },
        },
      };
    }
    if (route === "GET auth/projects" || route === "GET projects") {
      const projects = this.cloud.identities.projects
        .filter(({ id }) => route === "GET projects" || caller.user.roles[id])
        .map(project => ({
          ...project,
          domain_id: "default",
          description: "",
          enabled: true,
          parent_id: "default",
          is_domain: false,
          tags: [],
          options: {},
          links: { self: `${self}/projects/${project.id}` },
        }));
      if (route === "GET projects" && !caller.roles.includes("admin"))
        throw forbidden("identity:list_projects");
      return {
        status: 200,
        body: { projects, links: { next: null, self: `${self}/${segments.join("/")}`, previous: null } },
      };
    }
    if (segments[0] === "users" && segments[2] === "application_credentials") {
      return this.applicationCredentials(request, caller, segments[1] ?? "", segments[3], self);
    }
    throw notFound(
      "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.",
    );
  }

  private tokenRequest(request: HttpRequest): Reply {
    if (request.method === "POST") return this.issue(request);
    const caller = this.validToken(request.headers["x-auth-token"]);
    if (!caller) throw unauthorized();
    const subject = this.validToken(request.headers["x-subject-token"]);
    if (!subject) throw notFound("Failed to validate token");
    if (request.method === "DELETE") {
      this.tokens.delete(subject.value);
      return { status: 204 };
    }
    return {
      status: 200,
      body: { token: this.tokenDocument(request, subject) },
      headers: { "X-Subject-Token": subject.value },
    };
  }

  private issue(request: HttpRequest): Reply {
    const auth = property(jsonBody(request), "auth");
    if (auth === undefined) throw badRequest("'auth' is a required property");
    const identity = property(auth, "identity");
    if (identity === undefined) throw badRequest("'identity' is a required property");
    const methods = property(identity, "methods");
    if (!Array.isArray(methods)) throw badRequest("'methods' is a required property");
    const token = this.authenticate(identity, methods.map(String), property(auth, "scope"));
    this.tokens.set(token.value, token);
    this.given.add(token.value);
    return {
      status: 201,
      body: { token: this.tokenDocument(request, token) },
      headers: { "X-Subject-Token": token.value },
    };
  }

  private authenticate(identity: unknown, methods: string[], scope: unknown): Token {
    const issuedAt = Math.floor(this.cloud.clock() / 1000) * 1000;
    const base = {
      value: `gAAAAA${randomBytes(96).toString("base64url")}`,
      auditId: randomBytes(16).toString("base64url"),
      issuedAt,
      expiresAt: issuedAt + this.options.tokenLifetimeSeconds * 1000,
    };
    if (methods.includes("application_credential")) {
      const credential = this.credentialOf(property(identity, "application_credential"));
      const user = this.cloud.identities.users.find(({ id }) => id === credential.user_id);
      const project = this.cloud.identities.projects.find(({ id }) => id === credential.project_id);
      if (!user || !project || scope !== undefined) throw unauthorized();
      return { ...base, methods, user, project, roles: credential.roles, applicationCredential: credential };
    }
    if (methods.includes("token")) {
      const parent = this.validToken(property(property(identity, "token"), "id") as string | undefined);
      if (!parent || parent.applicationCredential) throw unauthorized();
      const scoped = this.scopeOf(parent.user, scope);
      return {
        ...base,
        ...scoped,
        methods: [...new Set(["token", ...parent.methods])],
        user: parent.user,
        expiresAt: parent.expiresAt,
      };
    }
    const user = this.passwordUser(property(property(identity, "password"), "user"));
    return { ...base, ...this.scopeOf(user, scope), methods, user };
  }

  private passwordUser(given: unknown): User {
    const id = property(given, "id");
    const name = property(given, "name");
    const user = this.cloud.identities.users.find(
      user =>
        (id !== undefined && user.id === id) ||
        (user.name === name && isDefaultDomain(property(given, "domain"))),
    );
    if (!user || user.password !== property(given, "password")) throw unauthorized();
    return user;
  }

  private credentialOf(given: unknown): ApplicationCredential {
    const id = property(given, "id");
    const name = property(given, "name");
    const owner = property(given, "user");
    const credential = this.cloud.identities.applicationCredentials.find(credential => {
      if (id !== undefined) return credential.id === id;
      const user = this.cloud.identities.users.find(({ id }) => id === credential.user_id);
      return (
        credential.name === name &&
        (property(owner, "id") === user?.id ||
          (property(owner, "name") === user?.name && isDefaultDomain(property(owner, "domain"))))
      );
    });
    const secret = property(given, "secret");
    if (!credential || typeof secret !== "string" || sha256(secret) !== credential.secretSha256)
      throw unauthorized();
    if (credential.expires_at !== null && Date.parse(`${credential.expires_at}Z`) <= this.cloud.clock())
      throw unauthorized();
    return credential;
  }

  private scopeOf(user: User, scope: unknown): { project?: Project; domainScoped?: boolean; roles: Role[] } {
    if (scope === undefined || scope === "unscoped") return { roles: [] };
    const wanted = property(scope, "project");
    if (wanted === undefined) {
      if (!isDefaultDomain(property(scope, "domain")) || !user.roles[this.projectNamed("admin")?.id ?? ""]) {
        throw unauthorized();
      }
      return { domainScoped: true, roles: withImplied(["admin"]) };
    }
    const id = property(wanted, "id");
    const name = property(wanted, "name");
    const project = this.cloud.identities.projects.find(
      project =>
        (id !== undefined && project.id === id) ||
        (project.name === name && isDefaultDomain(property(wanted, "domain"))),
    );
    const roles = project && user.roles[project.id];
    if (!project || !roles) throw unauthorized();
    return { project, roles };
  }

  private projectNamed(name: string): Project | undefined {
    return this.cloud.identities.projects.find(project => project.name === name);
  }

  private tokenDocument(request: HttpRequest, token: Token): unknown {
    const { user, project, applicationCredential } = token;
    const scope = project
      ? {
          project: { domain: defaultDomain, id: project.id, name: project.name },
          is_domain: false,
          roles: this.roleRefs(token.roles),
          catalog: this.catalog(request.origin, project),
        }
      : token.domainScoped
        ? {
            domain: defaultDomain,
            roles: this.roleRefs(token.roles),
            catalog: this.catalog(request.origin, undefined),
          }
        : {};
    return {
      methods: token.methods,
      user: { domain: defaultDomain, id: user.id, name: user.name, password_expires_at: null },
      audit_ids: [token.auditId],
      expires_at: identityTime(token.expiresAt),
      issued_at: identityTime(token.issuedAt),
      ...scope,
      ...(applicationCredential && {
        application_credential: {
          id: applicationCredential.id,
          name: applicationCredential.name,
          restricted: applicationCredential.unrestricted !== true,
        },
      }),
    };
  }

  private roleRefs(roles: readonly Role[]): { id: string; name: string }[] {
    return roles.map(name => ({ id: this.cloud.identities.roleIds[name], name }));
  }

  private catalog(origin: string, project: Project | undefined): unknown[] {
    const services = [
      { type: "identity", name: "keystone", url: `${origin}${identityPath}/v3` },
      ...(project
        ? [
            {
              type: this.options.blockStorageType,
              name: "cinderv3",
              url: `${origin}${volumePath}/v3/${project.id}`,
            },
            ...(this.cloud.hasCompute
              ? [
                  { type: "compute", name: "nova", url: `${origin}/compute/v2.1` },
                  { type: "image", name: "glance", url: `${origin}/image` },
                  { type: "network", name: "neutron", url: `${origin}/network` },
                ]
              : []),
          ]
        : []),
    ];
    return services.map(({ type, name, url }) => ({
      endpoints: ["public", "internal", "admin"].map(kind => ({
        id: this.catalogId(`${name}/${kind}`),
        interface: kind,
        region_id: this.options.region,
        url,
        region: this.options.region,
      })),
      id: this.catalogId(name),
      type,
      name,
    }));
  }

  private catalogId(key: string): string {
    this.cloud.identities.catalogIds[key] ??= newId();
    return this.cloud.identities.catalogIds[key];
  }

  private applicationCredentials(
    request: HttpRequest,
    caller: Token,
    userId: string,
    id: string | undefined,
    self: string,
  ): Reply {
    const all = this.cloud.identities.applicationCredentials;
    if (userId !== caller.user.id && !caller.roles.includes("admin"))
      throw forbidden("identity:list_application_credentials");
    const own = all.filter(credential => credential.user_id === userId);
    const document = (credential: ApplicationCredential) => ({
      id: credential.id,
      name: credential.name,
      description: credential.description,
      user_id: credential.user_id,
      project_id: credential.project_id,
      system: null,
      expires_at: credential.expires_at,
      unrestricted: credential.unrestricted,
      roles: this.roleRefs(credential.roles).map(role => ({
        ...role,
        domain_id: null,
        description: null,
        options: { immutable: true },
      })),
      links: { self: `${self}/application_credentials/${credential.id}` },
    });
    if (id !== undefined) {
      const credential = own.find(credential => credential.id === id);
      if (!credential) throw notFound(`Could not find Application Credential: ${id}.`);
      if (request.method === "GET")
        return { status: 200, body: { application_credential: document(credential) } };
      if (request.method !== "DELETE") throw notFound("The requested URL was not found on the server.");
      if (caller.applicationCredential && caller.applicationCredential.unrestricted !== true) {
        throw forbidden("identity:delete_application_credential");
      }
      all.splice(all.indexOf(credential), 1);
      for (const [value, token] of this.tokens)
        if (token.applicationCredential === credential) this.tokens.delete(value);
      this.cloud.changed();
      return { status: 204 };
    }
    if (request.method === "GET") {
      const links = { next: null, self: `${self}/users/${userId}/application_credentials`, previous: null };
      return { status: 200, body: { application_credentials: own.map(document), links } };
    }
    if (request.method !== "POST") throw notFound("The requested URL was not found on the server.");
    if (
      !caller.project ||
      (caller.applicationCredential && caller.applicationCredential.unrestricted !== true)
    ) {
      throw forbidden("identity:create_application_credential");
    }
    const given = property(jsonBody(request), "application_credential");
    const name = property(given, "name");
    if (typeof name !== "string") throw badRequest("'name' is a required property");
    if (own.some(credential => credential.name === name)) {
      throw new Refused(
        409,
        "Conflict",
        `Conflict occurred attempting to store application_credential - Duplicate entry found with name ${name}.`,
      );
    }
    const wanted = property(given, "roles");
    const roles = Array.isArray(wanted)
      ? withImplied(
          wanted.map(role => {
            const found = caller.roles.find(
              name =>
                property(role, "name") === name ||
                property(role, "id") === this.cloud.identities.roleIds[name],
            );
            if (!found) throw badRequest("Invalid application credential: Could not find role assignment.");
            return found;
          }),
        )
      : caller.roles;
    const secret = (property(given, "secret") as string | undefined) ?? randomBytes(64).toString("base64url");
    const expires = property(given, "expires_at");
    const credential: ApplicationCredential = {
      id: newId(),
      name,
      description: (property(given, "description") as string | undefined) ?? null,
      secretSha256: sha256(secret),
      user_id: userId,
      project_id: caller.project.id,
      roles,
      expires_at: typeof expires === "string" ? expires.replace(/Z$/, "") : null,
      unrestricted: (property(given, "unrestricted") as boolean | undefined) ?? null,
    };
    all.push(credential);
    this.cloud.changed();
    return { status: 201, body: { application_credential: { ...document(credential), secret } } };
  }
}

function versionDocument(self: string): unknown {
  return {
    id: "v3.14",
    status: "stable",
    updated: "2020-04-07T00:00:00Z",
    links: [{ rel: "self", href: `${self}/` }],
    "media-types": [{ base: "application/json", type: "application/vnd.openstack.identity-v3+json" }],
  };
}

function jsonBody(request: HttpRequest): unknown {
  try {
    return JSON.parse(request.body.toString("utf8"));
  } catch {
    throw badRequest(
      "Expecting to find valid JSON in request body. The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.",
    );
  }
}

function property(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function isDefaultDomain(domain: unknown): boolean {
  return property(domain, "id") === defaultDomain.id || property(domain, "name") === defaultDomain.name;
}

function identityTime(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}.000000Z`;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
