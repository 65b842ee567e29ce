import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { accessSync, chmodSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";
import { cleanLab, has, isRoot, repository, sh, temporaryFolder } from "./lab";

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
  const script = [
    `mount --bind ${fuse} /dev/fuse`,
    `exec setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all ${process.execPath} node_modules/mocha/bin/mocha.js --reporter json tests/provider/movers/local/open-volume.test.ts tests/provider/movers/local/clean-up.test.ts`,
  ].join(" && ");
  const env = { PATH: process.env.PATH, HOME: home, TMPDIR: home, OSBACKUP_TEST_WAY: way };
  let report: string;
  try {
    report = execFileSync("unshare", ["--mount", "--propagation", "private", "sh", "-c", script], {
      cwd: repository,
      env,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    report = (error as { stdout: string }).stdout;
  }
  const { stats, failures } = JSON.parse(report.slice(report.indexOf("{\n")));
  return { passes: stats.passes, failures };
}

function whyNot(): string | undefined {
  if (!isRoot) return "needs root";
  const missing = ["unshare", "setpriv", "fuse2fs"].find(tool => !has(tool));
  if (missing) return `needs ${missing}`;
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
  const reason = whyNot();
  afterEach(cleanLab);

  for (const [way, fewest] of [
    ["fuse2fs", 24],
    ["debugfs copy", 20],
  ] as const) {
    it(`work by ${way}${reason ? ` (skipped: ${reason})` : ""}`, function () {
      this.timeout(60_000);
      if (reason) this.skip();
      const { passes, failures } = testsAsNobody(way);
      assert.deepEqual(
        failures.map(({ fullTitle, err }) => [fullTitle, err]),
        [],
      );
      assert.ok(passes >= fewest, `only ${passes} tests ran`);
    });
  }
});
