import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { readiness } from "../../provider/movers/local";
import { describeCinderSnapshots } from "./cinder-snapshots";
import type { CloudUnderTest } from "./clouds";
import { describeLifecycles } from "./lifecycles";
import { describeRestores } from "./restores";
import { newWorkshop, repositoryPassword } from "./rows";
import { describeServerSnapshots } from "./server-snapshots";
import { said } from "./stack-run";

/** Holds every resource type of the registry to the contract on one cloud, which is up when `getCloud` is called. */
export function describeContract(kind: CloudUnderTest["kind"], getCloud: () => CloudUnderTest): void {
  describe(`contract on ${kind}`, function () {
    this.timeout(kind === "devcloud" ? 60_000 : 120_000);
    let cannotMove: string | undefined;
    let directory: string;
    const mountDirectory = process.env.OSBACKUP_MOUNT_DIRECTORY;

    before(async () => {
      directory = await mkdtemp(path.join(tmpdir(), "osbackup-workshop-"));
      newWorkshop(directory);
      process.env.OSBACKUP_MOUNT_DIRECTORY = path.join(directory, "mnt");
      const { ok, missing } = await readiness();
      if (!ok)
        cannotMove = `this machine cannot read volumes: ${missing.map(({ remedy }) => remedy).join("; ")}`;
    });

    after(async () => {
      if (mountDirectory === undefined) delete process.env.OSBACKUP_MOUNT_DIRECTORY;
      else process.env.OSBACKUP_MOUNT_DIRECTORY = mountDirectory;
      await rm(directory, { recursive: true, force: true });
    });

    const mover = () => cannotMove;
    // Cinder's NFS driver cannot snapshot an attached volume without Nova's help
    const attached = kind !== "nfs";
    describeLifecycles(getCloud, { mover, attached, servers: kind === "devcloud" });
    if (attached) describeServerSnapshots(getCloud);
    describeCinderSnapshots(getCloud);
    describeRestores(getCloud, { mover });

    describe("what was said", () => {
      it("has said no secret in all of this", () => {
        const secrets = [
          repositoryPassword,
          "another-password-nobody-must-see",
          "a-wrong-password-nobody-must-see",
          ...Object.values(getCloud().environments).map(environment => environment.OS_PASSWORD ?? ""),
          ...getCloud().faults.tokens,
        ];
        const leaks = said.filter(line => secrets.some(secret => line.includes(secret)));
        assert.deepEqual(leaks, []);
        assert.ok(said.length > 0);
      });
    });
  });
}
