import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import type { V1Pod } from "@kubernetes/client-node";
import { pause } from "../../provider/base/pause";
import type { Properties } from "../../provider/driver/driver";
import { until } from "../until";
import { Lab } from "./lab";

const namespace = "default";

describe("a Job that fails on a real node", () => {
  let lab: Lab;
  let volumeId: string;

  before(async function () {
    this.timeout(240_000);
    lab = await Lab.start();
    // large enough that a test can stop restic in the middle
    volumeId = await lab.volumeWith({ "a.bin": randomBytes(400 << 20) }, { sizeMib: 480 });
  });
  beforeEach(() => lab.fresh());
  afterEach(() => lab.nothingLeft());

  const core = () => lab.node.cluster.core;
  const pods = async (): Promise<V1Pod[]> => (await core().listNamespacedPod({ namespace })).items;

  /** The pod of a Job whose restic is stopped in the middle, and how it goes on. */
  async function hangingPod(): Promise<{ pod: V1Pod; goOn: () => void }> {
    const pid = await until("restic in a pod", resticInPod);
    await pause(500); // until it minds signals
    process.kill(pid, "SIGSTOP");
    const [pod] = await pods();
    return { pod: pod as V1Pod, goOn: () => process.kill(pid, "SIGCONT") };
  }
  const fails = (kubernetes: Properties, why: RegExp, more: Properties = {}) =>
    assert.rejects(lab.backup("set", volumeId, { kubernetes, ...more }), why);

  it("is told of its image", async () => {
    await fails({ image: "Not/An:Image:At:All" }, /InvalidImageName/);
  });

  it("is told of a Secret that is not there", async function () {
    this.timeout(180_000);
    await fails(
      { repositorySecret: "not-there" },
      /does not start: CreateContainerConfigError: secret "not-there" not found \(given up after 6\d s\)/,
    );
  });

  it("is told of the node that it does not find", async () => {
    await fails(
      { nodeSelector: { disk: "fast" }, startTimeoutSeconds: 4 },
      /finds no node: 0\/1 nodes are available: 1 node\(s\) didn't match Pod's node affinity\/selector.*\(given up after \d s\)/,
    );
  });

  it("is told of its memory", async () => {
    await fails(
      { resources: { limits: { memory: "8Mi" } } },
      /ran out of memory \(limit 8Mi\): give more in moverOptions\.kubernetes\.resources\.limits\.memory|StartError/,
    );
  });

  it("is told of its deadline, and restic leaves no lock behind", async () => {
    const failing = fails({ startTimeoutSeconds: 10 }, /was not done within its deadline|not done within/, {
      timeoutSeconds: 5,
    });
    const { goOn } = await hangingPod();
    await until("the deadline", async () =>
      (await core().listNamespacedEvent({ namespace })).items.some(
        ({ reason }) => reason === "DeadlineExceeded",
      ),
    );
    await pause(5_000);
    goOn();
    await failing;
    assert.equal(await lab.open().unlockStale(), 0);
  });

  it("is told of a pod that the cluster evicts, and of one that somebody deletes", async () => {
    for (const [end, why] of [
      [
        (name: string) =>
          core().createNamespacedPodEviction({ name, namespace, body: { metadata: { name, namespace } } }),
        /pod .* on node node1 was ended by the cluster: Eviction API/,
      ],
      [(name: string) => core().deleteNamespacedPod({ name, namespace }), /pod .* on node node1 was deleted/],
    ] as const) {
      const failing = fails({}, why);
      const { pod, goOn } = await hangingPod();
      await end(String(pod.metadata?.name));
      await pause(5_000);
      goOn();
      await failing;
      await lab.fresh();
    }
  });

  it("goes on where the kubelet is killed in the middle, and is followed to its end", async () => {
    const running = lab.backup("set", volumeId);
    const { goOn } = await hangingPod();
    process.kill(processOf(words => words[0] === "kubelet") as number, "SIGKILL");
    await pause(2_000);
    goOn();
    const { resticSnapshotId } = await running.catch((error: Error) => {
      throw new Error(`${error.message}\n${lab.said}`);
    });
    assert.deepEqual(
      (await lab.open().snapshots()).map(({ id }) => id),
      [resticSnapshotId],
    );
  });

  it("of a killed run is gone on with by the next one, and not begun twice", async () => {
    const { snapshotId, slot, takenAt } = await lab.made("CinderSnapshot", {
      owner: "shop/prod/killed-snapshot",
      volumeId,
      schedule: "0 0 * * *",
    });
    const given = {
      owner: "shop/prod/killed",
      snapshotId,
      slot,
      takenAt,
      temporaryVolume: { owner: "shop/prod/killed-volume" },
      ...lab.moving(),
    };
    const file = path.join(lab.work, "killed.json");
    await writeFile(file, JSON.stringify({ given, environment: lab.node.devcloud.environment }));
    const killed = spawn(
      process.execPath,
      ["--import", "tsx", path.join(__dirname, "back-up-once.ts"), file],
      {
        stdio: "inherit",
      },
    );
    const { pod, goOn } = await hangingPod();
    killed.kill("SIGKILL");
    await once(killed, "exit");
    const again = lab.made("ResticBackup", given);
    await until("the second run", () => lab.lines.some(line => /going on with Job/.test(line))).catch(
      error => {
        goOn();
        throw new Error(`${error.message}: ${lab.said}`);
      },
    );
    assert.deepEqual(
      (await pods()).map(({ metadata }) => metadata?.uid),
      [pod.metadata?.uid],
    );
    goOn();
    const { resticSnapshotId } = await again;
    assert.deepEqual(
      (await lab.open().snapshots()).map(({ id }) => id),
      [resticSnapshotId],
    );
  });
});

/** The process of a restic that backs up in a pod. */
const resticInPod = () => processOf(words => words[0] === "restic" && words.includes("backup"));

/** The process with such a command line: this one sees those of its node. */
function processOf(isWanted: (words: string[]) => boolean): number | undefined {
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      if (isWanted(readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0"))) return Number(pid);
    } catch {
      // it has ended meanwhile
    }
  }
  return undefined;
}
