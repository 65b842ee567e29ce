import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { existsSync, openSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { pause } from "../../provider/base/pause";
import { install, makeImages } from "./install";

const execute = promisify(execFile);

/** How long a node may take until its API server and kubelet run. */
const startSeconds = 180;

/** A whole Kubernetes of one node, in namespaces of its own. */
export interface KubernetesNode {
  /** Logs of its parts are in `log/`. */
  directory: string;
  /** For what runs inside. */
  temporaryDirectory: string;
  /** Starts a program inside, with the streams of this process. */
  inside(program: string, args: string[], environment?: NodeJS.ProcessEnv): ChildProcess;
  stop(): Promise<void>;
}

/** Why no node can run on this machine, of what no installation brings; undefined where one can. */
export function whyNoNode(): string | undefined {
  if (process.geteuid?.() !== 0) return "a Kubernetes node needs root";
  if (!existsSync("/sys/fs/cgroup/cpuset"))
    return "the node's set-up is for cgroup v1, this machine has another";
  const { status } = spawnSync("unshare", ["--mount", "--net", "--pid", "--cgroup", "--fork", "true"]);
  return status === 0 ? undefined : "namespaces are not allowed here";
}

/** Starts etcd, API server, controllers, scheduler, containerd and kubelet. Needs root. */
export async function startNode(): Promise<KubernetesNode> {
  const programs = await install();
  const directory = await mkdtemp(path.join(tmpdir(), "osbackup-kubernetes-"));
  const temporaryDirectory = path.join(directory, "tmp");
  for (const folder of [path.join(directory, "log"), temporaryDirectory]) await mkdir(folder);
  await makeImages(path.join(directory, "images"));
  const log = openSync(path.join(directory, "log", "init.log"), "w");
  const outer = spawn(
    "unshare",
    [
      ...[
        "--mount",
        "--net",
        "--pid",
        "--cgroup",
        "--uts",
        "--ipc",
        "--fork",
        "--kill-child",
        "--mount-proc",
      ],
      ...["--propagation", "private", "bash", path.join(__dirname, "node-init.sh"), directory, programs],
    ],
    { stdio: ["ignore", log, log], detached: true },
  );
  const stop = async () => {
    outer.kill("SIGKILL");
    // the kernel ends what was in the namespaces
    await detachLoops(directory);
    await removeGroups();
    await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 500 });
  };
  try {
    const until = Date.now() + startSeconds * 1000;
    while (!existsSync(path.join(directory, "started"))) {
      if (outer.exitCode !== null || Date.now() > until)
        throw new Error(
          `starting a Kubernetes node: ${readFileSync(path.join(directory, "log", "init.log"), "utf8").slice(-2000) || "not ready in time"}`,
        );
      await pause(200);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  const inner =
    readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, "utf8").trim().split(" ")[0] ?? "";
  return {
    directory,
    temporaryDirectory,
    inside: (program, args, environment = {}) =>
      spawn(
        "nsenter",
        [
          ...["--target", inner, "--mount", "--net", "--pid", "--cgroup", "--uts", "--ipc", "--"],
          ...["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", process.cwd(), program, ...args],
        ],
        {
          stdio: "inherit",
          env: {
            ...process.env,
            PATH: `${programs}:${process.env.PATH ?? ""}:/usr/sbin:/sbin`,
            KUBECONFIG: "/run/admin.kubeconfig",
            ...environment,
          },
        },
      ),
    stop,
  };
}

/** Loop devices outlive the namespaces in which they were made. */
async function detachLoops(directory: string): Promise<void> {
  const { stdout } = await execute("losetup", ["--list", "--noheadings", "--output", "NAME,BACK-FILE"]);
  for (const line of stdout.split("\n")) {
    const [name, file] = line.trim().split(/\s+/);
    if (name && file?.startsWith(`${directory}/`))
      await execute("losetup", ["--detach", name]).catch(() => {});
  }
}

/** The kubelet's control groups, deepest first; all that is left of them is empty. */
async function removeGroups(): Promise<void> {
  for (const line of readFileSync("/proc/self/cgroup", "utf8").split("\n")) {
    const [, kinds = "", own = ""] = line.split(":");
    const kind = kinds.replace(/^name=/, "") || "unified";
    const top = path.join("/sys/fs/cgroup", kind, own, "osbackup-node");
    if (!existsSync(top)) continue;
    const { stdout } = await execute("find", [top, "-depth", "-type", "d"]);
    for (const group of stdout.split("\n")) if (group) await execute("rmdir", [group]).catch(() => {});
  }
}
