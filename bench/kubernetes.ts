import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import path from "node:path";
import { createInterface, type Interface } from "node:readline";
import { pause } from "../provider/base/pause";
import { Clusters } from "../provider/movers/kubernetes/clusters";
import type { Task } from "../provider/movers/kubernetes/objects";
import { beginJob, watchJob } from "../provider/movers/kubernetes/run-job";
import type { Benchmark } from "./benchmark";

const jobs = 100;
const seconds = 60;

/** What it costs the machine of the stack to watch Jobs that run: the cluster is a small fake one in another process. */
export const kubernetes: Benchmark = {
  name: "kubernetes",
  section: "kubernetes",
  async run(log) {
    const child = spawn(
      process.execPath,
      ["--import", "tsx", path.join(__dirname, "kubernetes-cluster.ts")],
      {
        stdio: ["pipe", "pipe", "inherit"],
      },
    );
    const answers = createInterface({ input: child.stdout });
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    try {
      const kubeconfig = await next(answers);
      const site = await new Clusters().site({ kubeconfig });
      const running = Array.from({ length: jobs }, async (_, index) => {
        const task = taskOf(index);
        const uid = await beginJob(site, task, undefined);
        const onLine = (line: string) => void JSON.parse(line);
        await watchJob(site, task, uid, {
          onLine,
          isComplete: () => true,
          log: () => {},
          signal: stop.signal,
        });
      });
      for (const one of running) one.catch(() => {});
      await pause(15_000); // all are followed by then
      const begun = { cpu: process.cpuUsage(), requests: await requestsOf(child, answers) };
      log(`${jobs} Jobs run, ${begun.requests} requests so far`);
      await pause(seconds * 1000);
      const { user, system } = process.cpuUsage(begun.cpu);
      const cores = (user + system) / 1e6 / seconds;
      const memory = process.memoryUsage().rss / 2 ** 20;
      const requests = (await requestsOf(child, answers)) - begun.requests;
      return [
        {
          what: `memory of the process that watches ${jobs} Jobs`,
          measured: `${memory.toFixed(0)} MB`,
          bar: "< 300 MB",
          met: memory < 300,
          note: "resident, with the client library",
        },
        {
          what: `CPU of it, ${jobs} Jobs that say every 10 s how far they are`,
          measured: `${cores.toFixed(3)} cores`,
          bar: "< 0.1",
          met: cores < 0.1,
          note: `over ${seconds} s`,
        },
        {
          what: "requests to the API server in that time",
          measured: `${requests}`,
          bar: "0",
          met: requests === 0,
          note: `${(begun.requests / jobs).toFixed(1)} a Job to begin it`,
        },
      ];
    } finally {
      stop.abort(new Error("done"));
      child.stdin.end();
    }
  },
};

const next = (answers: Interface): Promise<string> => new Promise(resolve => answers.once("line", resolve));

async function requestsOf(child: ChildProcess, answers: Interface): Promise<number> {
  child.stdin?.write("\n");
  return Number(await next(answers));
}

const taskOf = (index: number): Task => ({
  owner: `bench/dev/set-${index}`,
  namespace: "backups",
  volumeId: randomUUID(),
  sizeGib: 1,
  shape: { mode: "Filesystem", fsType: "ext4", access: "read" },
  image: "restic/restic:0.14.0",
  script: "restic backup",
  arguments: [],
  mountPath: "/mnt",
  secrets: { RESTIC_PASSWORD: "bench-password" },
  environment: {},
  deadlineSeconds: 3600,
  options: {},
});
