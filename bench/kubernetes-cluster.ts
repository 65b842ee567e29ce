import { createInterface } from "node:readline";
import { FakeCluster } from "../tests/provider/movers/kubernetes/fake-cluster";

/** A cluster in a process of its own, whose Jobs run for ever and say each ten seconds how far they are. */
async function main(): Promise<void> {
  const cluster = await FakeCluster.start();
  cluster.become = () => ({ phase: "Running", containerStatuses: [{ state: { running: {} } }] });
  let bytes = 0;
  setInterval(() => {
    bytes += 100_000_000;
    const files = [
      "/var/lib/postgresql/16/main/base/16384/2619",
      "/var/lib/postgresql/16/main/base/16384/1247",
    ];
    const status = { message_type: "status", percent_done: 0.1, total_files: 9000, files_done: 900 };
    cluster.say(JSON.stringify({ ...status, total_bytes: 1e12, bytes_done: bytes, current_files: files }));
  }, 10_000);
  console.log(cluster.kubeconfig);
  // each line of input asks how many requests there were
  createInterface({ input: process.stdin }).on("line", () => console.log(cluster.requests.length));
  process.stdin.on("end", () => void cluster.stop().then(() => process.exit(0)));
}

void main();
