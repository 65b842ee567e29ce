import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { makeExt4Image } from "../devcloud/images";
import { openVolume } from "../provider/movers/local";
import { openRepository } from "../provider/restic";
import { type Benchmark, median, type Row, ratioRow } from "./benchmark";

const rounds = 3;
const mebibyte = 1 << 20;
const largeFiles = 496;
const smallFiles = 4096;
const smallBytes = 8192;
/** 2 % of the bytes. */
const changedFiles = 10;
const password = "bench";
const tags = ["managed-by=bench", "owner=bench/bench/volume"];

type Phase = "first" | "unchanged" | "2 % changed";

/** What ResticBackup does with an open volume against restic itself, on one mount of 1 GiB in 4,592 files. */
export const resticBackup: Benchmark = {
  name: "restic-backup",
  async run(log) {
    const directory = mkdtempSync(path.join(tmpdir(), "osbackup-bench-restic-"));
    try {
      const image = path.join(directory, "volume.img");
      log("making a volume of 1 GiB");
      await makeVolume(directory, image);
      const ratios: Record<Phase, number[]> = { first: [], unchanged: [], "2 % changed": [] };
      const seconds: Record<Phase, number[]> = { first: [], unchanged: [], "2 % changed": [] };
      for (let round = 0; round < rounds; round++) {
        const sides = ["ours", "theirs"].map(side => path.join(directory, `${side}-${round}`));
        for (const repository of sides) restic(repository, ["init"], directory);
        for (const phase of Object.keys(ratios) as Phase[]) {
          if (phase === "2 % changed") await change(directory, image);
          const { ours, theirs } = await pair(directory, image, sides as [string, string], round % 2 === 0);
          ratios[phase].push(ours / theirs);
          seconds[phase].push(ours);
          log(`round ${round + 1}, ${phase}: ${ours.toFixed(2)} s against ${theirs.toFixed(2)} s`);
        }
        for (const repository of sides) rmSync(repository, { recursive: true });
      }
      return (Object.keys(ratios) as Phase[]).map(
        (phase): Row =>
          ratioRow(
            `\`ResticBackup\` of 1 GiB : bare restic, ${phase}`,
            median(ratios[phase]),
            1.05,
            `${median(seconds[phase]).toFixed(1)} s, median of ${rounds} pairs in turn; repository on the same machine, where no second restic is needed to prove the snapshot`,
          ),
      );
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
};

/** Both sides on one mount, the first of them alternating; the files are read once before, so that both find them cached. */
async function pair(
  directory: string,
  image: string,
  [oursUrl, theirsUrl]: [string, string],
  oursFirst: boolean,
): Promise<{ ours: number; theirs: number }> {
  const volume = await open(directory, image, "read");
  try {
    const mount = volume.directory as string;
    spawnSync("sh", ["-c", 'find . -type f -exec cat {} + >"/dev/null"'], { cwd: mount });
    const repository = openRepository({ url: oursUrl, password });
    const ours = async () => {
      await repository.backup({ directory: mount, paths: ["."], host: "volume", tags });
    };
    const theirs = async () =>
      restic(theirsUrl, ["backup", "--host=volume", ...tags.map(tag => `--tag=${tag}`), "."], mount);
    const time = async (act: () => Promise<void>) => {
      const from = process.hrtime.bigint();
      await act();
      return Number(process.hrtime.bigint() - from) / 1e9;
    };
    if (oursFirst) {
      const first = await time(ours);
      return { ours: first, theirs: await time(theirs) };
    }
    const first = await time(theirs);
    return { theirs: first, ours: await time(ours) };
  } finally {
    await volume.close();
  }
}

function open(directory: string, image: string, access: "read" | "write") {
  return openVolume({
    connection: { driver_volume_type: "local", device_path: image },
    mountPath: path.join(directory, "mount", "volume"),
    access,
    content: "file",
  });
}

async function makeVolume(directory: string, image: string): Promise<void> {
  const files = path.join(directory, "files");
  for (const folder of ["large", "small"]) mkdirSync(path.join(files, folder), { recursive: true });
  for (let index = 0; index < largeFiles; index++)
    writeFileSync(path.join(files, "large", `${index}`), randomBytes(2 * mebibyte));
  for (let index = 0; index < smallFiles; index++)
    writeFileSync(path.join(files, "small", `${index}`), randomBytes(smallBytes));
  await makeExt4Image(image, { sizeMib: 1200, fromDirectory: files });
  rmSync(files, { recursive: true });
}

async function change(directory: string, image: string): Promise<void> {
  const volume = await open(directory, image, "write");
  for (let index = 0; index < changedFiles; index++)
    writeFileSync(path.join(volume.directory as string, "large", `${index * 49}`), randomBytes(2 * mebibyte));
  await volume.close();
}

function restic(repository: string, arguments_: string[], cwd: string): void {
  const { status, stderr } = spawnSync("restic", ["--json", ...arguments_], {
    cwd,
    encoding: "utf8",
    maxBuffer: 64 << 20,
    env: { ...process.env, RESTIC_REPOSITORY: repository, RESTIC_PASSWORD: password },
  });
  if (status !== 0) throw new Error(`restic ${arguments_[0]} ended with ${status}: ${stderr}`);
}
