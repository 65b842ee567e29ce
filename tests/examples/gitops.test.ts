import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parse } from "yaml";
import { skips } from "../needs";

const folder = path.join(__dirname, "../../examples/gitops");
const text = (...names: string[]) => readFileSync(path.join(folder, ...names), "utf8");
/** A YAML file, with the fields that the tests read. */
// biome-ignore lint/suspicious/noExplicitAny: other systems' files
const yaml = (...names: string[]): any => parse(text(...names));
const offTheHour = (cron: string) => Number(cron.split(" ")[0]) > 0;
const workflows = ["backup.yml", "pull-request.yml", "drift.yml"];

describe("examples/gitops", () => {
  let work: string;
  before(() => {
    work = mkdtempSync(path.join(tmpdir(), "osbackup-gitops-"));
    mkdirSync(path.join(work, "bin"));
  });
  after(() => rmSync(work, { recursive: true, force: true }));

  /** A program in place of the real one; the environment that finds it first. */
  function standIn(name: string, script: string): NodeJS.ProcessEnv {
    const file = path.join(work, "bin", name);
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
    return { PATH: `${path.join(work, "bin")}:${process.env.PATH}` };
  }

  describe("github", () => {
    it("is what GitHub's parser takes", function () {
      this.timeout(30_000);
      const files = workflows.map(name => path.join(folder, "github", name));
      const script = path.join(__dirname, "workflow-errors.ts");
      const said = execFileSync(process.execPath, ["--import", "tsx", script, ...files], {
        encoding: "utf8",
      });
      assert.deepEqual(JSON.parse(said), []);
    });

    for (const name of workflows)
      it(`${name} cancels no run, has few rights, a deadline, and secrets in variables only`, () => {
        const workflow = yaml("github", name);
        assert.equal(workflow.concurrency["cancel-in-progress"], false);
        assert.equal(workflow.permissions.contents, "read");
        for (const { cron } of workflow.on.schedule ?? []) assert.ok(offTheHour(cron), cron);
        for (const job of Object.values<{ "timeout-minutes": number; steps: Record<string, unknown>[] }>(
          workflow.jobs,
        )) {
          assert.ok(job["timeout-minutes"] > 0);
          for (const { run, uses } of job.steps) {
            if (uses) assert.match(String(uses), /@v\d+$/);
            assert.doesNotMatch(String(run ?? ""), /\$\{\{|pulumi cancel/);
          }
        }
      });

    it("runs up and the drift alarm in one queue, and pull requests of forks not at all", () => {
      const [backup, pull, drift] = workflows.map(name => yaml("github", name));
      assert.equal(backup.concurrency.group, drift.concurrency.group);
      assert.ok(!("pull_request_target" in pull.on));
      assert.match(pull.jobs.preview.if, /head\.repo\.full_name == github\.repository/);
      assert.match(backup.jobs.up.steps.at(-1).run, /^exec pulumi up .*--continue-on-error/);
    });

    it("comments a preview that is refused, and fails with its exit code", () => {
      const { run } = yaml("github", "pull-request.yml").jobs.preview.steps.at(-1);
      standIn("pulumi", "echo a set keeps too little; exit 3");
      const environment = standIn("gh", `while [ $# -gt 1 ]; do shift; done; cat "$1"`);
      const env = { ...environment, RUNNER_TEMP: work, NUMBER: "7" };
      const { status, stdout } = spawnSync("bash", ["-c", run], { env, encoding: "utf8" });
      assert.deepEqual({ status, stdout }, { status: 3, stdout: "```\na set keeps too little\n```\n" });
    });
  });

  it("gitlab: jobs of the stack queue, are not interrupted and have a deadline", () => {
    const { preview, up, drift } = yaml("gitlab", ".gitlab-ci.yml");
    for (const job of [up, drift]) {
      assert.equal(job.resource_group, "backup-prod");
      assert.equal(job.interruptible, false);
    }
    for (const job of [preview, up, drift]) {
      assert.match(job.timeout, /^\d+ (minutes|hours?)$/);
      assert.doesNotMatch(job.script.join("\n"), /pulumi cancel/);
    }
    assert.match(up.script.at(-1), /^exec pulumi up /);
    for (const [cron] of text("gitlab", ".gitlab-ci.yml").matchAll(/(?<=")\d+ \S+ \* \* \*(?=")/g))
      assert.ok(offTheHour(cron), cron);
  });

  describe("cron", () => {
    const line = text("cron", "osbackup").trim().split("\n").at(-1) ?? "";
    const command = () => line.replace(/^(\S+ ){5}root /, "").replace("/srv/backups", work);
    const run = (env: NodeJS.ProcessEnv) => {
      writeFileSync(path.join(work, "environment"), "");
      const { status, stdout } = spawnSync("sh", ["-c", command()], { env, encoding: "utf8" });
      return { status, stdout };
    };

    it("says nothing of a run that went well, and all of one that failed", () => {
      assert.ok(offTheHour(line), line);
      assert.deepEqual(run(standIn("npx", "echo $*")), { status: 0, stdout: "" });
      assert.match(readFileSync(path.join(work, "last-run.log"), "utf8"), /^osbackup engine up --yes /);
      assert.equal(run(standIn("npx", "echo it failed; exit 1")).stdout, "it failed\n");
    });

    it("passes over a run that begins while one goes on", async () => {
      const ended = new Promise(resolve =>
        execFile("flock", [path.join(work, ".lock"), "sh", "-c", `touch ${work}/held; sleep 2`], resolve),
      );
      while (!existsSync(path.join(work, "held"))) await new Promise(resolve => setTimeout(resolve, 20));
      assert.deepEqual(run(standIn("npx", "echo begun twice; exit 1")), { status: 0, stdout: "" });
      await ended;
    });
  });

  describe("systemd", () => {
    it("is what systemd-analyze verify takes", function () {
      if (spawnSync("systemd-analyze", ["--version"]).error) skips(this, "systemd-analyze is not installed");
      for (const name of ["osbackup.service", "osbackup.timer"]) {
        const file = path.join(folder, "systemd", name);
        const { status, stderr } = spawnSync("systemd-analyze", ["verify", file], { encoding: "utf8" });
        assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
      }
    });

    it("lets a run end, catches up, and is off the full hour", () => {
      const service = text("systemd", "osbackup.service");
      for (const promise of ["Type=oneshot", "KillSignal=SIGINT", "KillMode=mixed", "TimeoutStopSec=2h"])
        assert.ok(service.split("\n").includes(promise), promise);
      const timer = text("systemd", "osbackup.timer");
      for (const promise of ["RandomizedDelaySec=5min", "Persistent=true", "OnCalendar=*-*-* *:17:00"])
        assert.ok(timer.split("\n").includes(promise), promise);
    });
  });

  it("pulumi-operator: runs a commit again and destroys nothing", () => {
    const { apiVersion, kind, spec } = yaml("pulumi-operator", "stack.yaml");
    assert.deepEqual([apiVersion, kind], ["pulumi.com/v1", "Stack"]);
    const { continueResyncOnCommitMatch, resyncFrequencySeconds, destroyOnFinalize } = spec;
    assert.deepEqual(
      { continueResyncOnCommitMatch, resyncFrequencySeconds, destroyOnFinalize },
      { continueResyncOnCommitMatch: true, resyncFrequencySeconds: 3600, destroyOnFinalize: false },
    );
    for (const name of ["restic", "node:22", "npm ci", "pulumi-v"])
      assert.ok(text("pulumi-operator", "Containerfile").includes(name), name);
  });
});
