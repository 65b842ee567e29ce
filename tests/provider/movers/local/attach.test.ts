import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Connection, cleanUp, openVolume, VolumeError } from "../../../../provider/movers/local";
import { leftoversOf, nfsFile } from "../../../../provider/movers/local/attach";
import { cleanLab, expectedWay, ext4Image, leftovers, needsQcow2, sh, temporaryFolder } from "./lab";

/** As Cinder's NFS driver answered it (API 3.66). */
const nfs = (base: string, more: Record<string, unknown> = {}): Connection => ({
  export: "127.0.0.1:/export",
  name: "volume-7f666e2d-1bb5-42a8-9ec7-036307eae9c7",
  options: null,
  format: "raw",
  qos_specs: null,
  access_mode: "rw",
  encrypted: false,
  cacheable: false,
  driver_volume_type: "nfs",
  mount_point_base: base,
  attachment_id: "9595c3ac-90bf-414d-bf2e-ff13f4198bcf",
  enforce_multipath: false,
  ...more,
});

describe("attach", () => {
  let folder: string;
  let mountPath: string;

  beforeEach(() => {
    folder = temporaryFolder();
    mountPath = join(folder, "mnt");
  });
  afterEach(cleanLab);

  const open = (connection: Connection) =>
    openVolume({ connection, mountPath, access: "read", content: "file" });

  function filledShare(): string {
    const connection = nfs(folder);
    const content = join(folder, "content");
    mkdirSync(content);
    writeFileSync(join(content, "a.txt"), "on nfs\n");
    const file = nfsFile(connection);
    mkdirSync(join(file, ".."));
    return ext4Image(file, { content });
  }

  it("finds the file of an nfs volume where Cinder keeps it", async () => {
    assert.equal(
      nfsFile(nfs("/srv/mnt")),
      "/srv/mnt/cd82877b3a8cae1aaa5839b03f995681/volume-7f666e2d-1bb5-42a8-9ec7-036307eae9c7",
    );
    filledShare();
    const volume = await open(nfs(folder));
    assert.equal(volume.how, `nfs file, ${expectedWay}`);
    assert.equal(readFileSync(join(mountPath, "a.txt"), "utf8"), "on nfs\n");
    await volume.close();
    assert.deepEqual(await cleanUp(mountPath, nfs(folder)), []);
  });

  it("says which share is not mounted where", async () => {
    await assert.rejects(
      open(nfs("/nowhere")),
      new VolumeError(
        "unsupported",
        "attaching the volume volume-7f666e2d-1bb5-42a8-9ec7-036307eae9c7 by nfs: there is no /nowhere/cd82877b3a8cae1aaa5839b03f995681/volume-7f666e2d-1bb5-42a8-9ec7-036307eae9c7: mount the share 127.0.0.1:/export at /nowhere/cd82877b3a8cae1aaa5839b03f995681",
      ),
    );
  });

  it("reads an nfs volume in qcow2", async function () {
    needsQcow2(this);
    const file = filledShare();
    sh("qemu-img", "convert", "-O", "qcow2", file, `${file}.qcow2`);
    sh("mv", `${file}.qcow2`, file);
    const volume = await open(nfs(folder, { format: "qcow2" }));
    assert.equal(volume.how, `qcow2 by qemu-storage-daemon, ${expectedWay}`);
    assert.equal(volume.device.sizeBytes, 16 * 1024 ** 2);
    assert.equal(readFileSync(join(mountPath, "a.txt"), "utf8"), "on nfs\n");
    await volume.close();
    assert.deepEqual(leftovers(folder), []);
    assert.deepEqual(readdirSync(mountPath), []);
  });

  function qcow2Header(change: (header: Buffer) => void): string {
    const file = nfsFile(nfs(folder));
    mkdirSync(join(file, ".."));
    const header = Buffer.alloc(1024);
    header.write("QFI\xfb", "latin1");
    header.writeUInt32BE(3, 4);
    change(header);
    writeFileSync(file, header);
    return file;
  }
  const qcow2 = () => open(nfs(folder, { format: "qcow2" }));

  it("follows no backing file that a guest wrote into a qcow2 header", async () => {
    const file = qcow2Header(header => header.writeBigUInt64BE(512n, 8));
    await assert.rejects(qcow2(), { message: `attaching ${file}: the qcow2 file rests on a backing file` });
  });

  it("follows no data file that a guest wrote into a qcow2 header", async () => {
    const file = qcow2Header(header => header.writeBigUInt64BE(4n, 72));
    await assert.rejects(qcow2(), {
      message: `attaching ${file}: the qcow2 file keeps its data in another file`,
    });
  });

  it("does not take a raw file for qcow2", async () => {
    const file = qcow2Header(header => header.fill(0));
    await assert.rejects(qcow2(), { message: `attaching ${file}: Cinder calls it qcow2, but it is not` });
  });

  for (const type of ["iscsi", "fibre_channel", "nvmeof"]) {
    it(`refuses ${type} and says what to use instead`, async () => {
      await assert.rejects(
        open({ driver_volume_type: type, target_portal: "10.0.0.1:3260" }),
        new VolumeError(
          "unsupported",
          `attaching a volume by ${type}: the local mover reads local, nfs and rbd volumes only; give temporaryVolume.volumeType of such a backend, or mover "server" on a server of the cloud`,
        ),
      );
    });
  }

  it("refuses a device that is not there, and one that is no device", async () => {
    await assert.rejects(open({ driver_volume_type: "local", device_path: "/dev/none" }), {
      message: "attaching /dev/none: there is no such local device on this machine",
    });
    await assert.rejects(open({ driver_volume_type: "local", device_path: "/dev/null" }), {
      message: "attaching /dev/null: it is neither a file nor a block device",
    });
    await assert.rejects(open({ driver_volume_type: "local" }), {
      message: "attaching a volume by local: the connection has no device_path",
    });
  });

  it("knows what a killed run may have left of a connection", () => {
    assert.deepEqual(leftoversOf({ driver_volume_type: "local", device_path: "/dev/vdb" }), [
      { kind: "loop", file: "/dev/vdb", offset: 0 },
    ]);
    assert.deepEqual(leftoversOf({ driver_volume_type: "rbd", name: "volumes/volume-1" }), [
      { kind: "rbd", spec: "volumes/volume-1" },
    ]);
    assert.deepEqual(leftoversOf({ driver_volume_type: "iscsi" }), []);
  });
});
