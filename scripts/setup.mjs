#!/usr/bin/env node
// Brings what npm cannot: restic and the system's tools for reading volumes. Plain Node without dependencies,
// because it runs before anything is built. Says one line and installs nothing when nothing is missing.
//
//   node scripts/setup.mjs [--check] [--tests] [--path=<folders>]
//
// --check   installs nothing, only tells what is missing
// --tests   brings what only the tests need, too
// --path    looks for programs in these folders (separated by colons) instead of PATH and the sbin folders
//
// Exit code 1: a required program is missing, or Node is too old.
import { spawnSync } from "node:child_process";
import { accessSync, constants, realpathSync } from "node:fs";
import { basename, join } from "node:path";

const oldestNode = [20, 19];

// `packages`: the name in each package manager; `apt` also stands for those not named.
const tools = [
  { tool: "restic", required: true, why: "makes the backups", packages: { apt: "restic" } },
  {
    tool: "e2fsck",
    with: ["debugfs", "dumpe2fs", "mke2fs"],
    required: true,
    why: "reads ext4 volumes",
    packages: { apt: "e2fsprogs", apk: "e2fsprogs e2fsprogs-extra" },
  },
  { tool: "blkid", with: ["setpriv"], why: "tells what a volume holds", packages: { apt: "util-linux" } },
  {
    tool: "losetup",
    with: ["mount", "umount"],
    why: "mounts volumes as root",
    packages: { apt: "mount", other: "util-linux" },
  },
  {
    tool: "sfdisk",
    why: "reads partitioned volumes",
    packages: { apt: "fdisk", apk: "sfdisk", other: "util-linux" },
  },
  { tool: "fusermount3", why: "mounts volumes without root", packages: { apt: "fuse3" } },
  { tool: "fuse2fs", why: "mounts ext4 volumes without root", packages: { apt: "fuse2fs" } },
  {
    tool: "getfattr",
    with: ["setfattr"],
    why: "keeps the ACL of a volume's root",
    packages: { apt: "attr" },
  },
  { tool: "mkfs.xfs", why: "restores xfs volumes", packages: { apt: "xfsprogs" } },
];

// What only the tests need: other formats and servers that volumes and repositories are held to.
const testTools = [
  {
    tool: "qemu-img",
    with: ["qemu-storage-daemon"],
    why: "tests of qcow2 volumes",
    packages: { apt: "qemu-utils qemu-system-common" },
  },
  { tool: "mkfs.btrfs", why: "tests of btrfs volumes", packages: { apt: "btrfs-progs" } },
  { tool: "rclone", why: "tests of repositories on a REST server", packages: { apt: "rclone" } },
  { tool: "unshare", why: "tests of locks of other machines", packages: { apt: "util-linux" } },
  { tool: "script", why: "tests at a terminal", packages: { apt: "bsdutils", other: "util-linux" } },
];

const managers = [
  {
    name: "apt",
    program: "apt-get",
    install: ["install", "-y", "--no-install-recommends"],
    update: ["update", "-q"],
  },
  { name: "dnf", program: "dnf", install: ["install", "-y"] },
  { name: "yum", program: "yum", install: ["install", "-y"] },
  { name: "apk", program: "apk", install: ["add"], update: ["update"] },
  { name: "zypper", program: "zypper", install: ["--non-interactive", "install"] },
  { name: "pacman", program: "pacman", install: ["-S", "--needed", "--noconfirm"] },
];

const options = process.argv.slice(2);
const pathOption = options.find(option => option.startsWith("--path="));
const folders = (
  pathOption
    ? pathOption.slice("--path=".length)
    : `${process.env.PATH || ""}:/usr/local/sbin:/usr/sbin:/sbin`
)
  .split(":")
  .filter(Boolean);

const say = line => console.log(`setup: ${line}`);

function find(program) {
  for (const folder of folders) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      // busybox's versions of blkid, losetup and setpriv lack what is asked of them
      if (basename(realpathSync(path)) !== "busybox") return path;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}

const lacks = ({ tool, with: others = [] }) => ![tool, ...others].every(find);
const packagesOf = (missing, manager) => [
  ...new Set(
    missing.flatMap(({ packages }) => {
      const own = manager.name === "apt" ? undefined : packages[manager.name] || packages.other;
      return (own || packages.apt).split(" ");
    }),
  ),
];

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [oldestMajor, oldestMinor] = oldestNode;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return true;
  console.error(`setup: Node ${process.versions.node} is too old: install ${oldestNode.join(".")} or newer`);
  return false;
}

// Root needs nothing in front; others need sudo that asks for no password.
function privilege() {
  if (process.getuid && process.getuid() === 0) return [];
  const sudo = find("sudo");
  if (sudo && spawnSync(sudo, ["-n", "true"], { stdio: "ignore" }).status === 0) {
    // sudo drops the environment: it is given again behind it
    return [sudo, "-n", "env", ...Object.entries(quiet).map(([name, value]) => `${name}=${value}`)];
  }
  return undefined;
}

// No questions, and no service is started by a package (invoke-rc.d honours RUNLEVEL).
const quiet = { DEBIAN_FRONTEND: "noninteractive", NEEDRESTART_SUSPEND: "1", RUNLEVEL: "1" };

function manage(prefix, manager, args) {
  const extra = manager.name === "apt" ? ["-q", "-o", "DPkg::Lock::Timeout=120"] : [];
  const [program, ...rest] = [...prefix, find(manager.program), ...extra, ...args];
  const { status, stdout, stderr } = spawnSync(program, rest, {
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
    env: { ...process.env, ...quiet },
    maxBuffer: 64 * 1024 * 1024,
  });
  return { ok: status === 0, output: `${stdout || ""}${stderr || ""}` };
}

const lastLine = text => text.trim().split("\n").pop() || "";

// All at once; where that fails (an unknown name, old lists) with fresh lists, and then one by one.
function install(prefix, manager, missing) {
  const names = packagesOf(missing, manager);
  say(`installing ${names.join(", ")} by ${manager.program}`);
  if (manage(prefix, manager, [...manager.install, ...names]).ok) return;
  if (manager.update) {
    say("updating the package lists");
    const { ok, output } = manage(prefix, manager, manager.update);
    if (!ok) say(`${manager.program} update failed: ${lastLine(output)}`);
    if (manage(prefix, manager, [...manager.install, ...names]).ok) return;
  }
  for (const one of missing) {
    const packages = packagesOf([one], manager);
    const { ok, output } = manage(prefix, manager, [...manager.install, ...packages]);
    if (!ok) say(`${packages.join(", ")}: ${manager.program} failed: ${lastLine(output)}`);
  }
}

function main() {
  if (!checkNode()) return 1;
  const wanted = options.includes("--tests") ? [...tools, ...testTools] : tools;
  let missing = wanted.filter(lacks);
  if (missing.length === 0) {
    say("everything is here");
    return 0;
  }
  const manager = managers.find(({ program }) => find(program));
  const prefix = options.includes("--check") || !manager ? undefined : privilege();
  if (prefix) {
    install(prefix, manager, missing);
    missing = wanted.filter(lacks);
    if (missing.length === 0) {
      say("installed; everything is here");
      return 0;
    }
  }
  const required = missing.filter(tool => tool.required);
  const names = list => list.map(({ tool, why }) => `${tool} (${why})`).join(", ");
  const command = manager
    ? `${manager.program} ${manager.install.join(" ")} ${packagesOf(missing, manager).join(" ")}`
    : `install them by your system's package manager`;
  if (required.length > 0) console.error(`setup: missing and required: ${names(required)}`);
  const optional = missing.filter(tool => !tool.required);
  if (optional.length > 0) say(`missing, not required: ${names(optional)}`);
  say(`as root: ${command}`);
  return required.length > 0 ? 1 : 0;
}

process.exitCode = main();
