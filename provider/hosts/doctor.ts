import { existsSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { World } from "../driver/world";
import { choiceOf } from "../movers/auto-mover";
import { Clusters } from "../movers/kubernetes/clusters";
import { readiness } from "../movers/local";
import { limits, type Session } from "../openstack";
import { preflightOf } from "../operations/preflight";
import { openRepository } from "../restic";
import { accessFromEnvironment, hasService } from "./list";

/** What a newer restic brings, told where the present one lacks it. */
const newerFeatures = [
  ["sparse", "0.15 restores sparse files with their holes"],
  ["rawLinks", "0.16 keeps targets of symbolic links that are not UTF-8"],
  ["retryLock", "0.16 waits for locks by itself"],
] as const;

/** One thing that a backup needs. */
interface Finding {
  what: string;
  state: "ok" | "warn" | "FAIL";
  says: string;
}

/** What `doctor` looks at beside the machine and the cloud. */
export interface DoctorOptions {
  cloud?: string;
  /** A restic repository, opened as by restic's own command line. */
  repository?: string;
  json?: boolean;
}

/** Says of each thing that a backup needs whether it is there; returns 1 when one is missing. */
export async function doctor(options: DoctorOptions): Promise<number> {
  const world = new World({}, line => console.error(line));
  const findings: Finding[] = [];
  const ask = async (what: string, answer: () => Promise<string | Omit<Finding, "what">>) => {
    const found = await answer().then(
      said => (typeof said === "string" ? { state: "ok" as const, says: said } : said),
      (error: Error) => ({ state: "FAIL" as const, says: error.message }),
    );
    findings.push({ what, ...found });
    if (!options.json) console.log(`${found.state.padEnd(4)}  ${what}: ${found.says}`);
    return found.state !== "FAIL";
  };
  await ask("restic", () => resticHere());
  await ask("reading volumes", async () => {
    const { ok, how, missing } = await readiness();
    const remedies = missing.map(({ tool, remedy }) => `${tool} is missing, ${remedy}`).join("; ");
    if (!ok) throw new Error(remedies);
    const losesOwners = how.includes("owners are lost") && !how.includes("fuse2fs");
    return losesOwners ? { state: "warn", says: `${how}; ${remedies}` } : how;
  });
  const place = options.cloud === undefined ? {} : { cloud: options.cloud };
  // what else is asked of a cloud that lets nobody in would only say the same again
  if (await ask("cloud", async () => cloudSays(world.session(place)))) {
    await ask("login", async () => {
      const warnings = await preflightOf(world.session(place)).warnings();
      return warnings.length > 0
        ? { state: "warn", says: warnings.join("; ") }
        : "its role may make things, and the clocks agree";
    });
    await ask("quota", async () => quotaSays(world.session(place)));
    await ask("servers", async () => serversSay(world.session(place)));
    await ask("mover", async () => (await choiceOf(world.session(place), undefined)).why);
  }
  if (hasKubernetes())
    await ask("kubernetes", async () => {
      const why = await new Clusters().obstacle({});
      return why === undefined
        ? "mover 'kubernetes' works"
        : { state: "warn", says: `mover 'kubernetes': ${why}` };
    });
  const { repository: url } = options;
  if (url !== undefined)
    await ask("repository", async () => {
      const found = await world.repository(accessFromEnvironment(url)).snapshots();
      return `${url} opens, ${found.length} snapshot${found.length === 1 ? "" : "s"}`;
    });
  if (options.json) console.log(JSON.stringify(findings, null, 2));
  return findings.some(({ state }) => state === "FAIL") ? 1 : 0;
}

/** Whether anything here says which cluster there is; who has none is not told of it. */
const hasKubernetes = (): boolean =>
  Boolean(process.env.KUBECONFIG || process.env.KUBERNETES_SERVICE_HOST) ||
  existsSync(path.join(homedir(), ".kube", "config"));

async function resticHere(): Promise<string> {
  const restic = openRepository({ url: "/nowhere", password: "unused" });
  const lacking = await Promise.all(
    newerFeatures.map(async ([feature, what]) => ((await restic.supports(feature)) ? [] : [what])),
  );
  const { text } = await restic.version();
  return [text, ...lacking.flat()].join("; ");
}

async function cloudSays(session: Session): Promise<string> {
  const project = await session.projectId();
  const volumes = await session.endpoint("block-storage");
  return `project ${project}, block storage ${volumes}, microversion ${await session.maxMicroversion("block-storage")}`;
}

async function quotaSays(session: Session): Promise<string> {
  const seen = await limits.get(session);
  const { totalSnapshotsUsed, maxTotalSnapshots, totalGigabytesUsed, maxTotalVolumeGigabytes } = seen;
  return `${totalSnapshotsUsed} of ${maxTotalSnapshots} snapshots, ${totalGigabytesUsed} of ${maxTotalVolumeGigabytes} GiB`;
}

/** A cloud without servers is none that cannot be backed up. */
async function serversSay(session: Session): Promise<string | Omit<Finding, "what">> {
  const lacking: string[] = [];
  for (const service of ["compute", "image", "network"] as const)
    if (!(await hasService(session, service))) lacking.push(service);
  if (lacking.length > 0) {
    const services = `no ${lacking.join(" and no ")} service`;
    return { state: "warn", says: `the catalog has ${services}: volumes alone can be backed up` };
  }
  return `compute ${await session.endpoint("compute")}, microversion ${await session.maxMicroversion("compute")}`;
}
