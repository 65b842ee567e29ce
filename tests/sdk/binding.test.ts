import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  cpSync,
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
import { RunError } from "@pulumi/pulumi";
import { Engine } from "../../engine";
import { registry } from "../../provider/resources/registry";
import { CinderSnapshot, TemporaryVolume } from "../../sdk";
import { providerText, typeToken } from "../../sdk/binding";

const root = join(__dirname, "..", "..");
const password = "a-password-to-look-for";

describe("binding", () => {
  it("is a constant of under 300 bytes for every type", () => {
    assert.deepEqual(Object.keys(registry).map(providerText), [
      'exports.handler=()=>require("pulumi-openstack-backup/provider").dynamicProvider("CinderSnapshot")',
      'exports.handler=()=>require("pulumi-openstack-backup/provider").dynamicProvider("ServerSnapshot")',
      'exports.handler=()=>require("pulumi-openstack-backup/provider").dynamicProvider("ServerBackup")',
      'exports.handler=()=>require("pulumi-openstack-backup/provider").dynamicProvider("TemporaryVolume")',
      'exports.handler=()=>require("pulumi-openstack-backup/provider").dynamicProvider("ResticRepository")',
      'exports.handler=()=>require("pulumi-openstack-backup/provider").dynamicProvider("ResticBackup")',
      'exports.handler=()=>require("pulumi-openstack-backup/provider").dynamicProvider("VolumeRestore")',
      'exports.handler=()=>require("pulumi-openstack-backup/provider").dynamicProvider("ServerRestore")',
    ]);
    for (const type of Object.keys(registry)) assert.ok(providerText(type).length < 300);
  });

  it("names types as they stand in URNs", () => {
    assert.equal(typeToken("CinderSnapshot"), "pulumi-nodejs:dynamic/openstackbackup:CinderSnapshot");
  });

  it("says in a sentence how to take something over in place of the options id and import", () => {
    for (const option of ["id", "import"])
      for (const [make, way] of [
        [
          () => new CinderSnapshot("pg", { volumeId: "v1" }, { [option]: "s1" }),
          /: give adoptId, the id of a snapshot/,
        ],
        [() => new TemporaryVolume("pg", { snapshotId: "s1" }, { [option]: "v1" }), /is found by its marks/],
      ] as const)
        assert.throws(make, (error: Error) => {
          assert.ok(RunError.isInstance(error));
          assert.match(error.message, way);
          return true;
        });
  });

  for (const [way, install] of Object.entries(installs())) {
    it(`runs a stack and keeps its secrets when the package is ${way}`, async function () {
      this.timeout(120_000);
      const work = mkdtempSync(join(tmpdir(), "osbackup-binding-"));
      try {
        writeProject(work);
        install(join(work, "node_modules", "pulumi-openstack-backup"));
        await upAndDestroy(work);
      } finally {
        rmSync(work, { recursive: true, force: true });
      }
    });
  }
});

/** The three ways that a package gets into node_modules. */
function installs(): Record<string, (target: string) => void> {
  return {
    copied: target => copyPackage(target),
    "a symbolic link": target => symlinkSync(root, target),
    "a packed tarball": target => {
      const packed = mkdtempSync(join(tmpdir(), "osbackup-pack-"));
      try {
        const [{ filename }] = JSON.parse(
          execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", packed], {
            cwd: root,
            encoding: "utf8",
            stdio: ["ignore", "pipe", "ignore"],
          }),
        ) as [{ filename: string }];
        mkdirSync(target);
        execFileSync("tar", ["-xzf", join(packed, filename), "--strip-components=1", "-C", target]);
      } finally {
        rmSync(packed, { recursive: true, force: true });
      }
    },
  };
}

function copyPackage(target: string): void {
  mkdirSync(target);
  cpSync(join(root, "dist"), join(target, "dist"), { recursive: true });
  cpSync(join(root, "package.json"), join(target, "package.json"));
}

function writeProject(work: string): void {
  writeFileSync(join(work, "Pulumi.yaml"), "name: binding\nruntime: nodejs\nmain: index.js\n");
  writeFileSync(join(work, "package.json"), JSON.stringify({ name: "binding", main: "index.js" }));
  writeFileSync(
    join(work, "index.js"),
    [
      'const { ResticRepository } = require("pulumi-openstack-backup");',
      'const pulumi = require("@pulumi/pulumi");',
      `const repository = new ResticRepository("repository", { url: ${JSON.stringify(join(work, "repository"))}, password: new pulumi.Config().requireSecret("password") });`,
      "exports.made = repository.made;",
      "exports.access = repository.access;",
    ].join("\n"),
  );
  mkdirSync(join(work, "node_modules"));
  for (const entry of readdirSync(join(root, "node_modules")))
    if (entry !== "pulumi-openstack-backup" && !entry.startsWith("."))
      symlinkSync(join(root, "node_modules", entry), join(work, "node_modules", entry));
}

async function upAndDestroy(work: string): Promise<void> {
  const engine = new Engine({
    directory: work,
    stack: "dev",
    stateDirectory: join(work, "state"),
    passphrase: "correct horse",
    environment: { ...process.env, XDG_CACHE_HOME: join(work, "cache") },
    config: { password: { value: password, secret: true } },
  });
  const first = await engine.up();
  assert.equal(first.result, "succeeded", JSON.stringify(first.diagnostics));
  assert.equal(first.changes.create, 2);
  const second = await engine.up();
  assert.equal(second.changes.same, 2);

  const state = JSON.stringify(await engine.exportStack());
  assert.ok(state.includes(JSON.stringify(providerText("ResticRepository")).slice(1, -1)));
  for (const file of readdirSync(join(work, "state"), { recursive: true, withFileTypes: true }))
    if (file.isFile()) {
      const text = readFileSync(join(file.parentPath, file.name), "utf8");
      assert.ok(!text.includes(password), `${file.name} holds the password in plain text`);
    }
  assert.ok(!state.includes(password), "the exported state holds the password in plain text");
  assert.equal((await engine.destroy()).result, "succeeded");
  assert.ok(
    readdirSync(join(work, "repository")).includes("config"),
    "destroy removed the repository's data",
  );
}
