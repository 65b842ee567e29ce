import { execSync, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { quicken } from "./quick-repository";

/** `restic init` by the real restic, the first argument, which makes the key of a repository in a folder quick. */
const [restic = "", ...args] = process.argv.slice(2);

const child = spawn(restic, args, { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => {
  if (signal) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
    return;
  }
  const folder = repositoryFolder();
  const password = code === 0 && folder !== undefined ? passwordOf(process.env) : undefined;
  if (folder !== undefined && password !== undefined) quicken(folder, password);
  process.exit(code ?? 1);
});

/** Where the repository is; undefined where it is not in a folder. */
function repositoryFolder(): string | undefined {
  const at = args.findIndex(word => word === "-r" || word === "--repo");
  const named = at >= 0 ? args[at + 1] : args.find(word => word.startsWith("--repo="))?.slice(7);
  const folder = path.resolve((named ?? process.env.RESTIC_REPOSITORY ?? "").replace(/^local:/, ""));
  return existsSync(path.join(folder, "keys")) ? folder : undefined;
}

/** By the variables that restic reads; undefined where they say nothing. */
function passwordOf(environment: NodeJS.ProcessEnv): string | undefined {
  const { RESTIC_PASSWORD, RESTIC_PASSWORD_FILE, RESTIC_PASSWORD_COMMAND } = environment;
  if (RESTIC_PASSWORD_FILE) return readFileSync(RESTIC_PASSWORD_FILE, "utf8").replace(/\r?\n$/, "");
  if (RESTIC_PASSWORD_COMMAND)
    return execSync(RESTIC_PASSWORD_COMMAND, { encoding: "utf8" }).replace(/\r?\n$/, "");
  return RESTIC_PASSWORD || undefined;
}
