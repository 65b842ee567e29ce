import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { accessSync, chmodSync, constants, mkdirSync } from "node:fs";
import { join, relative } from "node:path";
import { needs, skips } from "../../../needs";
import { cleanLab, isRoot, repository, sh, temporaryFolder } from "./lab";

/** Runs this folder's tests as nobody, with a /dev/fuse that is or is not open to it. Gives back mocha's report. */
function testsAsNobody(way: "fuse2fs" | "debugfs copy"): {
  passes: number;
  failures: { fullTitle: string; err: object }[];
} {
  const folder = temporaryFolder();
  chmodSync(folder, 0o711);
  const home = join(folder, "home");
  mkdirSync(home);
  sh("chown", "nobody", home);
  const fuse = join(folder, "fuse");
  sh("mknod", "-m", way === "fuse2fs" ? "0666" : "0600", fuse, "c", "10", "229");
  const become = "setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all";
  const script = `mount --bind "$1" /dev/fuse && shift && exec ${become} "$@"`;
  const mocha = [process.execPath, "node_modules/mocha/bin/mocha.js", "--reporter", "json"];
  const files = ["open-volume", "clean-up", "attach", "readiness"].map(name =>
    relative(repository, join(__dirname, `${name}.test.ts`)),
  );
  const { stdout, stderr } = spawnSync(
    "unshare",
    ["--mount", "--propagation", "private", "sh", "-c", script, "sh", fuse, ...mocha, ...files],
    {
      cwd: repository,
      env: { PATH: process.env.PATH, HOME: home, TMPDIR: home, OSBACKUP_TEST_WAY: way },
      encoding: "utf8",
    },
  );
  const start = stdout.indexOf("{\n");
  assert.ok(start >= 0, `no report: ${stdout}${stderr}`);
  const { stats, failures } = JSON.parse(stdout.slice(start));
  return { passes: stats.passes, failures };
}

function whyNot(): string | undefined {
  if (!isRoot) return "needs root";
  try {
    sh(
      "setpriv",
      "--reuid",
      "nobody",
      "--clear-groups",
      process.execPath,
      "-e",
      `require(${JSON.stringify(join(repository, "node_modules/mocha/package.json"))})`,
    );
    accessSync("/dev/fuse", constants.F_OK);
  } catch {
    return "needs a repository that nobody may read, and /dev/fuse";
  }
  return undefined;
}

describe("openVolume and cleanUp as another user", () => {
  afterEach(cleanLab);

  for (const [way, fewest] of [
    ["fuse2fs", 38],
    ["debugfs copy", 32],
  ] as const) {
    it(`work by ${way}`, function () {
      this.timeout(120_000);
      needs(this, "unshare", "setpriv", "fuse2fs");
      const why = whyNot();
      if (why) skips(this, why);
      const { passes, failures } = testsAsNobody(way);
      assert.deepEqual(
        failures.map(({ fullTitle, err }) => [fullTitle, err]),
        [],
      );
      assert.ok(passes >= fewest, `only ${passes} tests ran`);
    });
  }
});
