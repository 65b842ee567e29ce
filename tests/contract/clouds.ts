import { execFile, spawn } from "node:child_process";
import { copyFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { type Devcloud, startDevcloud } from "../../devcloud";
import type { Openstack } from "../services";
import { type Client, type OpenstackEnvironment, signIn } from "../services/client";
import { FaultProxy } from "./fault-proxy";

const run = promisify(execFile);

/** A cloud that the contract is held to: devcloud, or a real Cinder with one of its backends. */
export type CloudKind = "devcloud" | "rbd" | "nfs";

/** Who works with the cloud. All but `other` are in the project `demo`. */
export type Who = "demo" | "reader" | "other" | "admin";

/** Something in the project `demo`, as Cinder tells it. */
export interface CloudObject {
  kind: "snapshot" | "volume" | "attachment";
  id: string;
  status: string;
  metadata: Record<string, string>;
}

export interface NewVolume {
  /** Raw image with the volume's bytes; an empty volume without it. */
  imageFile?: string;
  /** Whether a server has it. */
  attached?: boolean;
}

export interface CloudUnderTest {
  kind: CloudKind;
  volumeType: string;
  /** Cinder's NFS driver cannot snapshot an attached volume without Nova's help; the others can. */
  snapshotsAttached: boolean;
  /** OS_* of each, through the fault proxy. */
  environments: Record<Who, OpenstackEnvironment>;
  faults: FaultProxy;
  /** Past the proxy: what an operator or another program does. */
  demo: Client;
  admin: Client;
  /** Behind the devcloud; only there can its work be made to fail. */
  devcloud?: Devcloud;
  /** Adds a volume of a GiB with the image's bytes in it. */
  addVolume(volume?: NewVolume): Promise<string>;
  /** Everything in the project `demo`. */
  objects(): Promise<CloudObject[]>;
  /** Holds a volume open as a mount would; ends with the returned function. Only where the backend minds. */
  hold?(volumeId: string): Promise<() => Promise<void>>;
  stop(): Promise<void>;
}

/** Brings up devcloud, or makes a running cloud of real services one that can fail on command. */
export async function cloudUnderTest(kind: CloudKind, services?: Openstack): Promise<CloudUnderTest> {
  if (kind === "devcloud") return devcloudUnderTest();
  if (!services) throw new Error(`the cloud '${kind}' needs running services`);
  return realCloudUnderTest(kind, services);
}

async function devcloudUnderTest(): Promise<CloudUnderTest> {
  const devcloud = await startDevcloud({ statusDelayMs: 5 });
  const common = await behindProxy({
    demo: devcloud.environment,
    reader: devcloud.environmentOf("viewer", "demo"),
    other: devcloud.environmentOf("stranger", "other"),
    admin: devcloud.environmentOf("admin", "demo"),
  });
  return {
    ...common,
    kind: "devcloud",
    volumeType: "nfs",
    snapshotsAttached: true,
    devcloud,
    async addVolume({ imageFile, attached } = {}) {
      const row = await devcloud.addVolume({
        sizeGib: 1,
        ...(imageFile === undefined ? { sizeBytes: 1 << 20 } : { imageFile }),
        ...(attached && { attachedTo: true as const }),
      });
      return row.id;
    },
    async hold(volumeId) {
      devcloud.faults.busyDelete(volumeId, Number.POSITIVE_INFINITY);
      return async () => devcloud.faults.busyDelete(volumeId, 0);
    },
    async stop() {
      await common.faults.stop();
      await devcloud.stop();
    },
  };
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
  return {
    ...common,
    kind,
    volumeType: kind,
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
      if (attached) {
        const connector = { host: "guest", ip: "127.0.0.1" };
        const attachment = (
          await demo.call("POST", "volumev3", "/attachments", {
            attachment: { volume_uuid: volume.id, connector },
          })
        ).body.attachment;
        await demo.call("POST", "volumev3", `/attachments/${attachment.id}/action`, { "os-complete": {} });
        await reaches(demo, `/volumes/${volume.id}`, "in-use");
      }
      return volume.id;
    },
    ...(kind === "rbd" && { hold: volumeId => holdImage(volumeId, tools.env) }),
    stop: () => common.faults.stop(),
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

async function behindProxy(environments: Record<Who, OpenstackEnvironment>) {
  const { OS_AUTH_URL = "" } = environments.demo;
  const [demo, admin] = await Promise.all([signIn(environments.demo), signIn(environments.admin)]);
  const blockStorage = await endpointOf(environments.demo);
  const faults = await FaultProxy.start({
    identity: OS_AUTH_URL.replace(/\/v3$/, ""),
    volume: blockStorage.replace(/\/v3\/.*$/, ""),
  });
  const through = (environment: OpenstackEnvironment): OpenstackEnvironment => ({
    ...environment,
    OS_AUTH_URL: `${faults.url("identity")}/v3`,
    OS_BLOCK_STORAGE_ENDPOINT_OVERRIDE: `${faults.url("volume")}/v3/%(project_id)s`,
    OS_CONNECT_RETRIES: "2",
    OS_CONNECT_RETRY_DELAY: "0.02",
  });
  const objects = async (): Promise<CloudObject[]> => {
    const listed = await Promise.all(
      (["snapshot", "volume", "attachment"] as const).map(async kind => {
        const detail = kind === "attachment" ? "" : "/detail";
        const { body } = await demo.call("GET", "volumev3", `/${kind}s${detail}`);
        return (body[`${kind}s`] as CloudObject[]).map(({ id, status, metadata }) => ({
          kind,
          id,
          status,
          metadata: metadata ?? {},
        }));
      }),
    );
    return listed.flat();
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
  for (const deadline = Date.now() + seconds * 1000; Date.now() < deadline; ) {
    const answer = await client.send("GET", "volumev3", path);
    status = answer.status === 404 ? "gone" : (answer.body.volume ?? answer.body.snapshot).status;
    if (status === wanted) return;
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  throw new Error(`${path} is '${status}' after ${seconds} s, not '${wanted}'`);
}
