import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type EngineStack,
  embeddedStack,
  findPulumi,
  passphrase,
  pulumiStack,
  type Ran,
} from "./engine-stacks";

const repository = join(__dirname, "..", "..");
const fileType = "pulumi-nodejs:dynamic/files:File";
const tooLong = "this is by far too long";

/** The file that breaks "short-content", as both engines tell it. */
const isTooLong = (name: string, level = "mandatory") =>
  `- [${level}] [severity: high]  short-content  (${fileType}: ${name}) | A file's content is short. | "${tooLong}" has 23 characters; 20 may be`;

/** What a run of the program "judged" came to. */
interface Told extends Pick<Ran, "exitCode" | "output"> {
  /** The steps of each file. */
  steps: Record<string, string[]>;
  /** Of each pack its mark, name and version; then, sorted, what its policies found. */
  policies: string[];
  /** What the provider was told to make, change or delete. */
  calls: string[];
}

type Wanted = Record<string, Record<string, unknown>>;

/** The program "judged" on one engine, in a folder of its own. */
class Place {
  private readonly root = mkdtempSync(join(tmpdir(), "osbackup-policies-"));
  private readonly cloud = join(this.root, "cloud");
  private readonly environment: NodeJS.ProcessEnv;
  private stack: EngineStack | undefined;

  constructor(private readonly open: typeof pulumiStack) {
    cpSync(join(__dirname, "programs"), this.root, { recursive: true });
    cpSync(join(__dirname, "packs"), join(this.root, "packs"), { recursive: true });
    symlinkSync(join(repository, "node_modules"), join(this.root, "node_modules"), "dir");
    for (const directory of [this.cloud, join(this.root, "engine")]) mkdirSync(directory);
    this.environment = {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      FILES_DIRECTORY: this.cloud,
      PULUMI_CONFIG_PASSPHRASE: passphrase,
      PULUMI_NODEJS_TRANSPILE_ONLY: "true",
    };
  }

  /** Begins the stack with these packs, each with its configuration if it has one: an object, or a text as it is. */
  async begin(packs: Record<string, object | string | undefined>): Promise<void> {
    const files: string[] = [];
    for (const [pack, config] of Object.entries(packs)) {
      const file = config ? join(this.root, `${pack}.json`) : "";
      if (file) writeFileSync(file, typeof config === "string" ? config : JSON.stringify(config));
      files.push(file);
    }
    const flags = Object.keys(packs).flatMap(pack => ["--policy-pack", join(this.root, "packs", pack)]);
    // By one flag, because the real CLI takes an empty name only between commas.
    if (files.some(Boolean)) flags.push("--policy-pack-config", files.join(","));
    const place = { project: join(this.root, "judged"), directory: join(this.root, "engine") };
    this.stack = await this.open({ ...place, environment: this.environment }, flags);
  }

  async run(kind: "up" | "preview", wanted: Wanted): Promise<Told> {
    this.environment.WANTED = JSON.stringify(wanted);
    const log = join(this.cloud, "calls.log");
    rmSync(log, { force: true });
    const { exitCode, output, steps } = await (this.stack as EngineStack).run(kind);
    const calls = existsSync(log) ? readFileSync(log, "utf8").split("\n") : [];
    const ofFiles = Object.entries(steps).filter(([urn, ops]) => urn.includes(fileType) && ops[0] !== "same");
    return {
      exitCode,
      output,
      steps: Object.fromEntries(ofFiles.map(([urn, ops]) => [urn.split("::").pop(), ops])),
      policies: policiesIn(output),
      calls: calls.filter(call => /^(create|update|delete) /.test(call)).sort(),
    };
  }

  /** The inputs of a file as the state has them. */
  async inputsOf(name: string): Promise<Record<string, unknown> | undefined> {
    const { deployment } = await (this.stack as EngineStack).exportStack({ showSecrets: true });
    return deployment.resources?.find(({ urn }) => urn.endsWith(`::${name}`))?.inputs;
  }

  close(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** The last section "Policies:" of the output. */
function policiesIn(output: string): string[] {
  const section = output.split(/^Policies:\n/m).at(-1) ?? "";
  const packs: string[][] = [];
  if (!output.includes("\nPolicies:\n")) return [];
  for (const line of (section.split("\n\n")[0] ?? "").split("\n").map(text => text.trim())) {
    const pack = /^(\S+ \S+@v\S+) \(local: /.exec(line)?.[1];
    if (pack) packs.push([pack]);
    else if (line.startsWith("- [")) packs.at(-1)?.push(line);
    else packs.at(-1)?.push(`${packs.at(-1)?.pop()} | ${line}`);
  }
  return packs.flatMap(([head = "", ...found]) => [head, ...found.sort()]);
}

const engines: [string, typeof pulumiStack, boolean][] = [
  ["the embedded engine", embeddedStack, true],
  ["the real CLI", pulumiStack, findPulumi() !== undefined],
];

for (const [engine, open, present] of engines) {
  describe(`Policy packs on ${engine}`, function () {
    this.timeout(180_000);

    const on = (title: string, story: (place: Place) => Promise<void>) => {
      if (!present) {
        it(`${title} (skipped: no pulumi on PATH)`);
        return;
      }
      it(title, async () => {
        const place = new Place(open);
        try {
          await story(place);
        } finally {
          place.close();
        }
      });
    };

    on("make nothing when a mandatory policy is violated, and all of it when it is not", async place => {
      await place.begin({ files: undefined });
      for (const kind of ["preview", "up"] as const) {
        const refused = await place.run(kind, { a: { content: "short" }, b: { content: tooLong } });
        assert.equal(refused.exitCode, 1, refused.output);
        assert.deepEqual(refused.policies, ["❌ files@v1.2.3", isTooLong("b")]);
        assert.deepEqual(refused.steps, { a: ["create"], b: ["create"] });
        assert.deepEqual(refused.calls, []);
      }
      const made = await place.run("up", { a: { content: "short" }, b: { content: "shorter" } });
      assert.equal(made.exitCode, 0, made.output);
      assert.deepEqual(made.policies, ["✅ files@v1.2.3"]);
      assert.deepEqual(made.calls, ["create a", "create b"]);
    });

    on("make what only an advisory policy minds, and say so", async place => {
      await place.begin({ files: undefined });
      const made = await place.run("up", { a: { content: "short", draft: "two" } });
      assert.equal(made.exitCode, 0, made.output);
      assert.deepEqual(made.policies, [
        "⚠️ files@v1.2.3",
        `- [advisory]  no-drafts  (${fileType}: a) | A file is no draft. | it is draft two`,
      ]);
      assert.deepEqual(made.calls, ["create a"]);
    });

    on("mend the inputs of a resource, once", async place => {
      await place.begin({ files: undefined });
      const mended = ["✅ files@v1.2.3", "- [remediate]  has-owner  (1 resource)"];
      const wanted = { a: { content: "short", nobodys: true } };
      const made = await place.run("up", wanted);
      assert.equal(made.exitCode, 0, made.output);
      assert.deepEqual([made.policies, made.calls], [mended, ["create a"]]);
      assert.equal((await place.inputsOf("a"))?.owner, "the operators");
      const again = await place.run("up", wanted);
      assert.deepEqual([again.exitCode, again.policies, again.calls], [0, mended, []], again.output);
    });

    on("mend nothing below the level remediate", async place => {
      await place.begin({ files: { "has-owner": "mandatory" } });
      const refused = await place.run("up", { a: { content: "short", nobodys: true } });
      assert.deepEqual([refused.exitCode, refused.calls], [1, []], refused.output);
      assert.deepEqual(refused.policies, [
        "❌ files@v1.2.3",
        `- [mandatory]  has-owner  (${fileType}: a) | A file has an owner. | it has none`,
      ]);
    });

    on("take values and levels from the configuration, and the rest from the pack", async place => {
      await place.begin({ files: { "short-content": { maxLength: 5, except: ["b"] }, never: "advisory" } });
      const judged = await place.run("preview", { a: { content: "longer" }, b: { content: tooLong } });
      assert.equal(judged.exitCode, 1, judged.output);
      const isThere = (name: string) =>
        `- [advisory]  never  (${fileType}: ${name}) | There is no file. | there is one`;
      assert.deepEqual(judged.policies, [
        "❌ files@v1.2.3",
        isThere("a"),
        isThere("b"),
        `- [mandatory] [severity: high]  short-content  (${fileType}: a) | A file's content is short. | "longer" has 6 characters; 5 may be`,
      ]);
    });

    on("take the level of all policies but those with their own", async place => {
      await place.begin({ files: { all: "disabled", "short-content": "advisory" } });
      const made = await place.run("up", { a: { content: tooLong, draft: "one" }, b: { content: tooLong } });
      assert.equal(made.exitCode, 0, made.output);
      assert.deepEqual(made.policies, [
        "⚠️ files@v1.2.3",
        isTooLong("a", "advisory"),
        isTooLong("b", "advisory"),
      ]);
      assert.deepEqual(made.calls, ["create a", "create b"]);
    });

    for (const [config, told] of [
      [{ "short-content": { maxLength: "many" } }, /short-content\W+maxLength\W.*integer/],
      [{ "short-content": { maxLength: 0 } }, /short-content\W+maxLength\W.*1/],
      [{ "short-content": { unit: "pounds" } }, /short-content\W+unit\W.*"characters", "bytes"/],
      [{ "short-content": "strict" }, /short-content.*"strict"/],
      [{ "short-content": 7 }, /short-content.*7/],
      ["[]", /error: /],
    ] as const) {
      on(`make nothing with the configuration ${JSON.stringify(config)}`, async place => {
        await place.begin({ files: config });
        const refused = await place.run("up", { a: { content: "short" } });
        assert.deepEqual([refused.exitCode, refused.calls], [1, []], refused.output);
        assert.match(refused.output, told);
      });
    }

    on("advise in a preview that a value is not known yet, and judge it in the up", async place => {
      await place.begin({ files: undefined });
      const wanted = { a: { content: "a long name" }, d: { contentOf: "a" } };
      const unknown = (policy: string, subject: string, severity = "") =>
        `- [advisory]${severity}  ${policy}  (${subject}) | can't run policy '${policy}' from policy pack 'files@v1.2.3' during preview: string value at .content can't be known during preview`;
      const preview = await place.run("preview", wanted);
      assert.equal(preview.exitCode, 0, preview.output);
      assert.deepEqual(
        preview.policies,
        [
          "⚠️ files@v1.2.3",
          unknown("no-doubles", "pulumi:pulumi:Stack: judged-dev"),
          unknown("short-content", `${fileType}: d`, " [severity: high]"),
        ].sort((a, b) => Number(a.startsWith("-")) - Number(b.startsWith("-")) || (a < b ? -1 : 1)),
      );
      const up = await place.run("up", wanted);
      assert.equal(up.exitCode, 1, up.output);
      assert.deepEqual(up.policies, [
        "❌ files@v1.2.3",
        `- [mandatory] [severity: high]  short-content  (${fileType}: d) | A file's content is short. | "digest of "a long name"" has 23 characters; 20 may be`,
      ]);
      assert.deepEqual(up.steps, { a: ["create"] });
      assert.deepEqual(up.calls, ["create a"]);
    });

    on("judge the stack as a whole before anything is made", async place => {
      await place.begin({ files: { "few-files": { maxFiles: 1 } } });
      const wanted = { a: { content: "short" }, b: { content: "shorter" } };
      for (const kind of ["preview", "up"] as const) {
        const refused = await place.run(kind, wanted);
        assert.deepEqual([refused.exitCode, refused.calls], [1, []], refused.output);
        assert.deepEqual(refused.policies, [
          "❌ files@v1.2.3",
          "- [mandatory]  few-files  (pulumi:pulumi:Stack: judged-dev) | There are few files. | there are 2; 1 may be",
        ]);
      }
      const made = await place.run("up", { a: { content: "short" } });
      assert.deepEqual([made.exitCode, made.calls], [0, ["create a"]], made.output);
    });

    on("fail where a policy throws, and name it and the resource", async place => {
      await place.begin({ files: undefined });
      const refused = await place.run("up", { b: { content: "x", breaks: "validate" } });
      assert.deepEqual([refused.exitCode, refused.calls], [1, []], refused.output);
      assert.match(
        refused.output,
        /policy 'sound' from policy pack 'files@v1\.2\.3':\s+Error: the policy is broken/,
      );
      assert.match(refused.output, /File \(?b\b/);
    });

    on("judge together, each with its own configuration", async place => {
      await place.begin({ files: undefined, owners: { "known-owner": { owners: ["me"] } } });
      const refused = await place.run("up", { a: { content: tooLong, owner: "you" }, b: { owner: "me" } });
      assert.deepEqual([refused.exitCode, refused.calls], [1, []], refused.output);
      const foreign = `- [mandatory]  known-owner  (${fileType}: a) | Only the operators own files. | you owns it`;
      assert.deepEqual(refused.policies, ["❌ files@v1.2.3", isTooLong("a"), "❌ owners@v0.2.0", foreign]);
      const made = await place.run("up", { a: { content: "short", owner: "me" } });
      assert.deepEqual([made.exitCode, made.calls], [0, ["create a"]], made.output);
    });

    for (const [pack, told] of [
      ["owners", /known-owner\W+(owners is required|must have required property 'owners')/],
      ["throws", /this pack does not start[\s\S]*error: .*policy pack/],
      ["nowhere", /PulumiPolicy\.yaml/],
    ] as const) {
      on(`make nothing where the pack "${pack}" cannot start`, async place => {
        await place.begin({ [pack]: undefined });
        const refused = await place.run("up", { a: { content: "short" } });
        assert.deepEqual([refused.exitCode, refused.calls], [1, []], refused.output);
        assert.match(refused.output, told);
      });
    }

    // In these the real CLI does less, or something else.
    if (open !== embeddedStack) return;

    on("refuse a configuration of a policy that there is not", async place => {
      await place.begin({ files: { "short-contents": "advisory" } });
      const refused = await place.run("up", { a: { content: "short" } });
      assert.deepEqual([refused.exitCode, refused.calls], [1, []], refused.output);
      assert.match(
        refused.output,
        /configuring policy pack files by \S+files\.json: it has no policy short-contents; its policies are short-content, /,
      );
    });

    on("are told secret values, which are not shown", async place => {
      await place.begin({ files: undefined });
      const refused = await place.run("up", { a: { content: "a secret that is too long", secret: true } });
      assert.deepEqual([refused.exitCode, refused.calls], [1, []], refused.output);
      assert.ok(!refused.output.includes("a secret that"), refused.output);
      assert.match(refused.output, /"\[secret\]" has 25 characters; 20 may be/);
    });

    on("mend a resource that is being replaced, too", async place => {
      await place.begin({ files: undefined });
      const wanted = (path: string) => ({ a: { content: "short", nobodys: true, path } });
      assert.equal((await place.run("up", wanted("/1"))).exitCode, 0);
      const replaced = await place.run("up", wanted("/2"));
      assert.deepEqual(replaced.calls, ["create a", "delete a-1"], replaced.output);
      assert.equal((await place.inputsOf("a"))?.owner, "the operators");
    });
  });
}
