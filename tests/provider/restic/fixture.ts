import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import {
  openRepository,
  type Repository,
  type RepositoryOptions,
} from "../../../provider/restic/repository.js";
import { quicken } from "../../quick-restic/quick-repository";
import { until } from "../../until.js";

export const password = "correct-horse-battery";
export const isRoot = process.getuid?.() === 0;

const root = resolve(__dirname, "../../..");
const directories: string[] = [];
const children: ChildProcess[] = [];

/** A directory that is gone after the tests of the file. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "osbackup-restic-"));
  directories.push(directory);
  return directory;
}

/** To be called in `after`: ends what was started, removes what was made. */
export async function tidyUp(): Promise<void> {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  }
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true });
}

let template: Promise<string> | undefined;

/** An initialised repository, copied from one that is made once, with a key that costs no time. */
export async function newRepository(
  options: RepositoryOptions = {},
): Promise<{ repository: Repository; path: string; directory: string; log: string[] }> {
  template ??= (async () => {
    const top = await mkdtemp(join(tmpdir(), "osbackup-restic-"));
    // it serves all files of a test run
    process.once("exit", () => rmSync(top, { recursive: true, force: true }));
    const made = join(top, "template");
    await openRepository(
      { url: made, password },
      { cacheDirectory: join(made, "..", "cache") },
    ).ensureInitialised();
    quicken(made, password);
    return made;
  })();
  const directory = await temporaryDirectory();
  const path = join(directory, "repository");
  await cp(await template, path, { recursive: true });
  const log: string[] = [];
  const repository = openRepository(
    { url: path, password },
    { cacheDirectory: join(directory, "cache"), lockWaitSeconds: 0, log: line => log.push(line), ...options },
  );
  return { repository, path, directory, log };
}

/** Files of a volume: name to content. */
export async function volume(files: Record<string, string | Buffer>): Promise<string> {
  const directory = join(await temporaryDirectory(), "volume");
  await mkdir(directory);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(directory, name, ".."), { recursive: true });
    await writeFile(join(directory, name), content);
  }
  return directory;
}

/** restic, as an operator would run it beside the provider. */
export function restic(path: string, ...args: string[]): string {
  return execFileSync("restic", ["--no-cache", "-r", path, ...args], {
    env: resticEnvironment(),
    encoding: "utf8",
  });
}

export function resticEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, RESTIC_PASSWORD: password, TZ: "UTC" };
}

export function start(
  command: string,
  args: string[],
  environment: NodeJS.ProcessEnv = process.env,
): ChildProcess {
  const child = spawn(command, args, { env: environment, cwd: root, stdio: ["pipe", "pipe", "pipe"] });
  children.push(child);
  return child;
}

/** A restic that holds a non-exclusive lock until its standard input is closed; `wrapper` goes before the binary. */
export async function holdLock(path: string, wrapper: string[] = []): Promise<ChildProcess> {
  const before = (await locksOf(path)).length;
  const words = [
    ...wrapper,
    "restic",
    "--no-cache",
    "-r",
    path,
    "backup",
    "--stdin",
    "--stdin-filename=held",
  ];
  const child = start(words[0] as string, words.slice(1), resticEnvironment());
  await until("the lock of the holder", async () => (await locksOf(path)).length > before);
  return child;
}

/** A restic that holds the exclusive lock: a check that reads slowly. The repository must have some data. */
export async function holdExclusiveLock(path: string): Promise<ChildProcess> {
  const words = ["--no-cache", "--limit-download=1", "-r", path, "check", "--read-data"];
  const child = start("restic", words, resticEnvironment());
  await until("the exclusive lock", async () => (await locksOf(path)).length > 0);
  return child;
}

/** Kills without a chance to clean up, and waits until the process is reaped. */
export async function killHard(child: ChildProcess): Promise<void> {
  const gone = new Promise(done => child.once("close", done));
  child.kill("SIGKILL");
  await gone;
}

/** Runs TypeScript-aware JavaScript in a process of its own; `provider` is the folder of the layer. */
export function script(source: string, environment: NodeJS.ProcessEnv = process.env): ChildProcess {
  const head = `const provider = ${JSON.stringify(join(root, "provider/restic"))}; const { openRepository } = require(provider + "/repository.ts");`;
  return start(process.execPath, ["--require", "tsx/cjs", "--eval", head + source], environment);
}

/** Everything a process writes to standard output until its end. */
export async function outputOf(child: ChildProcess): Promise<string> {
  let text = "";
  let errors = "";
  child.stdout?.on("data", chunk => {
    text += chunk;
  });
  child.stderr?.on("data", chunk => {
    errors += chunk;
  });
  await new Promise(done => child.once("close", done));
  if (text === "") throw new Error(`the process wrote nothing; its errors: ${errors}`);
  return text.trim();
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The names of the locks, without a file that is being written. */
export async function locksOf(path: string): Promise<string[]> {
  return (await readdir(join(path, "locks"))).filter(name => /^[0-9a-f]{64}$/.test(name));
}

/**
 * A program that answers like another version of restic: `answer` is JavaScript that gets `args` and may call
 * `out`, `err` and `exit`. For what restic says only; what it does is tested with the installed one.
 */
export async function fakeRestic(version: string, answer: string): Promise<string> {
  const path = join(await temporaryDirectory(), "restic");
  const body = `#!${process.execPath}
const args = process.argv.slice(2);
const out = value => process.stdout.write((typeof value === "string" ? value : JSON.stringify(value)) + "\\n");
const err = value => process.stderr.write((typeof value === "string" ? value : JSON.stringify(value)) + "\\n");
const exit = code => { process.exitCode = code; };
if (args[0] === "version") out({ message_type: "version", version: ${JSON.stringify(version)}, go_version: "go1.24", go_os: "linux", go_arch: "amd64" });
else { ${answer} }
`;
  await writeFile(path, body);
  await chmod(path, 0o755);
  return path;
}
