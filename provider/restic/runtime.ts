import { distill, ResticError } from "./errors";
import { RepositoryQueue } from "./queue";
import { type Command, type Finished, run } from "./run";
import { isAtLeast, oldestSupported, parseVersion, type ResticVersion } from "./version";

/** What one process knows of restic beyond one repository: all repositories that it opens share it. */
export class ResticRuntime {
  readonly #queues = new Map<string, RepositoryQueue>();
  readonly #versions = new Map<string, Promise<ResticVersion>>();
  /** The pids of ended restic processes of ours: a lock that names one is certainly abandoned. */
  readonly ended = new Set<number>();

  /** Runs restic to its end, whatever its exit code. */
  async run(command: Command): Promise<Finished> {
    const finished = await run(command);
    if (finished.pid > 0) this.ended.add(finished.pid);
    return finished;
  }

  /** The one queue of a repository. */
  queue(repositoryKey: string): RepositoryQueue {
    const queue = this.#queues.get(repositoryKey) ?? new RepositoryQueue();
    this.#queues.set(repositoryKey, queue);
    return queue;
  }

  /** The version of a binary, asked once. Throws when it is not restic or too old; then it is asked again. */
  version(binary: string): Promise<ResticVersion> {
    const version = this.#versions.get(binary) ?? askVersion(binary);
    this.#versions.set(binary, version);
    version.catch(() => this.#versions.delete(binary));
    return version;
  }
}

async function askVersion(binary: string): Promise<ResticVersion> {
  const finished = await run({
    binary,
    arguments: ["version", "--json"],
    environment: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "/" },
    timeoutSeconds: 60,
  });
  const version = parseVersion(finished.stdout);
  if (!version)
    throw new ResticError(
      "not-installed",
      `asking ${binary} for its version: ${distill(finished.stderr) || "no answer"}`,
      {
        exitCode: finished.exitCode,
      },
    );
  if (!isAtLeast(version, oldestSupported))
    throw new ResticError(
      "not-installed",
      `using restic ${version.text}: it is too old, install ${oldestSupported} or newer`,
    );
  return version;
}
