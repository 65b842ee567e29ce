import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { makeExt4Image } from "../../devcloud";
import { Driver, type Properties } from "../../provider/driver/driver";
import { World } from "../../provider/driver/world";
import { cinderDriver } from "../../provider/kubernetes/cluster";
import { openRepository, type Repository } from "../../provider/restic";
import { type RestHandle, start as startRest } from "../services/rclone-rest";
import { until } from "../until";
import { type NodeCloud, nodeAddress, startNodeCloud } from "./cloud";
import { images } from "./install";

const execute = promisify(execFile);

const password = "a-password-nobody-must-see";

let shared: Promise<Lab> | undefined;

after(async () => (await shared)?.stop());

/** A node's cloud with a repository that its pods reach, and what the tests do in it again and again. */
export class Lab {
  lines: string[] = [];
  repository = { url: "", password };
  #repositories = 0;

  private constructor(
    readonly node: NodeCloud,
    readonly rest: RestHandle,
    readonly work: string,
  ) {}

  /** One for all suites: a node has one driver. */
  static start(): Promise<Lab> {
    shared ??= (async () => {
      const work = await mkdtemp(path.join(tmpdir(), "osbackup-node-"));
      return new Lab(await startNodeCloud(), await startRest({ address: nodeAddress }), work);
    })();
    return shared;
  }

  async stop(): Promise<void> {
    await this.rest.stop();
    await this.node.stop();
    await rm(this.work, { recursive: true, force: true });
  }

  /** An empty repository, and no lines yet. */
  async fresh(): Promise<void> {
    this.lines = [];
    this.repository = { url: this.rest.repository(`repository-${this.#repositories++}`), password };
    await this.open().ensureInitialised();
  }

  open(url = this.repository.url): Repository {
    return openRepository({ url, password });
  }

  get said(): string {
    return this.lines.join("\n");
  }

  /** A volume of devcloud that a server has, made of these files. */
  async volumeWith(
    files: Record<string, string | Buffer>,
    { fileSystem = "ext4", sizeMib = 32 }: { fileSystem?: "ext4" | "xfs"; sizeMib?: number } = {},
  ): Promise<string> {
    const folder = await mkdtemp(path.join(this.work, "files-"));
    for (const [name, text] of Object.entries(files)) {
      await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
      await writeFile(path.join(folder, name), text);
    }
    const imageFile = `${folder}.img`;
    if (fileSystem === "ext4") await makeExt4Image(imageFile, { fromDirectory: folder, sizeMib });
    else {
      await execute("truncate", ["--size=320M", imageFile]);
      await execute("mkfs.xfs", ["-q", imageFile]);
      await this.#mounted(imageFile, "rw", at => execute("cp", ["-a", `${folder}/.`, at]));
    }
    return this.volumeOf(imageFile);
  }

  async volumeOf(imageFile: string): Promise<string> {
    return (await this.node.devcloud.addVolume({ name: "data", imageFile, attachedTo: true })).id;
  }

  /** The file of a volume's bytes. */
  async imageOf(volumeId: string): Promise<string> {
    const { stdout } = await execute("find", [this.node.devcloud.directory, "-name", `volume-${volumeId}`]);
    return stdout.trim();
  }

  /** What is at a path of a volume's file system. */
  async read(volumeId: string, file: string): Promise<string> {
    return this.#mounted(await this.imageOf(volumeId), "ro", at => readFile(path.join(at, file), "utf8"));
  }

  async #mounted<T>(image: string, mode: "ro" | "rw", use: (at: string) => Promise<T>): Promise<T> {
    const at = await mkdtemp(path.join(this.work, "mount-"));
    await execute("mount", ["-o", `loop,${mode}`, image, at]);
    try {
      return await use(at);
    } finally {
      await execute("umount", [at]);
    }
  }

  /** Checks and makes a resource, in a process of its own as far as the provider can see. */
  async made(type: string, given: Properties): Promise<Properties> {
    const driver = new Driver(new World({}, line => this.lines.push(line), this.node.devcloud.environment));
    const { inputs, refusals } = await driver.check(type, undefined, given);
    assert.deepEqual(refusals, []);
    const { id, outputs } = await driver.create(type, inputs);
    return { ...inputs, ...outputs, id };
  }

  /** Deletes a resource by its state. */
  async removed(type: string, state: Properties): Promise<void> {
    const driver = new Driver(new World({}, line => this.lines.push(line), this.node.devcloud.environment));
    await driver.delete(type, String(state.id), state);
  }

  /** A backup of a volume by a Job. */
  async backup(
    name: string,
    volumeId: string,
    { kubernetes = {}, ...more }: Properties & { kubernetes?: Properties } = {},
  ): Promise<Properties> {
    const { snapshotId } = await this.made("CinderSnapshot", {
      owner: `shop/prod/${name}-snapshot`,
      volumeId,
    });
    return this.made("ResticBackup", {
      owner: `shop/prod/${name}`,
      snapshotId,
      temporaryVolume: { owner: `shop/prod/${name}-volume` },
      ...this.moving(kubernetes),
      ...more,
    });
  }

  /** The inputs that make a Job do it. */
  moving(kubernetes: Properties = {}): Properties {
    return {
      repository: this.repository,
      mover: "kubernetes",
      moverOptions: { kubernetes: { image: images.restic, ...kubernetes } },
    };
  }

  /** A claim whose volume is that of Cinder, as the driver's own provisioner leaves one. */
  async claimOf(namespace: string, name: string, volumeId: string): Promise<void> {
    const { core } = this.node.cluster;
    await core.createNamespace({ body: { metadata: { name: namespace } } }).catch(() => {});
    const common = { accessModes: ["ReadWriteOnce"], storageClassName: "" };
    await core.createPersistentVolume({
      body: {
        metadata: { name },
        spec: {
          ...common,
          capacity: { storage: "1Gi" },
          persistentVolumeReclaimPolicy: "Retain",
          claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name },
          csi: { driver: cinderDriver, volumeHandle: volumeId, fsType: "ext4" },
        },
      },
    });
    await core.createNamespacedPersistentVolumeClaim({
      namespace,
      body: {
        metadata: { name },
        spec: { ...common, volumeName: name, resources: { requests: { storage: "1Gi" } } },
      },
    });
    await until(`claim ${name}`, async () => {
      const { status } = await core.readNamespacedPersistentVolumeClaim({ namespace, name });
      return status?.phase === "Bound";
    });
  }

  async secret(namespace: string, name: string, stringData: Record<string, string>): Promise<void> {
    await this.node.cluster.core.createNamespacedSecret({
      namespace,
      body: { metadata: { name }, stringData },
    });
  }

  /** Removes a claim, its volume and a Secret, so that other suites find nothing of them. */
  async forget(namespace: string, claim: string, secret: string): Promise<void> {
    const { core } = this.node.cluster;
    await core.deleteNamespacedPersistentVolumeClaim({ namespace, name: claim });
    await core.deletePersistentVolume({ name: claim });
    await core.deleteNamespacedSecret({ namespace, name: secret });
    await until("the volume's end", async () =>
      (await core.listPersistentVolume()).items.every(({ metadata }) => metadata?.name !== claim),
    );
  }

  /** Why a backup is refused in the preview. */
  async refusals(kubernetes: Properties): Promise<string[]> {
    const driver = new Driver(new World({}, line => this.lines.push(line), this.node.devcloud.environment));
    const { refusals } = await driver.check("ResticBackup", undefined, {
      owner: "shop/prod/refused",
      snapshotId: "f0000000-0000-4000-8000-000000000000",
      temporaryVolume: { owner: "shop/prod/refused-volume" },
      ...this.moving(kubernetes),
    });
    return refusals.map(({ property, reason }) => `${property}: ${reason}`);
  }

  /** Holds that neither the cluster nor the cloud has anything left of a run. */
  async nothingLeft(namespace = "default", except: readonly string[] = []): Promise<void> {
    const { core, batch, storage } = this.node.cluster;
    const found = await Promise.all([
      batch.listNamespacedJob({ namespace }),
      core.listNamespacedPod({ namespace }),
      core.listNamespacedPersistentVolumeClaim({ namespace }),
      core.listPersistentVolume(),
      core.listNamespacedSecret({ namespace }),
      storage.listVolumeAttachment(),
    ]);
    const named = found.flatMap(({ items }) => items.map(({ metadata }) => metadata?.name ?? ""));
    assert.deepEqual(
      named.filter(name => !except.includes(name)),
      [],
    );
    const temporary = this.node.devcloud
      .volumes()
      .filter(({ metadata }) => metadata["osbackup-role"] === "temporary");
    assert.deepEqual(temporary, []);
  }
}
