import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promises as fs } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileExtents, fileInImage, makeExt4Image } from "../../devcloud";
import { runE2fs } from "../../devcloud/images";
import { copyBlocks, sparseCopy } from "../../devcloud/sparse-copy";

describe("ext4 images", () => {
  let directory: string;

  beforeEach(async () => {
    directory = await fs.mkdtemp(path.join(tmpdir(), "devcloud-images-"));
  });
  afterEach(() => fs.rm(directory, { recursive: true, force: true }));

  it("holds the files of a directory with owners and modes, and stays sparse", async () => {
    const files = path.join(directory, "files");
    await fs.mkdir(path.join(files, "etc"), { recursive: true });
    await fs.writeFile(path.join(files, "etc/settings"), "a setting");
    await fs.chmod(path.join(files, "etc/settings"), 0o640);
    const isRoot = process.getuid?.() === 0;
    if (isRoot) await fs.chown(path.join(files, "etc/settings"), 1234, 4321);
    const image = path.join(directory, "image");
    await makeExt4Image(image, { sizeMib: 64, fromDirectory: files, label: "settings" });

    const { size, blocks } = await fs.stat(image);
    assert.equal(size, 64 << 20);
    assert.ok(blocks * 512 < 8 << 20, `${blocks * 512} bytes are on disk`);
    const owner = isRoot ? { uid: 1234, gid: 4321 } : { uid: process.getuid?.(), gid: process.getgid?.() };
    assert.deepEqual(await fileInImage(image, "/etc/settings"), { size: 9, mode: 0o640, ...owner });
    const superblock = (await fs.readFile(image)).subarray(1024, 2048);
    assert.equal(superblock.subarray(120, 128).toString(), "settings");
    execFileSync("e2fsck", ["-f", "-n", image], {
      stdio: "pipe",
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
    });
  });

  it("finds a file's bytes in the image", async () => {
    const files = path.join(directory, "files");
    await fs.mkdir(files);
    const content = randomBytes(300_000);
    await fs.writeFile(path.join(files, "a file"), content);
    const image = path.join(directory, "image");
    await makeExt4Image(image, { sizeMib: 16, fromDirectory: files });
    const extents = await fileExtents(image, "/a file");
    const bytes = await fs.readFile(image);
    const found = Buffer.alloc(extents.reduce((sum, { length }) => sum + length, 0));
    for (const { fileOffset, imageOffset, length } of extents) {
      bytes.copy(found, fileOffset, imageOffset, imageOffset + length);
    }
    assert.ok(found.subarray(0, content.length).equals(content));
  });

  it("lists a file of many pieces in the file's order", async () => {
    const files = path.join(directory, "files");
    await fs.mkdir(files);
    const file = await fs.open(path.join(files, "pieces"), "w");
    for (let piece = 0; piece < 12; piece++)
      await file.write(Buffer.alloc(4096, piece + 1), 0, 4096, piece * 3 * 4096);
    await file.close();
    const image = path.join(directory, "image");
    await makeExt4Image(image, { sizeMib: 16, fromDirectory: files });
    const extents = await fileExtents(image, "/pieces");
    assert.deepEqual(
      extents.map(({ fileOffset, length }) => [fileOffset, length]),
      Array.from({ length: 12 }, (_, piece) => [piece * 3 * 4096, 4096]),
    );
    const bytes = await fs.readFile(image);
    for (const [piece, { imageOffset }] of extents.entries()) assert.equal(bytes[imageOffset], piece + 1);
  });

  it("says which file is missing", async () => {
    const image = path.join(directory, "image");
    await makeExt4Image(image, { sizeMib: 16 });
    await assert.rejects(fileExtents(image, "/nowhere"), {
      message: `finding /nowhere in ${image}: no such file`,
    });
  });

  it("names the package when a tool is missing", async () => {
    await assert.rejects(runE2fs("mke2fs-that-is-missing", []), {
      message: "running mke2fs-that-is-missing: not found; install the package e2fsprogs",
    });
  });

  it("tells what a tool complained of", async () => {
    await assert.rejects(
      makeExt4Image(path.join(directory, "image"), { sizeMib: 16, fromDirectory: "/nowhere/at/all" }),
      {
        message: /^running mke2fs: it ended with 1: .*\/nowhere\/at\/all/s,
      },
    );
  });

  for (const [way, copy] of [
    ["the quickest way", sparseCopy],
    ["block by block", copyBlocks],
  ] as const) {
    for (const size of [0, 1, 65_536, 3_000_001, 40 << 20]) {
      it(`copies ${size} bytes with holes ${way}`, async () => {
        const from = path.join(directory, "from");
        const to = path.join(directory, "to");
        const file = await fs.open(from, "w");
        await file.truncate(size);
        for (let position = 0; position < size; position += 10 << 20) {
          const bytes = randomBytes(Math.min(100_000, size - position));
          await file.write(bytes, 0, bytes.length, position);
        }
        if (size > 0) await file.write(Buffer.from([7]), 0, 1, size - 1);
        await file.close();
        await fs.writeFile(to, randomBytes(1000));
        await copy(from, to);
        assert.ok((await fs.readFile(to)).equals(await fs.readFile(from)));
        if (size > 10 << 20) assert.ok((await fs.stat(to)).blocks * 512 < 4 << 20);
      });
    }
  }
});
