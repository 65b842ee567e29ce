import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import {
  chmod,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  unlink,
  writeFile,
} from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { isAlive, processIdentity } from "./process";

const execFileAsync = promisify(execFile);

/** Where everything that outlives a run is kept: virtual environments, binaries, templates. `OSBACKUP_SERVICES_DIR` moves it. */
export function servicesDirectory(): string {
  return process.env.OSBACKUP_SERVICES_DIR || path.join(homedir(), ".cache", "osbackup-services");
}

/** Whether this process is root, which package installation and the NFS backend's mount need. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Runs a step while no other process runs the same one: two test runs share one install cache. */
export async function exclusively<T>(name: string, step: () => Promise<T>): Promise<T> {
  await mkdir(servicesDirectory(), { recursive: true });
  const lock = path.join(servicesDirectory(), `${name}.lock`);
  for (;;) {
    try {
      const file = await open(lock, "wx");
      await file.writeFile(JSON.stringify(processIdentity(process.pid)));
      await file.close();
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const owner = await readFile(lock, "utf8").catch(() => "");
      // An empty file is a lock whose owner is about to write its name.
      if (owner !== "" && !isAlive(JSON.parse(owner))) await rm(lock, { force: true });
      else await new Promise(resolve => setTimeout(resolve, 500));
    }
  }
  try {
    return await step();
  } finally {
    await rm(lock, { force: true });
  }
}

/** Runs an installation command at low priority; its output is part of the error when it fails. */
async function run(
  command: string,
  args: string[],
  environment: NodeJS.ProcessEnv = {},
  cwd?: string,
): Promise<string> {
  try {
    const options = { env: { ...process.env, ...environment }, maxBuffer: 64 << 20, cwd };
    return (await execFileAsync("nice", ["-n", "10", command, ...args], options)).stdout;
  } catch (error) {
    const { stderr, stdout } = error as { stderr?: string; stdout?: string };
    const output = `${stdout ?? ""}${stderr ?? ""}`.trim().split("\n").slice(-15).join("\n");
    throw new Error(`installing with ${command} ${args.slice(0, 3).join(" ")}: ${output}`, { cause: error });
  }
}

async function missingPackages(packages: string[]): Promise<string[]> {
  const listing = await execFileAsync("dpkg-query", ["--list", ...packages]).then(
    result => result.stdout,
    (error: { stdout?: string }) => error.stdout ?? "", // fails when one of them is unknown, yet lists the others
  );
  const installed = new Set([...listing.matchAll(/^ii +([^ :]+)/gm)].map(match => match[1]));
  return packages.filter(name => !installed.has(name));
}

const policyFile = "/usr/sbin/policy-rc.d";

/** Keeps the packages' daemons from starting by themselves while `step` runs (Debian's policy-rc.d). */
async function withoutDaemonStarts<T>(step: () => Promise<T>): Promise<T> {
  const saved = `${policyFile}.osbackup`;
  if (existsSync(policyFile) && !existsSync(saved)) await rename(policyFile, saved);
  await writeFile(policyFile, "#!/bin/sh\nexit 101\n");
  await chmod(policyFile, 0o755);
  try {
    return await step();
  } finally {
    if (existsSync(saved)) await rename(saved, policyFile);
    else await unlink(policyFile);
  }
}

/** Installs those of the Debian packages that are missing. Throws, naming them, if this process is not root. */
export async function installPackages(packages: string[]): Promise<void> {
  if ((await missingPackages(packages)).length === 0) return;
  await exclusively("apt", async () => {
    const missing = await missingPackages(packages);
    if (missing.length === 0) return;
    if (!isRoot()) {
      throw new Error(
        `installing Debian packages: needs root; run as root: apt-get install --no-install-recommends ${missing.join(" ")}`,
      );
    }
    await withoutDaemonStarts(async () => {
      const environment = { DEBIAN_FRONTEND: "noninteractive" };
      await run("apt-get", ["update", "-q"], environment);
      await run("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...missing], environment);
    });
  });
}

/**
 * Makes a virtual environment of Debian's python with these requirements and returns its folder; one that has exactly them is kept.
 * `nativeModules` are extension modules of Debian packages that no registry has ("rbd", "rados").
 */
export async function installVenv(
  name: string,
  requirements: string[],
  nativeModules: string[] = [],
): Promise<string> {
  await installPackages(["python3-venv"]);
  const directory = path.join(servicesDirectory(), name);
  const marker = path.join(directory, "requirements.installed");
  const wanted = `${[...requirements, ...nativeModules].join("\n")}\n`;
  const upToDate = async () => (await readFile(marker, "utf8").catch(() => "")) === wanted;
  if (await upToDate()) return directory;
  await exclusively(name, async () => {
    if (await upToDate()) return;
    await rm(directory, { recursive: true, force: true });
    // Not the python of PATH: Debian's extension modules are built for Debian's own.
    await run("/usr/bin/python3", ["-m", "venv", directory]);
    await run(path.join(directory, "bin/pip"), ["install", "-q", ...requirements]);
    const debian = "/usr/lib/python3/dist-packages";
    const library = path.join(directory, "lib");
    const [python = "python3"] = await readdir(library);
    for (const file of await readdir(debian)) {
      if (file.endsWith(".so") && nativeModules.includes(file.split(".")[0] ?? "")) {
        await symlink(path.join(debian, file), path.join(library, python, "site-packages", file));
      }
    }
    await writeFile(marker, wanted);
  });
  return directory;
}

/** Runs go; throws if there is none. */
async function go(
  doing: string,
  args: string[],
  environment: NodeJS.ProcessEnv,
  cwd?: string,
): Promise<void> {
  const program = [...(process.env.PATH ?? "").split(":"), "/usr/local/go/bin"]
    .map(folder => path.join(folder, "go"))
    .find(candidate => existsSync(candidate));
  if (!program) throw new Error(`${doing}: go is not installed; install Go 1.26 or newer`);
  await run(program, args, environment, cwd);
}

/** Builds a Go program from the module proxy and returns the path of its binary; throws if there is no Go. */
export async function installGoProgram(module: string, version: string): Promise<string> {
  const directory = path.join(servicesDirectory(), "go", version);
  const binary = path.join(directory, path.basename(module));
  if (existsSync(binary)) return binary;
  return exclusively(`go-${path.basename(module)}`, async () => {
    if (existsSync(binary)) return binary;
    await go(`building ${module}`, ["install", `${module}@${version}`], { GOBIN: directory });
    return binary;
  });
}

/** Builds packages of a Go module of this repository, once for each state of it; returns the folder of the binaries. */
export async function buildGoModule(source: string, packages: string[], linking: string): Promise<string> {
  const digest = createHash("sha256").update([...packages, linking].join(" "));
  for (const file of (await readdir(source, { recursive: true })).sort())
    if (/\.go$|^go\.(mod|sum)$/.test(file)) digest.update(await readFile(path.join(source, file)));
  const name = `${path.basename(path.dirname(source))}-${digest.digest("hex").slice(0, 12)}`;
  const directory = path.join(servicesDirectory(), "go", name);
  const isBuilt = path.join(directory, "built");
  if (existsSync(isBuilt)) return directory;
  return exclusively(`go-${name}`, async () => {
    if (existsSync(isBuilt)) return directory;
    await mkdir(directory, { recursive: true });
    const args = [
      "build",
      "-trimpath",
      "-buildvcs=false",
      `-ldflags=-s -w ${linking}`,
      "-o",
      `${directory}/`,
      ...packages,
    ];
    await go(`building ${source}`, args, { CGO_ENABLED: "0" }, source);
    await writeFile(isBuilt, "");
    return directory;
  });
}
