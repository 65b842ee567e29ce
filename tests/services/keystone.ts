import { type Client, type OpenstackEnvironment, signIn } from "./client";
import { formatIni } from "./ini";
import { installPackages } from "./install";
import * as mariadb from "./mariadb";
import { freePort, inRun, type Run, type ServiceHandle } from "./run";
import { openstackVenv, venvProgram, wsgiServer } from "./venv";

/** Throw-away passwords: each is the user's name with "pw". */
const passwordOf = (user: string) => `${user}pw`;

/** Who exists besides the administrator (user `admin`, project `admin`). */
const users: { name: string; project: string; roles: string[] }[] = [
  { name: "demo", project: "demo", roles: ["member"] },
  { name: "reader", project: "demo", roles: ["reader"] },
  { name: "other", project: "other", roles: ["member"] },
  { name: "cinder", project: "service", roles: ["admin", "service"] },
  { name: "nova", project: "service", roles: ["admin", "service"] },
];

/** A running identity service. */
export interface KeystoneHandle extends ServiceHandle {
  /** OS_* variables of a user in the project it belongs to. */
  environmentOf(user: "admin" | "demo" | "reader" | "other"): OpenstackEnvironment;
  /** Options by which a service signs in, as keystoneauth reads them from a configuration file. */
  credentialsOf(user: "cinder" | "nova"): Record<string, string>;
  /** The section [keystone_authtoken] of a service. */
  authTokenOf(user: "cinder" | "nova"): Record<string, string | boolean>;
  /** Puts a service into the catalog, or moves it to this address. Tokens issued before do not show it. */
  setEndpoint(serviceType: string, serviceName: string, url: string): Promise<void>;
}

/** Installs the virtual environment and the database server. */
export async function install(): Promise<void> {
  await mariadb.install();
  await installPackages(["python3-rbd", "python3-rados"]); // linked into the same virtual environment, for Cinder
  await openstackVenv("cinder");
}

async function createIdentities(admin: Client): Promise<void> {
  const roles = (await admin.call("GET", "identity", "/roles")).body.roles as { id: string; name: string }[];
  const projects = new Map<string, string>();
  for (const user of users) {
    let project = projects.get(user.project);
    if (!project) {
      const wanted = { name: user.project, domain_id: "default" };
      project = (await admin.call("POST", "identity", "/projects", { project: wanted })).body.project
        .id as string;
      projects.set(user.project, project);
    }
    const wanted = {
      name: user.name,
      password: passwordOf(user.name),
      domain_id: "default",
      default_project_id: project,
    };
    const id = (await admin.call("POST", "identity", "/users", { user: wanted })).body.user.id;
    for (const role of roles.filter(one => user.roles.includes(one.name))) {
      await admin.call("PUT", "identity", `/projects/${project}/users/${id}/roles/${role.id}`);
    }
  }
}

/** Starts Keystone on the database server; users, projects and keys are made if they are missing. */
export function start(
  options: { run?: Run; persistent?: boolean; database?: mariadb.MariadbHandle } = {},
): Promise<KeystoneHandle> {
  return inRun(options.run, options.persistent ?? false, async run => {
    const venv = await openstackVenv("cinder");
    const database = options.database ?? (await mariadb.start({ run }));
    const port = await freePort();
    const url = `http://127.0.0.1:${port}/v3`;
    const config = await run.write(
      "etc/keystone/keystone.conf",
      formatIni({
        DEFAULT: { use_stderr: true },
        database: { connection: database.databaseUrl("keystone") },
        token: { provider: "fernet" },
        fernet_tokens: { key_repository: run.path("state/keystone/fernet-keys") },
        fernet_receipts: { key_repository: run.path("state/keystone/fernet-keys") },
        credential: { key_repository: run.path("state/keystone/credential-keys") },
        cache: { enabled: true, backend: "dogpile.cache.memory" },
        identity: { password_hash_rounds: 4 }, // the least: services sign in all the time
      }),
    );
    const manage = (...args: string[]) =>
      run.execute(
        "keystone-manage",
        venvProgram(venv, "keystone-manage", ["--config-file", config, ...args]),
      );
    const isNew = await database.createDatabase("keystone");
    if (isNew) {
      await manage("db_sync");
      const { username, groupname } = await ownNames(run);
      for (const keys of ["fernet_setup", "credential_setup"]) {
        await manage(keys, "--keystone-user", username, "--keystone-group", groupname);
      }
      const urls = ["admin", "internal", "public"].flatMap(one => [`--bootstrap-${one}-url`, url]);
      await manage(
        "bootstrap",
        "--bootstrap-password",
        passwordOf("admin"),
        "--bootstrap-region-id",
        "RegionOne",
        ...urls,
      );
    }
    const setUrl = (type: string, address: string) =>
      database.sql(
        `UPDATE keystone.endpoint SET url = '${address}' WHERE service_id IN (SELECT id FROM keystone.service WHERE type = '${type}')`,
      );
    // The port is another one in each run. Before the start, as Keystone caches its catalog.
    await setUrl("identity", url);
    run.spawn(
      "keystone",
      wsgiServer(venv, "keystone.wsgi.api", port, { OS_KEYSTONE_CONFIG_DIR: run.path("etc/keystone") }),
      "server",
    );
    await run.ready("keystone", 180, async () => (await fetch(url)).status === 200);

    const environmentOf: KeystoneHandle["environmentOf"] = user => ({
      OS_AUTH_URL: url,
      OS_IDENTITY_API_VERSION: "3",
      OS_REGION_NAME: "RegionOne",
      OS_USERNAME: user,
      OS_PASSWORD: passwordOf(user),
      OS_PROJECT_NAME: users.find(one => one.name === user)?.project ?? "admin",
      OS_USER_DOMAIN_NAME: "Default",
      OS_PROJECT_DOMAIN_NAME: "Default",
    });
    const admin = await signIn(environmentOf("admin"));
    // The first checked request loads the policies; two at once can meet them half loaded and be forbidden.
    await admin.call("GET", "identity", "/services");
    if (isNew) await createIdentities(admin);

    const credentialsOf: KeystoneHandle["credentialsOf"] = user => ({
      auth_url: url,
      auth_type: "password",
      username: user,
      password: passwordOf(user),
      project_name: "service",
      user_domain_id: "default",
      project_domain_id: "default",
      region_name: "RegionOne",
    });
    return {
      url,
      environment: environmentOf("demo"),
      logs: [run.logPath("keystone")],
      stop: () => run.stopProcesses(["keystone", ...(options.database ? [] : ["mariadb"])]),
      environmentOf,
      credentialsOf,
      authTokenOf: user => ({
        ...credentialsOf(user),
        www_authenticate_uri: url,
        service_token_roles: "service",
        service_token_roles_required: true,
      }),
      async setEndpoint(type, name, address) {
        const known = (await admin.call("GET", "identity", `/services?type=${type}`)).body.services;
        if (known.length === 0) {
          const service = (await admin.call("POST", "identity", "/services", { service: { name, type } }))
            .body.service;
          for (const face of ["admin", "internal", "public"]) {
            const endpoint = {
              service_id: service.id,
              interface: face,
              url: address,
              region_id: "RegionOne",
            };
            await admin.call("POST", "identity", "/endpoints", { endpoint });
          }
          return;
        }
        const endpoints = (await admin.call("GET", "identity", `/endpoints?service_id=${known[0].id}`)).body
          .endpoints;
        for (const one of endpoints as { id: string; url: string }[]) {
          if (one.url === address) continue;
          await admin.call("PATCH", "identity", `/endpoints/${one.id}`, { endpoint: { url: address } });
        }
      },
    };
  });
}

/** The names that keystone-manage gives the key files to: our own. */
async function ownNames(run: Run): Promise<{ username: string; groupname: string }> {
  const ask = async (flag: string) => (await run.execute("id", { program: "id", args: [flag] })).trim();
  return { username: await ask("-un"), groupname: await ask("-gn") };
}
