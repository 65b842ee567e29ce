import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, startDevcloud } from "../../../../devcloud";
import { pause } from "../../../../provider/base/pause";
import { Driver, type Properties } from "../../../../provider/driver/driver";
import { World } from "../../../../provider/driver/world";
import { managed, ownerLabel } from "../../../../provider/movers/kubernetes/objects";
import { mountPathOf } from "../../../../provider/movers/local/mount-path";
import { openRepository } from "../../../../provider/restic";
import { needs } from "../../../needs";
import { type RestHandle, start as startRest } from "../../../services/rclone-rest";
import { until } from "../../../until";
import { FakeCluster } from "./fake-cluster";

const password = "a-password-nobody-must-see";

describe("the mover 'kubernetes'", function () {
  this.timeout(60_000);
  let cluster: FakeCluster;
  let cloud: Devcloud;
  let rest: RestHandle;
  let work: string;
  let lines: string[];
  let repository: { url: string; password: string };
  let volumeId: string;
  const inherited = process.env.OSBACKUP_MOUNT_DIRECTORY;

  before(async function () {
    needs(this, "rclone");
    rest = await startRest();
  });
  after(() => rest?.stop());
  beforeEach(async () => {
    work = mkdtempSync(path.join(tmpdir(), "osbackup-kubernetes-mover-"));
    process.env.OSBACKUP_MOUNT_DIRECTORY = path.join(work, "mnt");
    lines = [];
    [cluster, cloud] = await Promise.all([FakeCluster.start(), startDevcloud({ statusDelayMs: 10 })]);
    repository = { url: rest.repository(path.basename(work)), password };
    await openRepository(repository).ensureInitialised();
    volumeId = (await cloud.addVolume({ name: "data", sizeGib: 1 })).id;
  });
  afterEach(async () => {
    await Promise.all([cluster.stop(), cloud.stop()]);
    rmSync(work, { recursive: true, force: true });
    if (inherited === undefined) delete process.env.OSBACKUP_MOUNT_DIRECTORY;
    else process.env.OSBACKUP_MOUNT_DIRECTORY = inherited;
  });

  /** The folder that stands for the volume of a set in its pod. */
  async function filled(owner: string, files: Record<string, string>): Promise<string> {
    const folder = mountPathOf(owner);
    await mkdir(folder, { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(path.join(folder, name), text);
    return folder;
  }
  async function made(type: string, given: Properties): Promise<Properties> {
    const driver = new Driver(new World({}, line => lines.push(line), cloud.environment));
    const { inputs, refusals } = await driver.check(type, undefined, given);
    assert.deepEqual(refusals, []);
    const { id, outputs } = await driver.create(type, inputs);
    return { ...inputs, ...outputs, id };
  }
  const moving = (kubernetes: Properties = {}): Properties => ({
    repository,
    mover: "kubernetes",
    moverOptions: { kubernetes: { kubeconfig: cluster.kubeconfig, ...kubernetes } },
  });
  async function backup(
    name: string,
    kubernetes: Properties = {},
    more: Properties = {},
  ): Promise<Properties> {
    const { snapshotId } = await made("CinderSnapshot", { owner: `shop/prod/${name}-snapshot`, volumeId });
    return made("ResticBackup", {
      owner: `shop/prod/${name}`,
      snapshotId,
      temporaryVolume: { owner: `shop/prod/${name}-volume` },
      ...moving(kubernetes),
      ...more,
    });
  }
  /** Requests that make something. */
  const makings = () =>
    cluster.requests.filter(one => one.startsWith("POST") && !/dryRun|accessreviews/.test(one));

  /** Why a backup is refused before anything is made. */
  async function refusedFor(kubernetes: Properties, more: Properties = {}): Promise<string> {
    const driver = new Driver(new World({}, line => lines.push(line), cloud.environment));
    const { refusals } = await driver.check("ResticBackup", undefined, {
      owner: "shop/prod/refused",
      snapshotId: "f0000000-0000-4000-8000-000000000000",
      temporaryVolume: { owner: "shop/prod/refused-volume" },
      ...moving(kubernetes),
      ...more,
    });
    return refusals.map(({ property, reason }) => `${property}: ${reason}`).join("\n");
  }
  function nothingLeft(): void {
    const kinds = ["jobs", "pods", "persistentvolumeclaims", "persistentvolumes", "secrets"];
    assert.deepEqual(
      kinds.flatMap(kind => cluster.rows(kind).map(({ metadata }) => `${kind}/${metadata.name}`)),
      [],
    );
    assert.deepEqual(
      cloud.volumes().filter(({ metadata }) => metadata["osbackup-role"] === "temporary"),
      [],
    );
  }

  it("makes Secret, volume, claim and Job in this order, and removes them again", async () => {
    await filled("shop/prod/set", { "a.txt": "what is on the volume\n" });
    const seen: Record<string, ReturnType<FakeCluster["rows"]>[number] | undefined> = {};
    cluster.become = () => {
      for (const kind of ["jobs", "persistentvolumes", "persistentvolumeclaims", "secrets"])
        seen[kind] = cluster.rows(kind)[0];
      return undefined;
    };
    const { resticSnapshotId } = await backup("set", {
      image: "registry/restic:1",
      resources: { limits: { cpu: "1" } },
    });
    assert.match(
      lines.join("\n"),
      /Succeeded: restic snapshot .* 1 files.* by Job in namespace backups, ext4/,
    );
    const [snapshot] = await openRepository(repository).snapshots();
    assert.equal(snapshot?.id, resticSnapshotId);
    assert.match(snapshot?.tags.join(" ") ?? "", /root=\d+:\d+:\d+ root-mtime=\d+/);
    assert.deepEqual(
      makings().map(one => one.split("/").at(-1)),
      ["secrets", "persistentvolumes", "persistentvolumeclaims", "jobs"],
    );
    const { persistentvolumes, persistentvolumeclaims, jobs, secrets } = seen;
    assert.deepEqual(persistentvolumes?.spec.mountOptions, ["ro"]);
    assert.equal(persistentvolumes?.spec.claimRef.name, persistentvolumeclaims?.metadata.name);
    assert.equal(persistentvolumes?.spec.persistentVolumeReclaimPolicy, "Retain");
    assert.equal(persistentvolumeclaims?.spec.volumeName, persistentvolumes?.metadata.name);
    assert.equal(secrets?.stringData.RESTIC_PASSWORD, password);
    const text = JSON.stringify([jobs, persistentvolumes, persistentvolumeclaims]);
    for (const secret of [password, rest.password])
      assert.ok(!text.includes(secret), "no secret outside the Secret");
    assert.equal(jobs?.spec.backoffLimit, 0);
    assert.equal(jobs?.spec.template.spec.containers[0].image, "registry/restic:1");
    nothingLeft();
  });

  it("takes the repository's variables from a Secret that is there, and leaves that", async () => {
    await filled("shop/prod/set", { "a.txt": "1\n" });
    let keys: string[] = [];
    cluster.become = pod => {
      // only the url, which holds a password
      keys = cluster.rows("secrets").flatMap(({ stringData }) => Object.keys(stringData));
      assert.equal(pod.spec.containers[0].envFrom[0].secretRef.name, "restic");
      return {
        phase: "Failed",
        containerStatuses: [
          {
            state: {
              terminated: { exitCode: 1, reason: "Error", message: "Fatal: wrong password or no key found" },
            },
          },
        ],
      };
    };
    await assert.rejects(backup("set", { repositorySecret: "restic" }), /wrong password or no key found/);
    assert.deepEqual(keys, ["RESTIC_REPOSITORY"]);
    nothingLeft();
  });

  it("restores files, and gives the root folder back its mode", async () => {
    await filled("shop/prod/set", { "a.txt": "what is on the volume\n" });
    const { resticSnapshotId } = await backup("set");
    const folder = await filled("shop/prod/back", {});
    await made("VolumeRestore", { owner: "shop/prod/back", resticSnapshotId, ...moving(), verify: true });
    assert.equal(await readFile(path.join(folder, "a.txt"), "utf8"), "what is on the volume\n");
    nothingLeft();
  });

  it("tries the next file system, and at last the device, where the driver cannot mount it", async () => {
    const shapes: string[] = [];
    cluster.become = pod => {
      const [volume] = cluster.rows("persistentvolumes");
      shapes.push(volume?.spec.csi.fsType ?? volume?.spec.volumeMode);
      cluster.warn(
        pod,
        "FailedMount",
        "MountVolume.MountDevice failed: mount failed: exit status 32, wrong fs type",
      );
      return {
        phase: "Pending",
        containerStatuses: [{ state: { waiting: { reason: "ContainerCreating" } } }],
      };
    };
    await assert.rejects(backup("set", { startTimeoutSeconds: 2 }), /wrong fs type/);
    assert.deepEqual(shapes, ["ext4", "xfs", "Block"]);
    nothingLeft();
  });

  it("leaves nothing where the cluster refuses, and says what the account lacks", async () => {
    const forbidden = (kind: string) => ({
      code: 403,
      reason: "Forbidden",
      message: `${kind} is forbidden: User "backup-runner" cannot create resource "${kind}" in API group "" in the namespace "backups"`,
    });
    for (const kind of ["secrets", "persistentvolumes", "persistentvolumeclaims", "jobs"]) {
      cluster.refusals.set(`POST ${kind}`, forbidden(kind));
      await assert.rejects(
        backup(`set-${kind}`),
        new RegExp(
          `cannot create resource "${kind}".*\\(HTTP 403\\); the account needs the verb create for ${kind}`,
        ),
      );
      cluster.refusals.clear();
      nothingLeft();
    }
    cluster.refusals.set("POST jobs", {
      code: 403,
      reason: "Forbidden",
      message:
        "exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=0, limited: count/jobs.batch=0",
    });
    await assert.rejects(backup("quota"), error => {
      assert.match((error as Error).message, /exceeded quota: q/);
      assert.doesNotMatch((error as Error).message, /the account needs/);
      return true;
    });
    nothingLeft();
  });

  it("is refused in the preview where the cluster, the account or the repository will not do", async () => {
    assert.equal(await refusedFor({}), "");
    assert.match(
      await refusedFor({}, { repository: { url: path.join(work, "repository"), password } }),
      /repository.url: the mover 'kubernetes' needs a repository that its pods reach/,
    );
    assert.match(
      await refusedFor({ context: "other" }),
      /mover: 'kubernetes': the kubeconfig has no context 'other'/,
    );
    assert.match(
      await refusedFor({ kubeconfig: "/not/there" }),
      /mover: 'kubernetes': kubeconfig \/not\/there/,
    );
    cluster.missing.add("nowhere");
    assert.match(
      await refusedFor({ namespace: "nowhere" }),
      /no claim can be made in namespace nowhere: namespaces "nowhere" not found/,
    );
    cluster.denied.add("get pods/log").add("create persistentvolumes");
    assert.match(
      await refusedFor({}),
      /the account may not get pods\/log in namespace backups, create persistentvolumes in the cluster/,
    );
    cluster.remove("csinodes", "n");
    assert.match(await refusedFor({}), /no node of the cluster has it; install cinder-csi-plugin/);
    assert.deepEqual(makings(), []);
  });

  it("removes what a dead run of the set has left of another volume, and of no other set", async () => {
    await filled("shop/prod/set", { "a.txt": "1\n" });
    const kinds = ["jobs", "persistentvolumeclaims", "persistentvolumes", "secrets"];
    for (const owner of ["shop/prod/set", "shop/prod/other"])
      for (const kind of kinds)
        cluster.put(kind, {
          metadata: {
            name: `osbackup-of-${owner.split("/")[2]}`,
            labels: { ...managed, "osbackup-owner": ownerLabel(owner) },
          },
          // of a run in another namespace
          spec: { claimRef: { namespace: "elsewhere" } },
        });
    await backup("set");
    assert.match(lines.join("\n"), /cleaned up after an earlier run: osbackup-of-set in namespace backups/);
    for (const kind of kinds)
      assert.deepEqual(
        cluster.rows(kind).map(({ metadata }) => metadata.name),
        ["osbackup-of-other"],
      );
    for (const namespace of ["backups", "elsewhere"])
      assert.ok(
        cluster.requests.includes(
          `DELETE /api/v1/namespaces/${namespace}/persistentvolumeclaims/osbackup-of-set`,
        ),
      );
  });

  it("keeps no temporary volume while the cluster is away, however many runs fail", async () => {
    await filled("shop/prod/set", { "a.txt": "1\n" });
    // the preview's look at it is not what is shown here
    const { inputs } = await new Driver(new World({}, () => {}, cloud.environment)).check(
      "ResticBackup",
      undefined,
      {
        owner: "shop/prod/set",
        snapshotId: (await made("CinderSnapshot", { owner: "shop/prod/set-snapshot", volumeId })).snapshotId,
        temporaryVolume: { owner: "shop/prod/set-volume" },
        ...moving(),
      },
    );
    const { kubeconfig } = cluster;
    const config = JSON.parse(await readFile(kubeconfig, "utf8"));
    const { server } = config.clusters[0].cluster;
    const move = (to: string) => {
      config.clusters[0].cluster.server = to;
      return writeFile(kubeconfig, JSON.stringify(config));
    };
    await move("http://127.0.0.1:9");
    for (let run = 0; run < 10; run++) {
      const driver = new Driver(new World({}, line => lines.push(line), cloud.environment));
      await assert.rejects(driver.create("ResticBackup", inputs), /looking for the driver .*ECONNREFUSED/);
      nothingLeft();
    }
    await move(server);
    const driver = new Driver(new World({}, line => lines.push(line), cloud.environment));
    await driver.create("ResticBackup", inputs);
    assert.equal((await openRepository(repository).snapshots()).length, 1);
    nothingLeft();
  });

  it("asks the API server nothing while a Job runs", async () => {
    cluster.become = () => ({ phase: "Running", containerStatuses: [{ state: { running: {} } }] });
    const running = backup("set");
    running.catch(() => {});
    const logs = () => cluster.requests.filter(one => one.endsWith("/log")).length;
    await until("the log", () => logs() > 0);
    await pause(500);
    const before = cluster.requests.length;
    await pause(3_000);
    assert.equal(cluster.requests.length, before);
    const [pod] = cluster.rows("pods");
    cluster.remove("pods", pod?.metadata.name ?? "");
    await assert.rejects(running, /was deleted before its end/);
    nothingLeft();
  });
});
