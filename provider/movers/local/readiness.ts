import { existsSync } from "node:fs";
import { findTool, remedyFor } from "./commands";
import { whyNoFuse } from "./fuse";
import { mayMount } from "./mounts";

export interface Readiness {
  /** Whether the files of an ext4 volume can be read; reading volumes as block devices needs nothing. */
  ok: boolean;
  /** What this machine can do, for people. */
  how: string;
  /** What would let it do more, or do it at all, with the remedy. */
  missing: { tool: string; remedy: string }[];
}

/** What this machine and this user can do with volumes. Starts nothing and changes nothing. */
export async function readiness(): Promise<Readiness> {
  const missing: Readiness["missing"] = [];
  const has = (...tools: string[]): boolean => {
    const absent = tools.filter(tool => !findTool(tool));
    for (const tool of absent) {
      if (!missing.some(known => known.tool === tool)) missing.push({ tool, remedy: remedyFor(tool) });
    }
    return absent.length === 0;
  };
  const able: string[] = [];
  const probing = has("blkid");
  has("sfdisk");
  const e2fsprogs = has("e2fsck", "debugfs", "dumpe2fs", "mke2fs");

  if (mayMount()) {
    const tools = has("losetup", "mount", "umount");
    if (!existsSync("/dev/loop-control")) {
      missing.push({
        tool: "/dev/loop-control",
        remedy: "load the kernel's loop module, or give it to this container",
      });
    } else if (tools && probing) {
      able.push("loop mounts of ext4, xfs and btrfs");
    }
  }
  if (able.length === 0 && probing && e2fsprogs) {
    const fuse = has("fuse2fs") && has("fusermount3") ? whyNoFuse() : "not installed";
    if (fuse === undefined) able.push("fuse2fs for ext4");
    else if (fuse !== "not installed") {
      missing.push({ tool: "/dev/fuse", remedy: `${fuse}: give it to this container, or run as root` });
    }
    able.push("copies of ext4 volumes by debugfs (owners are lost)");
  }
  const rbd = ["rbd", "qemu-storage-daemon", "rbd-fuse"].filter(findTool);
  if (rbd.length > 0) able.push(`Ceph volumes by ${rbd.join(", ")}`);
  const ok = able.some(way => way.includes("ext4"));
  return { ok, how: [...able, "block devices of any content"].join("; "), missing };
}
