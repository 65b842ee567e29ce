import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { formatIni } from "./ini";
import { installPackages } from "./install";
import { type Command, freePort, inRun, type Run, type ServiceHandle } from "./run";

/** A storage cluster of one monitor and one disk; `environment` holds CEPH_CONF. */
export interface CephHandle extends ServiceHandle {
  /** Path of ceph.conf. */
  configuration: string;
  /** The pool that Cinder's volumes are in. */
  pool: string;
}

const fsid = "5a1c0e00-0000-4000-8000-000000000001";
const pool = "volumes";

/** Installs Debian's daemons, and what reads an image on the host: rbd-fuse and qemu-storage-daemon. */
export async function install(): Promise<void> {
  await installPackages([
    "ceph-mon",
    "ceph-osd",
    "ceph-mgr",
    "ceph-common",
    "rbd-fuse",
    "fuse3",
    "qemu-utils",
    "qemu-system-common",
    "qemu-block-extra",
  ]);
}

/** Starts the cluster on `state/ceph` of the run, which is made if it is missing. No authentication, no redundancy. */
export function start(options: { run?: Run; persistent?: boolean } = {}): Promise<CephHandle> {
  return inRun(options.run, options.persistent ?? false, async run => {
    const data = run.path("state/ceph");
    const isNew = !existsSync(data);
    const address = `[v1:127.0.0.1:${await freePort()}]`;
    const map = run.path("ceph/monmap");
    await mkdir(run.path("ceph"), { recursive: true });
    for (const daemon of ["mon", "osd", "mgr"]) await mkdir(`${data}/${daemon}`, { recursive: true });
    const configuration = await run.write(
      "etc/ceph.conf",
      formatIni({
        global: {
          fsid,
          mon_host: address,
          auth_cluster_required: "none",
          auth_service_required: "none",
          auth_client_required: "none",
          auth_allow_insecure_global_id_reclaim: false,
          public_network: "127.0.0.0/8",
          cluster_network: "127.0.0.0/8",
          ms_bind_ipv6: false,
          ms_bind_msgr2: false,
          // The disk's daemon takes the first free ones of a range; each run has its own start.
          ms_bind_port_min: 20000 + (process.pid % 100) * 100,
          ms_bind_port_max: 32000,
          osd_pool_default_size: 1,
          osd_pool_default_min_size: 1,
          osd_pool_default_pg_autoscale_mode: "off",
          osd_crush_chooseleaf_type: 0,
          mon_allow_pool_size_one: true,
          mon_allow_pool_delete: true,
          mon_warn_on_pool_no_redundancy: false,
          run_dir: run.path("ceph"),
          admin_socket: run.path("ceph/$name.asok"),
          log_file: run.path("log/ceph.$name.log"),
          mon_cluster_log_file: run.path("log/ceph.cluster.log"),
          mon_data_avail_warn: 1,
          mon_data_avail_crit: 1,
        },
        mon: { mon_data: `${data}/mon` },
        osd: {
          osd_data: `${data}/osd`,
          osd_objectstore: "bluestore",
          bluestore_block_size: 20 * 1024 ** 3, // a sparse file
          osd_memory_target: 939524096, // the least it accepts
          osd_class_update_on_start: false,
          osd_crush_update_on_start: false,
        },
        mgr: { mgr_data: `${data}/mgr`, mgr_initial_modules: "" },
        client: {
          admin_socket: "",
          log_file: "",
          rbd_default_features: 3,
        },
      }),
    );
    const environment = { CEPH_CONF: configuration };
    const execute = (program: string, ...args: string[]) =>
      run.execute("ceph-setup", { program, args, environment });
    /** A client that is quicker than its copy of the monitor map sends no cluster id, and is refused before its command is read. */
    const ceph = async (...args: string[]): Promise<string> => {
      for (let attempt = 1; ; attempt++) {
        try {
          return await execute("ceph", "--connect-timeout", "20", ...args);
        } catch (error) {
          if (attempt === 5 || !(error as Error).message.includes("problem getting command descriptions"))
            throw error;
        }
      }
    };
    const daemon = (program: string, id: string): Command => ({
      program,
      args: ["-f", "-i", id],
      environment,
    });

    if (isNew) {
      await execute("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", address, map);
      await execute("ceph-mon", "--mkfs", "-i", "a", "--monmap", map);
    } else {
      // The monitor's address is part of its data, and the port is another one in each run.
      await execute("ceph-mon", "-i", "a", "--extract-monmap", map);
      await execute("monmaptool", "--rm", "a", map);
      await execute("monmaptool", "--addv", "a", address, map);
      await execute("ceph-mon", "-i", "a", "--inject-monmap", map);
    }
    run.spawn("ceph-mon", daemon("ceph-mon", "a"), "base");
    if (isNew) {
      await run.ready("ceph-mon", 180, async () => (await ceph("-s")) !== "");
      const disk = randomUUID();
      await ceph("osd", "new", disk);
      await execute("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk);
      // By hand: done by the daemon at its start it races with the first monitor map ("wrong fsid") and ends the daemon.
      await ceph("osd", "crush", "add", "osd.0", "1.0", "host=osbackup", "root=default");
    }
    run.spawn("ceph-osd", daemon("ceph-osd", "0"), "base");
    await run.ready("ceph-osd", 180, async () => {
      const status = JSON.parse(await ceph("osd", "stat", "-f", "json"));
      return status.num_up_osds === 1;
    });
    if (isNew) {
      await ceph("osd", "pool", "create", pool, "8");
      await ceph("osd", "pool", "application", "enable", pool, "rbd");
      // Cinder asks for the pool's capacity, which only the manager daemon reports. The monitor keeps its last report.
      run.spawn("ceph-mgr", daemon("ceph-mgr", "x"), "base");
      await run.ready("ceph-mgr", 180, async () => {
        const usage = JSON.parse(await ceph("df", "-f", "json"));
        return usage.pools.some(
          (one: { name: string; stats: { max_avail: number } }) =>
            one.name === pool && one.stats.max_avail > 0,
        );
      });
      await new Promise(resolve => setTimeout(resolve, 3000)); // let the monitor store it
      await run.stopProcesses(["ceph-mgr"]);
    }
    return {
      url: address,
      environment,
      logs: ["ceph-mon", "ceph-osd"].map(name => run.logPath(name)),
      stop: () => run.stopProcesses(["ceph-osd", "ceph-mon"]),
      configuration,
      pool,
    };
  });
}
