import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, open, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { openRepository } from "../../provider/restic";
import { type Held, Lifecycle } from "../lifecycle";
import { type Client, signIn } from "./client";
import { cloudForTests, contentOf, emptyProject, makeVolume } from "./data/cloud";
import { HostVolume, type Place, tool } from "./data/host-volume";
import {
  assertPointInTime,
  readRecordBlocks,
  readRecordFiles,
  recordBlocks,
  recordFiles,
  Writer,
} from "./data/writer";
import type { Openstack } from "./index";

const mebibyte = 1024 ** 2;
const gibibyte = 1024 ** 3;

/** Where the records are on a disk without a file system. */
const recordOffset = 128 * mebibyte;

/** What is on a volume; no place: no file system. */
interface Layout {
  name: string;
  place?: Place;
  make(file: string): Promise<unknown>;
}

const partitionOffset = 17 * mebibyte;

const layouts: Layout[] = [
  { name: "ext4", place: { fileSystem: "ext4" }, make: file => tool("mkfs.ext4", "-q", "-F", file) },
  { name: "xfs", place: { fileSystem: "xfs" }, make: file => tool("mkfs.xfs", "-q", "-f", file) },
  {
    name: "a partitioned disk",
    place: { fileSystem: "ext4", offset: partitionOffset },
    async make(file) {
      await tool("sh", "-c", `printf 'label: gpt\\n2048,32768\\n34816\\n' | sfdisk -q '${file}'`);
      await tool("mkfs.ext4", "-q", "-F", "-E", `offset=${partitionOffset}`, file, "1000m");
    },
  },
  {
    name: "a raw disk",
    async make(file) {
      const disk = await open(file, "r+");
      for (const offset of [0, 7 * mebibyte + 4096, 500 * mebibyte, gibibyte - 3 * mebibyte])
        await disk.write(randomBytes(3 * mebibyte), 0, 3 * mebibyte, offset);
      await disk.sync();
      await disk.close();
    },
  },
];

const tree = (action: "plant" | "digest", directory: string) =>
  tool("python3", path.join(__dirname, "data/tree.py"), action, directory);

async function hashOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file, { end: gibibyte - 1, highWaterMark: mebibyte }))
    hash.update(chunk);
  return hash.digest("hex");
}

/** What still speaks of one of the folders on this machine: mounts, loop devices, processes, files. */
async function tracesOf(directory: string, share: string): Promise<string[]> {
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  const loops = (await tool("losetup", "--list", "--noheadings", "--output", "BACK-FILE")).split("\n");
  const commands = readdirSync("/proc")
    .filter(name => /^\d+$/.test(name))
    .map(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8");
      } catch {
        return "";
      }
    });
  return [
    ...mounts.filter(line => line.includes(directory)),
    ...loops.filter(line => line.includes(directory) || line.includes(share)),
    ...commands.filter(command => command.includes(directory)),
    // An empty mount folder stays for the next run.
    ...(await readdir(path.join(directory, "mnt"), { recursive: true })).filter(
      name => !/^data-test-[a-z-]+-[0-9a-f]{8}$/.test(name),
    ),
    ...(await readdir(directory)).filter(name => name !== "mnt" && name !== "repository"),
  ];
}

describe("restored data", () => {
  const variables = ["TMPDIR", "OSBACKUP_MOUNT_DIRECTORY", "CEPH_CONF"] as const;
  const inherited = variables.map(name => [name, process.env[name]] as const);
  let cloud: Openstack;
  let demo: Client;
  let directory: string;
  let stack: Lifecycle;
  let attached: HostVolume[] = [];
  let writer: Writer | undefined;

  before(async function () {
    this.timeout(15 * 60_000);
    cloud = await cloudForTests();
    demo = await signIn(cloud.environment);
  });

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "osbackup-data-"));
    await tool("mkdir", path.join(directory, "mnt"));
    Object.assign(process.env, {
      TMPDIR: directory,
      OSBACKUP_MOUNT_DIRECTORY: path.join(directory, "mnt"),
      CEPH_CONF: cloud.environment.CEPH_CONF,
    });
    stack = new Lifecycle(cloud.environment);
  });

  afterEach(async function () {
    this.timeout(120_000);
    for (const [name, value] of inherited)
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    if (this.currentTest?.state === "failed") console.error(stack.lines.join("\n"));
    await writer?.stop().catch(error => console.error(error));
    for (const volume of attached.splice(0)) await volume.detach().catch(error => console.error(error));
    await emptyProject(demo);
    await rm(directory, { recursive: true });
  });

  after(async function () {
    this.timeout(60_000);
    await cloud?.stop();
  });

  async function attach(volumeId: string): Promise<HostVolume> {
    const volume = await HostVolume.attach(cloud, demo, volumeId);
    attached.push(volume);
    return volume;
  }

  async function detach(volume: HostVolume): Promise<void> {
    await volume.detach();
    attached = attached.filter(other => other !== volume);
  }

  /** Snapshot, temporary volume, backup, and a restore from each of the two. */
  async function snapshotOf(volumeId: string): Promise<Held> {
    const retention = { keepLast: 1 };
    return stack.up("CinderSnapshot", { owner: "data/test/point", volumeId, retention });
  }

  function access() {
    return { url: path.join(directory, "repository"), password: "data-test-password" };
  }

  async function backUp(snapshot: Held): Promise<Held> {
    const { snapshotId, takenAt } = snapshot;
    await openRepository(access()).ensureInitialised();
    const temporary = await stack.up("TemporaryVolume", { owner: "data/test/temporary", snapshotId });
    return stack.up("ResticBackup", {
      owner: "data/test/backup",
      snapshotId,
      takenAt,
      temporaryVolume: { owner: "data/test/temporary", volumeId: temporary.volumeId },
      repository: access(),
    });
  }

  /** Everything that a restored volume shows. */
  async function inspect(
    volumeId: string,
    place: Place | undefined,
    check: (at: { directory: string; file: string }) => Promise<void>,
  ): Promise<void> {
    const volume = await attach(volumeId);
    await check({ directory: place ? await volume.mount(place, "ro") : "", file: volume.file });
    await detach(volume);
  }

  for (const backend of ["rbd", "nfs"] as const) {
    for (const layout of layouts) {
      const { place } = layout;
      const how = backend === "rbd" ? "attached and written to" : "detached by a power cut";
      it(`is that of the snapshot's moment, from ${layout.name} on ${backend}, ${how}`, async function () {
        this.timeout(300_000);
        const volumeId = await makeVolume(demo, backend);
        let server = await attach(volumeId);
        await layout.make(server.file);
        let files = place ? await server.mount(place, "rw") : "";
        if (place) await tree("plant", files);
        const planted = place ? await tree("digest", files) : "";
        const store = () => (place ? recordFiles(files) : recordBlocks(server.file, recordOffset));
        writer = new Writer(await store(), 15);
        await writer.more(25);
        // Cinder cannot snapshot an attached volume on nfs.
        if (backend === "nfs") {
          await writer.stop();
          await server.cutPower();
          await detach(server);
        }

        const from = performance.now();
        const snapshot = await snapshotOf(volumeId);
        const to = performance.now();

        if (backend === "nfs") {
          server = await attach(volumeId);
          files = place ? await server.mount(place, "rw") : "";
          writer = new Writer(await store(), 15, writer);
        }
        await writer.more(25);
        if (place) await tool("sh", "-c", `cd '${files}/tree' && echo later >random && rm owned && sync`);
        const backup = await backUp(snapshot);
        await writer.more(1);
        const written = writer;
        await written.stop();
        writer = undefined;
        await detach(server);
        assert.equal(backup.phase, "Succeeded");
        const readBy = backend === "rbd" ? "qemu-storage-daemon" : "nfs file";
        assert.equal(backup.readBy, `${readBy}, ${place ? "loop mount" : "block device"}`);

        const fromCinder = await stack.up("VolumeRestore", {
          owner: "data/test/from-cinder",
          snapshotId: snapshot.snapshotId,
          deletionPolicy: "delete",
        });
        const fromRestic = await stack.up("VolumeRestore", {
          owner: "data/test/from-restic",
          resticSnapshotId: backup.resticSnapshotId,
          repository: access(),
          // A disk without a file system may go onto a larger one.
          sizeGib: place ? 1 : 2,
          volumeType: backend,
          ...(place ? { fileSystem: place.fileSystem } : {}),
          deletionPolicy: "delete",
        });

        const restores = [
          { volumeId: fromCinder.volumeId, at: place, sizeGib: 1 },
          // Restored files have a volume of their own, without partitions.
          {
            volumeId: fromRestic.volumeId,
            at: place && { fileSystem: place.fileSystem },
            sizeGib: place ? 1 : 2,
          },
        ];
        const hashes: string[] = [];
        for (const restore of restores) {
          await inspect(restore.volumeId, restore.at, async found => {
            const disk = await open(found.file, "r");
            assert.equal((await disk.stat()).size, restore.sizeGib * gibibyte);
            const reader = place ? readRecordFiles(found.directory) : readRecordBlocks(disk, recordOffset);
            await assertPointInTime(reader, written, from, to);
            await disk.close();
            if (place) assert.equal(await tree("digest", found.directory), planted);
            else hashes.push(await hashOf(found.file));
          });
        }
        assert.equal(hashes[0], hashes[1]);

        await stack.down();
        assert.deepEqual(await contentOf(demo), [`volume ${volumeId}`]);
        assert.deepEqual(await tracesOf(directory, cloud.shareDirectory), []);
      });
    }
  }
});
