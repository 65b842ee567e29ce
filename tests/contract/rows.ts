import { chmod, cp, mkdir, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { makeExt4Image } from "../../devcloud";
import { openRepository } from "../../provider/restic";
import type { Held, Properties, Scene } from "./stack-run";

/** The password of every repository here; it must not be in any message. */
export const repositoryPassword = "a-password-nobody-must-see";

/** Of every wait for the cloud: more than any needs, less than a test may take. */
export const timeoutSeconds = 15;

/** What the suite must know of one resource type to hold it to the contract. */
export interface Row {
  /** Inputs of a new resource, and the scenery they need. */
  inputs(scene: Scene): Promise<Properties>;
  /** Inputs to change, none of which replaces the resource. */
  changed: Properties;
  /** A property with a value of another type. */
  wrong: Properties;
  /** How many objects in the cloud one of them is. */
  objects: number;
  /** Whether it needs snapshots of attached volumes. */
  attached?: true;
  /** Whether it needs compute and image services; on the real ones it has tests of its own. */
  needsServers?: true;
  /** The first look at what was just made; default: at a volume. */
  firstLook?: RegExp;
  /** What of a removal is answered 500; default: all that is asked of block storage. */
  removal?: RegExp;
  /** How many objects a cancelled run leaves on purpose: a snapshot that was begun is adopted by the next. Default 0. */
  keptWhenCancelled?: number;
  /** Whether its bytes pass through this machine. */
  moves: boolean;
  /** Why a read after the deletion still finds it; without this it must not. */
  staysReadable?: string;
  /** What makes a read fail otherwise than by a 404, one after the other. */
  failedReads: readonly FailedRead[];
}

interface FailedRead {
  how: string;
  /** Brings the failure about; what is to be read then. */
  fail(scene: Scene, held: Held, match?: RegExp): Held | Promise<Held>;
  /** What the read says; without this it asks nobody and answers what is in the state. */
  error?: RegExp | undefined;
}

const brokenCloud: FailedRead = {
  how: "a 500 of the cloud",
  fail(scene, held, match = /^GET \/volume/) {
    scene.cloud.faults.inject({ harm: { status: 500 }, match, times: 100 });
    return held;
  },
  error: /HTTP 500, (cinder|glance|nova)/,
};

const wrongPassword: FailedRead = {
  how: "a wrong password",
  fail(_scene, held) {
    const { repository } = held.state as { repository?: Properties };
    const wrong = { password: "another-password-nobody-must-see" };
    const changed = repository ? { repository: { ...repository, ...wrong } } : wrong;
    return { ...held, state: { ...held.state, ...changed } };
  },
  error: /wrong password/,
};

const brokenRepository: FailedRead = {
  how: "a repository that cannot be read",
  async fail(_scene, held) {
    const { repository, url } = held.state as { repository?: { url: string }; url?: string };
    const config = path.join(repository?.url ?? String(url), "config");
    await chmod(config, 0o600);
    await writeFile(config, Buffer.alloc(155, 7));
    return held;
  },
  error: /ciphertext verification failed/,
};

const lostRepository: FailedRead = {
  how: "a repository that is not there",
  async fail(_scene, held) {
    const { repository } = held.state as { repository: { url: string } };
    await rename(repository.url, `${repository.url}-elsewhere`);
    return held;
  },
  error: /unable to open config file|repository does not exist/,
};

/** One row a type of the registry. */
export const rows: Readonly<Record<string, Row>> = {
  CinderSnapshot: {
    inputs: async scene => ({
      owner: scene.owner("set"),
      volumeId: await scene.cloud.addVolume(),
      schedule: "0 * * * *",
      retention: { keepLast: 2 },
      timeoutSeconds,
    }),
    changed: { retention: { keepLast: 5 } },
    wrong: { volumeId: 5 },
    objects: 1,
    firstLook: /^GET .*\/snapshots\/[0-9a-f-]+$/,
    keptWhenCancelled: 1,
    moves: false,
    failedReads: [brokenCloud],
  },
  ServerSnapshot: {
    inputs: async scene => ({
      owner: scene.owner("server"),
      serverId: (await scene.cloud.addServer(2)).serverId,
      schedule: "0 * * * *",
      retention: { keepLast: 2 },
      timeoutSeconds,
    }),
    changed: { retention: { keepLast: 5 } },
    wrong: { serverId: 5 },
    objects: 2,
    moves: false,
    attached: true,
    firstLook: /^GET .*\/snapshots\/[0-9a-f-]+$/,
    keptWhenCancelled: 2,
    failedReads: [brokenCloud],
  },
  ServerBackup: {
    inputs: async scene => ({
      owner: scene.owner("image"),
      serverId: (await scene.cloud.addServer(2, true)).serverId,
      schedule: "0 * * * *",
      retention: { keepLast: 2 },
      deletionPolicy: "delete",
      timeoutSeconds,
    }),
    changed: { retention: { keepLast: 5 } },
    wrong: { serverId: 5 },
    // an image, and a snapshot of each volume
    objects: 3,
    moves: false,
    needsServers: true,
    firstLook: /^GET .*\/images\/[0-9a-f-]+$/,
    keptWhenCancelled: 3,
    failedReads: [{ ...brokenCloud, fail: (scene, held) => brokenCloud.fail(scene, held, /^GET \/image/) }],
  },
  ServerRestore: {
    async inputs(scene) {
      const { serverId } = await scene.cloud.addServer(2, true);
      const owner = scene.owner("image");
      await scene.run().create("ServerBackup", { owner, serverId, timeoutSeconds });
      return {
        owner: scene.owner("restored"),
        backupOwner: owner,
        networks: "none",
        deletionPolicy: "delete",
        timeoutSeconds,
      };
    },
    changed: { name: "another-name", metadata: { team: "storage" } },
    wrong: { metadata: "none" },
    // a server, and its two volumes with their attachments
    objects: 5,
    moves: false,
    needsServers: true,
    removal: /^\w+ \/compute/,
    failedReads: [{ ...brokenCloud, fail: (scene, held) => brokenCloud.fail(scene, held, /^GET \/compute/) }],
  },
  TemporaryVolume: {
    inputs: async scene => ({
      owner: scene.owner("volume"),
      snapshotId: (await aSnapshot(scene)).state.snapshotId,
      timeoutSeconds,
    }),
    changed: { expiresAfterSeconds: 3600 },
    wrong: { sizeGib: "large" },
    objects: 1,
    moves: false,
    staysReadable: "gone is converged",
    failedReads: [{ ...brokenCloud, how: "a 500 of the cloud, which it does not ask", error: undefined }],
  },
  VolumeRestore: {
    inputs: async scene => ({
      owner: scene.owner("restored"),
      snapshotId: (await aSnapshot(scene)).state.snapshotId,
      deletionPolicy: "delete",
      timeoutSeconds,
    }),
    changed: { name: "another-name", description: "of the contract", metadata: { team: "storage" } },
    wrong: { metadata: "none" },
    objects: 1,
    moves: false,
    failedReads: [brokenCloud],
  },
  ResticRepository: {
    inputs: async scene => ({
      owner: scene.owner("repository"),
      url: path.join(scene.directory, "new-repository"),
      password: repositoryPassword,
    }),
    changed: { checkSchedule: "daily" },
    wrong: { initialise: "perhaps" },
    objects: 0,
    moves: false,
    staysReadable: "it never deletes data",
    failedReads: [wrongPassword, brokenRepository],
  },
  ResticBackup: {
    async inputs(scene) {
      const set = await aSnapshot(scene, await filesImage());
      return {
        owner: scene.owner("backup"),
        snapshotId: set.state.snapshotId,
        slot: set.state.slot,
        takenAt: set.state.takenAt,
        temporaryVolume: { owner: scene.owner("volume"), timeoutSeconds },
        repository: await aRepository(scene),
        source: { owner: set.state.owner, volumeId: set.state.volumeId },
        deletionPolicy: "delete",
      };
    },
    changed: { retention: { keepLast: 3 } },
    wrong: { paths: "/var/lib" },
    objects: 0,
    moves: true,
    failedReads: [wrongPassword, brokenRepository, lostRepository],
  },
};

/** A set with one point of 10:00. */
export async function aSnapshot(scene: Scene, imageFile?: string, attached = false): Promise<Held> {
  return scene.run().create("CinderSnapshot", {
    owner: scene.owner("set"),
    volumeId: await scene.cloud.addVolume({ attached, ...(imageFile !== undefined && { imageFile }) }),
    schedule: "0 * * * *",
    retention: { keepLast: 2 },
  });
}

let template: Promise<string> | undefined;

/** Where the suite keeps what is costly to make; set before it begins. */
export const workshop = { directory: "" };

/** An initialised repository of this scene's own. */
export async function aRepository(scene: Scene): Promise<{ url: string; password: string }> {
  template ??= (async () => {
    const url = path.join(workshop.directory, "repository");
    await openRepository({ url, password: repositoryPassword }).ensureInitialised();
    return url;
  })();
  const url = path.join(scene.directory, "repository");
  await cp(await template, url, { recursive: true });
  return { url, password: repositoryPassword };
}

let image: Promise<string> | undefined;

/** An ext4 image with a few files of this repository in it. */
export function filesImage(): Promise<string> {
  image ??= (async () => {
    const file = path.join(workshop.directory, "files.img");
    const files = path.join(workshop.directory, "files");
    await mkdir(files, { recursive: true });
    await cp(path.join(__dirname, "../../provider/resources"), path.join(files, "resources"), {
      recursive: true,
    });
    await makeExt4Image(file, { sizeMib: 32, fromDirectory: files });
    return file;
  })();
  return image;
}

/** An image without a file system: bytes of a database's own at its start and its middle, zeros between them. */
export async function rawImage(): Promise<string> {
  const file = path.join(workshop.directory, "raw.img");
  const bytes = Buffer.alloc(32 * 2 ** 20);
  for (const offset of [0, bytes.length / 2]) bytes.fill("a page of the database ", offset, offset + 100_000);
  await writeFile(file, bytes);
  return file;
}

/** Forgets what was made in an earlier workshop. */
export function newWorkshop(directory: string): void {
  workshop.directory = directory;
  template = undefined;
  image = undefined;
}
