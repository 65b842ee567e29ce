/**
 * Packs this project, installs the package into copies of examples/quickstart by npm, yarn, pnpm and bun, and lets each
 * live from preview to destroy on devcloud. Prints a table. Needs the registry of npm, restic and a build.
 *
 *     npx tsx scripts/package-managers.ts                 # on the Pulumi CLI, where it is on PATH, else embedded
 *     npx tsx scripts/package-managers.ts embedded pnpm   # on the embedded engine, only what has pnpm in its name
 */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { makeExt4Image, startDevcloud } from "../devcloud";

const run = promisify(execFile);
const root = path.join(__dirname, "..");
const password = "package-managers-password";

/** One way to install and to run a stack. */
export interface Installation {
  name: string;
  /** Packages of npm that bring the package manager or another Node. */
  tools?: string[];
  install: string[];
  /** What runs a command of node_modules. */
  exec: string[];
  files?: Record<string, string>;
  /** Version of @pulumi/pulumi. */
  pulumi?: string;
  runtime?: string;
}

const npm = { install: ["npm", "install", "--no-audit", "--no-fund"], exec: ["npm", "exec", "--"] };
const yarn = { install: ["yarn", "install"], exec: ["yarn"] };
const berry = { ...yarn, tools: ["@yarnpkg/cli-dist@4"] };
const pnpm = {
  tools: ["pnpm@12"],
  install: ["pnpm", "install"],
  exec: ["pnpm", "exec"],
  // asked of the user by `pnpm approve-builds`; the script does nothing that is needed
  files: { "pnpm-workspace.yaml": "allowBuilds:\n  protobufjs: false\n" },
};
const bun = { tools: ["bun@1"], install: ["bun", "install"], exec: ["bunx", "--no-install"] };

const declared = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as {
  devDependencies: Record<string, string>;
};

export const installations: Installation[] = [
  { name: "npm", ...npm },
  { name: "npm, oldest @pulumi/pulumi", ...npm, pulumi: "3.200.0" },
  { name: "npm, newest @pulumi/pulumi", ...npm, pulumi: "latest" },
  { name: "npm, newest @pulumi/pulumi, Node 24", ...npm, pulumi: "latest", tools: ["node@24"] },
  { name: "npm, Node 20.19", ...npm, tools: ["node@20.19.0"] },
  { name: "npm, Node 22", ...npm, tools: ["node@22"] },
  { name: "npm, Node 24", ...npm, tools: ["node@24"] },
  { name: "yarn 1", ...yarn, tools: ["yarn@1"] },
  { name: "yarn 4, node-modules", ...berry, files: { ".yarnrc.yml": "nodeLinker: node-modules\n" } },
  { name: "yarn 4, Plug'n'Play", ...berry, files: { ".yarnrc.yml": "nodeLinker: pnp\n" } },
  { name: "pnpm", ...pnpm },
  { name: "pnpm, oldest @pulumi/pulumi", ...pnpm, pulumi: "3.200.0" },
  { name: "bun", ...bun },
  { name: "bun, isolated", ...bun, files: { "bunfig.toml": '[install]\nlinker = "isolated"\n' } },
  { name: "bun, runtime: bun", ...bun, runtime: "bun" },
];

/** What was seen of one installation: the versions, then each step's outcome. */
export interface Seen {
  name: string;
  versions: string;
  steps: Record<string, string>;
}

/** Makes the package of this project in `folder`; the path of the file. */
export async function pack(folder: string): Promise<string> {
  const { stdout } = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], {
    cwd: root,
  });
  return path.join(folder, (JSON.parse(stdout) as [{ filename: string }])[0].filename);
}

/** Installs the package and runs preview, up, up again and destroy; a step that fails ends it and says why. */
export async function tryOut(
  installation: Installation,
  tarball: string,
  engine: "pulumi" | "embedded",
): Promise<Seen> {
  const work = await mkdtemp(path.join(tmpdir(), "osbackup-package-managers-"));
  const cloud = await startDevcloud();
  const seen: Seen = { name: installation.name, versions: "", steps: {} };
  try {
    const project = path.join(work, "project");
    for (const name of ["backend", "home", "tools"]) await mkdir(path.join(work, name));
    await cp(path.join(root, "examples/quickstart"), project, { recursive: true });
    const programs = { "@pulumi/pulumi": installation.pulumi ?? declared.devDependencies["@pulumi/pulumi"] };
    const files = {
      "package.json": JSON.stringify({
        name: "quickstart",
        private: true,
        dependencies: { ...programs, "pulumi-openstack-backup": `file:${tarball}` },
      }),
      ...installation.files,
    };
    for (const [name, text] of Object.entries(files)) await writeFile(path.join(project, name), text);
    const manifest = path.join(project, "Pulumi.yaml");
    const told = (await readFile(manifest, "utf8")).replace(
      "runtime: nodejs",
      `runtime: ${installation.runtime ?? "nodejs"}`,
    );
    await writeFile(manifest, told);
    const volume = async (name: string) => {
      const source = path.join(work, name);
      await mkdir(source);
      await writeFile(path.join(source, "name"), `${name}\n`);
      const imageFile = path.join(work, `${name}.img`);
      await makeExt4Image(imageFile, { fromDirectory: source, sizeMib: 16 });
      return (await cloud.addVolume({ name, imageFile })).id;
    };
    const config = {
      repositoryUrl: path.join(work, "repository"),
      filesVolumeId: await volume("files"),
      databaseVolumeId: await volume("database"),
    };
    const environment: NodeJS.ProcessEnv = {
      ...process.env,
      ...cloud.environment,
      OSBACKUP_MOUNT_DIRECTORY: path.join(work, "mnt"),
      OSBACKUP_STATE_DIRECTORY: path.join(work, "backend"),
      OSBACKUP_NOW: "2026-11-16T10:05:00Z",
      PULUMI_CONFIG_PASSPHRASE: "correct horse",
      PULUMI_HOME: path.join(work, "home"),
      PULUMI_BACKEND_URL: `file://${path.join(work, "backend")}`,
      PULUMI_SKIP_UPDATE_CHECK: "true",
      // stores and caches of the package managers, which lie at home otherwise
      XDG_DATA_HOME: path.join(work, "tools"),
      XDG_CACHE_HOME: path.join(work, "tools"),
      YARN_CACHE_FOLDER: path.join(work, "tools", "yarn"),
      YARN_GLOBAL_FOLDER: path.join(work, "tools", "berry"),
      BUN_INSTALL_CACHE_DIR: path.join(work, "tools", "bun"),
    };
    if (installation.tools) {
      const tools = path.join(work, "tools");
      await run("npm", ["install", "--no-audit", "--no-fund", "--prefix", tools, ...installation.tools]);
      environment.PATH = `${path.join(tools, "node_modules/.bin")}:${process.env.PATH}`;
    }
    const call = async ([command, ...args]: string[]) =>
      (await run(command as string, args, { cwd: project, env: environment, maxBuffer: 64 << 20 })).stdout;
    const step = async (name: string, args: string[], expected?: RegExp) => {
      try {
        const said = await call(args);
        seen.steps[name] = !expected || expected.test(said) ? "yes" : `unexpected: ${said}`;
      } catch (error) {
        const { code, stdout, stderr } = error as { code: unknown; stdout?: string; stderr?: string };
        seen.steps[name] = `exit code ${code}: ${stdout ?? ""}${stderr ?? String(error)}`;
      }
      return seen.steps[name] === "yes";
    };
    const [command, ...more] =
      engine === "pulumi" ? ["pulumi"] : [...installation.exec, "osbackup", "engine"];
    const engineSays = (...args: string[]) => [command as string, ...more, ...args];
    const flags = engine === "pulumi" ? ["--non-interactive"] : [];
    const quick = [...flags, "--yes", "--skip-preview"];

    if (!(await step("install", installation.install))) return seen;
    const version = async (args: string[]) => (await call(args)).trim().split("\n").at(-1);
    const sdk = path.join(project, "node_modules/@pulumi/pulumi/package.json");
    seen.versions = [
      `Node ${(await version(["node", "--version"]))?.slice(1)}`,
      `${installation.install[0]} ${await version([installation.install[0] as string, "--version"])}`,
      ...(existsSync(sdk) ? [`SDK ${JSON.parse(await readFile(sdk, "utf8")).version}`] : []),
    ].join(", ");
    if (!(await step("stack", engineSays("stack", "init", "dev")))) return seen;
    for (const [key, value] of Object.entries(config))
      if (!(await step("config", engineSays("config", "set", "--stack", "dev", key, value)))) return seen;
    const secret = engineSays("config", "set", "--stack", "dev", "--secret", "repositoryPassword", password);
    if (!(await step("config", secret))) return seen;
    const steps: [string, string[], RegExp][] = [
      ["preview", ["preview", ...flags], /create/],
      ["up", ["up", ...quick], /Succeeded: restic snapshot/],
      ["up again", ["up", ...quick, "--expect-no-changes"], /unchanged/],
      ["destroy", ["destroy", ...quick], /deleted/],
    ];
    for (const [name, args, expected] of steps)
      if (!(await step(name, engineSays(...args, "--stack", "dev"), expected))) return seen;
    if (cloud.snapshots().length > 0) seen.steps.destroy = "left a snapshot";
    return seen;
  } finally {
    await cloud.stop();
    await rm(work, { recursive: true, force: true });
  }
}

async function main(args: string[]): Promise<void> {
  const engine = args.includes("embedded") ? "embedded" : "pulumi";
  const words = args.filter(word => word !== "embedded");
  const folder = await mkdtemp(path.join(tmpdir(), "osbackup-packed-"));
  try {
    const tarball = await pack(folder);
    console.log("| Installed by | preview | up | up again | destroy | Seen |\n|---|---|---|---|---|---|");
    for (const installation of installations.filter(({ name }) => words.every(word => name.includes(word)))) {
      const { name, versions, steps } = await tryOut(installation, tarball, engine);
      const cells = ["preview", "up", "up again", "destroy"].map(step =>
        steps[step] === "yes" ? "yes" : steps[step] ? "no" : "",
      );
      console.log(`| ${[name, ...cells, versions].join(" | ")} |`);
      for (const [step, outcome] of Object.entries(steps))
        if (outcome !== "yes") console.error(`${name}, ${step}: ${outcome}`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

if (require.main === module) void main(process.argv.slice(2));
