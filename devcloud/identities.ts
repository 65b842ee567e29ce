import { randomBytes } from "node:crypto";

/** A user with the roles it has on each project, by project name. */
export interface UserOptions {
  name: string;
  /** Made up when absent. */
  password?: string;
  roles: Record<string, Role[]>;
}

/** Role "admin" implies "member", and that "reader". */
export type Role = "admin" | "member" | "reader" | "service";

export interface User {
  id: string;
  name: string;
  password: string;
  /** Roles by project id. */
  roles: Record<string, Role[]>;
}

export interface Project {
  id: string;
  name: string;
}

export interface ApplicationCredential {
  id: string;
  name: string;
  description: string | null;
  secretSha256: string;
  user_id: string;
  project_id: string;
  roles: Role[];
  expires_at: string | null;
  unrestricted: boolean | null;
}

/** Users, projects and application credentials, all in the domain "Default". */
export interface Identities {
  users: User[];
  projects: Project[];
  roleIds: Record<Role, string>;
  applicationCredentials: ApplicationCredential[];
  /** Ids of the catalog's services and endpoints, by "<service type>/<interface>". */
  catalogIds: Record<string, string>;
}

/** What a valid token stands for. */
export interface Token {
  value: string;
  methods: string[];
  auditId: string;
  user: User;
  project?: Project;
  domainScoped?: boolean;
  roles: Role[];
  issuedAt: number;
  expiresAt: number;
  applicationCredential?: ApplicationCredential;
}

/** The users a devcloud has unless told otherwise. */
export const defaultUsers: readonly UserOptions[] = [
  { name: "admin", roles: { admin: ["admin"], demo: ["admin"] } },
  { name: "demo", roles: { demo: ["member"] } },
  { name: "viewer", roles: { demo: ["reader"] } },
  { name: "stranger", roles: { other: ["member"] } },
  { name: "cinder", roles: { service: ["admin", "service"] } },
];

export function emptyIdentities(): Identities {
  return {
    users: [],
    projects: [],
    roleIds: { admin: newId(), member: newId(), reader: newId(), service: newId() },
    applicationCredentials: [],
    catalogIds: {},
  };
}

/** 32 hexadecimal digits, as Keystone's ids. */
export function newId(): string {
  return randomBytes(16).toString("hex");
}

/** Adds a user and the projects its roles name; a user of that name gets the new password and roles. */
export function addUser(identities: Identities, options: UserOptions): User {
  const roles: User["roles"] = {};
  for (const [projectName, given] of Object.entries(options.roles)) {
    let project = identities.projects.find(({ name }) => name === projectName);
    if (!project) {
      project = { id: newId(), name: projectName };
      identities.projects.push(project);
    }
    roles[project.id] = withImplied(given);
  }
  let user = identities.users.find(({ name }) => name === options.name);
  if (user) {
    user.roles = roles;
    if (options.password !== undefined) user.password = options.password;
    return user;
  }
  user = {
    id: newId(),
    name: options.name,
    password: options.password ?? randomBytes(12).toString("hex"),
    roles,
  };
  identities.users.push(user);
  return user;
}

/** The roles together with those they imply. */
export function withImplied(roles: readonly Role[]): Role[] {
  const all = new Set<Role>();
  for (const role of roles) {
    all.add(role);
    if (role === "admin" || role === "member") all.add("reader");
    if (role === "admin") all.add("member");
  }
  return [...all];
}
