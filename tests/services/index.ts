import * as ceph from "./ceph";
import * as cinder from "./cinder";
import type { OpenstackEnvironment } from "./client";
import * as keystone from "./keystone";
import * as mariadb from "./mariadb";
import * as nova from "./nova";
import * as rabbitmq from "./rabbitmq";
import * as rcloneRest from "./rclone-rest";
import { Run, together } from "./run";
import { copyFolder, prepareTemplate } from "./template";
import * as versitygw from "./versitygw";

const defaultBackends: cinder.Backend[] = ["rbd", "nfs"];

/** What kind of cloud to bring up. */
export interface OpenstackOptions {
  /** The first one is the default volume type. Default both. */
  backends?: cinder.Backend[];
  /** Compute, image and placement services too, with a fake hypervisor. */
  nova?: boolean;
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
  /** Executes statements in the services' database as its administrator; rows come tab-separated. */
  sql(statements: string): Promise<string>;
  logs: string[];
  /** Ends a process (`cinder-volume`, `rabbitmq`, `mariadb`, …) and starts it again after so many seconds. */
  outage: Run["outage"];
  /** Ends everything and removes the folder; `keepLogs` leaves its `log/`. */
  stop(options?: { keepLogs?: boolean }): Promise<void>;
}

/** Does a step and says how long it took, in a line of its own: a first start takes minutes. */
async function told<T>(what: string, step: () => Promise<T>): Promise<T> {
  const begin = Date.now();
  const result = await step();
  console.error(`services: ${what}, ${((Date.now() - begin) / 1000).toFixed(0)} s`);
  return result;
}

/** Installs what a cloud of these options needs; quick when it is there. */
export async function installOpenstack(options: OpenstackOptions = {}): Promise<void> {
  const backends = options.backends ?? defaultBackends;
  await told("cinder is installed", () => cinder.install(backends));
  await told("mariadb is installed", mariadb.install);
  await told("rabbitmq is installed", rabbitmq.install);
  if (backends.includes("rbd")) await told("ceph is installed", ceph.install);
  await told("keystone is installed", keystone.install);
  if (options.nova) await told("nova is installed", nova.install);
}

/** Starts the services in this run, the independent ones at the same time. */
async function bringUp(run: Run, backends: cinder.Backend[], withNova: boolean): Promise<Openstack> {
  const [database, queue, cluster] = await together(
    told("mariadb runs", () => mariadb.start({ run })),
    told("rabbitmq runs", () => rabbitmq.start({ run })),
    backends.includes("rbd") ? told("ceph runs", () => ceph.start({ run })) : Promise.resolve(undefined),
  );
  const identity = await told("keystone runs", () => keystone.start({ run, database }));
  const shared = { run, database, keystone: identity, queueUrl: queue.url };
  const [block, compute] = await together(
    told("cinder runs", () =>
      cinder.start({ ...shared, backends, nova: withNova, ...(cluster ? { ceph: cluster } : {}) }),
    ),
    withNova ? told("nova runs", () => nova.start(shared)) : Promise.resolve(undefined),
  );
  const services = [database, queue, cluster, identity, block, compute];
  const withCeph = (environment: OpenstackEnvironment) => ({ ...environment, ...cluster?.environment });
  return {
    environment: withCeph(identity.environmentOf("demo")),
    adminEnvironment: withCeph(identity.environmentOf("admin")),
    readerEnvironment: withCeph(identity.environmentOf("reader")),
    otherEnvironment: withCeph(identity.environmentOf("other")),
    backends,
    shareDirectory: block.shareDirectory,
    runDirectory: run.directory,
    sql: database.sql,
    logs: services.flatMap(one => one?.logs ?? []),
    outage: (...given) => run.outage(...given),
    stop: options => run.stop(options),
  };
}

/**
 * Installs what is missing, starts a cloud and waits until volumes (and servers) can be made.
 * The first start with a set of options prepares a template and takes a minute more. A failed start stops everything and keeps the logs.
 */
export async function openstack(options: OpenstackOptions = {}): Promise<Openstack> {
  const backends = options.backends ?? defaultBackends;
  const withNova = options.nova ?? false;
  await installOpenstack(options);
  const parts = [...backends, ...(withNova ? ["nova"] : [])];
  const template = await told("the template is there", () =>
    prepareTemplate(parts, preparation => bringUp(preparation, backends, withNova)),
  );
  const run = await Run.create({ persistent: options.persistent ?? false });
  try {
    await copyFolder(run, `${template}/.`, run.path("state"));
    const cloud = await bringUp(run, backends, withNova);
    if (options.persistent) run.keep();
    return cloud;
  } catch (error) {
    return run.abandon(error);
  }
}

/** An S3 server with TLS, versioning and object lock. */
export const s3 = versitygw.start;

/** A server of restic's REST protocol with user and password. */
export const rest = rcloneRest.start;
