import { createHash } from "node:crypto";
import { copyFile, mkdir } from "node:fs/promises";
import path from "node:path";
import type { CephHandle } from "./ceph";
import { signIn } from "./client";
import { formatIni, type Ini } from "./ini";
import { installPackages, isRoot } from "./install";
import type { KeystoneHandle } from "./keystone";
import type { MariadbHandle } from "./mariadb";
import { freePort, type Run, type ServiceHandle } from "./run";
import { openstackVenv, venvProgram } from "./venv";

/** Where volumes live: a Ceph pool, or raw files on a share. A volume type of the same name leads to each. */
export type Backend = "rbd" | "nfs";

/** What Cinder stands on. */
export interface CinderOptions {
  run: Run;
  keystone: KeystoneHandle;
  database: MariadbHandle;
  /** transport_url of the message queue. */
  queueUrl: string;
  /** The first one is the default volume type. */
  backends: Backend[];
  /** Needed by the backend rbd. */
  ceph?: CephHandle;
  /** Tell Nova when an attached volume grows. */
  nova?: boolean;
}

/** A running block storage service (API, scheduler, volume). */
export interface CinderHandle extends ServiceHandle {
  /** Folder of the NFS backend's raw files: `<mount_point_base>/<md5 of the export>`. */
  shareDirectory: string;
}

const share = "127.0.0.1:/export";

/** Installs the virtual environment and the tools of the drivers. Throws if this process may not run one of the backends. */
export async function install(backends: Backend[]): Promise<void> {
  if (backends.includes("nfs") && !isRoot()) {
    throw new Error(
      "installing cinder: the backend nfs needs root for its mount; run as root or use the backend rbd alone",
    );
  }
  await installPackages(["python3-rbd", "python3-rados", "qemu-utils"]);
  await openstackVenv("cinder");
}

/** Starts the three services and waits until a volume can be scheduled to each backend; database and volume types are made if missing. */
export async function start(options: CinderOptions): Promise<CinderHandle> {
  const { run, keystone, database, backends } = options;
  const venv = await openstackVenv("cinder");
  const port = await freePort();
  const mountBase = run.path("state/mnt");
  const shareDirectory = path.join(mountBase, createHash("md5").update(share).digest("hex"));
  const config = run.path("etc/cinder/cinder.conf");
  await mkdir(run.path("state/cinder/conversion"), { recursive: true });
  // The driver only asks whether this program exists; what it would mount is already there.
  await run.write("bin/mount.nfs", "#!/bin/sh\nexit 0\n", 0o755);
  await run.write("etc/cinder/shares", `${share}\n`);
  for (const file of ["api-paste.ini", "resource_filters.json"]) {
    await copyFile(path.join(venv, "etc/cinder", file), run.path("etc/cinder", file));
  }
  const privileged = { helper_command: `${venv}/bin/privsep-helper --config-file ${config}` };
  const drivers: Record<Backend, Ini[string]> = {
    rbd: {
      volume_driver: "cinder.volume.drivers.rbd.RBDDriver",
      volume_backend_name: "rbd",
      rbd_pool: options.ceph?.pool,
      rbd_user: "admin",
      rbd_cluster_name: "ceph",
      rbd_ceph_conf: options.ceph?.configuration,
      rados_connect_timeout: 5,
    },
    nfs: {
      volume_driver: "cinder.volume.drivers.nfs.NfsDriver",
      volume_backend_name: "nfs",
      nfs_shares_config: run.path("etc/cinder/shares"),
      nfs_mount_point_base: mountBase,
      nfs_snapshot_support: true,
      nas_secure_file_operations: false,
      nas_secure_file_permissions: false,
    },
  };
  await run.write(
    "etc/cinder/cinder.conf",
    formatIni({
      DEFAULT: {
        use_stderr: true,
        host: "osbackup",
        my_ip: "127.0.0.1",
        transport_url: options.queueUrl,
        state_path: run.path("state/cinder"),
        api_paste_config: run.path("etc/cinder/api-paste.ini"),
        resource_query_filters_file: run.path("etc/cinder/resource_filters.json"),
        osapi_volume_listen: "127.0.0.1",
        osapi_volume_listen_port: port,
        osapi_volume_workers: 1,
        auth_strategy: "keystone",
        enabled_backends: backends.join(","),
        default_volume_type: backends[0],
        backend_stats_polling_interval: 10,
        report_interval: 5,
        graceful_shutdown_timeout: 3,
      },
      database: { connection: database.databaseUrl("cinder") },
      oslo_concurrency: { lock_path: run.path("state/cinder/lock") },
      cinder_sys_admin: privileged,
      privsep_osbrick: privileged,
      keystone_authtoken: keystone.authTokenOf("cinder"),
      ...(options.nova ? { nova: keystone.credentialsOf("nova") } : {}),
      ...Object.fromEntries(backends.map(backend => [backend, drivers[backend]])),
    }),
  );
  const environment = { ...options.ceph?.environment, PATH: `${run.path("bin")}:${process.env.PATH ?? ""}` };
  const isNew = await database.createDatabase("cinder");
  if (isNew)
    await run.execute(
      "cinder-manage",
      venvProgram(venv, "cinder-manage", ["--config-file", config, "db", "sync"]),
    );
  // A service that an earlier run registered would look alive for a minute.
  await database.sql("DELETE FROM cinder.services");
  const url = `http://127.0.0.1:${port}/v3`;
  await keystone.setEndpoint("volumev3", "cinderv3", `${url}/%(project_id)s`);
  if (backends.includes("nfs")) {
    await mkdir(run.path("state/share"), { recursive: true });
    await run.bindMount(run.path("state/share"), shareDirectory);
  }
  const names = ["cinder-scheduler", "cinder-volume", "cinder-api"];
  for (const name of names)
    run.spawn(name, venvProgram(venv, name, ["--config-file", config], environment), "server");
  await run.ready("cinder-api", 180, async () => (await fetch(`http://127.0.0.1:${port}/`)).status === 300);
  const admin = await signIn(keystone.environmentOf("admin"));
  if (isNew) {
    for (const backend of backends) {
      const volumeType = { name: backend, extra_specs: { volume_backend_name: backend } };
      await admin.call("POST", "volumev3", "/types", { volume_type: volumeType });
    }
  }
  await run.ready("cinder-volume", 180, async () => {
    const { services } = (await admin.call("GET", "volumev3", "/os-services")).body;
    const { pools } = (await admin.call("GET", "volumev3", "/scheduler-stats/get_pools")).body;
    const up = services.filter((one: { state: string }) => one.state === "up");
    return up.length === 1 + backends.length && pools.length === backends.length;
  });
  return {
    url,
    environment: keystone.environment,
    logs: names.map(name => run.logPath(name)),
    stop: () => run.stopProcesses(names),
    shareDirectory,
  };
}
