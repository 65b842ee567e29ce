import { execFile, spawn } from "node:child_process";
import { existsSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { exclusively } from "./install";
import { isAlive, isTaken, type ProcessIdentity, processIdentity } from "./process";

const execFileAsync = promisify(execFile);
const prefix = "osbackup-services-";

/** Servers use bases (databases, queues, storage), so servers stop first. */
type Stage = "base" | "server";

interface StartedProcess extends ProcessIdentity {
  name: string;
  stage: Stage;
}

/** What is needed to stop a run, kept in its folder as run.json so that another process can do it. */
interface RunState {
  owner: ProcessIdentity;
  /** Whether it goes on without its owner. */
  kept: boolean;
  processes: StartedProcess[];
  mounts: string[];
}

/** How a program of a run is called. */
export interface Command {
  program: string;
  args: string[];
  environment?: Record<string, string>;
}

/** The inherited environment, with the folders of system programs even where PATH lacks them, and the command's own. */
function environmentOf(command: Command): NodeJS.ProcessEnv {
  const PATH = `${process.env.PATH ?? ""}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;
  return { ...process.env, PATH, ...command.environment };
}

const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds));

const givenPorts = new Set<number>();

/** As many different free loopback ports as asked for, none of them given by this process before. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(0, "127.0.0.1", resolve);
      });
      return server;
    }),
  );
  const ports = servers.map(server => (server.address() as { port: number }).port);
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  if (ports.some(port => givenPorts.has(port))) return freePorts(count);
  for (const port of ports) givenPorts.add(port);
  return ports;
}

/** One free loopback port. */
export async function freePort(): Promise<number> {
  return (await freePorts(1))[0] as number;
}

/**
 * The fresh folder of one run of some services, with the processes and mounts that belong to it.
 * Unless it is persistent, its processes are told to end when the process that started them is gone, however that happened.
 * A persistent one has to be kept (`keep`) once it has started; until then it is an unfinished start that the next run removes.
 */
export class Run {
  private static interrupted = false;
  /** How each process of this run was started, to start it again. */
  private readonly commands = new Map<string, Parameters<Run["spawn"]>>();

  private constructor(
    /** `state/` is data, `etc/` configuration, `log/` one file a process. */
    readonly directory: string,
    private readonly state: RunState,
    private readonly persistent: boolean,
  ) {}

  /** Makes a run's folder. Removes what killed runs have left before. */
  static async create(options: { persistent?: boolean } = {}): Promise<Run> {
    Run.goOn();
    await Run.sweep();
    const directory = await mkdtemp(path.join(tmpdir(), prefix));
    await chmod(directory, 0o755); // the mover may read volumes as another user
    for (const folder of ["etc", "log", "state"]) await mkdir(path.join(directory, folder));
    const owner = processIdentity(process.pid);
    const state = { owner, kept: false, processes: [], mounts: [] };
    const run = new Run(directory, state, options.persistent ?? false);
    run.save();
    return run;
  }

  /** The run of this folder; throws when there is none. */
  static load(directory: string): Run {
    const state: RunState = JSON.parse(readFileSync(path.join(directory, "run.json"), "utf8"));
    return new Run(directory, state, state.kept);
  }

  /** Stops and removes the runs whose owner is gone and that were not kept. */
  static sweep(): Promise<void> {
    return exclusively("sweep", async () => {
      for (const name of await readdir(tmpdir())) {
        const directory = path.join(tmpdir(), name);
        if (!name.startsWith(prefix) || !existsSync(path.join(directory, "run.json"))) continue;
        const run = Run.load(directory);
        if (!run.state.kept && !isAlive(run.state.owner)) await run.stop();
      }
    });
  }

  /** Makes the start that is under way fail at its next step, and so stop what it has started. */
  static interrupt(): void {
    Run.interrupted = true;
  }

  private static goOn(): void {
    if (Run.interrupted) throw new Error("interrupted");
  }

  /** Lets the run go on after this process. */
  keep(): void {
    this.state.kept = true;
    this.save();
  }

  path(...parts: string[]): string {
    return path.join(this.directory, ...parts);
  }

  logPath(name: string): string {
    return this.path("log", `${name}.log`);
  }

  /** Writes a file below the folder and returns its path. */
  async write(relativePath: string, text: string, mode = 0o644): Promise<string> {
    const file = this.path(relativePath);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text, { mode });
    return file;
  }

  /** Starts a process of this run: its own process group, output to its log. */
  spawn(name: string, command: Command, stage: Stage): void {
    Run.goOn();
    this.commands.set(name, [name, command, stage]);
    const log = openSync(this.logPath(name), "a");
    const guard = this.persistent ? [] : ["setpriv", "--pdeathsig", "TERM"];
    const [program = "", ...args] = [...guard, "nice", "-n", "5", command.program, ...command.args];
    const child = spawn(program, args, {
      cwd: this.directory,
      detached: true,
      env: environmentOf(command),
      stdio: ["ignore", log, log],
    });
    if (child.pid === undefined) throw new Error(`starting ${name}: ${program} could not be executed`);
    child.unref();
    this.state.processes.push({ name, stage, ...processIdentity(child.pid) });
    this.save();
  }

  /** Runs a program to its end and returns its stdout; when it fails, the error ends with its last lines. */
  async execute(name: string, command: Command): Promise<string> {
    Run.goOn();
    try {
      const { stdout } = await execFileAsync(command.program, command.args, {
        cwd: this.directory,
        env: environmentOf(command),
        maxBuffer: 64 << 20,
        timeout: 300_000,
      });
      return stdout;
    } catch (error) {
      const { stdout, stderr } = error as { stdout?: string; stderr?: string };
      writeFileSync(this.logPath(name), `${stdout ?? ""}${stderr ?? ""}`, { flag: "a" });
      throw new Error(`running ${path.basename(command.program)} for ${name}: ${this.lastLines(name)}`, {
        cause: error,
      });
    }
  }

  /**
   * Asks `probe` until it answers true; an exception counts as not ready. The death of any process of the run ends the waiting.
   * Throws with the last lines of the log.
   */
  async ready(name: string, timeoutSeconds: number, probe: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + timeoutSeconds * 1000;
    let reason = "not ready";
    while (Date.now() < deadline) {
      Run.goOn();
      try {
        if (await probe()) return;
      } catch (error) {
        reason = (error as Error).message;
      }
      const ended = this.state.processes.find(one => !isAlive(one));
      if (ended) throw new Error(`starting ${name}: ${ended.name} ended:\n${this.lastLines(ended.name)}`);
      await pause(150);
    }
    throw new Error(
      `starting ${name}: not ready after ${timeoutSeconds} s (${reason}):\n${this.lastLines(name)}`,
    );
  }

  /** Makes `source` visible at `target` too. */
  async bindMount(source: string, target: string): Promise<void> {
    await mkdir(target, { recursive: true });
    this.state.mounts.push(target);
    this.save();
    await this.execute("mount", { program: "mount", args: ["--bind", source, target] });
  }

  /** Names of this run's processes, and whether each still runs. */
  processes(): { name: string; pid: number; alive: boolean }[] {
    return this.state.processes.map(one => ({ name: one.name, pid: one.pid, alive: isAlive(one) }));
  }

  /** Stops the named processes, or all: servers together, then bases together. */
  async stopProcesses(names?: string[]): Promise<void> {
    const stopping = this.state.processes.filter(one => names === undefined || names.includes(one.name));
    for (const stage of ["server", "base"]) {
      await Promise.all(stopping.filter(one => one.stage === stage).map(stopProcess));
    }
    this.state.processes = this.state.processes.filter(one => !stopping.includes(one));
    this.save();
  }

  /** Ends a process of this run by the signal, with all that it has started, and starts it again after a while. */
  async outage(name: string, seconds: number, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const command = this.commands.get(name);
    const ended = this.state.processes.find(one => one.name === name);
    if (!command || !ended || !isAlive(ended)) throw new Error(`ending ${name}: it does not run`);
    process.kill(-ended.pid, signal);
    while (isAlive(ended)) await pause(20);
    this.state.processes = this.state.processes.filter(one => one !== ended);
    this.save();
    await pause(seconds * 1000);
    this.spawn(...command);
  }

  /** Takes this run's mounts away; its processes must have ended. */
  async unmount(): Promise<void> {
    for (const target of this.state.mounts) {
      const mounted = readFileSync("/proc/self/mounts", "utf8").includes(` ${target} `);
      if (mounted) await execFileAsync("umount", [target]);
    }
    this.state.mounts = [];
    this.save();
  }

  /** Stops everything and removes the folder; `keepLogs` leaves `log/` there, as does the variable OSBACKUP_KEEP_LOGS. */
  async stop(options: { keepLogs?: boolean } = {}): Promise<void> {
    if (!existsSync(this.directory)) return;
    await this.stopProcesses();
    await this.unmount();
    const keepLogs = options.keepLogs || process.env.OSBACKUP_KEEP_LOGS;
    for (const name of await readdir(this.directory)) {
      if (!(keepLogs && name === "log")) await rm(this.path(name), { recursive: true, force: true });
    }
    if (!keepLogs) await rm(this.directory, { recursive: true, force: true });
  }

  /** Stops everything after a failed start and throws it again, saying where the logs are kept. */
  async abandon(error: unknown): Promise<never> {
    await this.stop({ keepLogs: !Run.interrupted });
    if (Run.interrupted) throw error;
    throw new Error(`${(error as Error).message}\nlogs kept in ${this.path("log")}`, { cause: error });
  }

  private lastLines(name: string): string {
    try {
      return readFileSync(this.logPath(name), "utf8").trim().split("\n").slice(-15).join("\n");
    } catch {
      return "(no log)";
    }
  }

  private save(): void {
    const file = this.path("run.json");
    writeFileSync(`${file}.new`, JSON.stringify(this.state, undefined, 2));
    renameSync(`${file}.new`, file); // another process's sweep never reads half of it
  }
}

/** Asks a process to end and, after 15 s at most, kills what is left of its process group. */
async function stopProcess(started: StartedProcess): Promise<void> {
  if (isAlive(started)) process.kill(started.pid, "SIGTERM");
  const deadline = Date.now() + 15_000;
  while (isAlive(started) && Date.now() < deadline) await pause(50);
  // The group keeps its number from being given again while it has members.
  if (isTaken(started)) return;
  try {
    process.kill(-started.pid, "SIGKILL");
  } catch {
    // the group is empty
  }
}

/** Waits for all, then throws the first failure: nothing is still starting while the caller stops what has started. */
export async function together<T extends unknown[]>(
  ...starts: { [K in keyof T]: Promise<T[K]> }
): Promise<T> {
  for (const result of await Promise.allSettled(starts)) {
    if (result.status === "rejected") throw result.reason;
  }
  return Promise.all(starts) as Promise<T>;
}

/** What a started service answers with. */
export interface ServiceHandle {
  /** Where clients reach it. */
  url: string;
  /** Variables that its clients need. */
  environment: Record<string, string>;
  /** Paths of its log files. */
  logs: string[];
  /** Stops it; with its run, if it was started without one. */
  stop(): Promise<void>;
}

/** Starts a service in the run it is given, or in one of its own that ends with it and keeps its logs if the start fails. */
export async function inRun<T extends ServiceHandle>(
  given: Run | undefined,
  persistent: boolean,
  start: (run: Run) => Promise<T>,
): Promise<T> {
  if (given) return start(given);
  const run = await Run.create({ persistent });
  try {
    const handle = await start(run);
    if (persistent) run.keep();
    return { ...handle, stop: () => run.stop() };
  } catch (error) {
    return run.abandon(error);
  }
}
