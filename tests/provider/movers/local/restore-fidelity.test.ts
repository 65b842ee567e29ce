import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, startDevcloud } from "../../../../devcloud";
import { probe } from "../../../../provider/movers/local";
import { localMover } from "../../../../provider/movers/local/local-mover";
import { resolveCloud, type Session, Sessions } from "../../../../provider/openstack";
import { openRepository } from "../../../../provider/restic";
import { Lifecycle } from "../../../lifecycle";
import { newRepository, password, tidyUp } from "../../restic/fixture";

const sh = (script: string, ...given: string[]) =>
  execFileSync("sh", ["-euc", script, "sh", ...given], { encoding: "utf8" });

describe("what restic does not keep", function () {
  this.timeout(120_000);
  let cloud: Devcloud;
  let work: string;
  let url: string;
  let session: Session;
  let lines: string[];
  const mountDirectory = process.env.OSBACKUP_MOUNT_DIRECTORY;

  beforeEach(async () => {
    work = mkdtempSync(path.join(tmpdir(), "osbackup-fidelity-"));
    process.env.OSBACKUP_MOUNT_DIRECTORY = path.join(work, "mnt");
    cloud = await startDevcloud();
    url = (await newRepository()).path;
    session = new Sessions().open(
      resolveCloud({ directory: "/" }, { HOME: "/nonexistent", ...cloud.environment }),
    );
    lines = [];
    mkdirSync(path.join(work, "at"));
  });
  afterEach(async () => {
    await cloud.stop();
    if (mountDirectory === undefined) delete process.env.OSBACKUP_MOUNT_DIRECTORY;
    else process.env.OSBACKUP_MOUNT_DIRECTORY = mountDirectory;
    rmSync(work, { recursive: true, force: true });
  });
  after(tidyUp);

  /** A volume made by `make` (with the image as $1), and filled by `fill` (in its root). */
  async function volumeOf(make: string, fill: string): Promise<string> {
    const image = path.join(work, "source.img");
    sh(`truncate -s 512M "$1"; ${make}`, image);
    sh(`mount -o loop "$1" "$2"; cd "$2"; ${fill}; cd /; umount "$2"`, image, path.join(work, "at"));
    return (await cloud.addVolume({ name: "source", imageFile: image })).id;
  }

  async function backUp(volumeId: string): Promise<string> {
    const moved = await localMover.synchronize({
      session,
      volumeId,
      owner: "shop/prod/fidelity",
      repository: openRepository({ url, password }),
      content: "file",
      paths: ["/"],
      exclude: [],
      host: "fidelity",
      tags: [],
      time: new Date("2026-11-22T10:00:00Z"),
      timeoutSeconds: 60,
      log: line => lines.push(line),
    });
    return moved.snapshotId;
  }

  async function restore(resticSnapshotId: string, more: object = {}) {
    const run = new Lifecycle(cloud.environment);
    const made = await run.up("VolumeRestore", {
      owner: "shop/prod/restored",
      resticSnapshotId,
      repository: { url, password },
      sizeGib: 1,
      ...more,
    });
    lines.push(...run.lines);
    const image = sh('find "$1" -name "volume-$2"', cloud.directory, made.volumeId).trim();
    return { made, image };
  }

  function inside<T>(image: string, look: (root: string) => T): T {
    const at = path.join(work, "at");
    sh(
      'mount -o loop,ro,$([ "$(blkid -o value -s TYPE "$1")" = xfs ] && echo nouuid || echo noatime) "$1" "$2"',
      image,
      at,
    );
    try {
      return look(at);
    } finally {
      sh('umount "$1"', at);
    }
  }

  const attributes = (root: string) => sh('cd "$1" && getfattr --dump --match=- --encoding=hex .', root);

  it("is kept beside the point of the root: owner, mode, time, ACLs and attributes", async () => {
    const volumeId = await volumeOf(
      'mkfs.ext4 -q "$1"',
      // group 1001 has r-x by an ACL whose mask is r-x, the owning group nothing
      `echo data >file
       chown 70:70 . ; chmod 2750 .
       setfattr -n system.posix_acl_access -v 0x02000000010007000000ffffffff04000000ffffffff08000500e903000010000500ffffffff20000000ffffffff .
       setfattr -n system.posix_acl_default -v 0x02000000010007000000ffffffff04000500ffffffff20000000ffffffff .
       setfattr -n user.note -v 'a, "b" = c' . ; setfattr -n trusted.t -v 0x00ff .
       touch -d 2020-02-03T04:05:06.789Z .`
        .replace(
          "0x02000000010007000000ffffffff04000000ffffffff",
          "0x0200000001000700ffffffff04000000ffffffff",
        )
        .replace(
          "0x02000000010007000000ffffffff04000500ffffffff",
          "0x0200000001000700ffffffff04000500ffffffff",
        ),
    );
    const before = inside(path.join(work, "source.img"), root => ({
      attributes: attributes(root),
      ...pick(statSync(root)),
    }));
    assert.match(before.attributes, /posix_acl_access=.*posix_acl_default=.*trusted\.t=.*user\.note=/s);
    const { image } = await restore(await backUp(volumeId));
    assert.deepEqual(
      inside(image, root => ({ attributes: attributes(root), ...pick(statSync(root)) })),
      before,
    );
  });

  const pick = ({
    mode,
    uid,
    gid,
    mtimeMs,
  }: {
    mode: number;
    uid: number;
    gid: number;
    mtimeMs: number;
  }) => ({
    mode: (mode & 0o7777).toString(8),
    uid,
    gid,
    mtime: Math.round(mtimeMs),
  });

  it("says where the root's attributes are too large to be kept, and keeps the rest", async () => {
    const volumeId = await volumeOf(
      'mkfs.ext4 -q -b 4096 -I 256 "$1"',
      "echo data >file; for n in 1 2 3; do setfattr -n user.large$n -v $(head -c 1200 /dev/zero | tr '\\0' x) . ; done; " +
        "touch -d 2020-02-03T04:05:06Z .",
    );
    const { image } = await restore(await backUp(volumeId));
    const kept = inside(image, root => attributes(root));
    const isWarned = lines.some(line =>
      /^warning: 3 attributes of the volume's root are not kept/.test(line),
    );
    assert.equal(isWarned, !kept.includes("user.large1"));
  });

  for (const [type, uuid, label] of [
    ["ext4", "6f1c0000-1111-4222-8333-444455556666", "data, 1=%"],
    ["xfs", "7f1c0000-1111-4222-8333-444455556666", "data,1"],
  ] as const)
    it(`is kept beside the point of the file system: UUID and label of ${type}`, async () => {
      const make =
        type === "ext4"
          ? `mkfs.ext4 -q -U ${uuid} -L '${label}' -b 1024 -I 128 "$1" 2>/dev/null`
          : `mkfs.xfs -q -m uuid=${uuid} -L '${label}' "$1"`;
      const id = await backUp(await volumeOf(make, "echo data >file"));
      const { image } = await restore(id);
      const found = await probe(image);
      assert.deepEqual([found.fileSystem, found.uuid, found.label], [type, uuid, label]);
      if (type === "ext4") {
        const header = sh('dumpe2fs -h "$1" 2>/dev/null', image);
        assert.match(header, /^Block size:\s+1024$/m);
        assert.match(header, /^Inode size:\s+128$/m);
      }
      const other = await probe((await restore(id, { owner: "shop/prod/beside", newUuid: true })).image);
      assert.notEqual(other.uuid, uuid);
      assert.equal(other.label, label);
    });

  it("is said of symbolic links whose targets restic rewrites, and they are not called verified", async () => {
    const volumeId = await volumeOf(
      'mkfs.ext4 -q "$1"',
      `mkdir d; ln -s "$(printf 'x\\377')" d/odd; ln -s "$(printf '\\303\\244')" d/fine; echo data >file`,
    );
    const { made } = await restore(await backUp(volumeId));
    const keeps = await openRepository({ url, password }).supports("rawLinks");
    assert.equal(made.verified, keeps);
    assert.match(
      made.compared,
      keeps
        ? /^the contents of every file$/
        : /^the contents of every file; 1 symbolic links have other targets/,
    );
    assert.equal(
      lines.some(line => /^warning: the targets of 1 symbolic links are not UTF-8/.test(line)),
      !keeps,
    );
  });

  it("refuses a volume that the holes of sparse files would fill, before it is made, where restic writes them", async () => {
    const volumeId = await volumeOf('mkfs.ext4 -q "$1"', "truncate -s 3G hole; echo data >file");
    const id = await backUp(volumeId);
    const before = cloud.volumes().length;
    if (await openRepository({ url, password }).supports("sparse")) {
      const { image } = await restore(id);
      assert.equal(
        inside(image, root => statSync(path.join(root, "hole")).size),
        3 * 2 ** 30,
      );
      return;
    }
    await assert.rejects(
      restore(id),
      /its files take 3\.0 GiB where the holes of sparse files are written too.*give sizeGib 4 or more, or use restic 0\.15/,
    );
    assert.equal(cloud.volumes().length, before);
  });

  it("reports by kind what a restore could not write, and blames the volume for being full", async () => {
    const source = path.join(work, "files");
    mkdirSync(source);
    for (const name of ["a", "b", "c", "d"])
      writeFileSync(path.join(source, name), Buffer.alloc(2 << 20, name));
    const repository = openRepository({ url, password });
    const { snapshotId } = await repository.backup({ directory: source, paths: ["."], host: "h", tags: [] });
    const target = path.join(work, "small");
    mkdirSync(target);
    sh('mount -t tmpfs -o size=1m tmpfs "$1"', target);
    try {
      await assert.rejects(repository.restore(snapshotId, { target, verify: true }), (error: Error) => {
        assert.match(error.message, /: \d files?: does not fit \(\/[a-d].*; restore into a larger volume$/);
        assert.doesNotMatch(error.message, /prune/);
        return true;
      });
    } finally {
      sh('umount "$1"', target);
    }
    assert.deepEqual(readdirSync(source).length, 4);
    assert.equal(readFileSync(path.join(source, "a")).length, 2 << 20);
  });
});
