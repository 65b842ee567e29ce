import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readProject, StackConfig } from "../../engine/config";
import { Crypter } from "../../engine/secrets";

const salt = "v1:hUg1woM3adY=:v1:ks2N6xIIVvLMBz3n:bYJog9Nn0zFJj32bMqrPwGwakEvtHw==";

describe("readProject", () => {
  let directory: string;
  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), "osbackup-engine-")));
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  const write = (yaml: string) => writeFileSync(join(directory, "Pulumi.yaml"), yaml);

  it("finds Pulumi.yaml above, and honours main and the runtime's options", () => {
    write(
      "name: demo\nruntime:\n  name: nodejs\n  options:\n    typescript: false\n    nodeargs: --no-warnings\nmain: app/\n",
    );
    mkdirSync(join(directory, "app", "deep"), { recursive: true });
    assert.deepEqual(readProject(join(directory, "app", "deep")), {
      name: "demo",
      directory,
      programDirectory: join(directory, "app"),
      entryPoint: ".",
      options: { typescript: false, nodeargs: "--no-warnings" },
      defaults: {},
    });
  });

  it("runs a file in the file's directory", () => {
    write("name: demo\nruntime: nodejs\nmain: app/start.ts\n");
    const { programDirectory, entryPoint } = readProject(directory);
    assert.deepEqual([programDirectory, entryPoint], [join(directory, "app"), "start.ts"]);
  });

  it("takes the project's own defaults", () => {
    write(
      "name: demo\nruntime: nodejs\nconfig:\n  size: {type: integer, default: 3}\n  aws:region: {value: x}\n  name: plain\n",
    );
    assert.deepEqual(readProject(directory).defaults, {
      "demo:size": { value: "3" },
      "aws:region": { value: "x" },
      "demo:name": { value: "plain" },
    });
  });

  for (const [yaml, message] of [
    [
      "name: demo\nruntime: python\n",
      /runtime "python" is not supported by the embedded engine, only nodejs/,
    ],
    ["runtime: nodejs\n", /it has no name/],
    ["name: demo\nruntime: {name: nodejs, options: {binary: x}}\n", /option "binary" is not supported/],
    ["name: demo\nruntime: {name: nodejs, options: {typescript: maybe}}\n", /"typescript" must be a boolean/],
  ] as const) {
    it(`refuses ${JSON.stringify(yaml)}`, () => {
      write(yaml);
      assert.throws(() => readProject(directory), message);
    });
  }
});

describe("StackConfig", () => {
  let directory: string;
  let crypter: Crypter;
  const project = () => ({ ...readProject(directory) });
  before(async () => {
    crypter = await Crypter.open("pw", salt);
  });
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "osbackup-engine-"));
    writeFileSync(join(directory, "Pulumi.yaml"), "name: t1\nruntime: nodejs\n");
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  const path = () => join(directory, "Pulumi.dev.yaml");

  it("reads what the real CLI wrote", () => {
    writeFileSync(
      path(),
      `encryptionsalt: ${salt}\nconfig:\n  t1:v: one\n  t1:s:\n    secure: v1:EB4uvUpsv5sE+pig:2QpPW2cRzlpT7XUcSCx55AbprWGL89Y=\n  t1:map:\n    a: [1, {b: true}]\n  other:n: 5\n`,
    );
    const config = StackConfig.read(project(), "dev");
    assert.equal(config.salt, salt);
    assert.equal(config.hasSecrets, true);
    assert.deepEqual(config.values(crypter), {
      "t1:v": { value: "one" },
      "t1:s": { value: "hunter2", secret: true },
      "t1:map": { value: '{"a":[1,{"b":true}]}' },
      "other:n": { value: "5" },
    });
  });

  it("takes an object with a secret in it for a secret as a whole", () => {
    const secure = crypter.encrypt("deep");
    writeFileSync(path(), `config:\n  t1:map:\n    a:\n      secure: ${secure}\n`);
    const config = StackConfig.read(project(), "dev");
    assert.deepEqual(config.values(crypter), { "t1:map": { value: '{"a":"deep"}', secret: true } });
  });

  it("changes one value and keeps the rest of the file", async () => {
    writeFileSync(path(), "# ours\nconfig:\n  t1:b: keep # why\n  t1:a: old\n");
    const config = StackConfig.read(project(), "dev");
    config.set("a", { value: "new" }, undefined);
    config.set("other:s", { value: "hidden", secret: true }, crypter);
    assert.equal(config.remove("missing"), false);
    await config.save();
    const text = readFileSync(path(), "utf8");
    assert.match(
      text,
      /^# ours\nconfig:\n {2}t1:b: keep # why\n {2}t1:a: new\n {2}other:s:\n {4}secure: v1:\S+\n$/,
    );
    assert.equal(StackConfig.read(project(), "dev").values(crypter)["other:s"]?.value, "hidden");
  });

  it("removes a value", async () => {
    writeFileSync(path(), "config:\n  t1:a: x\n  t1:b: y\n");
    const config = StackConfig.read(project(), "dev");
    assert.equal(config.remove("a"), true);
    await config.save();
    assert.equal(readFileSync(path(), "utf8"), "config:\n  t1:b: y\n");
  });

  for (const [yaml, message] of [
    ["secretsprovider: awskms://x\n", /secretsprovider is not supported/],
    ["environment: [prod]\n", /environments \(ESC\) are not supported/],
  ] as const) {
    it(`refuses ${JSON.stringify(yaml)}`, () => {
      writeFileSync(path(), yaml);
      assert.throws(() => StackConfig.read(project(), "dev"), message);
    });
  }
});
