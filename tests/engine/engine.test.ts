import assert from "node:assert/strict";
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
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DeploymentFile, Display, Engine } from "../../engine";
import { execute, findPulumi, passphrase } from "./engine-stacks";
import { embeddedRunner, normaliseState, pulumiRunner } from "./runners";

const repository = join(__dirname, "..", "..");

describe("Engine", function () {
  this.timeout(120_000);
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "osbackup-engine-"));
    cpSync(join(__dirname, "programs"), root, { recursive: true });
    symlinkSync(join(repository, "node_modules"), join(root, "node_modules"), "dir");
    mkdirSync(join(root, "cloud"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const open = (program: string, environment: NodeJS.ProcessEnv = {}, display?: Display) =>
    new Engine({
      directory: join(root, program),
      stack: "dev",
      environment: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        FILES_DIRECTORY: join(root, "cloud"),
        PULUMI_NODEJS_TRANSPILE_ONLY: "true",
        ...environment,
      },
      passphrase,
      ...(display
        ? { onEvent: event => display.show(event), onSecret: (text: string) => display.mask.add(text) }
        : {}),
    });

  for (const [ask, message] of [
    ["import", /the option import of resource "x"/],
    ["get", /reading resource "x" with get or opts\.id/],
    ["invoke", /the function aws:index:getRegion \(invoke\)/],
    ["call", /the method aws:index:method \(call\)/],
    ["provider", /the provider "aws" of resource "x" \[aws:s3:Bucket\]/],
    ["explicitProvider", /being an explicit provider of resource "x"/],
    ["remote", /being a remote component of resource "x"/],
    ["stackReference", /reading resource "organization\/other\/dev" with get or opts\.id/],
    ["transforms", /the option transforms of resource "x"/],
    ["stackTransform", /a stack transform/],
    ["deletedWith", /the option deletedWith of resource "x"/],
    ["replaceWith", /the option replaceWith of resource "x"/],
    ["replacementTrigger", /the option replacementTrigger of resource "x"/],
    ["hooks", /a resource hook \(ResourceHook\)/],
    ["hideDiffs", /the option hideDiffs of resource "x"/],
    ["version", /the option version of resource "x"/],
    ["asset", /registering resource "x" \[.*\]: assets/],
    ["requirePulumiVersion", /requirePulumiVersion/],
  ] as const) {
    it(`refuses ${ask} in a sentence that names it`, async () => {
      const result = await open("refused", { ASK: ask }).preview();
      const errors = result.diagnostics
        .filter(({ severity }) => severity === "error")
        .map(event => event.message);
      assert.equal(result.exitCode, 1);
      assert.match(errors.join("\n"), new RegExp(`${message.source}.* not supported by the embedded engine`));
    });
  }

  it("keeps its state in the project unless it is told otherwise, without a lock afterwards", async () => {
    const result = await open("empty").up();
    assert.deepEqual(
      [result.result, result.changes, result.outputs],
      ["succeeded", { create: 1 }, { number: 1 }],
    );
    assert.equal(existsSync(join(root, "empty", ".osbackup", "state", "empty", "dev.json")), true);
    assert.equal(existsSync(join(root, "empty", ".osbackup", "state", "empty", "dev.lock")), false);
  });

  it("shows no secret and keeps none in the clear", async () => {
    const lines: string[] = [];
    for (const json of [false, true]) {
      const display = new Display(line => lines.push(line), { diff: true, json });
      const result = await open("talkative", { EDITION: json ? "2" : "1" }, display).up();
      assert.equal(result.exitCode, 1);
      display.finish(result, false);
    }
    const state = readFileSync(
      join(root, "talkative", ".osbackup", "state", "talkative", "dev.json"),
      "utf8",
    );
    for (const hidden of ["opensesame", "token of a", "swordfish"]) {
      assert.equal(lines.filter(line => line.includes(hidden)).join("\n"), "");
      assert.equal(state.includes(hidden), false);
    }
    const text = lines.join("\n");
    assert.match(text, /the program says \[secret\]/);
    assert.match(text, /error: .*create of \[secret\] fails as told/);
    assert.match(text, /cannot do it with \[secret\]/);
    assert.match(text, /\+ password: \[secret\]/);
  });

  it("writes the state of an unchanged stack once at most", async () => {
    const engine = open("chain", { EDITION: "1" });
    await engine.up();
    const again = await engine.up();
    assert.deepEqual(again.changes, { same: 5 });
    assert.ok(again.checkpointWrites <= 1, `${again.checkpointWrites} writes`);
  });

  it("leaves everything alone in a preview", async () => {
    const result = await open("chain", { EDITION: "1" }).preview();
    assert.deepEqual(result.changes, { create: 5 });
    assert.deepEqual(readdirSync(join(root, "chain")).sort(), ["Pulumi.yaml", "index.ts"]);
  });

  it("reads a state that was made under another salt and writes it under its own", async () => {
    const engine = open("secrets", { EDITION: "1" });
    await engine.up();
    const before = await engine.exportStack({ showSecrets: true });
    rmSync(join(root, "secrets", "Pulumi.dev.yaml"));
    await open("secrets").setConfig("other", { value: "x", secret: true });
    const other = open("secrets", { EDITION: "1" });
    assert.equal((await other.up()).exitCode, 0);
    const after = await other.exportStack({ showSecrets: true });
    assert.notEqual(
      after.deployment.secrets_providers?.state?.salt,
      before.deployment.secrets_providers?.state?.salt,
    );
    const files = (file: DeploymentFile) =>
      normaliseState(file).filter(state => JSON.stringify(state).includes("::a"));
    assert.deepEqual(files(after), files(before));
  });

  it("says what is missing when there is no passphrase", async () => {
    const engine = new Engine({ directory: join(root, "empty"), stack: "dev", environment: {} });
    await assert.rejects(engine.up(), /set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE/);
  });

  it("refuses a state of another project or stack", async () => {
    await open("empty").up();
    const file = await open("empty").exportStack();
    await assert.rejects(open("single").importStack(file), /belongs to another project than "single"/);
    const other = JSON.parse(
      JSON.stringify(file).replaceAll("urn:pulumi:dev:", "urn:pulumi:prod:"),
    ) as DeploymentFile;
    await assert.rejects(open("empty").importStack(other), /belongs to another stack than "dev"/);
  });

  it("tells a program's mistake as the program's", async () => {
    const result = await open("refused").up();
    assert.equal(result.exitCode, 1);
    assert.match(result.diagnostics.map(event => event.message).join("\n"), /nothing was asked for/);
  });

  it("says a missing configuration key in the time of any other error", async () => {
    const ended = async (program: string) => {
      writeFileSync(join(root, "refused", "index.ts"), program);
      const begun = Date.now();
      const result = await open("refused").up();
      assert.equal(result.exitCode, 1);
      return {
        seconds: (Date.now() - begun) / 1000,
        said: result.diagnostics.map(({ message }) => message).join("\n"),
      };
    };
    const head = 'const pulumi = require("@pulumi/pulumi");';
    const any = await ended(`${head} throw new pulumi.RunError("any other");`);
    assert.match(any.said, /any other/);
    const missing = await ended(`${head} new pulumi.Config("shop").require("volumeId");`);
    assert.match(missing.said, /Missing required configuration variable 'shop:volumeId'/);
    assert.ok(missing.seconds < any.seconds + 10, `${missing.seconds} s, any other error ${any.seconds} s`);
  });

  it("runs from the command line with state, configuration and outputs", async () => {
    const environment = {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      FILES_DIRECTORY: join(root, "cloud"),
      PULUMI_CONFIG_PASSPHRASE: passphrase,
      PULUMI_NODEJS_TRANSPILE_ONLY: "true",
      EDITION: "3",
    };
    const run = async (...args: string[]) => {
      const entry = ["--import", require.resolve("tsx"), join(__dirname, "cli-entry.ts")];
      const all = [...entry, ...args, "--cwd", join(root, "configuration")];
      const { code, stdout, stderr } = await execute(process.execPath, all, { cwd: root, env: environment });
      assert.equal(code, 0, stdout + stderr);
      return stdout;
    };
    await run("config", "set", "content", "words");
    await run("config", "set", "password", "swordfish", "--secret");
    assert.equal(await run("config", "get", "password"), "swordfish\n");
    const up = JSON.parse(await run("up", "--yes", "--skip-preview", "--json", "--parallel", "2")) as Record<
      string,
      unknown
    >;
    assert.deepEqual([up.result, up.changes, up.exitCode], ["succeeded", { create: 2 }, 0]);
    assert.equal(await run("stack", "output", "password"), "[secret]\n");
    assert.equal(await run("stack", "output", "password", "--show-secrets"), "swordfish\n");
    await run("config", "rm", "content");
    const path = join(root, "export.json");
    await run("stack", "export", "--file", path);
    assert.match(await run("destroy", "--yes"), /Resources: - 2 deleted/);
    assert.match(await run("stack", "import", "--file", path), /Import complete/);
    assert.match(await run("stack", "export"), /"urn:pulumi:dev::configuration::pulumi:pulumi:Stack/);
  });
});

describe("Engine beside the real CLI", function () {
  this.timeout(300_000);
  const present = findPulumi() !== undefined;

  for (const program of ["chain", "secrets", "components", "aliases"]) {
    (present ? it : it.skip)(
      `hands "${program}" over and back without a change${present ? "" : " (needs pulumi on PATH)"}`,
      async () => {
        const embedded = await embeddedRunner({ program });
        const real = await pulumiRunner({ program });
        try {
          await embedded.run({ do: "up", edition: 1 });
          const made = await embedded.exportStack();
          await real.importStack(made);
          assert.deepEqual(normaliseState(await real.exportStack()), normaliseState(made));
          const unchanged = (changes: Record<string, number>) =>
            assert.deepEqual(Object.keys(changes), ["same"]);
          unchanged((await real.run({ do: "preview", edition: 1 })).changes);
          await real.run({ do: "up", edition: 2 });
          await embedded.importStack(await real.exportStack());
          unchanged((await embedded.run({ do: "preview", edition: 2 })).changes);
          assert.equal((await embedded.run({ do: "destroy" })).exitCode, 0);
        } finally {
          await embedded.close();
          await real.close();
        }
      },
    );
  }
});
