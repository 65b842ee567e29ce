import { execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { copyFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { startDevcloud } from "../../devcloud";
import { pause } from "../../provider/base/pause";
import type { Openstack } from "../services";
import { type Client, type OpenstackEnvironment, signIn } from "../services/client";
import { until } from "../until";
import { FaultProxy } from "./fault-proxy";

const run = promisify(execFile);

/** A cloud that the contract is held to: devcloud, or a real Cinder with one of its backends. */
export type CloudKind = "devcloud" | "rbd" | "nfs";

/** Who works with the cloud. All but `other` are in the project `demo`. */
export type Who = "demo" | "reader" | "other" | "admin";

/** Something in the project `demo`, as Cinder tells it. */
export interface CloudObject {
  kind: "snapshot" | "volume" | "attachment" | "image" | "server";
  id: string;
  name: string;
  status: string;
  metadata: Record<string, string>;
}

export interface NewVolume {
  /** Raw image with the volume's bytes; an empty volume without it. */
  imageFile?: string;
  /** Whether a server has it. */
  attached?: boolean;
}

type Release = () => Promise<void>;

export interface CloudUnderTest {
  kind: CloudKind;
  /** Whose ways the volumes have; also their volume type. */
  backend: "rbd" | "nfs";
  /** Cinder's NFS driver cannot snapshot an attached volume without Nova's help. */
  snapshotsAttached: boolean;
  /** OS_* of each, through the fault proxy. */
  environments: Record<Who, OpenstackEnvironment>;
  faults: FaultProxy;
  /** Past the proxy: what an operator or another program does. */
  demo: Client;
  admin: Client;
  /** Adds a volume of a GiB with the image's bytes in it. */
  addVolume(volume?: NewVolume): Promise<string>;
  /** Adds a server with so many volumes of a GiB; only where attached volumes can be snapshot. The ids, by device. */
  addServer(volumes: number, bootsFromVolume?: boolean): Promise<{ serverId: string; volumeIds: string[] }>;
  /** Adds a volume of a GiB that the server has. */
  addVolumeOf(serverId: string): Promise<string>;
  /** Everything in the project `demo`. */
  objects(): Promise<CloudObject[]>;
  /** Makes snapshots of a volume fail in the backend the returned function is called. */
  breakSnapshots(volumeId: string): Promise<Release>;
  /** Adds a volume with this many snapshots that have this metadata and are the youngest; ends with the returned function. */
  addSnapshots(count: number, metadata: Record<string, string>): Promise<Release>;
  /** Holds a volume open as a mount would; ends with the returned function. Only where the backend minds. */
  holdVolume?(volumeId: string): Promise<Release>;
  /** Keeps a snapshot busy; ends with the returned function. Only where the backend knows that. */
  holdSnapshot?(volumeId: string, snapshotId: string): Promise<Release>;
  stop(): Promise<void>;
}

/** Brings up devcloud, or makes a running cloud of real services one that can fail on command. */
export async function cloudUnderTest(kind: CloudKind, services?: Openstack): Promise<CloudUnderTest> {
  if (kind === "devcloud") return devcloudUnderTest();
  if (!services) throw new Error(`the cloud '${kind}' needs running services`);
  return realCloudUnderTest(kind, services);
}

async function devcloudUnderTest(): Promise<CloudUnderTest> {
  const devcloud = await startDevcloud({ statusDelayMs: 5, volumeTypes: ["rbd"] });
  // a devcloud with a server has compute and image services
  devcloud.addServer({ name: "first" });
  const { origin } = new URL(devcloud.url);
  const common = await behindProxy(
    {
      demo: devcloud.environment,
      reader: devcloud.environmentOf("viewer", "demo"),
      other: devcloud.environmentOf("stranger", "other"),
      admin: devcloud.environmentOf("admin", "demo"),
    },
    { compute: `${origin}/compute`, image: `${origin}/image` },
  );
  const held = (id: string): Release => {
    devcloud.faults.busyDelete(id, Number.POSITIVE_INFINITY);
    return async () => devcloud.faults.busyDelete(id, 0);
  };
  const cloud: CloudUnderTest = {
    ...common,
    kind: "devcloud",
    backend: "rbd",
    snapshotsAttached: true,
    async addVolume({ imageFile, attached } = {}) {
      const row = await devcloud.addVolume({
        sizeGib: 1,
        ...(imageFile === undefined ? { sizeBytes: 1 << 20 } : { imageFile }),
      });
      if (attached) await attach(common.demo, row.id);
      return row.id;
    },
    async addServer(volumes, bootsFromVolume = false) {
      const { id: serverId } = devcloud.addServer({ name: "web", bootsFromVolume });
      const volumeIds = [];
      for (let index = 0; index < volumes; index++) volumeIds.push(await cloud.addVolumeOf(serverId));
      return { serverId, volumeIds };
    },
    async addVolumeOf(serverId) {
      return (await devcloud.addVolume({ sizeGib: 1, sizeBytes: 1 << 20, attachedTo: serverId })).id;
    },
    async breakSnapshots() {
      devcloud.faults.nextSnapshotStatus("error");
      return async () => {};
    },
    async addSnapshots(count, metadata) {
      const { id: volumeId } = await devcloud.addVolume({ sizeGib: 1, sizeBytes: 1 << 20 });
      for (let index = 0; index < count; index++)
        await devcloud.addSnapshot({ volumeId, metadata, status: "error" });
      return async () => {
        await common.demo.call("DELETE", "volumev3", `/volumes/${volumeId}?cascade=true`);
        await reaches(common.demo, `/volumes/${volumeId}`, "gone");
      };
    },
    holdVolume: async volumeId => held(volumeId),
    holdSnapshot: async (_volumeId, snapshotId) => held(snapshotId),
    async stop() {
      await common.faults.stop();
      await devcloud.stop();
    },
  };
  return cloud;
}

async function realCloudUnderTest(kind: "rbd" | "nfs", services: Openstack): Promise<CloudUnderTest> {
  const common = await behindProxy({
    demo: services.environment,
    reader: services.readerEnvironment,
    other: services.otherEnvironment,
    admin: services.adminEnvironment,
  });
  const { demo, admin } = common;
  // Cinder's own limit is ten of each.
  const quota = { volumes: -1, snapshots: -1, gigabytes: -1 };
  await admin.call("PUT", "volumev3", `/os-quota-sets/${demo.projectId}`, { quota_set: quota });
  const tools = { env: { ...process.env, ...services.environment } };
  const cloud: CloudUnderTest = {
    ...common,
    kind,
    backend: kind,
    snapshotsAttached: kind === "rbd",
    async addVolume({ imageFile, attached } = {}) {
      const wanted = { size: 1, volume_type: kind };
      const { volume } = (await demo.call("POST", "volumev3", "/volumes", { volume: wanted })).body;
      await reaches(demo, `/volumes/${volume.id}`, "available");
      if (imageFile !== undefined && kind === "nfs") {
        const file = path.join(services.shareDirectory, `volume-${volume.id}`);
        await copyFile(imageFile, file);
        await run("truncate", ["-s", "1G", file]);
      }
      if (imageFile !== undefined && kind === "rbd") {
        const image = `rbd:volumes/volume-${volume.id}`;
        await run("qemu-img", ["convert", "-n", "-f", "raw", "-O", "raw", imageFile, image], tools);
      }
      if (attached) await attach(demo, volume.id);
      return volume.id;
    },
    async addServer(volumes) {
      const serverId = randomUUID();
      const volumeIds = [];
      for (let index = 0; index < volumes; index++) volumeIds.push(await cloud.addVolumeOf(serverId));
      return { serverId, volumeIds };
    },
    async addVolumeOf(serverId) {
      const volumeId = await cloud.addVolume();
      await attach(demo, volumeId, serverId);
      return volumeId;
    },
    async breakSnapshots(volumeId) {
      if (kind === "nfs") {
        const attachmentId = await attach(demo, volumeId);
        return async () => {
          await demo.call("DELETE", "volumev3", `/attachments/${attachmentId}`);
        };
      }
      const image = `volumes/volume-${volumeId}`;
      await run("rbd", ["mv", image, `${image}-hidden`], tools);
      return async () => {
        await run("rbd", ["mv", `${image}-hidden`, image], tools);
      };
    },
    addSnapshots: (count, metadata) => copySnapshots(services, demo, { count, metadata, volumeType: kind }),
    ...(kind === "rbd" && {
      holdVolume: volumeId => holdImage(volumeId, tools.env),
      async holdSnapshot(volumeId, snapshotId) {
        // Cinder flattens the clones of a snapshot that it removes; it does not see those in Ceph's trash.
        const clone = `volumes/held-${snapshotId}`;
        await run("rbd", ["clone", `volumes/volume-${volumeId}@snapshot-${snapshotId}`, clone], tools);
        await run("rbd", ["trash", "mv", clone], tools);
        return async () => {
          const { stdout } = await run("rbd", ["trash", "ls", "volumes", "--format", "json"], tools);
          const trash = JSON.parse(stdout) as { id: string; name: string }[];
          const id = trash.find(({ name }) => name === `held-${snapshotId}`)?.id;
          await run("rbd", ["trash", "rm", `volumes/${id}`], tools);
        };
      },
    }),
    stop: () => common.faults.stop(),
  };
  return cloud;
}

/** Attaches a volume as a host does that is no server of Nova's, or as Nova for its server; the attachment's id. */
async function attach(client: Client, volumeId: string, serverId?: string): Promise<string> {
  const attachment = {
    volume_uuid: volumeId,
    connector: { host: "guest", ip: "127.0.0.1" },
    ...(serverId && { instance_uuid: serverId }),
  };
  const id = await createAttachment(client, attachment);
  await client.call("POST", "volumev3", `/attachments/${id}/action`, { "os-complete": {} });
  await reaches(client, `/volumes/${volumeId}`, "in-use");
  return id;
}

/** Ceph's monitors refuse in passing while they elect, on a busy machine; what a refused call has left is removed. */
async function createAttachment(client: Client, attachment: { volume_uuid: string }): Promise<string> {
  for (let tries = 1; ; tries++) {
    const { status, body } = await client.send("POST", "volumev3", "/attachments", { attachment });
    if (status < 400) return body.attachment.id;
    if (status !== 500 || tries === 5)
      throw new Error(`POST /attachments: HTTP ${status} ${JSON.stringify(body)}`);
    const left = await client.call("GET", "volumev3", `/attachments?volume_id=${attachment.volume_uuid}`);
    for (const { id } of left.body.attachments) await client.send("DELETE", "volumev3", `/attachments/${id}`);
    await pause(tries * 1000);
  }
}

/**
 * One real snapshot, and copies of its row in Cinder's own database: a thousand snapshots would take a quarter of an
 * hour, and only their rows matter to a listing. The copies are younger by a second each, and only their rows are
 * removed again.
 */
async function copySnapshots(
  services: Openstack,
  demo: Client,
  { count, metadata, volumeType }: { count: number; metadata: Record<string, string>; volumeType: string },
): Promise<Release> {
  const { volume } = (
    await demo.call("POST", "volumev3", "/volumes", { volume: { size: 1, volume_type: volumeType } })
  ).body;
  await reaches(demo, `/volumes/${volume.id}`, "available");
  const wanted = { volume_id: volume.id, name: "the real one", metadata };
  const { snapshot } = (await demo.call("POST", "volumev3", "/snapshots", { snapshot: wanted })).body;
  await reaches(demo, `/snapshots/${snapshot.id}`, "available");
  const columnsOf = async (table: string) =>
    (
      await services.sql(
        `SELECT column_name FROM information_schema.columns WHERE table_schema = 'cinder' AND table_name = '${table}'`,
      )
    )
      .trim()
      .split("\n");
  const copy = async (table: string, own: Record<string, string>, from: string) => {
    const columns = (await columnsOf(table)).filter(name => table === "snapshots" || name !== "id");
    const values = columns.map(name => own[name] ?? `original.\`${name}\``);
    const names = columns.map(name => `\`${name}\``);
    await services.sql(`INSERT INTO cinder.${table} (${names}) SELECT ${values} FROM ${from}`);
  };
  await copy(
    "snapshots",
    {
      id: "UUID()",
      display_name: "'a copy'",
      created_at: "DATE_ADD(original.created_at, INTERVAL number.seq SECOND)",
    },
    `cinder.snapshots original, cinder.seq_1_to_${count - 1} number WHERE original.id = '${snapshot.id}'`,
  );
  const copies = `SELECT id FROM cinder.snapshots WHERE volume_id = '${volume.id}' AND display_name = 'a copy'`;
  await copy(
    "snapshot_metadata",
    { snapshot_id: "copy.id" },
    `cinder.snapshot_metadata original, (${copies}) copy WHERE original.snapshot_id = '${snapshot.id}'`,
  );
  return async () => {
    await services.sql(
      `DELETE FROM cinder.snapshot_metadata WHERE snapshot_id IN (${copies});` +
        `DELETE FROM cinder.snapshots WHERE volume_id = '${volume.id}' AND display_name = 'a copy'`,
    );
    for (const path of [`/snapshots/${snapshot.id}`, `/volumes/${volume.id}`]) {
      await demo.call("DELETE", "volumev3", path);
      await reaches(demo, path, "gone");
    }
  };
}

/** Opens a volume's RBD image for writing: a watcher, for which Ceph refuses its removal. */
async function holdImage(volumeId: string, env: NodeJS.ProcessEnv): Promise<() => Promise<void>> {
  const blockDevice = `driver=rbd,node-name=held,pool=volumes,image=volume-${volumeId}`;
  const holder = spawn("qemu-storage-daemon", ["--blockdev", blockDevice], { env, stdio: "ignore" });
  const ended = new Promise(resolve => holder.once("exit", resolve));
  const watched = async () => {
    const { stdout } = await run("rbd", ["status", `volumes/volume-${volumeId}`], { env });
    return stdout.includes("watcher=");
  };
  while (!(await watched())) await new Promise(resolve => setTimeout(resolve, 100));
  return async () => {
    holder.kill("SIGTERM");
    await ended;
  };
}

async function behindProxy(
  environments: Record<Who, OpenstackEnvironment>,
  servers?: { compute: string; image: string },
) {
  const { OS_AUTH_URL = "" } = environments.demo;
  const [demo, admin] = await Promise.all([signIn(environments.demo), signIn(environments.admin)]);
  const blockStorage = await endpointOf(environments.demo);
  const faults = await FaultProxy.start({
    identity: OS_AUTH_URL.replace(/\/v3$/, ""),
    volume: blockStorage.replace(/\/v3\/.*$/, ""),
    ...servers,
  });
  const through = (environment: OpenstackEnvironment): OpenstackEnvironment => ({
    ...environment,
    OS_AUTH_URL: `${faults.url("identity")}/v3`,
    OS_BLOCK_STORAGE_ENDPOINT_OVERRIDE: `${faults.url("volume")}/v3/%(project_id)s`,
    ...(servers && {
      OS_COMPUTE_ENDPOINT_OVERRIDE: `${faults.url("compute")}/v2.1`,
      OS_IMAGE_ENDPOINT_OVERRIDE: `${faults.url("image")}/v2`,
    }),
    OS_CONNECT_RETRIES: "2",
    OS_CONNECT_RETRY_DELAY: "0.02",
  });
  const objects = async (): Promise<CloudObject[]> => {
    const listed = await Promise.all(
      (["snapshot", "volume", "attachment"] as const).map(async kind => {
        const detail = kind === "attachment" ? "" : "/detail";
        const { body } = await demo.call("GET", "volumev3", `/${kind}s${detail}`);
        return (body[`${kind}s`] as CloudObject[]).map(({ id, name, status, metadata }) => ({
          kind,
          id,
          name: name ?? "",
          status,
          metadata: metadata ?? {},
        }));
      }),
    );
    if (!servers) return listed.flat();
    const { body } = await demo.call("GET", "image", "/v2/images");
    const images = body.images as ({ id: string; name: string; status: string } & Record<string, string>)[];
    const { servers: rows } = (await demo.call("GET", "compute", "/servers/detail")).body;
    return [
      ...listed.flat(),
      ...(rows as CloudObject[]).map(({ id, name, status, metadata }) => ({
        kind: "server" as const,
        id,
        name,
        status,
        metadata,
      })),
      ...images.map(({ id, name, status, ...metadata }) => ({
        kind: "image" as const,
        id,
        name,
        status,
        metadata,
      })),
    ];
  };
  return {
    environments: {
      demo: through(environments.demo),
      reader: through(environments.reader),
      other: through(environments.other),
      admin: through(environments.admin),
    },
    faults,
    demo,
    admin,
    objects,
  };
}

/** The public URL of block storage in the catalog. */
async function endpointOf(environment: OpenstackEnvironment): Promise<string> {
  const domain = { id: "default" };
  const user = { name: environment.OS_USERNAME, password: environment.OS_PASSWORD, domain };
  const answer = await fetch(`${environment.OS_AUTH_URL}/auth/tokens`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      auth: {
        identity: { methods: ["password"], password: { user } },
        scope: { project: { name: environment.OS_PROJECT_NAME, domain } },
      },
    }),
  });
  const { token } = (await answer.json()) as {
    token: { catalog: { type: string; endpoints: { interface: string; url: string }[] }[] };
  };
  const service = token.catalog.find(one => one.type === "volumev3");
  return service?.endpoints.find(one => one.interface === "public")?.url ?? "";
}

/** Polls until a volume or snapshot has the status, or is "gone". */
export async function reaches(client: Client, path: string, wanted: string, seconds = 60): Promise<void> {
  let status = "";
  await until(
    `${path} to be ${wanted}`,
    async () => {
      const answer = await client.send("GET", "volumev3", path);
      status = answer.status === 404 ? "gone" : (answer.body.volume ?? answer.body.snapshot).status;
      return status === wanted;
    },
    { seconds },
  ).catch((error: Error) => {
    throw new Error(`${error.message}; it is '${status}'`, { cause: error });
  });
}
