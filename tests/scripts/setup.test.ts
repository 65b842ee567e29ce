import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { skips } from "../needs";

const script = resolve(__dirname, "../../scripts/setup.mjs");

const required = ["restic", "e2fsck", "debugfs", "dumpe2fs", "mke2fs"];
const optional = [
  "blkid",
  "setpriv",
  "losetup",
  "mount",
  "umount",
  "sfdisk",
  "fusermount3",
  "fuse2fs",
  "getfattr",
  "setfattr",
  "mkfs.xfs",
];

describe("scripts/setup.mjs", () => {
  let folder: string;
  let bin: string;
  let calls: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "osbackup-setup-"));
    bin = join(folder, "bin");
    calls = join(folder, "calls");
    mkdirSync(bin);
    chmodSync(folder, 0o755);
    writeFileSync(calls, "");
    chmodSync(calls, 0o666);
    chmodSync(bin, 0o777);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const program = (name: string, text = "exit 0") =>
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  const programs = (...names: string[]) => {
    for (const name of names) program(name);
  };

  /** A package manager that notes its arguments and does what `text` says. */
  const manager = (name: string, text: string) =>
    program(
      name,
      `echo "${name} $*" >> ${calls}\n[ "$DEBIAN_FRONTEND" = noninteractive ] || exit 9\n${text}`,
    );
  const called = () => readFileSync(calls, "utf8").split("\n").filter(Boolean);

  /** As root only if the tests run as root; `sudo` of the same folder otherwise. */
  const setup = (...options: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, `--path=${bin}`, ...options], {
      encoding: "utf8",
    });
    return { status, lines: stdout.split("\n").filter(Boolean), errors: stderr.split("\n").filter(Boolean) };
  };
  const letSudoIn = () => program("sudo", '[ "$2" = true ] && exit 0; shift; exec "$@"');

  it("says one line and asks no package manager when nothing is missing", () => {
    programs(...required, ...optional);
    manager("apt-get", "exit 1");
    const begin = performance.now();
    assert.deepEqual(setup(), { status: 0, lines: ["setup: everything is here"], errors: [] });
    assert.ok(performance.now() - begin < 1000);
    assert.deepEqual(called(), []);
  });

  it("installs what is missing in one go, without updating the lists first", () => {
    letSudoIn();
    programs(...optional, "debugfs", "dumpe2fs", "mke2fs");
    manager("apt-get", `touch ${bin}/restic ${bin}/e2fsck && chmod 755 ${bin}/restic ${bin}/e2fsck`);
    assert.deepEqual(setup(), {
      status: 0,
      lines: ["setup: installing restic, e2fsprogs by apt-get", "setup: installed; everything is here"],
      errors: [],
    });
    assert.deepEqual(called(), [
      "apt-get -q -o DPkg::Lock::Timeout=120 install -y --no-install-recommends restic e2fsprogs",
    ]);
  });

  it("updates the lists when a package is not known, and tries again", () => {
    letSudoIn();
    programs(...required.slice(1), ...optional);
    manager(
      "apt-get",
      `case "$*" in *update*) touch ${folder}/fresh;; *) [ -e ${folder}/fresh ] && cp ${bin}/blkid ${bin}/restic;; esac`,
    );
    assert.deepEqual(setup().lines, [
      "setup: installing restic by apt-get",
      "setup: updating the package lists",
      "setup: installed; everything is here",
    ]);
  });

  it("installs the rest one by one when one package does not exist", () => {
    letSudoIn();
    programs(...required.slice(1), ...optional.filter(name => name !== "fuse2fs"));
    manager(
      "dnf",
      `case "$*" in *fuse2fs*) echo "no match: fuse2fs" >&2; exit 1;; *) cp ${bin}/blkid ${bin}/restic;; esac`,
    );
    assert.deepEqual(setup(), {
      status: 0,
      lines: [
        "setup: installing restic, fuse2fs by dnf",
        "setup: fuse2fs: dnf failed: no match: fuse2fs",
        "setup: missing, not required: fuse2fs (mounts ext4 volumes without root)",
        "setup: as root: dnf install -y fuse2fs",
      ],
      errors: [],
    });
  });

  it("prints the command and fails when it may not install what is required", () => {
    programs(...required.slice(1), ...optional);
    manager("apt-get", "exit 1");
    assert.deepEqual(setup("--check"), {
      status: 1,
      lines: ["setup: as root: apt-get install -y --no-install-recommends restic"],
      errors: ["setup: missing and required: restic (makes the backups)"],
    });
    assert.deepEqual(called(), []);
  });

  it("succeeds when only what is not required is missing", () => {
    programs(...required, ...optional.slice(0, -1));
    assert.deepEqual(setup("--check"), {
      status: 0,
      lines: [
        "setup: missing, not required: mkfs.xfs (restores xfs volumes)",
        "setup: as root: install them by your system's package manager",
      ],
      errors: [],
    });
  });

  it("does not take busybox for the system's tools", () => {
    programs(...required, ...optional.slice(1), "busybox");
    symlinkSync("busybox", join(bin, "blkid"));
    assert.equal(
      setup("--check").lines[0],
      "setup: missing, not required: blkid (tells what a volume holds)",
    );
  });

  it("names packages as the system's own package manager does", () => {
    programs("apk");
    assert.equal(
      setup("--check").lines.at(-1),
      "setup: as root: apk add restic e2fsprogs e2fsprogs-extra util-linux sfdisk fuse3 fuse2fs attr xfsprogs",
    );
  });

  const root = process.geteuid?.() === 0;
  const mayBecomeNobody =
    root &&
    existsSync("/usr/bin/setpriv") &&
    spawnSync("setpriv", ["--reuid", "nobody", "--clear-groups", "cat", script]).status === 0;

  it("does not try to install without root and without sudo", function () {
    if (root && !mayBecomeNobody) skips(this, "nobody may not read this repository");
    programs(...required.slice(1), ...optional);
    manager("apt-get", "exit 1");
    program("sudo", "exit 1");
    const become = root ? ["setpriv", "--reuid", "nobody", "--clear-groups"] : ["env"];
    const [program_ = "env", ...rest] = [...become, process.execPath, script, `--path=${bin}`];
    const { status, stderr } = spawnSync(program_, rest, { encoding: "utf8" });
    assert.equal(status, 1);
    assert.equal(stderr, "setup: missing and required: restic (makes the backups)\n");
    assert.deepEqual(called(), []);
  });
});
