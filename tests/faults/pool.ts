import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Call, FaultCase } from "./cases";
import type { Pictures } from "./play";
import { repositoryRoot, unmount } from "./scenario";
import { type FromWorker, hung, type ToWorker } from "./serve-cases";

/** The provider is wrong without any fault. */
export class UndisturbedDiffers extends Error {
  override name = "UndisturbedDiffers";
}

/** How a case ended. */
export interface Played {
  one: FaultCase;
  /** What is wrong; nothing where the promise was kept. */
  problems: string[];
  seconds: number;
}

/** How the cases are played. */
export interface PoolOptions {
  /** How many at once; they wait more than they work. Default 3. */
  workers?: number;
  /** The provider that is to be tried. Default: this package. */
  packageDirectory?: string;
  /** Whether Pulumi's own CLI runs the stack, all in processes of their own. Default false. */
  realCli?: boolean;
  /** The program of a worker, which gets its folder first, and what else it is given; default devcloud's. */
  worker?: { file: string; given(index: number): string[] };
  /** What the undisturbed run of each stage leaves, where another provider's is to be measured by it. */
  expected?: Pictures;
  onReady?(pictures: Pictures): void;
  onPlayed?(played: Played): void;
}

/** Plays the cases that `choose` takes of the calls that the undisturbed run makes. */
export function playAll(
  choose: (calls: Call[]) => readonly FaultCase[],
  options: PoolOptions = {},
): Promise<Played[]> {
  return playWalks(calls => choose(calls).map(one => [one]), options);
}

/** Plays rows of cases, each by one worker in its order; what comes after a case with problems is not played. */
export async function playWalks(
  choose: (calls: Call[]) => readonly (readonly FaultCase[])[],
  { workers = 3, expected, onReady, onPlayed, ...options }: PoolOptions = {},
): Promise<Played[]> {
  const { packageDirectory = repositoryRoot, realCli = false } = options;
  const { file, given } = options.worker ?? {
    file: path.join(__dirname, "worker.ts"),
    given: () => [packageDirectory, ...(realCli ? ["pulumi"] : [])],
  };
  const root = mkdtempSync(path.join(tmpdir(), "osbackup-faults-"));
  const results: Played[] = [];
  let queue: (readonly FaultCase[])[] | undefined;
  const children: ChildProcess[] = [];
  try {
    await Promise.all(
      Array.from({ length: workers }, (_, index) => {
        const child = fork(file, [path.join(root, String(index)), ...given(index)], {
          execArgv: ["--import", "tsx"],
          stdio: ["ignore", "ignore", "pipe", "ipc"],
        });
        children.push(child);
        let said = "";
        child.stderr?.on("data", text => {
          said = (said + text).slice(-4000);
        });
        return new Promise<void>((resolve, reject) => {
          let walk: FaultCase[] = [];
          const next = () => {
            if (walk.length === 0) walk = [...(queue?.shift() ?? [])];
            const one = walk.shift();
            child.send((one ?? "end") satisfies ToWorker);
          };
          child.on("message", (message: FromWorker) => {
            if (message.kind === "ready") {
              onReady?.(message.pictures);
              if (expected && !isDeepStrictEqual(expected, message.pictures))
                reject(new UndisturbedDiffers("without a fault it leaves something else"));
              queue ??= [...choose(message.calls)];
            } else {
              results.push(message);
              if (message.problems.length > 0) walk = [];
              onPlayed?.(message);
            }
            next();
          });
          child.once("error", reject);
          child.once("exit", code =>
            code === 0 || code === hung
              ? resolve()
              : reject(new Error(`a worker of the fault matrix ended with ${code}: ${said}`)),
          );
        });
      }),
    );
  } finally {
    for (const child of children) if (child.exitCode === null) child.kill("SIGKILL");
    unmount(root);
    rmSync(root, { recursive: true, force: true });
  }
  if (queue && queue.length > 0)
    throw new Error(`${queue.flat().length} cases were not played: every worker hung`);
  return results;
}
