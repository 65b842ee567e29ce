import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needs } from "../needs";

const repository = join(__dirname, "..", "..");
const cli = join(repository, "dist", "provider", "hosts", "cli.js");

describe("osbackup engine", function () {
  this.timeout(120_000);
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "osbackup-command-"));
    cpSync(join(__dirname, "programs"), root, { recursive: true });
    symlinkSync(join(repository, "node_modules"), join(root, "node_modules"), "dir");
    mkdirSync(join(root, "cloud"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const environment = () => ({
    PATH: process.env.PATH,
    HOME: root,
    TERM: "dumb",
    FILES_DIRECTORY: join(root, "cloud"),
    PULUMI_CONFIG_PASSPHRASE: "correct horse",
    PULUMI_NODEJS_TRANSPILE_ONLY: "true",
  });

  function execute(command: string, words: string[], typed = ""): Promise<{ code: number; said: string }> {
    const env = environment();
    return new Promise(resolve => {
      const child = execFile(command, words, { cwd: join(root, "single"), env }, (error, out, err) =>
        resolve({ code: Number(error?.code ?? 0), said: out + err }),
      );
      child.stdin?.end(typed);
    });
  }
  const engine = (...words: string[]) => execute(process.execPath, [cli, "engine", ...words]);
  /** As a person at a terminal, who types this. */
  const atTerminal = (typed: string, ...words: string[]) =>
    execute("script", ["-qec", [process.execPath, cli, "engine", ...words].join(" "), "/dev/null"], typed);

  it("begins the first stack by itself, and another one only when it is told to", async () => {
    assert.equal((await engine("up", "-s", "prod")).code, 0);
    const slip = await engine("up", "-s", "prdo");
    assert.equal(slip.code, 1);
    assert.match(
      slip.said,
      /there is no stack "prdo" in project "single", which has prod; `osbackup engine stack init prdo` begins it/,
    );
    assert.equal((await engine("stack", "ls")).said, "prod\n");
    assert.equal((await engine("stack", "init", "staging")).code, 0);
    assert.equal((await engine("stack", "ls")).said, "prod\nstaging\n");
    assert.equal((await engine("preview", "-s", "staging")).code, 0);
  });

  it("ends with 2 where it is used wrongly, and names itself as it is called", async () => {
    for (const words of [
      ["frobnicate"],
      ["up", "--frobnicate"],
      ["stack", "init"],
      ["up", "--parallel", "0"],
    ])
      assert.equal((await engine(...words)).code, 2, words.join(" "));
    const help = await engine("--help");
    assert.equal(help.code, 0);
    assert.match(help.said, /^Usage: osbackup engine /);
  });

  it("asks at a terminal before it destroys, and not where nobody is", async function () {
    needs(this, "script");
    await engine("up");
    const refused = await atTerminal("n\n", "destroy");
    assert.equal(refused.code, 1);
    assert.match(
      refused.said,
      /This deletes the 1 resource of stack "dev", and the recovery points of those/,
    );
    assert.match(refused.said, /nothing was deleted/);
    assert.match((await engine("stack", "export")).said, /"custom": true/);
    assert.equal((await engine("destroy")).code, 0);
    assert.doesNotMatch((await engine("stack", "export")).said, /"custom": true/);
  });

  it("asks for a secret value and shows none of it", async function () {
    needs(this, "script");
    const words = [process.execPath, cli, "engine", "config", "set", "--secret", "password"];
    const child = spawn("script", ["-qec", words.join(" "), "/dev/null"], {
      cwd: join(root, "single"),
      env: environment(),
    });
    let said = "";
    child.stdout.on("data", chunk => {
      // typed before the question, the terminal itself would show it
      if (!said.includes("password:") && `${said}${chunk}`.includes("password:"))
        child.stdin.end("hunter22\n");
      said += chunk;
    });
    await new Promise(resolve => child.once("close", resolve));
    assert.match(said, /password: \*+/);
    assert.ok(!said.includes("hunter22"), said);
    assert.equal((await engine("config", "get", "password")).said, "hunter22\n");
  });
});
