import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, makeExt4Image, startDevcloud } from "../../devcloud";
import { openRepository } from "../../provider/restic";
import { Client } from "../devcloud/client";
import { embeddedStack, findPulumi, passphrase, pulumiStack, type Ran } from "../engine/engine-stacks";
import { shuffled } from "../random";

const count = 50;
const password = "many-sets-password";
const slots = ["2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"] as const;

const program = `
const { readFileSync } = require("node:fs");
const { ResticRepository, VolumeBackup } = require("pulumi-openstack-backup");
const { url, password, sets } = JSON.parse(readFileSync("sets.json", "utf8"));
const repository = new ResticRepository("repository", { url, password });
for (const { index, volumeId, wrongPassword, paths } of sets)
  new VolumeBackup("set-" + index, {
    volumeId,
    schedule: "0 * * * *",
    snapshot: { retention: { keepLast: 1 }, timeoutSeconds: 5 },
    temporaryVolume: { timeoutSeconds: 5 },
    repository: wrongPassword ? { url, password: "not-the-password" } : repository,
    ...(paths && { paths }),
  });
`;

interface ProtectedSet {
  index: number;
  volumeId: string;
  wrongPassword?: boolean;
  paths?: string[];
}

const engines: [string, typeof embeddedStack, boolean][] = [
  ["the embedded engine", embeddedStack, true],
  ["the real CLI", pulumiStack, findPulumi() !== undefined],
];

for (const [engine, open, present] of engines)
  describe(`Fifty sets on ${engine}`, () => {
    let cloud: Devcloud;
    let root: string;
    const inherited = process.env.OSBACKUP_MOUNT_DIRECTORY;

    before(async function () {
      if (!present) return;
      this.timeout(120_000);
      root = await mkdtemp(path.join(tmpdir(), "osbackup-many-"));
      cloud = await startDevcloud();
      for (const name of ["project", "engine", "home", "files"]) await mkdir(path.join(root, name));
    });
    after(async () => {
      if (!present) return;
      if (inherited === undefined) delete process.env.OSBACKUP_MOUNT_DIRECTORY;
      await cloud.stop();
      await rm(root, { recursive: true, force: true });
    });

    const title =
      "are backed up but for the ten that fail, each in a way of its own, and the run names these";
    if (!present) {
      it(`${title} (skipped: no pulumi on PATH)`);
      return;
    }
    it(title, async function () {
      this.timeout(15 * 60_000);
      const seed = Number(process.env.MANY_SETS_SEED ?? Date.now() % 1_000_000);
      console.log(`      MANY_SETS_SEED=${seed}`);
      const project = path.join(root, "project");
      const url = path.join(root, "repository");
      const image = path.join(root, "volume.img");
      await writeFile(path.join(root, "files", "a.txt"), "data\n");
      await makeExt4Image(image, { fromDirectory: path.join(root, "files"), sizeMib: 8 });
      const sets: ProtectedSet[] = [];
      for (let index = 0; index < count; index++)
        sets.push({ index, volumeId: (await cloud.addVolume({ name: `v${index}`, imageFile: image })).id });
      await symlink(path.join(__dirname, "../../node_modules"), path.join(project, "node_modules"), "dir");
      await writeFile(path.join(project, "Pulumi.yaml"), "name: many\nruntime: nodejs\nmain: index.js\n");
      await writeFile(
        path.join(project, "package.json"),
        JSON.stringify({ private: true, main: "index.js" }),
      );
      await writeFile(path.join(project, "index.js"), program);
      const declare = (those: ProtectedSet[]) =>
        writeFile(path.join(project, "sets.json"), JSON.stringify({ url, password, sets: those }));
      const environment: NodeJS.ProcessEnv = {
        ...cloud.environment,
        PATH: process.env.PATH,
        HOME: path.join(root, "home"),
        OSBACKUP_MOUNT_DIRECTORY: path.join(root, "mnt"),
        PULUMI_CONFIG_PASSPHRASE: passphrase,
      };
      const stack = await open({ project, directory: path.join(root, "engine"), environment });
      const up = (slot: string): Promise<Ran> => {
        environment.OSBACKUP_NOW = slot.replace("00:00Z", "10:00Z");
        return stack.run("up", ["continueOnError"]);
      };
      /** The sets with a good point of that slot in the repository. */
      const backedUp = async (slot: string): Promise<number[]> => {
        const found = await openRepository({ url, password }).snapshots();
        return found
          .filter(({ tags }) => tags.includes(`slot=${slot}`) && !tags.includes("partial"))
          .map(({ tags }) => Number(tags.find(tag => tag.startsWith("set="))?.slice("set=set-".length)))
          .sort((a, b) => a - b);
      };
      const failed = ({ steps }: Ran): number[] => {
        const names = Object.entries(steps).filter(([, list]) => list.some(step => step.endsWith("!")));
        return [...new Set(names.map(([urn]) => Number(/::set-(\d+)-/.exec(urn)?.[1])))].sort(
          (a, b) => a - b,
        );
      };

      await declare(sets);
      for (const slot of slots.slice(0, 2)) {
        const ran = await up(slot);
        assert.equal(ran.exitCode, 0, ran.output);
        assert.equal((await backedUp(slot)).length, count);
      }

      const [gone, alsoGone, broken, alsoBroken, locked, alsoLocked, partly, busy] = shuffled(
        [...Array(count).keys()],
        seed,
      );
      const client = await Client.login(cloud.environment);
      const volumeOf = (index: number | undefined) => sets[index as number]?.volumeId as string;
      for (const index of [gone, alsoGone])
        assert.equal((await client.send("DELETE", `/volumes/${volumeOf(index)}?cascade=true`)).status, 202);
      while (cloud.volumes().some(({ id }) => id === volumeOf(gone) || id === volumeOf(alsoGone)))
        await new Promise(resolve => setTimeout(resolve, 50));
      const rowsOf = (indexes: (number | undefined)[]) =>
        cloud.volumes().filter(({ id }) => indexes.some(index => volumeOf(index) === id));
      for (const row of rowsOf([broken, alsoBroken])) row.status = "error";
      for (const { id, volume_id } of cloud.snapshots())
        if (volume_id === volumeOf(busy)) cloud.faults.busyDelete(id, 1000);
      const chosen = [gone, alsoGone, broken, alsoBroken, locked, alsoLocked, partly, busy];
      // Whom these two hit is the engine's choice.
      cloud.faults.nextSnapshotStatus("error");
      cloud.faults.nextVolumeStatus("error");
      await declare(
        sets.map(set => ({
          ...set,
          ...((set.index === locked || set.index === alsoLocked) && { wrongPassword: true }),
          ...(set.index === partly && { paths: ["/a.txt", "/absent"] }),
        })),
      );
      const ran = await up(slots[2]);
      const bad = failed(ran);
      if (process.env.MANY_SETS_OUTPUT) await writeFile(process.env.MANY_SETS_OUTPUT, ran.output);
      const all = sets.map(({ index }) => index);
      assert.notEqual(ran.exitCode, 0);
      assert.deepEqual(
        chosen.filter(index => !bad.includes(index as number)),
        [],
        `failed: ${bad}`,
      );
      // A set that was chosen may be hit as well.
      assert.ok(bad.length <= 10, `failed: ${bad}`);
      // an old snapshot that cannot go does not stop the copy of the new one
      const others = (await backedUp(slots[2])).filter(index => index !== busy);
      assert.deepEqual(
        others,
        all.filter(index => !bad.includes(index)),
      );
      for (const index of bad)
        assert.match(ran.output, new RegExp(`set-${index}-(snapshot|volume|backup)\\b`));
      // the set whose file is absent never gets so far where the engine's choice was this one
      const marked = await openRepository({ url, password }).snapshots();
      const wasTried = marked.some(
        ({ tags }) => tags.includes(`set=set-${partly}`) && tags.includes("partial"),
      );
      for (const words of [
        /could not be found|does not exist/i,
        /wrong password/,
        ...(wasTried ? [/could not read absent/] : []),
      ])
        assert.match(ran.output, words);

      for (const row of rowsOf([broken, alsoBroken])) row.status = "available";
      cloud.faults.clear();
      await declare(sets.filter(({ index }) => index !== gone && index !== alsoGone));
      const mended = await up(slots[2]);
      assert.equal(mended.exitCode, 0, mended.output);
      assert.equal((await backedUp(slots[2])).length, count - 2);
      assert.deepEqual(
        cloud.volumes().filter(({ metadata }) => metadata["osbackup-role"] === "temporary"),
        [],
      );
      execFileSync("restic", ["-r", url, "--no-cache", "check"], {
        env: { ...process.env, RESTIC_PASSWORD: password },
        stdio: "ignore",
      });
    });
  });
