import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFileSystem, type Probe, probe } from "../../../../provider/movers/local";
import { choosePart } from "../../../../provider/movers/local/file-system";
import { mountOptions } from "../../../../provider/movers/local/present";
import { needs } from "../../../needs";
import { cleanLab, ext4Image, partitionedImage, sh, temporaryFolder } from "./lab";

describe("probe", () => {
  let image: string;

  beforeEach(() => {
    image = join(temporaryFolder(), "volume.img");
  });
  afterEach(cleanLab);

  it("tells a file system, its label and its UUID", async () => {
    ext4Image(image);
    sh("tune2fs", "-L", "data", "-U", "0b9e8ba0-9d5b-4b1c-8b5c-0d4e1c1f7a10", image);
    assert.deepEqual(await probe(image), {
      content: "file system",
      fileSystem: "ext4",
      label: "data",
      uuid: "0b9e8ba0-9d5b-4b1c-8b5c-0d4e1c1f7a10",
    });
  });

  it("tells the partitions of a disk and what they hold", async () => {
    const parts = partitionedImage(image, 3);
    ext4Image(image, { mib: 20, offset: parts[1]?.offset ?? 0 });
    const { content, partitions } = await probe(image);
    const size = 20 * 1024 ** 2;
    assert.equal(content, "partitions");
    const uuid = partitions?.[1]?.uuid ?? "";
    assert.match(uuid, /^[0-9a-f-]{36}$/);
    assert.deepEqual(partitions, [
      { number: 1, offset: 1048576, sizeBytes: size },
      { number: 2, offset: 22020096, sizeBytes: size, fileSystem: "ext4", uuid },
      { number: 3, offset: 42991616, sizeBytes: size },
    ]);
  });

  it("tells zeros from unknown content, also at the end of the device", async () => {
    writeFileSync(image, Buffer.alloc(4 * 1024 ** 2));
    assert.deepEqual(await probe(image), { content: "empty" });
    writeFileSync(image, Buffer.concat([Buffer.alloc(4 * 1024 ** 2), Buffer.from("x")]));
    assert.deepEqual(await probe(image), { content: "unknown" });
  });

  it("tells an LVM physical volume", async () => {
    // label and header as pvcreate writes them: LABELONE in the second sector, type "LVM2 001", CRC of the rest
    const sector = Buffer.alloc(512);
    sector.write("LABELONE");
    sector.writeBigUInt64LE(1n, 8);
    sector.writeUInt32LE(32, 20);
    sector.write("LVM2 001", 24);
    sector.write("abcdefabcdefabcdefabcdefabcdefab", 32);
    let crc = 0xf597a6cf;
    for (const byte of sector.subarray(20)) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    }
    sector.writeUInt32LE(crc >>> 0, 16);
    const bytes = Buffer.alloc(8 * 1024 ** 2);
    sector.copy(bytes, 512);
    writeFileSync(image, bytes);
    assert.equal((await probe(image)).content, "lvm");
  });

  it("tells a LUKS volume", async () => {
    // version 1 header: https://gitlab.com/cryptsetup/cryptsetup/-/wikis/LUKS-standard/on-disk-format.pdf
    const bytes = Buffer.alloc(4 * 1024 ** 2);
    bytes.write("LUKS\xba\xbe\x00\x01", "latin1");
    bytes.write("0b9e8ba0-9d5b-4b1c-8b5c-0d4e1c1f7a10", 168);
    writeFileSync(image, bytes);
    assert.equal((await probe(image)).content, "luks");
  });
});

describe("choosePart", () => {
  const mib = 1024 ** 2;
  const disk = (...fileSystems: (string | undefined)[]): Probe => ({
    content: "partitions",
    partitions: fileSystems.map((fileSystem, index) => ({
      number: index + 1,
      offset: (index + 1) * mib,
      sizeBytes: 1024 * mib,
      ...(fileSystem ? { fileSystem } : {}),
    })),
  });

  const cases: [string, Probe, "auto" | "file", number | undefined, ReturnType<typeof choosePart>][] = [
    [
      "a file system",
      { content: "file system", fileSystem: "xfs" },
      "auto",
      undefined,
      { offset: 0, fileSystem: "xfs" },
    ],
    [
      "another one",
      { content: "file system", fileSystem: "zfs" },
      "auto",
      undefined,
      "it holds a zfs file system",
    ],
    ["LVM", { content: "lvm", fileSystem: "LVM2_member" }, "file", undefined, "it is an LVM physical volume"],
    ["LUKS", { content: "luks", fileSystem: "crypto_LUKS" }, "file", undefined, "it is encrypted (LUKS)"],
    ["swap", { content: "unknown", fileSystem: "swap" }, "auto", undefined, "it holds swap"],
    [
      "one of three partitions with content",
      disk(undefined, "ext4", undefined),
      "auto",
      undefined,
      { offset: 2 * mib, sizeBytes: 1024 * mib, fileSystem: "ext4" },
    ],
    [
      "a boot disk, in auto",
      disk("vfat", "ext4"),
      "auto",
      undefined,
      "it has several partitions with data (1: vfat, 1.0 GiB, 2: ext4, 1.0 GiB)",
    ],
    [
      "a boot disk, as files",
      disk("vfat", "ext4"),
      "file",
      undefined,
      { offset: 2 * mib, sizeBytes: 1024 * mib, fileSystem: "ext4" },
    ],
    [
      "two data partitions, as files",
      disk("ext4", "xfs"),
      "file",
      undefined,
      "it has several partitions with data (1: ext4, 1.0 GiB, 2: xfs, 1.0 GiB)",
    ],
    [
      "a partition asked for",
      disk("ext4", "xfs"),
      "auto",
      2,
      { offset: 2 * mib, sizeBytes: 1024 * mib, fileSystem: "xfs" },
    ],
    ["LVM in a partition", disk("LVM2_member"), "auto", undefined, "its partition holds LVM2_member"],
    [
      "empty partitions",
      disk(undefined, undefined),
      "auto",
      undefined,
      "none of its partitions holds a known file system",
    ],
  ];
  for (const [title, probed, content, partition, expected] of cases) {
    it(`${typeof expected === "string" ? "gives the reason to read the device for" : "takes"} ${title}`, () => {
      assert.deepEqual(choosePart("/dev/x", probed, content, partition), expected);
    });
  }

  it("throws when the partition asked for holds nothing", () => {
    assert.throws(() => choosePart("/dev/x", disk("ext4", undefined), "auto", 2), {
      message:
        "opening partition 2 of /dev/x: it holds no readable file system (1: ext4, 1.0 GiB, 2: nothing known, 1.0 GiB)",
    });
  });
});

describe("mountOptions", () => {
  it("never lets a journal be skipped", () => {
    assert.equal(mountOptions("ext4", "read"), "ro,nodev,nosuid,noexec");
    assert.equal(mountOptions("xfs", "read"), "ro,nodev,nosuid,noexec,nouuid");
    assert.equal(mountOptions("btrfs", "read"), "ro,nodev,nosuid,noexec,subvolid=5");
    assert.equal(mountOptions("ext4", "write"), "rw,noatime,nodev,nosuid,noexec");
  });
});

describe("makeFileSystem", () => {
  afterEach(cleanLab);

  for (const [type, size] of [
    ["ext4", "32M"],
    ["xfs", "320M"],
  ] as const) {
    it(`makes a labelled ${type}`, async function () {
      needs(this, `mkfs.${type}`);
      const image = join(temporaryFolder(), "volume.img");
      sh("truncate", "-s", size, image);
      await makeFileSystem(image, type, { label: "restored" });
      const { content, fileSystem, label } = await probe(image);
      assert.deepEqual(
        { content, fileSystem, label },
        { content: "file system", fileSystem: type, label: "restored" },
      );
    });
  }

  it("refuses a disk with partitions", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "x"));
    const image = join(folder, "volume.img");
    partitionedImage(image, 1);
    await assert.rejects(makeFileSystem(image, "ext4"), {
      message: `making an ext4 file system on ${image}: it is not empty (partitions)`,
    });
  });
});
