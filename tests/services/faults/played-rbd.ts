import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import type { AddedFault, Fault as RequestFault } from "../../../devcloud";
import { type CloudUnderTest, reaches } from "../../contract/clouds";
import type { Harm, PassedRequest } from "../../contract/fault-proxy";
import type { Fault } from "../../faults/cases";
import type { CloudRows, Measures, Placed, PlayedCloud } from "../../faults/played-cloud";
import { until } from "../../until";

/** What of the matrix's faults no administrator of a real Cinder can bring about, or only in Nova. */
export const notHere: readonly Fault[] = [
  "image is given up",
  // a service keeps what it has heard of a token for minutes: there a revoked one is as good as before
  "tokens expire in the middle",
];

type Kind = "snapshot" | "volume";

/** A real Cinder with Ceph RBD, behind a proxy on which requests fail; the work behind them fails as an administrator makes it. */
export class PlayedRbd implements PlayedCloud {
  // waits are as long as a busy machine with real services needs
  readonly measures: Measures = {
    apiTimeoutSeconds: 10,
    waitSeconds: 25,
    restoreSeconds: 50,
    foreign: { snapshots: 10, copies: 20 },
  };
  readonly daemons = /qemu-storage-daemon|rbd-fuse/;
  private looking: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly cloud: CloudUnderTest,
    private readonly directory: string,
    /** Of others in this cloud, that are secret here too. */
    private readonly passwords: readonly string[],
  ) {}

  get environment() {
    return this.cloud.environments.demo;
  }

  get requests() {
    return this.cloud.faults.requests;
  }

  async rows(): Promise<CloudRows> {
    const list = async (kind: string) =>
      (await this.cloud.demo.call("GET", "volumev3", `/${kind}${kind === "attachments" ? "" : "/detail"}`))
        .body[kind];
    const [snapshots, volumes, attachments] = await Promise.all(
      ["snapshots", "volumes", "attachments"].map(list),
    );
    return { snapshots, volumes, attachments, images: [] };
  }

  secrets(): string[] {
    return [...this.passwords, ...this.cloud.faults.tokens];
  }

  onChange(look: (rows: CloudRows) => void): void {
    this.cloud.faults.onPassed = ({ method, path: where }) => {
      if (method === "DELETE" && where.includes("/snapshots/"))
        this.looking = Promise.all([this.looking, this.rows().then(look)]);
    };
  }

  async idle(): Promise<void> {
    await this.cloud.faults.idle();
    await this.looking;
  }

  /** A removal that begins while the run gives up takes seconds here. */
  async settled(): Promise<void> {
    await this.idle();
    await until("the removals", async () => {
      const { snapshots, volumes } = await this.rows();
      return ![...snapshots, ...volumes].some(({ status }) => status === "deleting");
    });
  }

  async addVolume({ name, imageFile }: { name: string; imageFile?: string }): Promise<string> {
    const id = await this.cloud.addVolume(imageFile === undefined ? {} : { imageFile });
    await this.cloud.demo.call("PUT", "volumev3", `/volumes/${id}`, { volume: { name } });
    return id;
  }

  async addSnapshot({
    volumeId,
    name,
    metadata,
    status,
  }: Parameters<PlayedCloud["addSnapshot"]>[0]): Promise<void> {
    const wanted = { volume_id: volumeId, name, metadata };
    const { snapshot } = (await this.cloud.demo.call("POST", "volumev3", "/snapshots", { snapshot: wanted }))
      .body;
    await reaches(this.cloud.demo, `/snapshots/${snapshot.id}`, "available");
    if (status !== undefined) await this.reset("snapshot", snapshot.id, status);
  }

  addServer(): undefined {}

  addFault(fault: RequestFault): AddedFault {
    const { method = "\\S+", times = Number.POSITIVE_INFINITY, after = 0 } = fault;
    const harm = {
      ...(fault.onRequest && { before: fault.onRequest }),
      ...(fault.delayMs !== undefined && { delayMs: fault.delayMs }),
      ...(fault.drop && { lost: fault.drop === "after" ? "answer" : "request" }),
      ...(fault.status !== undefined && { status: fault.status }),
      ...(fault.headers && { headers: fault.headers }),
      ...(fault.body !== undefined && { body: fault.body }),
      ...(fault.takesEffect && { takesEffect: true }),
      ...(fault.half && { half: true }),
      ...(fault.onAnswer && { after: fault.onAnswer }),
    } as Harm;
    const match = new RegExp(`^${method} ${fault.path.source.replace(/^\^/, "")}`);
    const hits = this.cloud.faults.inject({ harm, match, after, times });
    return {
      get hits() {
        return hits();
      },
      remove: () => this.clearFaults(),
    };
  }

  clearFaults(): void {
    this.cloud.faults.clear();
  }

  async failWork(fault: Fault, sourceId: string): Promise<Placed | undefined> {
    const [kind, ...words] = fault.split(" ") as [Kind, ...string[]];
    const how = words.join(" ");
    if (fault === "snapshot ends in error") return this.breakSnapshots(sourceId);
    if (how === "stuck in creating") return this.afterMaking(kind, "creating");
    if (how === "ends in error") return this.afterMaking(kind, "error");
    if (how === "stuck in deleting") return this.inPlaceOfRemoval(kind, "deleting");
    if (how === "ends in error_deleting") return this.inPlaceOfRemoval(kind, "error_deleting");
    if (how === "busy") return this.heldAtRemoval(kind);
    return undefined;
  }

  async replaceContent(volumeId: string, makeImage: (file: string) => Promise<unknown>) {
    const kept = path.join(this.directory, "kept.img");
    const image = `rbd:volumes/volume-${volumeId}`;
    const convert = (...args: string[]) =>
      promisify(execFile)("qemu-img", ["convert", "-f", "raw", "-O", "raw", ...args], {
        env: { ...process.env, ...this.environment },
      });
    await convert(image, kept);
    const other = path.join(this.directory, "other.img");
    await makeImage(other);
    await convert("-n", other, image);
    return async () => {
      await convert("-n", kept, image);
      await Promise.all([rm(kept), rm(other)]);
    };
  }

  /** Images that the kernel shows: `rbd map` and `rbd-nbd`. */
  async traces(): Promise<string[]> {
    const krbd = "/sys/bus/rbd/devices";
    const mapped = existsSync(krbd) ? readdirSync(krbd).map(name => `mapped by krbd: ${name}`) : [];
    const nbd = readdirSync("/sys/block").filter(name => existsSync(`/sys/block/${name}/pid`));
    return [...mapped, ...nbd.map(name => `network block device: ${name}`)];
  }

  /** It goes on: what is kept of a scenario is in its folder, and a real cloud's rows are not. */
  async stop(): Promise<void> {}

  /** Takes away what a case has left that did not come to its end. */
  async removeOwn(own: readonly { kind: string; id: string }[]): Promise<void> {
    const { demo } = this.cloud;
    for (const { id } of (await demo.call("GET", "volumev3", "/attachments")).body.attachments)
      await demo.send("DELETE", "volumev3", `/attachments/${id}`);
    // a clone goes before the snapshot that it is of
    for (const wanted of ["volume", "snapshot"] as const)
      for (const { kind, id } of own) if (kind === wanted) await this.remove(wanted, id);
  }

  private async remove(kind: Kind, id: string): Promise<void> {
    await this.reset(kind, id, "error");
    await this.cloud.demo.send("DELETE", "volumev3", `/${kind}s/${id}`);
    await reaches(this.cloud.demo, `/${kind}s/${id}`, "gone");
  }

  /** As `cinder reset-state` does it; what is gone has no state. */
  private async reset(kind: Kind, id: string, status: string): Promise<void> {
    const where = `/${kind}s/${id}/action`;
    const answer = await this.cloud.admin.send("POST", "volumev3", where, { "os-reset_status": { status } });
    if (answer.status >= 400 && answer.status !== 404)
      throw new Error(`resetting ${kind} ${id} to '${status}': HTTP ${answer.status}`);
  }

  private inject(method: string, kind: Kind, harm: Harm): () => number {
    const tail = method === "POST" ? "" : "/[0-9a-f-]{36}";
    const match = new RegExp(`^${method} /volume/v3/[0-9a-f]{32}/${kind}s${tail}(\\?.*)?$`);
    return this.cloud.faults.inject({ harm, match });
  }

  /** Ceph cannot snapshot the first set's volume. */
  private async breakSnapshots(sourceId: string): Promise<Placed> {
    const mend = await this.cloud.breakSnapshots(sourceId);
    return { isMet: ({ result }) => result === "failed", mend };
  }

  /** The first that is made has the status when the answer comes; a stuck one gets on later. */
  private afterMaking(kind: Kind, status: "creating" | "error"): Placed {
    let made = "";
    const between = async (_: PassedRequest, answer: string) => {
      made = JSON.parse(answer)[kind].id;
      await reaches(this.cloud.demo, `/${kind}s/${made}`, "available");
      await this.reset(kind, made, status);
    };
    const hits = this.inject("POST", kind, { between });
    return {
      isMet: () => hits() > 0 && made !== "",
      mend: () => made && status === "creating" && this.reset(kind, made, "available"),
    };
  }

  /** Cinder has accepted it, and has the status; its volume service has done nothing. */
  private inPlaceOfRemoval(kind: Kind, status: "deleting" | "error_deleting"): Placed {
    let id = "";
    const before = async ({ path: where }: PassedRequest) => {
      id = idIn(where);
      await this.reset(kind, id, status);
    };
    const hits = this.inject("DELETE", kind, { before, status: 202 });
    return {
      isMet: () => hits() > 0,
      // a stuck one goes in the end; of an error an administrator makes one that can be removed again
      mend: () => id && (status === "deleting" ? this.remove(kind, id) : this.reset(kind, id, "error")),
    };
  }

  /** Somebody has the image, or a clone of the snapshot, when it is to go. */
  private heldAtRemoval(kind: Kind): Placed {
    let release: (() => Promise<void>) | undefined;
    const before = async ({ path: where }: PassedRequest) => {
      const id = idIn(where);
      if (kind === "volume") release = await this.cloud.holdVolume?.(id);
      else {
        const { snapshot } = (await this.cloud.demo.call("GET", "volumev3", `/snapshots/${id}`)).body;
        release = await this.cloud.holdSnapshot?.(snapshot.volume_id, id);
      }
    };
    const hits = this.inject("DELETE", kind, { before });
    return { isMet: () => hits() > 0 && release !== undefined, mend: () => release?.() };
  }
}

const idIn = (where: string): string => /[0-9a-f-]{36}(?=$|\?)/.exec(where)?.[0] ?? "";
