import type { Session } from "../openstack";
import type { BackupResult, Repository } from "../restic";
import type { KubernetesOptions } from "./kubernetes/options";

/** What a mover must know beyond the run. */
export interface MoverOptions {
  /** Of the server that the stack runs on; default: what it says itself. */
  serverId?: string | undefined;
  /** How many volumes that server has of ours at most at one time. */
  maxAttached?: number | undefined;
  /** Of the cluster, and of the Jobs on it. */
  kubernetes?: KubernetesOptions | undefined;
}

/** One run: which volume goes into which repository, and under which name. */
export interface BackupRun {
  session: Session;
  /** The temporary volume; the mover may write to it (a journal is replayed), never to the source. */
  volumeId: string;
  /** True where nothing holds the volume, as this process has seen; else what a killed run left is ended first. */
  isDetached?: boolean | undefined;
  /** `<project>/<stack>/<resource name>`: the same mount path and host in every run of a set depend on it. */
  owner: string;
  repository: Repository;
  /** "file" reads the file system, "block" streams the device, "auto" takes files where there are any. */
  content: "auto" | "file" | "block";
  /** Inside the volume, beginning at its root; `["/"]` is everything. */
  paths: string[];
  exclude: string[];
  host: string;
  tags: string[];
  time: Date;
  timeoutSeconds: number;
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** What restic reported, and how the bytes reached it. */
export interface MovedBackup extends BackupResult {
  content: "file" | "block";
  fileSystem?: string;
  /** False where the machine could not read the files with their owners (without root and FUSE). */
  ownersPreserved: boolean;
  /** For people: "loop mount", "fuse2fs", … */
  how: string;
}

/** One restore: which restic snapshot fills which new, blank volume. */
export interface RestoreRun {
  session: Session;
  volumeId: string;
  /** As BackupRun's. */
  isDetached?: boolean | undefined;
  owner: string;
  repository: Repository;
  resticSnapshotId: string;
  content: "file" | "block";
  /** The restic snapshot's tags, which tell what its files do not. */
  tags: readonly string[];
  /** The file system to make where files are restored. */
  fileSystem: "ext4" | "xfs";
  /** Gives it a UUID of its own, in place of the backup's. */
  newUuid: boolean;
  /** Reads back what was written and compares it. */
  verify: boolean;
  timeoutSeconds: number;
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** How the bytes of a volume reach restic, and come back. Each method may be called again after a kill at any point. */
export interface Mover {
  /** Why it can move nothing, as far as can be told before anything is made; undefined where nothing speaks against it. */
  obstacle?(): Promise<string | undefined>;
  synchronize(run: BackupRun): Promise<MovedBackup>;
  /** Fills a volume; returns how it was written, for people. */
  restore(run: RestoreRun): Promise<{ how: string; ownersPreserved: boolean }>;
  /** Removes what an earlier run of this owner left where the bytes were read; returns it in words. */
  cleanup(run: Pick<BackupRun, "owner" | "log">): Promise<string[]>;
}
