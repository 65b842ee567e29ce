import { copyFile, mkdir, readdir } from "node:fs/promises";
import path from "node:path";
import { signIn } from "./client";
import { formatIni, type Ini } from "./ini";
import type { KeystoneHandle } from "./keystone";
import type { MariadbHandle } from "./mariadb";
import { freePorts, type Run, type ServiceHandle, together } from "./run";
import { openstackVenv, venvProgram, wsgiServer } from "./venv";

/** What Nova stands on; volumes come from the block storage service of the catalog. */
export interface NovaOptions {
  run: Run;
  keystone: KeystoneHandle;
  database: MariadbHandle;
  /** transport_url of the message queue. */
  queueUrl: string;
}

/** The flavor and the image that servers can be made of, with `networks: "none"`. */
export const flavorName = "tiny";
export const imageName = "empty";

/** Installs the virtual environment of Nova, Glance and Placement. */
export async function install(): Promise<void> {
  await openstackVenv("nova");
}

/**
 * Starts compute (fake hypervisor), image and placement services, and a stub of the network service; waits until a server can be scheduled.
 * Databases, flavor and image are made if missing.
 */
export async function start(options: NovaOptions): Promise<ServiceHandle> {
  const { run, keystone, database } = options;
  const venv = await openstackVenv("nova");
  const [computePort = 0, imagePort = 0, placementPort = 0, networkPort = 0] = await freePorts(4);
  const at = (port: number) => `http://127.0.0.1:${port}`;
  const credentials = keystone.credentialsOf("nova");
  const authToken = keystone.authTokenOf("nova");
  const images = run.path("state/glance");
  for (const folder of ["images", "staging", "tasks"])
    await mkdir(path.join(images, folder), { recursive: true });
  for (const folder of ["nova", "glance", "placement"])
    await mkdir(run.path("etc", folder), { recursive: true });
  await mkdir(run.path("state/nova"), { recursive: true });

  await run.write(
    "etc/placement/placement.conf",
    formatIni({
      DEFAULT: { use_stderr: true },
      placement_database: { connection: database.databaseUrl("placement") },
      api: { auth_strategy: "keystone" },
      keystone_authtoken: authToken,
    }),
  );
  await copyFile(
    path.join(venv, "etc/glance/glance-api-paste.ini"),
    run.path("etc/glance/glance-api-paste.ini"),
  );
  await run.write(
    "etc/glance/glance-api.conf",
    formatIni({
      DEFAULT: {
        use_stderr: true,
        enabled_backends: "file:file",
        bind_host: "127.0.0.1",
        bind_port: imagePort,
        workers: 0,
      },
      database: { connection: database.databaseUrl("glance") },
      glance_store: { default_backend: "file" },
      file: { filesystem_store_datadir: path.join(images, "images") },
      os_glance_staging_store: { filesystem_store_datadir: path.join(images, "staging") },
      os_glance_tasks_store: { filesystem_store_datadir: path.join(images, "tasks") },
      paste_deploy: { flavor: "keystone", config_file: run.path("etc/glance/glance-api-paste.ini") },
      keystone_authtoken: authToken,
    }),
  );
  await copyFile(path.join(venv, "etc/nova/api-paste.ini"), run.path("etc/nova/api-paste.ini"));
  const withUrl = { ...credentials, www_authenticate_uri: keystone.url };
  const nova: Ini = {
    DEFAULT: {
      use_stderr: true,
      host: "osbackup",
      my_ip: "127.0.0.1",
      state_path: run.path("state/nova"),
      transport_url: options.queueUrl,
      compute_driver: "uploading_fake_driver.UploadingFakeDriver",
      osapi_compute_listen: "127.0.0.1",
      osapi_compute_listen_port: computePort,
      enabled_apis: "osapi_compute",
      report_interval: 5,
      graceful_shutdown_timeout: 3,
    },
    workarounds: { disable_rootwrap: true },
    conductor: { workers: 1 },
    scheduler: { workers: 1 },
    wsgi: { api_paste_config: run.path("etc/nova/api-paste.ini") },
    oslo_concurrency: { lock_path: run.path("state/nova/lock") },
    glance: { api_servers: at(imagePort) },
    cinder: { catalog_info: "volumev3:cinderv3:publicURL", ...withUrl },
    placement: withUrl,
    neutron: withUrl,
    service_user: { send_service_user_token: true, ...withUrl },
    keystone_authtoken: authToken,
  };
  const config = await run.write(
    "etc/nova/nova.conf",
    formatIni({
      ...nova,
      api_database: { connection: database.databaseUrl("nova_api") },
      database: { connection: database.databaseUrl("nova_cell1") },
    }),
  );
  // The hypervisor's service refuses to know a database.
  const computeConfig = await run.write("etc/nova/nova-compute.conf", formatIni(nova));

  // Drivers are looked up below nova.virt only.
  const [python = ""] = await readdir(path.join(venv, "lib"));
  const drivers = path.join(venv, "lib", python, "site-packages/nova/virt");
  await copyFile(
    path.join(__dirname, "uploading_fake_driver.py"),
    path.join(drivers, "uploading_fake_driver.py"),
  );
  const environment = {
    OS_NOVA_CONFIG_DIR: run.path("etc/nova"),
    OS_GLANCE_CONFIG_DIR: run.path("etc/glance"),
    OS_PLACEMENT_CONFIG_DIR: run.path("etc/placement"),
  };
  const manage = (program: string, file: string, ...args: string[]) =>
    run.execute(program, venvProgram(venv, program, ["--config-file", file, ...args]));
  const manageNova = (...args: string[]) => manage("nova-manage", config, ...args);
  const isNew = await database.createDatabase("nova_api", "utf8mb3");
  if (isNew) {
    for (const name of ["placement", "glance", "nova_cell0", "nova_cell1"])
      await database.createDatabase(name, "utf8mb3");
    const syncNova = async () => {
      await manageNova("api_db", "sync");
      // With placeholders, which are filled from each service's own configuration: ports differ from run to run.
      const cellDatabase = "{scheme}://{username}:{password}@{hostname}:{port}";
      await manageNova("cell_v2", "map_cell0", "--database_connection", `${cellDatabase}/nova_cell0?{query}`);
      await manageNova(
        "cell_v2",
        "create_cell",
        ...["--name", "cell1"],
        ...["--database_connection", `${cellDatabase}/nova_cell1?{query}`],
        ...["--transport-url", "{scheme}://{username}:{password}@{hostname}:{port}/"],
      );
      await manageNova("db", "sync");
    };
    await together(
      manage("placement-manage", run.path("etc/placement/placement.conf"), "db", "sync"),
      manage("glance-manage", run.path("etc/glance/glance-api.conf"), "db_sync"),
      syncNova(),
    );
  }
  // Services that an earlier run registered would look alive for a minute; compute nodes refer to theirs, so they stay.
  await database.sql("UPDATE nova_cell1.services SET updated_at = '2000-01-01', last_seen_up = '2000-01-01'");
  await keystone.setEndpoint("placement", "placement", at(placementPort));
  await keystone.setEndpoint("image", "glance", at(imagePort));
  await keystone.setEndpoint("network", "neutron", at(networkPort));
  await keystone.setEndpoint("compute", "nova", `${at(computePort)}/v2.1`);

  const admin = await signIn(keystone.environmentOf("admin"));
  const program = (name: string, file: string) =>
    venvProgram(venv, name, ["--config-file", file], environment);
  const commands = {
    neutron: venvProgram(venv, "python", [path.join(__dirname, "neutron.py"), String(networkPort)]),
    placement: wsgiServer(venv, "placement.wsgi.api", placementPort, environment),
    glance: wsgiServer(venv, "glance.wsgi.api", imagePort, environment),
    "nova-conductor": program("nova-conductor", config),
    "nova-scheduler": program("nova-scheduler", config),
    "nova-api": wsgiServer(venv, "nova.wsgi.osapi_compute", computePort, environment),
    "nova-compute": program("nova-compute", computeConfig),
  };
  for (const [name, command] of Object.entries(commands)) {
    if (name === "nova-conductor") {
      // From here on they give up when they cannot reach these.
      await run.ready("placement", 180, async () => {
        return (await admin.send("GET", "placement", "/resource_providers")).status === 200;
      });
      await run.ready(
        "glance",
        180,
        async () => (await admin.send("GET", "image", "/v2/images")).status === 200,
      );
    }
    run.spawn(name, command, "server");
  }
  await run.ready("nova-api", 180, async () => (await fetch(at(computePort))).status === 200);
  await run.ready("nova-compute", 180, async () => {
    const { services } = (await admin.call("GET", "compute", "/os-services")).body;
    return services.filter((one: { state: string }) => one.state === "up").length === 3;
  });
  if (isNew) {
    await manageNova("cell_v2", "discover_hosts");
    const flavor = { name: flavorName, id: "1", ram: 64, vcpus: 1, disk: 1 };
    await admin.call("POST", "compute", "/flavors", { flavor });
    const image = { name: imageName, disk_format: "raw", container_format: "bare", visibility: "public" };
    const { id } = (await admin.call("POST", "image", "/v2/images", image)).body;
    await admin.upload("image", `/v2/images/${id}/file`, "an empty disk");
  }
  await run.ready("nova-scheduler", 180, async () => {
    const candidates = (await admin.call("GET", "placement", "/allocation_candidates?resources=VCPU:1")).body;
    return candidates.allocation_requests.length === 1;
  });
  const names = Object.keys(commands);
  return {
    url: `${at(computePort)}/v2.1`,
    environment: keystone.environment,
    logs: names.map(name => run.logPath(name)),
    stop: () => run.stopProcesses(names),
  };
}
