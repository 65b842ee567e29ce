import { World } from "../driver/world";
import { readiness } from "../movers/local";
import { limits } from "../openstack";
import { openRepository } from "../restic";

/** What a newer restic brings, told where the present one lacks it. */
const newerFeatures = [
  ["sparse", "0.15 restores sparse files with their holes"],
  ["rawLinks", "0.16 keeps targets of symbolic links that are not UTF-8"],
  ["retryLock", "0.16 waits for locks by itself"],
] as const;

/** Prints one line for each thing that a backup needs; returns 1 when one is missing. */
export async function doctor(options: { cloud?: string }): Promise<number> {
  let failed = 0;
  const ask = async (what: string, answer: () => Promise<string>) => {
    try {
      console.log(`ok    ${what}: ${await answer()}`);
    } catch (error) {
      failed++;
      console.log(`FAIL  ${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  await ask("restic", async () => {
    const restic = openRepository({ url: "/nowhere", password: "unused" });
    const lacking = await Promise.all(
      newerFeatures.map(async ([feature, what]) => ((await restic.supports(feature)) ? [] : [what])),
    );
    const { text } = await restic.version();
    return [text, ...lacking.flat()].join("; ");
  });
  await ask("reading volumes", async () => {
    const ready = await readiness();
    if (ready.ok) return ready.how;
    throw new Error(ready.missing.map(({ tool, remedy }) => `${tool} is missing, ${remedy}`).join("; "));
  });
  await ask("cloud", async () => {
    const session = new World({}, line => console.log(line)).session({ cloud: options.cloud });
    return `project ${await session.projectId()}, block storage ${await session.endpoint("block-storage")}, microversion ${await session.maxMicroversion("block-storage")}`;
  });
  await ask("quota", async () => {
    const seen = await limits.get(new World({}, line => console.log(line)).session({ cloud: options.cloud }));
    const { totalSnapshotsUsed, maxTotalSnapshots, totalGigabytesUsed, maxTotalVolumeGigabytes } = seen;
    return `${totalSnapshotsUsed} of ${maxTotalSnapshots} snapshots, ${totalGigabytesUsed} of ${maxTotalVolumeGigabytes} GiB`;
  });
  return failed > 0 ? 1 : 0;
}
