import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import type { DeploymentFile } from "../../engine";
import { loopsOn } from "../loop-devices";
import { until } from "../until";
import type { CloudRows } from "./played-cloud";
import { password, type Scenario, type Stage, snapshotFiles } from "./scenario";

/** A recovery point, or another object with the stack's mark. */
export interface Seen {
  kind: "snapshot" | "volume" | "image" | "restic";
  id: string;
  owner: string;
  slot: string;
  /** Cinder's or Glance's status; of a restic snapshot its marks. */
  status: string;
}

/** All that carries the stack's mark. */
export async function ownObjects({ cloud, repository }: Scenario): Promise<Seen[]> {
  return ownAmong(await cloud.rows(), repository);
}

function ownAmong({ snapshots, volumes, images }: CloudRows, repository: string): Seen[] {
  const inCloud = (kind: Seen["kind"], id: string, status: string, marks: Record<string, string>): Seen => ({
    kind,
    id,
    owner: marks["osbackup-owner"] ?? "",
    slot: marks["osbackup-slot"] ?? "",
    status,
  });
  return [
    ...snapshots.map(({ id, status, metadata }) => ({
      ...inCloud("snapshot", id, status, metadata),
      metadata,
    })),
    ...volumes.map(({ id, status, metadata }) => ({ ...inCloud("volume", id, status, metadata), metadata })),
    ...images.map(({ id, status, properties }) => ({
      ...inCloud("image", id, status, properties),
      metadata: properties,
    })),
    ...resticSnapshots(repository).map(({ id, tags }) => {
      const marks = Object.fromEntries(tags.map(tag => tag.split("=")));
      return {
        kind: "restic" as const,
        id,
        owner: marks.owner ?? "",
        slot: marks.slot ?? "",
        status: tags.filter(tag => !tag.includes("=")).join(" "),
        metadata: marks,
      };
    }),
  ].flatMap(({ metadata, ...seen }) =>
    metadata["managed-by"] === "pulumi-openstack-backup" &&
    seen.owner.startsWith("faults/dev/") &&
    !/2$/.test(seen.owner)
      ? [seen]
      : [],
  );
}

/** What is there for others, to the last byte of what can be seen of it. */
export async function foreignObjects({ cloud, repository }: Scenario): Promise<string[]> {
  const there = await cloud.rows();
  const own = new Set(ownAmong(there, repository).map(({ id }) => id));
  const rows = [...there.snapshots, ...there.images]
    .filter(({ id }) => !own.has(id))
    .map(row => JSON.stringify(row));
  const sources = there.volumes
    .filter(({ id }) => !own.has(id))
    .map(({ id, name, status, metadata }) => JSON.stringify({ id, name, status, metadata }));
  const files = snapshotFiles(repository).filter(name => !own.has(name));
  return [...rows, ...sources, ...files].sort();
}

/** What was listed last: a snapshot's file is called by its content. */
let listed: { names: string; snapshots: { id: string; tags: string[] }[] } | undefined;

function resticSnapshots(repository: string): { id: string; tags: string[] }[] {
  if (!existsSync(path.join(repository, "config"))) return [];
  const names = snapshotFiles(repository).sort().join();
  if (listed?.names !== names) listed = { names, snapshots: listSnapshots(repository) };
  return listed.snapshots;
}

function listSnapshots(repository: string): { id: string; tags: string[] }[] {
  const said = execFileSync("restic", ["-r", repository, "--no-cache", "--no-lock", "snapshots", "--json"], {
    env: { ...process.env, PATH: (process.env.PATH ?? "").replace(/^[^:]*:/, ""), RESTIC_PASSWORD: password },
    encoding: "utf8",
  });
  return JSON.parse(said).map(({ id, tags }: { id: string; tags?: string[] }) => ({ id, tags: tags ?? [] }));
}

/** A point, or an object, by all but its id. */
export const lineOf = ({ kind, owner, slot, status }: Seen): string =>
  [kind, owner, slot, status].filter(Boolean).join(" ");

/** The ids that the state holds of what is in the cloud and in the repository. */
export function idsInState({ deployment }: DeploymentFile): string[] {
  const ids = new Set<string>();
  for (const { type, outputs = {} } of deployment.resources ?? []) {
    const points = (outputs.points ?? []) as Record<string, unknown>[];
    for (const point of points) {
      for (const key of ["snapshotId", "resticSnapshotId", "imageId"]) {
        const id = point[key];
        if (typeof id === "string" && id) ids.add(id);
      }
      for (const id of (point.snapshotIds ?? []) as string[]) ids.add(id);
    }
    // a temporary volume's state keeps the id of one that is used up
    if (type.endsWith("VolumeRestore") && typeof outputs.volumeId === "string" && outputs.volumeId)
      ids.add(outputs.volumeId);
  }
  return [...ids].sort();
}

/** What a run must not leave: mounts, loop devices, FUSE daemons and other processes, locks, temporary files. */
export async function traces(scenario: Scenario): Promise<string[]> {
  const { root, repository } = scenario;
  const mounts = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .filter(line => line.includes(root))
    .map(line => `mount: ${line}`);
  const loops = loopsOn(root).map(file => `loop device: ${file}`);
  const locks = existsSync(path.join(repository, "locks")) ? readdirSync(path.join(repository, "locks")) : [];
  // a file that a killed restic was writing is no lock; restic takes no notice of it
  const whole = locks.filter(name => /^[0-9a-f]{64}$/.test(name)).map(name => `lock: ${name}`);
  const temporary = readdirSync(path.join(root, "tmp")).map(name => `temporary file: ${name}`);
  // a mount folder stays, empty, for the next run
  const notes = readdirSync(path.join(root, "mnt"), { recursive: true })
    .map(String)
    .filter(name => !statSync(path.join(root, "mnt", name)).isDirectory() || name.includes("/"))
    .map(name => `note of a mount: ${name}`);
  const there = await scenario.cloud.rows();
  const attachments = there.attachments.map(({ volume_id }) => `attachment of ${volume_id}`);
  const others = await scenario.cloud.traces();
  return [
    ...mounts,
    ...loops,
    ...whole,
    ...temporary,
    ...notes,
    ...attachments,
    ...others,
    ...processes(root),
  ];
}

/** Processes of the scenario but this one. */
export function processes(root: string): string[] {
  return readdirSync("/proc").flatMap(name => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      const environment = readFileSync(`/proc/${name}/environ`, "latin1");
      const line = readFileSync(`/proc/${name}/cmdline`, "latin1").replaceAll("\0", " ").trim();
      return environment.includes(`HOME=${root}/home`) || line.includes(root)
        ? [`process ${name}: ${line}`]
        : [];
    } catch {
      return [];
    }
  });
}

/** Waits for the end of what a run has begun; returns the processes that are there still. */
export async function stillWorking({ root, cloud }: Scenario): Promise<string[]> {
  const working = () => processes(root).filter(line => !cloud.daemons?.test(line));
  return until("the end of what the run had begun", () => working().length === 0, {
    seconds: 20,
    every: 20,
  }).then(() => [], working);
}

/** How many good points each set must not fall below while a run works. */
const floors: Record<string, number> = { snapshot: 1, image: 2, restic: 2 };

/**
 * Watches that no moment has fewer good points than retention keeps, if there were as many, and that the oldest go first.
 * Of the repository it sees the moments at which restic's commands begin, and the end.
 */
export class Watch {
  readonly problems: string[] = [];
  private stopped = false;

  private constructor(
    private readonly scenario: Scenario,
    private readonly stage: Stage,
    private readonly before: Seen[],
  ) {}

  static async begin(scenario: Scenario, stage: Stage): Promise<Watch> {
    const watch = new Watch(scenario, stage, await ownObjects(scenario));
    if (stage !== "destroy") scenario.cloud.onChange(rows => watch.stopped || watch.look(rows));
    return watch;
  }

  private look({ snapshots, images }: CloudRows): void {
    const there = new Set([...snapshots, ...images].map(({ id }) => id));
    const marked = [
      ...snapshots.map(row => ({ ...row, kind: "snapshot", owner: row.metadata["osbackup-owner"] })),
      ...images.map(row => ({ ...row, kind: "image", owner: row.properties["osbackup-owner"] })),
    ];
    for (const set of new Set(this.before.map(({ kind, owner }) => `${kind} ${owner}`))) {
      const [kind = "", owner = ""] = set.split(" ");
      if (kind !== "snapshot" && kind !== "image") continue;
      const good = (status: string) => status === "available" || status === "active";
      const before = this.before.filter(seen => `${seen.kind} ${seen.owner}` === set && good(seen.status));
      const now = marked.filter(row => row.kind === kind && row.owner === owner && good(row.status));
      const least = Math.min(before.length, floors[kind] ?? 1);
      if (now.length < least) this.say(`${set} has ${now.length} good points, fewer than ${least}`);
      this.oldestFirst(set, before, id => there.has(id));
      if (kind === "snapshot") this.copiedFirst(owner, before, marked, snapshots);
    }
  }

  /** The newest Cinder point from before goes when the copy of a newer one is proven. */
  private copiedFirst(
    owner: string,
    before: Seen[],
    now: { id: string; status: string; owner?: string | undefined }[],
    snapshots: CloudRows["snapshots"],
  ): void {
    const [newest] = [...before].sort((a, b) => (a.slot > b.slot ? -1 : 1));
    if (!newest || now.some(({ id, status }) => id === newest.id && status === "available")) return;
    const isCopied = snapshots.some(
      ({ status, metadata }) =>
        status === "available" &&
        metadata["osbackup-owner"] === owner &&
        metadata["osbackup-copy"] === "proven",
    );
    if (!isCopied)
      this.say(`${owner} has lost its point of ${newest.slot}, and has no newer one with a copy`);
  }

  private oldestFirst(set: string, before: Seen[], isThere: (id: string) => boolean): void {
    const ordered = [...before].sort((a, b) => (a.slot < b.slot ? -1 : 1));
    const firstThere = ordered.findIndex(({ id }) => isThere(id));
    const gap = firstThere >= 0 && ordered.slice(firstThere).find(({ id }) => !isThere(id));
    if (gap) this.say(`${set} has lost its point of ${gap.slot}, and has an older one`);
  }

  private say(problem: string): void {
    if (!this.problems.includes(problem)) this.problems.push(problem);
  }

  /** The last look, at the repository too. */
  async end(): Promise<void> {
    await this.scenario.cloud.idle();
    this.stopped = true;
    if (this.stage === "destroy") return;
    const now = (await ownObjects(this.scenario)).filter(
      ({ kind, status }) => kind === "restic" && status === "",
    );
    const owners = new Set(this.before.flatMap(({ kind, owner }) => (kind === "restic" ? [owner] : [])));
    for (const owner of owners) {
      const before = this.before.filter(
        seen => seen.kind === "restic" && seen.owner === owner && seen.status === "",
      );
      const good = now.filter(seen => seen.owner === owner);
      const least = Math.min(before.length, floors.restic ?? 1);
      if (good.length < least)
        this.say(`restic ${owner} has ${good.length} good points, fewer than ${least}`);
      this.oldestFirst(`restic ${owner}`, before, id => good.some(seen => seen.id === id));
    }
  }
}
