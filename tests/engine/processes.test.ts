import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import type { DeploymentFile } from "../../engine";
import { until } from "../until";
import { execute, passphrase } from "./engine-stacks";

const repository = join(__dirname, "..", "..");
const entry = ["--import", require.resolve("tsx"), join(__dirname, "cli-entry.ts")];

describe("runEngineCli as a process", function () {
  this.timeout(120_000);
  let root: string;
  let program: string;
  let environment: NodeJS.ProcessEnv;
  const started: ChildProcess[] = [];

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "osbackup-engine-"));
    cpSync(join(__dirname, "programs"), root, { recursive: true });
    cpSync(join(__dirname, "packs"), join(root, "packs"), { recursive: true });
    symlinkSync(join(repository, "node_modules"), join(root, "node_modules"), "dir");
    mkdirSync(join(root, "cloud"));
    program = join(root, "slow");
    environment = {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      FILES_DIRECTORY: join(root, "cloud"),
      OSBACKUP_STATE_DIRECTORY: join(root, "state"),
      PULUMI_CONFIG_PASSPHRASE: passphrase,
      PULUMI_NODEJS_TRANSPILE_ONLY: "true",
    };
  });

  afterEach(() => {
    for (const child of started.splice(0)) if (child.exitCode === null) child.kill("SIGKILL");
    rmSync(root, { recursive: true, force: true });
  });

  const start = (...args: string[]) => {
    let child: ChildProcess | undefined;
    const ended = execute(process.execPath, [...entry, ...args], {
      cwd: program,
      env: environment,
      onStart: process => {
        child = process;
      },
    });
    started.push(child as ChildProcess);
    return { child: child as ChildProcess, ended };
  };
  const creating = () =>
    until("the first create", () => /^create a$/m.test(readText(join(root, "cloud", "calls.log"))));
  const state = () => JSON.parse(readText(join(root, "state", "slow", "dev.json"))) as DeploymentFile;
  const names = () => (state().deployment.resources ?? []).map(resource => resource.urn.split("::").pop());

  it("lets what runs finish and starts nothing new on the first SIGINT", async () => {
    const { child, ended } = start("up");
    await creating();
    child.kill("SIGINT");
    const { code, stdout } = await ended;
    assert.equal(code, 1, stdout);
    assert.match(stdout, /^\+ {2}pulumi-nodejs:dynamic\/files:File {2}a {2}create$/m);
    assert.match(stdout, /Cancelled/);
    assert.deepEqual(names(), ["slow-dev", "default", "a"]);
    assert.equal(state().deployment.pending_operations, undefined);
  });

  it("stops at once on the second SIGINT and reports the pending operation on the next run", async () => {
    const { child, ended } = start("up");
    await creating();
    child.kill("SIGINT");
    await new Promise(resolve => setTimeout(resolve, 300));
    child.kill("SIGINT");
    assert.equal((await ended).code, 8);
    const pending = state().deployment.pending_operations ?? [];
    const urn = "urn:pulumi:dev::slow::pulumi-nodejs:dynamic/files:File::a";
    assert.deepEqual(
      pending.map(({ type, resource }) => [type, resource.urn]),
      [["creating", urn]],
    );

    const next = await start("up").ended;
    assert.equal(next.code, 0, next.stderr);
    assert.match(
      next.stdout,
      new RegExp(`warning: the last run was cut off .*${escaped(urn)}, interrupted while creating`),
    );
    assert.equal(state().deployment.pending_operations?.length, 1);
    assert.equal((await start("refresh", "--clear-pending-creates").ended).code, 0);
    assert.equal(state().deployment.pending_operations, undefined);
  });

  for (const [how, prepare] of [
    ["by the kernel", () => {}],
    ["by a closed pipe where there is no setpriv", () => hideSetpriv(root, environment)],
  ] as const) {
    it(`leaves no process behind when it is killed: they are ended ${how}`, async () => {
      prepare();
      const { child, ended } = start("up", "--skip-preview", "--policy-pack", join(root, "packs", "files"));
      await creating();
      const children = childrenOf(child.pid as number);
      assert.equal(children.length, 3);
      child.kill("SIGKILL");
      await ended;
      await until("the end of all", () => children.every(pid => !isAlive(pid)));
    });
  }

  it("refuses a second run of the stack and says who holds it", async () => {
    const first = start("up");
    await creating();
    const second = await start("up").ended;
    assert.equal(second.code, 1);
    const holder = `process ${first.child.pid} of \\S+ on ${escaped(hostname())} holds it since 2\\d{3}-`;
    assert.match(second.stderr, new RegExp(`^error: locking stack "dev": ${holder}`, "m"));
    assert.equal((await first.ended).code, 0);
  });

  it("takes over the lock of a dead process of this host with a warning", async () => {
    const dead = spawn(process.execPath, ["-e", ""]);
    await new Promise(resolve => dead.on("close", resolve));
    const holder = { pid: dead.pid, host: hostname(), user: "someone", since: "2026-01-01T00:00:00.000Z" };
    mkdirSync(join(root, "state", "empty"), { recursive: true });
    writeFileSync(join(root, "state", "empty", "dev.lock"), JSON.stringify(holder));
    program = join(root, "empty");
    const { code, stdout } = await start("up").ended;
    assert.equal(code, 0);
    assert.match(
      stdout,
      new RegExp(`warning: taking over the lock of stack "dev": process ${dead.pid} of someone`),
    );
    assert.equal(existsSync(join(root, "state", "empty", "dev.lock")), false);
  });
});

/** Gives the engine a PATH without setpriv. */
function hideSetpriv(root: string, environment: NodeJS.ProcessEnv): void {
  const bin = join(root, "bin");
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, "node"));
  environment.PATH = bin;
}

const readText = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");
const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** The children that are node processes running @pulumi/pulumi. */
const childrenOf = (pid: number): number[] =>
  readdirSync("/proc")
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(candidate => {
      const status = readText(`/proc/${candidate}/status`);
      return (
        new RegExp(`^PPid:\\s+${pid}$`, "m").test(status) &&
        readText(`/proc/${candidate}/cmdline`).includes("@pulumi")
      );
    });

/** A zombie counts as dead: whoever inherited it need not have collected it yet. */
const isAlive = (pid: number): boolean => /^State:\s+[^ZX]/m.test(readText(`/proc/${pid}/status`));
