import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import path from "node:path";
import { reaches } from "../tests/contract/clouds";
import { type Openstack, openstack } from "../tests/services";
import type { Backend } from "../tests/services/cinder";
import { signIn } from "../tests/services/client";
import { installVenv } from "../tests/services/install";
import type { Row } from "./benchmark";
import { record, table } from "./report";
import { BenchStack, findEngine } from "./stack";
import { describeTrace, type Tracer, tracingProxy } from "./trace";

const snapshots = 100;
/** The loop runs on these and is scaled up: each of its commands starts Python and logs in, alike every time. */
const looped = 10;
const threads = 8;

/** Each way but the loop is measured this often, in turn: single runs differ by a tenth. */
const rounds = 2;

/** One way of making and deleting the snapshots. */
interface Way {
  seconds: number;
  calls: number;
}

/** 100 snapshots created and deleted on a real Cinder: one `up` and one `destroy`, a shell loop, an openstacksdk script. */
async function main(): Promise<void> {
  const backends = ["rbd", "nfs"] as const;
  const venv = await installVenv("venv-client", ["python-openstackclient==10.5.0"]);
  const cloud = await openstack({ backends: [...backends] });
  const tracer = await tracingProxy();
  const rows: Row[] = [];
  try {
    await liftQuota(cloud);
    for (const backend of backends) rows.push(...(await compare(backend, venv, cloud, tracer)));
  } finally {
    tracer.stop();
    await cloud.stop();
  }
  const memory = Math.round(totalmem() / 2 ** 30);
  const machine = `${cpus().length} cores, ${memory} GiB, Node ${process.versions.node}, engine ${findEngine().name}, Cinder 29.`;
  console.log(`${machine}\n\n${table(rows)}`);
  record("bench:openstack", "npm run bench:openstack", machine, table(rows));
}

async function compare(backend: Backend, venv: string, cloud: Openstack, tracer: Tracer): Promise<Row[]> {
  const directory = mkdtempSync(path.join(tmpdir(), "osbackup-bench-openstack-"));
  try {
    console.error(`${backend}: creating ${snapshots} volumes`);
    const volumes = await makeVolumes(cloud.environment, backend);
    const environment = { ...cloud.environment, ...through(tracer.url) };
    const measure = async (name: string, act: () => Promise<number>): Promise<Way> => {
      tracer.begin();
      const seconds = await act();
      const trace = tracer.end();
      const way = { seconds, calls: trace.calls.length };
      console.error(`${backend}: ${name} ${way.seconds.toFixed(1)} s, ${way.calls} calls`);
      for (const line of describeTrace(trace)) console.error(`  ${line}`);
      return way;
    };
    const stack = await prepareStack(path.join(directory, "sets"), environment);
    const ours: Way[] = [];
    const script: Way[] = [];
    const marked: Way[] = [];
    for (let round = 0; round < rounds; round++) {
      ours.push(await measure("up and destroy", () => byStack(stack, volumes)));
      script.push(await measure("openstacksdk", () => byScript(venv, directory, environment, volumes)));
      const likeOurs = () => byScript(venv, directory, environment, volumes, marks);
      marked.push(await measure("openstacksdk with our marks", likeOurs));
    }
    const part = await measure("loop", () => byLoop(venv, environment, volumes.slice(0, looped)));
    const scale = snapshots / looped;
    const loop = { seconds: part.seconds * scale, calls: part.calls * scale };
    return rowsOf(backend, mean(ours), mean(script), mean(marked), loop);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function mean(ways: Way[]): Way {
  const sum = (of: (way: Way) => number) => ways.reduce((total, way) => total + of(way), 0);
  return {
    seconds: sum(way => way.seconds) / ways.length,
    calls: Math.round(sum(way => way.calls) / ways.length),
  };
}

function rowsOf(backend: Backend, ours: Way, script: Way, marked: Way, loop: Way): Row[] {
  const shown = ({ seconds, calls }: Way) => `${seconds.toFixed(1)} s, ${calls} calls`;
  const where = backend === "rbd" ? "Ceph RBD" : "NFS";
  return [
    {
      what: `${where}: one \`up\` and one \`destroy\``,
      measured: shown(ours),
      bar: "",
      note: `mean of ${rounds}, without the time of the same engine on an unchanged stack, its start-up`,
    },
    {
      what: `${where}: openstacksdk script, ${threads} threads`,
      measured: shown(script),
      bar: `≥ ${ours.seconds.toFixed(1)} s`,
      met: ours.seconds <= script.seconds,
      note: `mean of ${rounds}, in turn with the row above`,
    },
    {
      what: `${where}: the same script, with as much metadata as ours`,
      measured: shown(marked),
      bar: "",
      note: `mean of ${rounds}, in turn with the rows above`,
    },
    {
      what: `${where}: shell loop over \`openstack\``,
      measured: shown(loop),
      bar: `≥ 4 × ${ours.seconds.toFixed(1)} s`,
      met: loop.seconds >= 4 * ours.seconds,
      note: `measured on ${looped} of the ${snapshots} and scaled`,
    },
  ];
}

/** A stack of no volumes, created. */
async function prepareStack(project: string, environment: Record<string, string>): Promise<BenchStack> {
  mkdirSync(project);
  const stack = new BenchStack(findEngine(), project, "sets", {
    ...environment,
    OSBACKUP_NOW: "2026-11-21T12:00:00Z",
    // as many at once as the script has threads
    PULUMI_PARALLEL: String(threads),
  });
  declare(stack, []);
  await stack.up();
  return stack;
}

function declare(stack: BenchStack, volumes: string[]): void {
  writeFileSync(path.join(stack.directory, "volumes.json"), JSON.stringify(volumes));
}

/** Seconds of an `up` and a `destroy`, less those of an `up` that has nothing to do, once for each. */
async function byStack(stack: BenchStack, volumes: string[]): Promise<number> {
  declare(stack, []);
  const startUp = (await stack.up()).seconds;
  declare(stack, volumes);
  const up = (await stack.up()).seconds;
  const destroy = (await stack.destroy()).seconds;
  return up + destroy - 2 * startUp;
}

/** As much metadata as a mark has. */
const marks = {
  "managed-by": "bench",
  "bench-owner": "sets/bench/set-100",
  "bench-set": "set-100",
  "bench-role": "recovery-point",
  "bench-slot": "2026-11-21T02:30:00Z",
  "bench-time": "2026-11-21T02:30:00Z",
  "bench-taken-at": "2026-11-21T12:00:00Z",
};

const script = `
import json, sys
from concurrent.futures import ThreadPoolExecutor
import openstack

volumes = json.load(open(sys.argv[1]))
metadata = json.loads(sys.argv[2])
cloud = openstack.connect()

def make(volume):
    made = cloud.block_storage.create_snapshot(volume_id=volume, name="bench", force=True, metadata=metadata)
    return cloud.block_storage.wait_for_status(made, "available", ["error"], interval=1, wait=600)

def remove(snapshot):
    cloud.block_storage.delete_snapshot(snapshot)
    cloud.block_storage.wait_for_delete(snapshot, interval=1, wait=600)

with ThreadPoolExecutor(${threads}) as pool:
    made = list(pool.map(make, volumes))
    list(pool.map(remove, made))
`;

async function byScript(
  venv: string,
  directory: string,
  environment: Record<string, string>,
  volumes: string[],
  metadata: Record<string, string> = {},
): Promise<number> {
  const [file, list] = [path.join(directory, "script.py"), path.join(directory, "volumes.json")];
  writeFileSync(file, script);
  writeFileSync(list, JSON.stringify(volumes));
  return timed(path.join(venv, "bin/python"), [file, list, JSON.stringify(metadata)], environment);
}

async function byLoop(venv: string, environment: Record<string, string>, volumes: string[]): Promise<number> {
  const loop = `set -e
for volume in "$@"; do
  id=$(openstack volume snapshot create --force --volume "$volume" -f value -c id bench)
  until [ "$(openstack volume snapshot show "$id" -f value -c status)" = available ]; do :; done
  openstack volume snapshot delete "$id"
  while openstack volume snapshot show "$id" >"/dev/null" 2>&1; do :; done
done`;
  const PATH = `${path.join(venv, "bin")}:${process.env.PATH ?? ""}`;
  return timed("sh", ["-c", loop, "sh", ...volumes], { ...environment, PATH });
}

function timed(program: string, args: string[], environment: Record<string, string>): Promise<number> {
  const from = Date.now();
  const child = spawn(program, args, {
    env: { ...process.env, PYTHONWARNINGS: "ignore", ...environment },
    stdio: ["ignore", "ignore", "inherit"],
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", code =>
      code === 0
        ? resolve((Date.now() - from) / 1000)
        : reject(new Error(`${path.basename(program)} ended with ${code}`)),
    );
  });
}

async function liftQuota(cloud: Openstack): Promise<void> {
  const { projectId } = await signIn(cloud.environment);
  const admin = await signIn(cloud.adminEnvironment);
  const quota_set = { volumes: -1, snapshots: -1, gigabytes: -1 };
  await admin.call("PUT", "volumev3", `/os-quota-sets/${projectId}`, { quota_set });
}

/** Ten at a time: the services share two cores and one database. */
async function makeVolumes(environment: Record<string, string>, backend: Backend): Promise<string[]> {
  const client = await signIn(environment);
  const ids: string[] = [];
  while (ids.length < snapshots) {
    const ten = Array.from({ length: 10 }, async (_, index) => {
      const volume = { name: `bench-${ids.length + index}`, size: 1, volume_type: backend };
      return (await client.call("POST", "volumev3", "/volumes", { volume })).body.volume.id as string;
    });
    const made = await Promise.all(ten);
    for (const id of made) await reaches(client, `/volumes/${id}`, "available");
    ids.push(...made);
  }
  return ids;
}

/** The variables that send every call of the cloud through the counting proxy, and none between Pulumi's processes. */
function through(proxy: string): Record<string, string> {
  return {
    http_proxy: proxy,
    HTTP_PROXY: proxy,
    no_proxy: "",
    NO_PROXY: "",
    no_grpc_proxy: "127.0.0.1,localhost",
  };
}

main().catch(error => {
  console.error(error);
  process.exitCode = 1;
});
