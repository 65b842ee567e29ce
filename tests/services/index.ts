import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import * as ceph from "./ceph";
import * as cinder from "./cinder";
import type { OpenstackEnvironment } from "./client";
import { exclusively, servicesDirectory } from "./install";
import * as keystone from "./keystone";
import * as mariadb from "./mariadb";
import * as rabbitmq from "./rabbitmq";
import { Run } from "./run";

/** What kind of cloud to bring up. */
export interface OpenstackOptions {
  /** The first one is the default volume type. Default both. */
  backends?: cinder.Backend[];
  /** Keep running after this process; `Run.load(runDirectory).stop()` ends it. */
  persistent?: boolean;
}

/** A real cloud on this machine. */
export interface Openstack {
  /** OS_* of the user `demo`, member of the project `demo`; with the backend rbd also CEPH_CONF. */
  environment: OpenstackEnvironment;
  adminEnvironment: OpenstackEnvironment;
  /** A user that may only read in the project `demo`. */
  readerEnvironment: OpenstackEnvironment;
  /** The member of another project. */
  otherEnvironment: OpenstackEnvironment;
  backends: cinder.Backend[];
  /** Folder of the NFS backend's raw files, one a volume. */
  shareDirectory: string;
  runDirectory: string;
  logs: string[];
  /** Ends everything and removes the folder; `keepLogs` leaves its `log/`. */
  stop(options?: { keepLogs?: boolean }): Promise<void>;
}

/** Starts the services in this run, the independent ones at the same time. */
async function bringUp(run: Run, backends: cinder.Backend[]): Promise<Openstack> {
  const [database, queue, cluster] = await Promise.all([
    mariadb.start({ run }),
    rabbitmq.start({ run }),
    backends.includes("rbd") ? ceph.start({ run }) : undefined,
  ]);
  const identity = await keystone.start({ run, database });
  const block = await cinder.start({
    run,
    keystone: identity,
    database,
    queueUrl: queue.url,
    backends,
    ...(cluster ? { ceph: cluster } : {}),
  });
  const withCeph = (environment: OpenstackEnvironment) => ({ ...environment, ...cluster?.environment });
  return {
    environment: withCeph(identity.environmentOf("demo")),
    adminEnvironment: withCeph(identity.environmentOf("admin")),
    readerEnvironment: withCeph(identity.environmentOf("reader")),
    otherEnvironment: withCeph(identity.environmentOf("other")),
    backends,
    shareDirectory: block.shareDirectory,
    runDirectory: run.directory,
    logs: [database, queue, identity, block, ...(cluster ? [cluster] : [])].flatMap(one => one.logs),
    stop: options => run.stop(options),
  };
}

/** A real cloud in a run. */
export async function openstack(options: OpenstackOptions = {}): Promise<Openstack> {
  const run = await Run.create({ persistent: options.persistent ?? false });
  return bringUp(run, options.backends ?? ["rbd", "nfs"]);
}
