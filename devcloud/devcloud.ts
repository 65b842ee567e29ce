import { randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Cinder } from "./cinder/cinder";
import { errorReply } from "./cinder/errors";
import { takeSnapshot } from "./cinder/snapshots";
import { hostOf } from "./cinder/volumes";
import { Cloud, type SnapshotListener } from "./cloud";
import { Devices } from "./devices";
import { type Fault, Faults } from "./faults";
import { Glance, imagePath, newImage } from "./glance";
import { type HttpRequest, HttpServer, type Reply } from "./http";
import { addUser, defaultUsers, type User, type UserOptions } from "./identities";
import { identityPath, Keystone, volumePath } from "./keystone";
import { Neutron, networkPath } from "./neutron";
import { computePath, Nova, newServer } from "./nova";
import type { AttachmentRow, FloatingIpRow, ImageRow, ServerRow, SnapshotRow, VolumeRow } from "./rows";
import { type Guest, Storage } from "./storage";

const gibibyte = 1024 ** 3;

/** How many requests are remembered. */
const rememberedRequests = 20_000;

export interface DevcloudOptions {
  /** A free port when absent or 0. */
  port?: number;
  /** Where the images and the state are kept; without it they are removed when the cloud stops. */
  directory?: string;
  /** In place of the users admin, demo, viewer, stranger and cinder. */
  users?: UserOptions[];
  /** Limits of every project by resource ("snapshots", "gigabytes", …) over the roomy defaults; -1 is unlimited. */
  quota?: Record<string, number>;
  /** How long a volume or snapshot stays in "creating", "deleting", … Default 20. */
  statusDelayMs?: number;
  /** How long each answer takes at least. Default 0. */
  apiDelayMs?: number;
  /** The newest microversion of Cinder, "3.71" or less. */
  microversion?: string;
  /** What attachments say about where the bytes are. Default "nfs". */
  backend?: "local" | "nfs";
  /** Default 3600. */
  tokenLifetimeSeconds?: number;
  /**
   * Names of the volume types, the default one first. Default ["nfs"]; "__DEFAULT__" is always there. "rbd" behaves as
   * Ceph does with attached volumes and chains of clones, every other as an NFS share.
   */
  volumeTypes?: string[];
  /**
   * Where the volumes appear that Nova attaches to a server, as loop devices with links by their serial numbers: every
   * server is this machine. Needs root. Default: nowhere.
   */
  deviceDirectory?: string;
  /** How many volumes a server takes. Default 26. */
  mostVolumesOfServer?: number;
  /** Size of each type's pool; larger volumes end in "error". Default 10000. */
  capacityGib?: number;
  /** Default "RegionOne". */
  region?: string;
  /** Type of the block storage service in the catalog. Default "volumev3". */
  blockStorageType?: string;
  /** The cloud's clock in milliseconds since 1970, for tests that need days. */
  now?: () => number;
}

/** A request that was made. It never holds a token, a password or a body of the identity service. */
export interface RecordedRequest {
  method: string;
  /** With the query. */
  path: string;
  status: number;
  /** Milliseconds since 1970. */
  at: number;
  durationMs: number;
  /** The header's value, "volume 3.66". */
  microversion?: string;
  /** The JSON body of a request to Cinder. */
  body?: unknown;
  /** True when the connection was ended without an answer. */
  dropped?: boolean;
}

export interface NewVolume {
  name?: string;
  /** Default: what the image needs, at least 1. */
  sizeGib?: number;
  /** Size of an empty image when it is to be smaller than `sizeGib` says. */
  sizeBytes?: number;
  /** Copied into the cloud. */
  imageFile?: string;
  metadata?: Record<string, string>;
  /** Name of the project. Default "demo". */
  project?: string;
  volumeType?: string;
  /** The id of a server that has the volume attached; true makes one up. The volume is then "in-use". */
  attachedTo?: string | true;
  /** Where the server has it. Default "/dev/vdb", the next letter where the server has one already. */
  device?: string;
}

export interface NewSnapshot {
  volumeId: string;
  name?: string;
  description?: string;
  metadata?: Record<string, string>;
  /** When it seems to have been made, in milliseconds since 1970; its bytes are those of now. */
  createdAt?: number;
  status?: string;
}

/** Starts a cloud on 127.0.0.1. */
export async function startDevcloud(options: DevcloudOptions = {}): Promise<Devcloud> {
  const devcloud = await Devcloud.create(options);
  await devcloud.listen(options.port ?? 0);
  return devcloud;
}

/** A small OpenStack: Keystone v3 and Cinder v3 over HTTP, with volumes that are disk images. */
export class Devcloud {
  readonly faults: Faults;
  /** The latest requests, oldest first. */
  readonly requests: RecordedRequest[] = [];
  /** Where the images are. */
  readonly directory: string;
  private readonly server: HttpServer;
  private readonly keystone: Keystone;
  private readonly cinder: Cinder;
  private readonly nova: Nova;
  private readonly devices: Devices | undefined;
  private readonly glance: Glance;
  private readonly neutron: Neutron;
  private readonly cloud: Cloud;
  private readonly isTemporary: boolean;
  private readonly apiDelayMs: number;
  private readonly region: string;
  private stopping: Promise<void> | undefined;

  private constructor(options: DevcloudOptions, directory: string) {
    this.directory = directory;
    this.isTemporary = options.directory === undefined;
    this.apiDelayMs = options.apiDelayMs ?? 0;
    this.region = options.region ?? "RegionOne";
    this.faults = new Faults(() => this.keystone.expireTokens());
    this.cloud = new Cloud({
      storage: new Storage(directory),
      faults: this.faults,
      behaviour: {
        backend: options.backend ?? "nfs",
        statusDelayMs: options.statusDelayMs ?? 20,
        capacityGib: options.capacityGib ?? 10_000,
        defaultQuota: options.quota ?? {},
        mostVolumesOfServer: options.mostVolumesOfServer ?? 26,
      },
      now: options.now,
      stateFile: this.isTemporary ? undefined : path.join(directory, "devcloud.json"),
    });
    this.keystone = new Keystone(this.cloud, {
      tokenLifetimeSeconds: options.tokenLifetimeSeconds ?? 3600,
      region: this.region,
      blockStorageType: options.blockStorageType ?? "volumev3",
    });
    this.cinder = new Cinder(this.cloud, this.keystone, options.microversion);
    this.devices = options.deviceDirectory === undefined ? undefined : new Devices(options.deviceDirectory);
    this.nova = new Nova(this.cloud, this.keystone, this.cinder, this.devices);
    this.glance = new Glance(this.cloud, this.keystone);
    this.neutron = new Neutron(this.cloud, this.keystone);
    this.server = new HttpServer(request => this.handle(request));
  }

  static async create(options: DevcloudOptions): Promise<Devcloud> {
    const directory = options.directory
      ? path.resolve(options.directory)
      : await fs.mkdtemp(path.join(tmpdir(), "devcloud-"));
    const devcloud = new Devcloud(options, directory);
    const { cloud } = devcloud;
    await cloud.storage.prepare();
    const isKnown = await cloud.load();
    if (!isKnown || options.users) {
      for (const user of options.users ?? defaultUsers) addUser(cloud.identities, user);
    }
    for (const name of [...(options.volumeTypes ?? ["nfs"]), "__DEFAULT__"]) {
      if (cloud.volumeTypes.some(type => type.name === name)) continue;
      const description = name === "__DEFAULT__" ? "Default Volume Type" : null;
      cloud.volumeTypes.push({ id: randomUUID(), name, description });
    }
    await devcloud.finishInterruptedWork();
    cloud.changed();
    return devcloud;
  }

  async listen(port: number): Promise<void> {
    await this.server.listen(port);
  }

  /** The auth URL, `http://127.0.0.1:<port>/identity/v3`. */
  get url(): string {
    return `${this.server.origin}${identityPath}/v3`;
  }

  /** The OS_* variables of the user demo (a member of the project demo). */
  get environment(): Record<string, string> {
    return this.environmentOf("demo", "demo");
  }

  /** The OS_* variables of the administrator. */
  get adminEnvironment(): Record<string, string> {
    return this.environmentOf("admin", "admin");
  }

  /** The OS_* variables of a user on a project. */
  environmentOf(userName: string, projectName: string): Record<string, string> {
    return {
      OS_AUTH_TYPE: "password",
      OS_AUTH_URL: this.url,
      OS_IDENTITY_API_VERSION: "3",
      OS_USERNAME: userName,
      OS_PASSWORD: this.userNamed(userName).password,
      OS_PROJECT_NAME: projectName,
      OS_USER_DOMAIN_ID: "default",
      OS_PROJECT_DOMAIN_ID: "default",
      OS_REGION_NAME: this.region,
    };
  }

  /** The id of a project. */
  projectId(name: string): string {
    const project = this.cloud.identities.projects.find(project => project.name === name);
    if (!project) throw new Error(`devcloud has no project "${name}"`);
    return project.id;
  }

  /** The rows of the cloud's database, not copies of them. */
  volumes(): VolumeRow[] {
    return [...this.cloud.volumes.values()];
  }

  snapshots(): SnapshotRow[] {
    return [...this.cloud.snapshots.values()];
  }

  attachments(): AttachmentRow[] {
    return [...this.cloud.attachments.values()];
  }

  /** The raw image of a volume or snapshot. */
  imagePath(id: string): string {
    if (this.cloud.snapshots.has(id)) return this.cloud.storage.snapshotPath(id);
    return this.cloud.storage.volumePath(id);
  }

  /** The server that writes to the volume. */
  guest(volumeId: string): Guest {
    return this.cloud.storage.guest(volumeId);
  }

  /** Calls the listener at the instant of each snapshot's copy, while no guest can write. */
  onSnapshot(listener: SnapshotListener): void {
    this.cloud.snapshotListeners.push(listener);
  }

  /** Calls the listener at every change of what the cloud holds. */
  onChange(listener: () => void): void {
    this.cloud.changeListeners.push(listener);
  }

  /** Sets limits of a project ("snapshots", "gigabytes", …); -1 is unlimited. */
  setQuota(projectName: string, quota: Record<string, number>): void {
    const id = this.projectId(projectName);
    this.cloud.quotas.set(id, { ...this.cloud.quotas.get(id), ...quota });
    this.cloud.changed();
  }

  /** Adds a volume that is there at once. */
  async addVolume(volume: NewVolume): Promise<VolumeRow> {
    const { cloud } = this;
    const imageBytes =
      volume.imageFile === undefined ? (volume.sizeBytes ?? 0) : (await fs.stat(volume.imageFile)).size;
    const size = volume.sizeGib ?? Math.max(1, Math.ceil(imageBytes / gibibyte));
    const volumeType = volume.volumeType ?? cloud.volumeTypes[0]?.name ?? "nfs";
    const projectId = this.projectId(volume.project ?? "demo");
    const row: VolumeRow = {
      id: randomUUID(),
      name: volume.name ?? null,
      description: null,
      status: "available",
      size,
      project_id: projectId,
      user_id: this.anyMember(projectId).id,
      volume_type: volumeType,
      availability_zone: "nova",
      snapshot_id: null,
      source_volid: null,
      bootable: false,
      multiattach: false,
      metadata: { ...volume.metadata },
      admin_metadata: {},
      host: hostOf(volumeType),
      created_at: cloud.timestamp(),
      updated_at: cloud.timestamp(),
    };
    if (volume.imageFile === undefined)
      await cloud.storage.createBlank(row.id, volume.sizeBytes ?? size * gibibyte);
    else await cloud.storage.createFrom(row.id, volume.imageFile);
    cloud.volumes.set(row.id, row);
    if (volume.attachedTo !== undefined) {
      const id = randomUUID();
      const instance = volume.attachedTo === true ? randomUUID() : volume.attachedTo;
      const others = [...cloud.attachments.values()].filter(other => other.instance === instance).length;
      cloud.attachments.set(id, {
        id,
        volume_id: row.id,
        project_id: row.project_id,
        instance,
        status: "attached",
        attach_mode: "rw",
        device: volume.device ?? `/dev/vd${String.fromCharCode("b".charCodeAt(0) + others)}`,
        created_at: row.created_at,
        attached_at: row.created_at,
        connection_info: {},
      });
      row.status = "in-use";
      // the first volume of a server that boots from one is the one
      row.bootable = others === 0 && cloud.servers.get(instance)?.imageId === null;
    }
    cloud.changed();
    return row;
  }

  /** Adds a server that is there at once; volumes are attached to it as they are added. */
  addServer(server: {
    name: string;
    metadata?: Record<string, string>;
    project?: string;
    /** Default false: it boots from an image. */
    bootsFromVolume?: boolean;
  }): ServerRow {
    const project_id = this.projectId(server.project ?? "demo");
    const row = newServer({
      name: server.name,
      project_id,
      user_id: this.anyMember(project_id).id,
      metadata: { ...server.metadata },
      created: `${this.cloud.timestamp().slice(0, 19)}Z`,
      imageId: server.bootsFromVolume ? null : "the-image-that-it-was-made-of",
    });
    this.cloud.servers.set(row.id, row);
    this.cloud.hasCompute = true;
    this.cloud.changed();
    return row;
  }

  /** The rows of the cloud's database, not copies of them. */
  servers(): ServerRow[] {
    return [...this.cloud.servers.values()];
  }

  /** Every token that was given out, also those that are no longer valid. */
  get tokens(): ReadonlySet<string> {
    return this.keystone.given;
  }

  /** The rows of the cloud's database, not copies of them. */
  images(): ImageRow[] {
    return [...this.cloud.images.values()];
  }

  /** Adds an image that is there at once. */
  addImage(image: { name: string; properties: Record<string, string>; project?: string }): ImageRow {
    const row = newImage({
      name: image.name,
      status: "active",
      owner: this.projectId(image.project ?? "demo"),
      created_at: `${this.cloud.timestamp().slice(0, 19)}Z`,
      properties: { ...image.properties },
    });
    this.cloud.images.set(row.id, row);
    this.cloud.changed();
    return row;
  }

  /** Removes an image as somebody else would. */
  removeImage(id: string): void {
    this.cloud.images.delete(id);
    this.cloud.changed();
  }

  /** Why the next server that is made or rebuilt goes to ERROR. */
  nextServerFails(fault: string): void {
    this.nova.nextServer.push({ fault });
  }

  /** The status that the next image ends with; "queued" is one that Nova gives up without a word. */
  nextImageStatus(status: string): void {
    this.nova.nextImage.push({ status });
  }

  /** What Nova does with a server; null when it is idle. */
  setTaskState(id: string, taskState: string | null): void {
    const row = this.cloud.servers.get(id);
    if (!row) throw new Error(`devcloud has no server ${id}`);
    row.taskState = taskState;
  }

  /** Removes a server; its volumes stay and are free. */
  removeServer(id: string): void {
    this.nova.removeServer(id);
  }

  /** Adds a floating IP that leads nowhere. */
  addFloatingIp(address: string, project = "demo"): FloatingIpRow {
    const project_id = this.projectId(project);
    const row = { id: randomUUID(), project_id, floating_ip_address: address, port_id: null };
    this.cloud.floatingIps.set(row.id, row);
    this.cloud.changed();
    return row;
  }

  renameServer(id: string, name: string): void {
    const row = this.cloud.servers.get(id);
    if (!row) throw new Error(`devcloud has no server ${id}`);
    row.name = name;
    this.cloud.changed();
  }

  /** Adds a snapshot that is there at once, with the volume's bytes of now; without bytes unless it is "available". */
  async addSnapshot(snapshot: NewSnapshot): Promise<SnapshotRow> {
    const { cloud } = this;
    const volume = cloud.volumes.get(snapshot.volumeId);
    if (!volume) throw new Error(`devcloud has no volume ${snapshot.volumeId}`);
    const offsetSeconds = snapshot.createdAt === undefined ? 0 : (snapshot.createdAt - cloud.clock()) / 1000;
    const row: SnapshotRow = {
      id: randomUUID(),
      volume_id: volume.id,
      name: snapshot.name ?? null,
      description: snapshot.description ?? null,
      status: snapshot.status ?? "available",
      size: volume.size,
      project_id: volume.project_id,
      user_id: volume.user_id,
      metadata: { ...snapshot.metadata },
      created_at: cloud.timestamp(offsetSeconds),
      updated_at: cloud.timestamp(offsetSeconds),
    };
    if (row.status === "available") await takeSnapshot(cloud, row);
    cloud.snapshots.set(row.id, row);
    cloud.changed();
    return row;
  }

  /** Stops answering, abandons what hangs, and removes the images unless they have a directory of their own. */
  stop(): Promise<void> {
    this.stopping ??= (async () => {
      await this.server.close();
      await this.cloud.stop();
      await this.devices?.stop();
      if (this.isTemporary) await fs.rm(this.directory, { recursive: true, force: true });
    })();
    return this.stopping;
  }

  private userNamed(name: string): User {
    const user = this.cloud.identities.users.find(user => user.name === name);
    if (!user) throw new Error(`devcloud has no user "${name}"`);
    return user;
  }

  private anyMember(projectId: string): User {
    const user = this.cloud.identities.users.find(({ roles }) => roles[projectId]?.includes("member"));
    if (!user) throw new Error(`devcloud has no member of the project ${projectId}`);
    return user;
  }

  /** After a restart nobody works on what was in transition: deletes are finished, the rest is given up. */
  private async finishInterruptedWork(): Promise<void> {
    const { cloud } = this;
    for (const row of this.snapshots()) {
      if (row.status === "deleting") {
        await cloud.storage.removeSnapshot(row.id);
        cloud.snapshots.delete(row.id);
      } else if (row.status === "creating") cloud.setSnapshotStatus(row, "error");
      else if (row.status === "restoring") cloud.setSnapshotStatus(row, "available");
    }
    for (const row of this.volumes()) {
      if (row.status === "deleting") {
        await cloud.storage.removeVolume(row.id);
        cloud.volumes.delete(row.id);
      } else if (row.status === "creating") cloud.setVolumeStatus(row, "error");
      else if (row.status === "extending" || row.status === "reverting")
        cloud.setVolumeStatus(row, `error_${row.status}`);
    }
  }

  private async handle(request: HttpRequest): Promise<Reply> {
    const startedAt = performance.now();
    const query = request.query.size > 0 ? `?${request.query}` : "";
    const record: RecordedRequest = {
      method: request.method,
      path: request.path + query,
      status: 0,
      at: Date.now(),
      durationMs: 0,
    };
    const microversion = request.headers["openstack-api-version"];
    if (typeof microversion === "string") record.microversion = microversion;
    if (request.path.startsWith(volumePath) && request.body.length > 0) record.body = parsed(request.body);
    this.requests.push(record);
    if (this.requests.length > rememberedRequests)
      this.requests.splice(0, this.requests.length - rememberedRequests);
    const reply = await this.answer(request, this.faults.match(request.method, request.path + query));
    record.status = reply.drop ? 0 : reply.status;
    if (reply.drop) record.dropped = true;
    record.durationMs = performance.now() - startedAt;
    return reply;
  }

  private async answer(request: HttpRequest, fault: Fault | undefined): Promise<Reply> {
    fault?.onRequest?.();
    if (this.apiDelayMs > 0) await this.cloud.delay(this.apiDelayMs);
    if (fault?.delayMs !== undefined) await this.cloud.delay(fault.delayMs);
    if (fault?.drop === true || fault?.drop === "before") return { status: 0, drop: true };
    if (fault?.status !== undefined && !fault.takesEffect) return faultReply(request, fault, fault.status);
    const reply = await this.route(request);
    if (fault?.drop === "after") return { status: 0, drop: true };
    if (fault?.status !== undefined) return faultReply(request, fault, fault.status);
    if (fault?.half) return { ...reply, half: true };
    if (fault?.onAnswer) return { ...reply, onSent: fault.onAnswer };
    if (fault?.headers) return { ...reply, headers: { ...reply.headers, ...fault.headers } };
    return reply;
  }

  private async route(request: HttpRequest): Promise<Reply> {
    if (isBelow(request.path, identityPath)) return this.keystone.handle(request);
    if (isBelow(request.path, volumePath)) return this.cinder.handle(request);
    if (isBelow(request.path, computePath)) return this.nova.handle(request);
    if (isBelow(request.path, imagePath)) return this.glance.handle(request);
    if (isBelow(request.path, networkPath)) return this.neutron.handle(request);
    return {
      status: 404,
      body: `devcloud serves ${identityPath}/v3, ${volumePath}/v3 and ${computePath}/v2.1 only\n`,
    };
  }
}

function isBelow(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`);
}

function faultReply(request: HttpRequest, fault: Fault, status: number): Reply {
  const headers = fault.headers ?? {};
  if (fault.body !== undefined) return { status, body: fault.body, headers };
  if (status === 204 || status < 300) return { status, headers };
  const echo = fault.echoes ? ` on ${JSON.stringify(request.headers)} ${request.body.toString("utf8")}` : "";
  const message = `devcloud was told to fail with ${status}${echo}`;
  if (isBelow(request.path, identityPath) || status === 401) {
    const title = status === 401 ? "Unauthorized" : "Error";
    return { status, body: { error: { code: status, message, title } }, headers };
  }
  const reply = errorReply(status, message);
  return { ...reply, headers: { ...reply.headers, ...headers } };
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}
