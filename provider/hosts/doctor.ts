import { readiness } from "../movers/local";
import { limits } from "../openstack";
import { openRepository } from "../restic";
import { World } from "./world";

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
  await ask(
    "restic",
    async () => (await openRepository({ url: "/nowhere", password: "unused" }).version()).text,
  );
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
