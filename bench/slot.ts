import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { type Devcloud, startDevcloud } from "../devcloud";
import { makeExt4Image } from "../devcloud/images";
import { openVolume } from "../provider/movers/local";
import { type Benchmark, type Row, ratioRow } from "./benchmark";
import { apiDelayMs, settleMs } from "./sets";
import { BenchStack, childSeconds, findEngine, type Measured, type StoredResource } from "./stack";
import { kindOf } from "./trace";

/** Sets in one stack; the first figure is the one that CPU and the scripts are compared at. */
const sizes = (process.env.BENCH_SLOT_SETS ?? "100,200").split(",").map(Number);
/** The script without parallelism runs on this many and is scaled. */
const serialSets = 20;
/** What a set costs restic itself is measured on this many. */
const bareSets = 10;
/** How many volumes the script treats at once. */
const lanes = 8;
const password = "bench-password";

/** What one due slot of whole sets costs, without and with a point to forget in each, on a cloud that takes 20 ms a call. */
export const slot: Benchmark = {
  name: "slot",
  section: "slot",
  async run(log) {
    const rows: Row[] = [];
    const calls: number[] = [];
    for (const [index, sets] of sizes.entries()) {
      const place = await Place.make(sets, log);
      try {
        await place.up(10, 99);
        const plain = await place.up(11, 99);
        const forgetting = await place.up(12, 2);
        calls.push(forgetting.requests / sets);
        rows.push(...rowsOf(sets, plain, forgetting, place));
        if (index > 0) continue;
        rows.push(cpuRow(sets, plain, await place.bareSeconds()));
        rows.push(...(await place.againstScripts(forgetting)));
      } finally {
        await place.close();
      }
    }
    if (calls.length > 1)
      rows.push(
        ratioRow(
          `API calls a set, ${sizes.at(-1)} sets : ${sizes[0]} sets`,
          (calls.at(-1) ?? 0) / (calls[0] ?? 1),
          1.05,
        ),
      );
    return rows;
  },
};

/** One due slot. */
interface Slot extends Measured {
  /** Answers of the cloud. */
  requests: number;
  /** Of these, those that change something. */
  writes: number;
  /** What was asked how often, the most frequent first. */
  kinds: [string, number][];
  /** Lines that the provider said of the sets. */
  lines: number;
}

class Place {
  private constructor(
    readonly sets: number,
    private readonly directory: string,
    private readonly cloud: Devcloud,
    private readonly stack: BenchStack,
    private readonly volumes: string[],
    private readonly image: string,
    private readonly log: (line: string) => void,
  ) {}

  static async make(sets: number, log: (line: string) => void): Promise<Place> {
    const directory = mkdtempSync(path.join(tmpdir(), "osbackup-bench-slot-"));
    const cloud = await startDevcloud({ apiDelayMs, statusDelayMs: settleMs });
    const files = path.join(directory, "files");
    mkdirSync(files);
    for (let index = 0; index < 20; index++)
      writeFileSync(path.join(files, `${index}`), randomBytes(100_000));
    const image = path.join(directory, "volume.img");
    await makeExt4Image(image, { sizeMib: 16, fromDirectory: files });
    const volumes: string[] = [];
    for (let index = 0; index < sets; index++)
      volumes.push((await cloud.addVolume({ name: `volume-${index}`, imageFile: image })).id);
    mkdirSync(path.join(directory, "stack"));
    const stack = new BenchStack(findEngine(), path.join(directory, "stack"), "slot", {
      ...cloud.environment,
      OSBACKUP_MOUNT_DIRECTORY: path.join(directory, "mnt"),
      BENCH_REPOSITORY: path.join(directory, "repository"),
      BENCH_PASSWORD: password,
    });
    writeFileSync(path.join(stack.directory, "volumes.json"), JSON.stringify(volumes));
    return new Place(sets, directory, cloud, stack, volumes, image, log);
  }

  /** The slot of an hour, with the retention `keepLast` of the restic snapshots. */
  async up(hour: number, keepLast: number): Promise<Slot> {
    this.cloud.requests.length = 0;
    this.stack.set({ OSBACKUP_NOW: `2026-11-22T${hour}:10:00Z`, BENCH_KEEP: String(keepLast) });
    const measured = await this.stack.up();
    const kinds = new Map<string, number>();
    for (const { method, path: asked } of this.cloud.requests) {
      const kind = `${method} ${kindOf(asked)}`;
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
    const slot: Slot = {
      ...measured,
      requests: this.cloud.requests.length,
      writes: this.cloud.requests.filter(({ method }) => method !== "GET").length,
      kinds: [...kinds].sort(([, a], [, b]) => b - a),
      lines: linesOf(measured.output),
    };
    this.log(
      `${this.sets} sets at ${hour}:00: ${slot.seconds.toFixed(1)} s, ${slot.cpuSeconds.toFixed(1)} s of CPU, ` +
        `${slot.requests} requests (${slot.kinds.map(([kind, times]) => `${kind} ${(times / this.sets).toFixed(2)}`).join(", ")})`,
    );
    return slot;
  }

  resources(): StoredResource[] {
    return this.stack.resources();
  }

  /** CPU time of restic itself for the backup of one of the volumes. */
  async bareSeconds(): Promise<number> {
    const volume = await openVolume({
      connection: { driver_volume_type: "local", device_path: this.image },
      mountPath: path.join(this.directory, "mnt", "bare"),
      access: "read",
      content: "file",
    });
    try {
      const script = `for n in $(seq ${bareSets}); do restic backup --quiet --host bare-$n .; done; times`;
      const times = execFileSync("sh", ["-c", script], {
        cwd: volume.directory,
        env: { ...process.env, ...this.resticEnvironment("bare") },
        encoding: "utf8",
      });
      return childSeconds(times) / bareSets;
    } finally {
      await volume.close();
    }
  }

  private resticEnvironment(repository: string): Record<string, string> {
    const environment = {
      RESTIC_REPOSITORY: path.join(this.directory, repository),
      RESTIC_PASSWORD: password,
    };
    execFileSync("restic", ["init"], { env: { ...process.env, ...environment } });
    return environment;
  }

  /** The same slot by the script of a storage engineer, side by side and one after the other. */
  async againstScripts(ours: Slot): Promise<Row[]> {
    const run = await this.scriptRunner();
    await run(this.volumes, lanes, "first");
    const parallel = await run(this.volumes, lanes, "second");
    const serial = (await run(this.volumes.slice(0, serialSets), 1, "third")) * (this.sets / serialSets);
    this.log(
      `the script took ${parallel.toFixed(1)} s, and would take ${serial.toFixed(1)} s without parallelism`,
    );
    return [
      ratioRow(
        `wall clock of a slot of ${this.sets} sets : a shell script with ${lanes} volumes at once`,
        ours.seconds / parallel,
        1.15,
        `${ours.seconds.toFixed(1)} s against ${parallel.toFixed(1)} s; bench/slot.sh`,
      ),
      {
        what: "the same script without parallelism : ours",
        measured: (serial / ours.seconds).toFixed(2),
        bar: "≥ 3",
        met: serial / ours.seconds >= 3,
        note: `${serial.toFixed(0)} s, scaled from ${serialSets} sets`,
      },
    ];
  }

  private async scriptRunner(): Promise<(volumes: string[], lanes: number, slot: string) => Promise<number>> {
    const repository = this.resticEnvironment("scripts");
    const {
      OS_AUTH_URL: url,
      OS_USERNAME: name,
      OS_PASSWORD: secret,
      OS_PROJECT_NAME: project,
    } = this.cloud.environment;
    const domain = { name: this.cloud.environment.OS_USER_DOMAIN_NAME ?? "Default" };
    const answer = await fetch(`${url}/auth/tokens`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        auth: {
          identity: { methods: ["password"], password: { user: { name, domain, password: secret } } },
          scope: { project: { name: project, domain } },
        },
      }),
    });
    const { token } = (await answer.json()) as {
      token: { catalog: { type: string; endpoints: { interface: string; url: string }[] }[] };
    };
    const cinder = token.catalog
      .find(({ type }) => type === "block-storage" || type === "volumev3")
      ?.endpoints.find(endpoint => endpoint.interface === "public")?.url;
    if (!cinder) throw new Error("the cloud has no block storage");
    return async (volumes, at, slotName) => {
      const work = mkdtempSync(path.join(this.directory, "script-"));
      const list = path.join(work, "volumes");
      writeFileSync(list, `${volumes.join("\n")}\n`);
      const from = Date.now();
      await promisify(execFile)("bash", [path.join(__dirname, "slot.sh")], {
        env: {
          ...process.env,
          ...repository,
          VOLUMES: list,
          LANES: String(at),
          CINDER: cinder,
          TOKEN: answer.headers.get("x-subject-token") ?? "",
          SLOT: slotName,
          KEEP: "1",
          WORK: work,
        },
      });
      return (Date.now() - from) / 1000;
    };
  }

  async close(): Promise<void> {
    await this.cloud.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function rowsOf(sets: number, plain: Slot, forgetting: Slot, place: Place): Row[] {
  const callsASet = forgetting.requests / sets;
  const linesASet = Math.max(plain.lines, forgetting.lines) / sets;
  const megabytes = Math.max(plain.providerBytes, forgetting.providerBytes) / 1e6;
  const { own, envelope } = stateBytes(place.resources());
  const bytes = own / sets;
  const writes = (forgetting.writes / sets).toFixed(1);
  return [
    {
      what: `API calls a set, slot of ${sets} sets`,
      measured: callsASet.toFixed(1),
      bar: "≤ 14",
      met: callsASet <= 14,
      note: `${writes} of them change something`,
    },
    {
      what: `log lines a set, slot of ${sets} sets`,
      measured: linesASet.toFixed(1),
      bar: "≤ 4",
      met: linesASet <= 4,
    },
    ratioRow(
      `slot of ${sets} sets in which each forgets a point : one without`,
      forgetting.seconds / plain.seconds,
      1.2,
      `${forgetting.seconds.toFixed(1)} s against ${plain.seconds.toFixed(1)} s`,
    ),
    {
      what: `state a set that the provider keeps beyond its inputs, ${sets} sets`,
      measured: `${bytes.toFixed(0)} bytes`,
      bar: "≤ 1500 bytes",
      met: bytes <= 1500,
      note: `with two Cinder points, two restic points and what was removed last; Pulumi's own part (URNs, dependencies, times) is ${(envelope / sets).toFixed(0)} bytes more`,
    },
    {
      what: `peak memory of the provider process, slot of ${sets} sets`,
      measured: `${megabytes.toFixed(0)} MB`,
      bar: "< 300 MB",
      met: megabytes > 0 && megabytes < 300,
    },
  ];
}

function cpuRow(sets: number, measured: Slot, bare: number): Row {
  const above = measured.cpuSeconds / sets - bare;
  return {
    what: `CPU time a set above bare restic's own, slot of ${sets} sets`,
    measured: `${above.toFixed(2)} s`,
    bar: "≤ 0.4 s",
    met: above <= 0.4,
    note: `engine, program, provider and what they start: ${(measured.cpuSeconds / sets).toFixed(2)} s; restic alone ${bare.toFixed(2)} s`,
  };
}

/** What the provider stores of the sets beyond their inputs, and what the engine adds around it (URNs, dependencies, times). */
function stateBytes(resources: StoredResource[]): { own: number; envelope: number } {
  const sum = { own: 0, envelope: 0 };
  for (const resource of resources.filter(({ urn }) => /::set-\d+/.test(urn))) {
    const { inputs = {}, outputs = {} } = resource;
    const own = Object.fromEntries(Object.entries(outputs).filter(([key]) => !(key in inputs)));
    sum.own += size(own);
    sum.envelope += size(resource) - size(inputs) - size(outputs);
  }
  return sum;
}

const size = (value: unknown): number => Buffer.byteLength(JSON.stringify(value ?? {}));

/** What was said of the sets. `pulumi` says each line twice, as it comes and among the diagnostics, with another beginning. */
function linesOf(output: string): number {
  return new Set(output.match(/\[set-\d+-\w+\].*/g)).size;
}
