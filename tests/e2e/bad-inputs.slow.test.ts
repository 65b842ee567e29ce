import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, startDevcloud } from "../../devcloud";
import { openRepository } from "../../provider/restic";
import {
  type EngineStack,
  embeddedStack,
  findPulumi,
  passphrase,
  pulumiStack,
} from "../engine/engine-stacks";
import { leaksIn, textsBelow } from "../engine/secret-search";

/** Secret configuration of every program, each of a kind of its own. */
const secrets = {
  password: `pw-${randomBytes(10).toString("hex")}`,
  storeKey: `key-${randomBytes(10).toString("hex")}`,
  restPassword: `rest-${randomBytes(10).toString("hex")}`,
  short: `x${randomBytes(3).toString("hex")}`,
};

interface BadProgram {
  what: string;
  /** The resource with the bad input. `password`, `storeKey`, `restPassword` and `short` are secret outputs. */
  resource: string;
  /** What the user must be told, in one piece. */
  says: RegExp;
}

const repository = (args: string) => `new ResticRepository("repository", { ${args} });`;
const address = (scheme: string, host = "store.example.org") =>
  `pulumi.concat("${scheme}://backup:", restPassword, "@${host}/")`;
const folder = 'url: place("fresh")';

const programs: BadProgram[] = [
  {
    what: "a password that is a list",
    resource: repository(`${folder}, password: [password]`),
    says: /property password: .*expected string/i,
  },
  {
    what: "two ways to the password",
    resource: repository(`${folder}, password, passwordFile: "/etc/restic"`),
    says: /property password: give one of password and passwordFile, not both/,
  },
  {
    what: "an environment that is a list",
    resource: repository(`${folder}, password, environment: [storeKey]`),
    says: /property environment: /,
  },
  {
    what: "a key that is an object",
    resource: repository(`${folder}, password, environment: { AWS_SECRET_ACCESS_KEY: { key: storeKey } }`),
    says: /property environment\.AWS_SECRET_ACCESS_KEY: .*expected string/i,
  },
  {
    what: "a variable that is not the user's",
    resource: repository(`${folder}, password, environment: { RESTIC_REPOSITORY: storeKey }`),
    says: /environment must not contain RESTIC_REPOSITORY/,
  },
  {
    what: "a URL with a password that restic does not take",
    resource: repository(`url: ${address("https")}, password`),
    says: /property url: .*rest:/,
  },
  {
    what: "a list of URLs with passwords",
    resource: repository(`url: [${address("rest:https")}], password`),
    says: /property url: .*expected string/i,
  },
  {
    what: "a second repository that is a text",
    resource: repository(`${folder}, password, copyTo: password`),
    says: /property copyTo\.url: is required, a string/,
  },
  {
    what: "a second repository with a bad password",
    resource: repository(`${folder}, password, copyTo: { url: place("second"), password: [password] }`),
    says: /property copyTo\.password: .*expected string/i,
  },
  {
    what: "a misspelt key with a secret",
    resource: repository(`${folder}, password, passwort: password`),
    says: /property passwort: ResticRepository has no property 'passwort'.*password/,
  },
  {
    what: "a password that is too short to be kept out of messages",
    resource: repository(`${folder}, password: short`),
    says: /property password: it has 7 characters, the least is 8/,
  },
  {
    what: "a wrong password",
    resource: repository('url: place("existing"), password'),
    says: /property password: opening \S*\/existing: .*wrong password/,
  },
  {
    what: "a server that does not answer",
    resource: repository(`url: ${address("rest:http", "127.0.0.1:9")}, password`),
    says: /property url: opening rest:http:\/\/backup:\*\*\*@127\.0\.0\.1:9\/: .*refused/,
  },
  {
    what: "a backup whose repository has a misspelt key",
    resource:
      'new VolumeBackup("set", { volumeId, repository: { url: place("existing"), passwort: password } });',
    says: /property repository: .*passwort/,
  },
  {
    what: "a restore whose repository is a list",
    resource: 'new VolumeRestore("restore", { resticSnapshotId: "latest", repository: [password] });',
    says: /property repository: .*expected object/i,
  },
];

const engines: [string, typeof embeddedStack, boolean][] = [
  ["the embedded engine", embeddedStack, true],
  ["the real CLI", pulumiStack, findPulumi() !== undefined],
];

for (const [engine, open, present] of engines)
  describe(`A bad input on ${engine}`, () => {
    let cloud: Devcloud;
    let root: string;
    let stack: EngineStack;
    let project: string;
    const environment: NodeJS.ProcessEnv = {};

    before(async function () {
      if (!present) return;
      this.timeout(120_000);
      cloud = await startDevcloud();
      root = await mkdtemp(path.join(tmpdir(), "osbackup-bad-inputs-"));
      project = path.join(root, "project");
      for (const name of ["project", "engine", "home", "places"]) await mkdir(path.join(root, name));
      await symlink(path.join(__dirname, "../../node_modules"), path.join(project, "node_modules"), "dir");
      await writeFile(
        path.join(project, "Pulumi.yaml"),
        "name: bad-inputs\nruntime: nodejs\nmain: index.js\n",
      );
      await writeFile(
        path.join(project, "package.json"),
        JSON.stringify({ private: true, main: "index.js" }),
      );
      const existing = { url: path.join(root, "places/existing"), password: "another-password" };
      await openRepository(existing).ensureInitialised();
      const { id } = await cloud.addVolume({ name: "source", sizeBytes: 1 << 20 });
      Object.assign(environment, cloud.environment, {
        PATH: process.env.PATH,
        HOME: path.join(root, "home"),
        PULUMI_CONFIG_PASSPHRASE: passphrase,
        PLACES: path.join(root, "places"),
        VOLUME_ID: id,
      });
      stack = await open({ project, directory: path.join(root, "engine"), environment });
      for (const [key, value] of Object.entries(secrets)) await stack.setConfig(key, value, true);
    });

    after(async () => {
      if (!present) return;
      await cloud.stop();
      await rm(root, { recursive: true, force: true });
    });

    for (const { what, resource, says } of programs) {
      const title = `says what is wrong with ${what}, and shows no secret`;
      if (!present) {
        it(`${title} (skipped: no pulumi on PATH)`);
        continue;
      }
      it(title, async function () {
        this.timeout(120_000);
        await writeFile(
          path.join(project, "index.js"),
          [
            'const pulumi = require("@pulumi/pulumi");',
            'const { ResticRepository, VolumeBackup, VolumeRestore } = require("pulumi-openstack-backup");',
            "const config = new pulumi.Config();",
            `const [${Object.keys(secrets)}] = ${JSON.stringify(Object.keys(secrets))}.map(key => config.requireSecret(key));`,
            'const place = name => require("node:path").join(process.env.PLACES, name);',
            "const volumeId = process.env.VOLUME_ID;",
            resource,
          ].join("\n"),
        );
        for (const kind of ["preview", "up"] as const) {
          const { exitCode, output } = await stack.run(kind);
          assert.notEqual(exitCode, 0, output);
          assert.match(output, says);
          const kept = textsBelow(path.join(root, "engine"), path.join(root, "home")).set(
            "what was said",
            output,
          );
          kept.set("the exported state", JSON.stringify(await stack.exportStack({ showSecrets: false })));
          assert.deepEqual(leaksIn(kept, Object.values(secrets)), []);
        }
      });
    }
  });
