import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";

/** A node process that cannot outlive this one. */
export interface Child {
  process: ChildProcess;
  /** Settles when the process is gone and its output has been read. */
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  kill(signal?: NodeJS.Signals): void;
}

/**
 * Ends the process when the pipe on its descriptor 3 closes, which the kernel does when the engine dies.
 * The source goes to node as a data: URL; "=" keeps @pulumi/pulumi from taking it for a user's loader.
 */
const watcher = `import {Socket} from "node:net";
try { const pipe = new Socket({fd: 3}); pipe.on("error", () => {}).on("close", () => process.exit(1)).resume(); pipe.unref(); } catch {}`;
const watcherArgument = `--import=data:text/javascript,${encodeURIComponent(watcher)}`;

/** The setpriv binary, which makes the kernel kill a child when its parent dies even if the child's event loop hangs. */
function findSetpriv(environment: NodeJS.ProcessEnv): string | undefined {
  if (process.platform !== "linux") return undefined;
  for (const directory of (environment.PATH ?? "").split(delimiter)) {
    const path = join(directory, "setpriv");
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {}
  }
  return undefined;
}

/**
 * Starts node with the arguments. The child is in a process group of its own, so that a terminal's ^C reaches the
 * engine alone, which then decides what may finish.
 */
export function startNode(
  args: string[],
  options: {
    directory: string;
    environment: NodeJS.ProcessEnv;
    onLine(line: string, stream: "stdout" | "stderr"): void;
  },
): Child {
  const setpriv = findSetpriv(options.environment);
  const [command, ...rest] = setpriv
    ? [setpriv, "--pdeathsig", "KILL", "--", process.execPath, ...args]
    : [process.execPath, watcherArgument, ...args];
  const child = spawn(command as string, rest, {
    cwd: options.directory,
    env: options.environment,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    detached: true,
  });
  for (const stream of ["stdout", "stderr"] as const) {
    const source = child[stream];
    if (source) createInterface({ input: source }).on("line", line => options.onLine(line, stream));
  }
  child.stdio[3]?.on("error", () => {});
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal }));
    // A grandchild may hold the output open long after the child is gone.
    child.once("exit", (code, signal) => setTimeout(() => resolve({ code, signal }), 2000).unref());
  });
  exited.catch(() => {});
  return { process: child, exited, kill: signal => void child.kill(signal ?? "SIGKILL") };
}

/** A server that has not printed its port by then never will; a pack in TypeScript is compiled before. */
const START_SECONDS = 120;

/** Starts node as a gRPC server, which prints its port in a line of its own, and resolves to its address. */
export function startServer(
  what: string,
  args: string[],
  options: Parameters<typeof startNode>[1],
): { child: Child; address: Promise<string> } {
  let announce: (port: string) => void = () => {};
  const port = new Promise<string>(resolve => {
    announce = resolve;
  });
  let announced = false;
  const child = startNode(args, {
    ...options,
    onLine: (line, stream) => {
      if (stream === "stdout" && !announced && /^\d+$/.test(line)) {
        announced = true;
        announce(line);
      } else options.onLine(line, stream);
    },
  });
  const died = child.exited.then(({ code, signal }) => {
    throw new Error(`starting ${what}: it ended at once (${signal ?? `exit code ${code}`})`);
  });
  died.catch(() => {});
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new Error(`starting ${what}: it printed no port within ${START_SECONDS} s`);
    timer = setTimeout(() => reject(error), START_SECONDS * 1000);
  });
  const address = Promise.race([port, died, late])
    .then(number => `127.0.0.1:${number}`)
    .finally(() => clearTimeout(timer));
  address.catch(() => child.kill("SIGKILL"));
  return { child, address };
}
