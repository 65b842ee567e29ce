import { randomBytes, randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import path from "node:path";
import { z } from "zod";
import type { Faults, Work } from "./faults";
import { emptyIdentities, type Identities } from "./identities";
import type {
  AttachmentRow,
  BackupRow,
  FloatingIpRow,
  ImageRow,
  MessageRow,
  ServerRow,
  SnapshotRow,
  TransferRow,
  VolumeRow,
  VolumeTypeRow,
} from "./rows";
import type { Storage } from "./storage";

/** Called at the instant of a snapshot's copy, while no write to the volume can happen. */
export type SnapshotListener = (snapshot: SnapshotRow, imagePath: string) => void | Promise<void>;

/** How the cloud behaves; everything has a default in `startDevcloud`. */
export interface Behaviour {
  backend: "local" | "nfs";
  statusDelayMs: number;
  /** Size of each pool; a larger volume ends in "error" with a user message. */
  capacityGib: number;
  /** As Nova's max_disk_devices_to_attach. */
  mostVolumesOfServer: number;
  /** Quota of a project that has none of its own; -1 is unlimited. */
  defaultQuota: Record<string, number>;
}

const savedState = z.object({
  format: z.literal(1),
  identities: z.custom<Identities>(),
  volumeTypes: z.array(z.custom<VolumeTypeRow>()),
  volumes: z.array(z.custom<VolumeRow>()),
  snapshots: z.array(z.custom<SnapshotRow>()),
  servers: z.array(z.custom<ServerRow>()).default([]),
  images: z.array(z.custom<ImageRow>()).default([]),
  floatingIps: z.array(z.custom<FloatingIpRow>()).default([]),
  attachments: z.array(z.custom<AttachmentRow>()),
  messages: z.array(z.custom<MessageRow>()),
  transfers: z.array(z.custom<TransferRow>()),
  backups: z.array(z.custom<BackupRow>()),
  quotas: z.record(z.string(), z.record(z.string(), z.number())),
});

/** All that the cloud knows, and its work in the background. */
export class Cloud {
  identities = emptyIdentities();
  volumeTypes: VolumeTypeRow[] = [];
  readonly volumes = new Map<string, VolumeRow>();
  readonly snapshots = new Map<string, SnapshotRow>();
  readonly servers = new Map<string, ServerRow>();
  /** Whether it has compute, image and network services: from its first server on. */
  hasCompute = false;
  readonly floatingIps = new Map<string, FloatingIpRow>();
  readonly images = new Map<string, ImageRow>();
  readonly attachments = new Map<string, AttachmentRow>();
  readonly messages = new Map<string, MessageRow>();
  readonly transfers = new Map<string, TransferRow>();
  readonly backups = new Map<string, BackupRow>();
  /** Quotas set for a project, over the defaults. */
  readonly quotas = new Map<string, Record<string, number>>();
  readonly snapshotListeners: SnapshotListener[] = [];
  readonly changeListeners: (() => void)[] = [];
  readonly serviceUuid = randomUUID();

  readonly storage: Storage;
  readonly faults: Faults;
  readonly behaviour: Behaviour;
  private readonly now: (() => number) | undefined;
  private readonly stateFile: string | undefined;
  private readonly running = new Set<Promise<void>>();
  private readonly timers = new Map<NodeJS.Timeout, () => void>();
  private saveTimer: NodeJS.Timeout | undefined;
  private saving: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(parts: {
    storage: Storage;
    faults: Faults;
    behaviour: Behaviour;
    now?: (() => number) | undefined;
    /** Where the state is kept; not kept when absent. */
    stateFile?: string | undefined;
  }) {
    this.storage = parts.storage;
    this.faults = parts.faults;
    this.behaviour = parts.behaviour;
    this.now = parts.now;
    this.stateFile = parts.stateFile;
  }

  /** Milliseconds since 1970, with a fraction. */
  clock(): number {
    return this.now ? this.now() : performance.timeOrigin + performance.now();
  }

  /** The time as the database holds it, `2026-11-22T02:13:35.507750`. */
  timestamp(offsetSeconds = 0): string {
    return databaseTime(this.clock() + offsetSeconds * 1000);
  }

  /**
   * Does work after the status delay, when nothing holds work of this kind up. Errors end in `onError`.
   * A cloud that was stopped meanwhile does not start it any more.
   */
  inBackground(work: Work, run: () => Promise<void>, delayMs = this.behaviour.statusDelayMs): void {
    const job = (async () => {
      await this.delay(delayMs);
      if (this.stopped) return;
      await Promise.race([this.faults.gate(work), this.whenStopped]);
      if (this.stopped) return;
      await run();
      this.changed();
    })();
    this.track(job);
  }

  async delay(milliseconds: number): Promise<void> {
    if (milliseconds <= 0) return new Promise(resolve => setImmediate(resolve));
    return new Promise(resolve => {
      const timer = setTimeout(() => {
        this.timers.delete(timer);
        resolve();
      }, milliseconds);
      this.timers.set(timer, resolve);
    });
  }

  /** Marks the state as changed; it is written at most ten times a second. */
  changed(): void {
    for (const listener of this.changeListeners) listener();
    if (this.stateFile === undefined || this.stopped || this.saveTimer !== undefined) return;
    this.saveTimer = setTimeout(() => {
      this.saveTimer = undefined;
      this.track(this.save());
    }, 100);
  }

  setVolumeStatus(volume: VolumeRow, status: string): void {
    volume.status = status;
    volume.updated_at = this.timestamp();
    this.changed();
  }

  setSnapshotStatus(snapshot: SnapshotRow, status: string): void {
    snapshot.status = status;
    snapshot.updated_at = this.timestamp();
    this.changed();
  }

  snapshotsOf(volumeId: string): SnapshotRow[] {
    return [...this.snapshots.values()].filter(row => row.volume_id === volumeId);
  }

  attachmentsOf(volumeId: string): AttachmentRow[] {
    return [...this.attachments.values()].filter(row => row.volume_id === volumeId);
  }

  /** The status of a volume that nothing is done to. */
  restingStatus(volumeId: string): "available" | "reserved" | "in-use" {
    const attachments = this.attachmentsOf(volumeId);
    if (attachments.length === 0) return "available";
    return attachments.some(({ status }) => status === "attached") ? "in-use" : "reserved";
  }

  /** Ends all work; what hangs is abandoned. Then the state is written one last time. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.saveTimer);
    this.saveTimer = undefined;
    for (const [timer, resolve] of this.timers) {
      clearTimeout(timer);
      resolve();
    }
    this.timers.clear();
    this.announceStop();
    await Promise.all(this.running);
    await this.storage.close();
    await this.save();
  }

  /** Reads the kept state. False when there is none yet. */
  async load(): Promise<boolean> {
    if (this.stateFile === undefined) return false;
    let text: string;
    try {
      text = await fs.readFile(this.stateFile, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
    const parsed = savedState.safeParse(JSON.parse(text));
    if (!parsed.success)
      throw new Error(`reading ${this.stateFile}: not a devcloud state; use another directory`);
    const state = parsed.data;
    this.identities = state.identities;
    this.volumeTypes = state.volumeTypes;
    for (const row of state.volumes) this.volumes.set(row.id, row);
    for (const row of state.servers) this.servers.set(row.id, row);
    this.hasCompute = this.servers.size > 0;
    for (const row of state.floatingIps) this.floatingIps.set(row.id, row);
    for (const row of state.images) this.images.set(row.id, row);
    for (const row of state.snapshots) this.snapshots.set(row.id, row);
    for (const row of state.attachments) this.attachments.set(row.id, row);
    for (const row of state.messages) this.messages.set(row.id, row);
    for (const row of state.transfers) this.transfers.set(row.id, row);
    for (const row of state.backups) this.backups.set(row.id, row);
    for (const [project, quota] of Object.entries(state.quotas)) this.quotas.set(project, quota);
    return true;
  }

  private save(): Promise<void> {
    const stateFile = this.stateFile;
    if (stateFile === undefined) return Promise.resolve();
    this.saving = this.saving.then(async () => {
      const state: z.infer<typeof savedState> = {
        format: 1,
        identities: this.identities,
        volumeTypes: this.volumeTypes,
        volumes: [...this.volumes.values()],
        snapshots: [...this.snapshots.values()],
        servers: [...this.servers.values()],
        floatingIps: [...this.floatingIps.values()],
        images: [...this.images.values()],
        attachments: [...this.attachments.values()],
        messages: [...this.messages.values()],
        transfers: [...this.transfers.values()],
        backups: [...this.backups.values()],
        quotas: Object.fromEntries(this.quotas),
      };
      const temporary = path.join(
        path.dirname(stateFile),
        `.${path.basename(stateFile)}.${randomBytes(4).toString("hex")}`,
      );
      await fs.writeFile(temporary, JSON.stringify(state), { mode: 0o600 });
      await fs.rename(temporary, stateFile);
    });
    return this.saving;
  }

  private announceStop: () => void = () => undefined;
  private readonly whenStopped = new Promise<void>(resolve => {
    this.announceStop = resolve;
  });

  private track(job: Promise<void>): void {
    const tracked: Promise<void> = job
      .catch(error => {
        process.emitWarning(`devcloud: work in the background failed: ${String(error)}`);
      })
      .finally(() => this.running.delete(tracked));
    this.running.add(tracked);
  }
}

/** Milliseconds since 1970 as Cinder's database holds them: UTC, microseconds, no zone. */
export function databaseTime(milliseconds: number): string {
  const whole = Math.floor(milliseconds);
  const microseconds = Math.floor((milliseconds - whole) * 1000);
  return new Date(whole).toISOString().slice(0, -1) + String(microseconds).padStart(3, "0");
}

/** Cut to the second, as a database without fractions of seconds answers. */
export function wholeSeconds(time: string): string {
  return `${time.slice(0, 19)}.000000`;
}
