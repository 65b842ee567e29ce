import { renameSync } from "node:fs";
import path from "node:path";
import { type AddedFault, type Devcloud, type Fault as RequestFault, startDevcloud } from "../../devcloud";
import type { Fault } from "./cases";
import type { Ran, RunOptions } from "./scenario";

/** What is seen of a snapshot or a volume; the rest of it is compared, and not read. */
export interface CloudRow {
  id: string;
  name: string | null;
  status: string;
  metadata: Record<string, string>;
}

/** Everything in the project of the scenario. */
export interface CloudRows {
  snapshots: readonly CloudRow[];
  volumes: readonly CloudRow[];
  images: readonly { id: string; status: string; properties: Record<string, string> }[];
  attachments: readonly { volume_id: string }[];
}

/** A fault that is in place: whether it has been met, how it is taken away, and what the run gets. */
export interface Placed {
  /** Whether it has, by how the run ended where nothing else tells. */
  isMet(ran: Ran): boolean;
  mend(): unknown;
  run?: RunOptions;
  /** Waits for what the fault itself has begun, once the run is over. */
  settle?(): Promise<unknown>;
}

/** How long things take, and what there is for others, which a real cloud makes slowly. */
export interface Measures {
  /** Until an answer must be there. */
  apiTimeoutSeconds: number;
  /** Of each wait for the cloud's work. */
  waitSeconds: number;
  restoreSeconds: number;
  /** Snapshots of others in the cloud, and in the repository. */
  foreign: { snapshots: number; copies: number };
}

/** The cloud in which cases are played: devcloud, or real services behind a proxy. */
export interface PlayedCloud {
  /** OS_* of the stack. */
  readonly environment: Readonly<Record<string, string>>;
  readonly measures: Measures;
  /** What was asked of it; emptied by who counts. */
  readonly requests: { method: string; path: string }[];
  /** The processes that show a volume to this machine, and that the next run ends where theirs was killed. */
  readonly daemons?: RegExp;
  rows(): CloudRows | Promise<CloudRows>;
  /** What no output may hold. */
  secrets(): string[];
  /** Calls with what is there after each change that may take a point away. */
  onChange(look: (rows: CloudRows) => void): void;
  /** Resolves when everything that was asked is carried out and all changes are told. */
  idle(): Promise<void>;
  addVolume(volume: { name: string; imageFile?: string }): Promise<string>;
  addSnapshot(snapshot: {
    volumeId: string;
    name: string;
    metadata: Record<string, string>;
    status?: string;
  }): Promise<unknown>;
  /** The id of a new server, where there are servers. */
  addServer(): string | undefined;
  addFault(fault: RequestFault): AddedFault;
  clearFaults(): void;
  /** Resolves when the cloud has also ended what it was told to do. */
  settled(): Promise<void>;
  /** Makes work in the background fail, of snapshots that of the source; undefined where this cloud does not fail so. */
  failWork(fault: Fault, sourceId: string): Promise<Placed | undefined>;
  /** Another volume's bytes in place of a source's own until the returned function is called. */
  replaceContent(volumeId: string, makeImage: (file: string) => Promise<unknown>): Promise<() => unknown>;
  /** What is left on this machine or in the cloud beyond what `rows` tells. */
  traces(): Promise<string[]>;
  stop(): Promise<void>;
}

/** Brings the cloud up on what was kept in the folder, or a new one. */
export type StartCloud = (directory: string) => Promise<PlayedCloud>;

/** A devcloud that is quick, with a hundred objects of others. */
export const startPlayedDevcloud: StartCloud = directory => PlayedDevcloud.start(directory);

/** What a devcloud has beside the stack, and its time. */
interface DevcloudOptions {
  /** How many objects of others there are, in the cloud and in the repository each. Default 100. */
  others?: number;
  /** Whether there is a server whose images are kept. Default true. */
  hasServer?: boolean;
  /** Of the cloud, in milliseconds since 1970. Default: this machine's. */
  now?: () => number;
}

export class PlayedDevcloud implements PlayedCloud {
  readonly measures: Measures;

  private constructor(
    readonly cloud: Devcloud,
    private readonly directory: string,
    private readonly hasServer: boolean,
    others: number,
  ) {
    this.measures = {
      apiTimeoutSeconds: 2,
      waitSeconds: 4,
      restoreSeconds: 20,
      foreign: { snapshots: others, copies: others },
    };
  }

  static async start(
    directory: string,
    { others = 100, hasServer = true, now }: DevcloudOptions = {},
  ): Promise<PlayedDevcloud> {
    const cloud = await startDevcloud({ directory, statusDelayMs: 5, ...(now && { now }) });
    return new PlayedDevcloud(cloud, directory, hasServer, others);
  }

  get environment() {
    return this.cloud.environment;
  }

  get requests() {
    return this.cloud.requests;
  }

  rows(): CloudRows {
    const { cloud } = this;
    return {
      snapshots: cloud.snapshots(),
      volumes: cloud.volumes(),
      images: cloud.images(),
      attachments: cloud.attachments(),
    };
  }

  secrets(): string[] {
    return [this.cloud.environment.OS_PASSWORD ?? "", ...this.cloud.tokens];
  }

  onChange(look: (rows: CloudRows) => void): void {
    this.cloud.onChange(() => look(this.rows()));
  }

  async idle(): Promise<void> {}

  async settled(): Promise<void> {}

  async addVolume({ name, imageFile }: { name: string; imageFile?: string }): Promise<string> {
    const content = imageFile === undefined ? { sizeGib: 1, sizeBytes: 4096 } : { imageFile };
    return (await this.cloud.addVolume({ name, ...content })).id;
  }

  addSnapshot(snapshot: Parameters<PlayedCloud["addSnapshot"]>[0]): Promise<unknown> {
    return this.cloud.addSnapshot(snapshot);
  }

  addServer(): string | undefined {
    return this.hasServer ? this.cloud.addServer({ name: "web" }).id : undefined;
  }

  addFault(fault: RequestFault): AddedFault {
    return this.cloud.faults.add(fault);
  }

  clearFaults(): void {
    this.cloud.faults.clear();
  }

  async failWork(fault: Fault): Promise<Placed | undefined> {
    const { faults } = this.cloud;
    const [kind] = fault.split(" ") as ["snapshot" | "volume"];
    const met = { isMet: () => faults.unmetWork === 0, mend() {} };
    if (fault.endsWith("stuck in creating") || fault.endsWith("stuck in deleting")) {
      const work = `${fault.includes("creating") ? "creating" : "deleting"} ${kind}` as "creating volume";
      faults.stuck(work, 1);
      return { isMet: () => faults.hanging > 0, mend: () => void faults.release() };
    }
    if (fault.endsWith("ends in error")) {
      if (kind === "snapshot") faults.nextSnapshotStatus("error");
      else faults.nextVolumeStatus("error");
      return met;
    }
    if (fault.endsWith("busy")) {
      faults.nextDelete(kind, "busy");
      return met;
    }
    if (fault.endsWith("error_deleting")) {
      faults.nextDelete(kind, "error_deleting");
      // as an administrator resets it: no tenant can delete it before
      const reset = () => {
        for (const row of [...this.cloud.snapshots(), ...this.cloud.volumes()])
          if (row.status === "error_deleting") row.status = "error";
      };
      return { ...met, mend: reset };
    }
    if (fault === "image is given up") {
      this.cloud.nextImageStatus("queued");
      return { isMet: ({ result }) => result === "failed", mend() {} };
    }
    if (fault === "tokens expire in the middle") {
      const added = faults.add({
        path: /\/(attachments|snapshots)/,
        times: 1,
        after: 2,
        onRequest: () => faults.expireTokens(),
      });
      return { isMet: () => added.hits > 0, mend() {} };
    }
    return undefined;
  }

  async replaceContent(volumeId: string, makeImage: (file: string) => Promise<unknown>) {
    const image = this.cloud.imagePath(volumeId);
    const kept = path.join(this.directory, "replaced");
    renameSync(image, kept);
    await makeImage(image);
    return () => renameSync(kept, image);
  }

  async traces(): Promise<string[]> {
    return [];
  }

  stop(): Promise<void> {
    return this.cloud.stop();
  }
}
