import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findTool, remedyFor, run, waitUntil } from "./commands";
import { type AttachContext, type Connection, type Device, field } from "./connection";
import { messageOf, VolumeError } from "./errors";
import { exportImage, privateFolder, serveMount, whyNoFuse } from "./fuse";
import { mayMount } from "./mounts";
import { mappedRbd } from "./traces";

/** What Cinder tells of an RBD volume. */
export interface RbdImage {
  pool: string;
  namespace?: string;
  image: string;
  /** Without "client.". */
  user?: string;
  /** As ceph.conf's mon_host takes them, IPv6 in brackets. */
  monitors: string[];
  cluster: string;
  authenticated: boolean;
  /** The content of a keyring file; older clouds send it along. */
  keyring?: string;
}

/** pool/[namespace/]image. */
export const rbdSpec = (connection: Connection): string => field(connection, "name");

export function parseRbd(connection: Connection): RbdImage {
  const [pool, ...rest] = rbdSpec(connection).split("/");
  const image = rest.pop();
  const [namespace, ...more] = rest;
  if (!pool || !image || more.length > 0) {
    throw new VolumeError(
      "unsupported",
      `attaching the volume ${rbdSpec(connection)} by rbd: its name is not pool/image`,
    );
  }
  const texts = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);
  const ports = texts(connection.ports);
  const monitors = texts(connection.hosts).map((host, index) => {
    const bare = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
    return ports[index] ? `${bare}:${ports[index]}` : bare;
  });
  return {
    pool,
    ...(namespace ? { namespace } : {}),
    image,
    ...(typeof connection.auth_username === "string" ? { user: connection.auth_username } : {}),
    monitors,
    cluster: typeof connection.cluster_name === "string" ? connection.cluster_name : "ceph",
    authenticated: connection.auth_enabled !== false,
    ...(typeof connection.keyring === "string" ? { keyring: connection.keyring } : {}),
  };
}

/**
 * The configuration for this image: the host's own (CEPH_CONF, /etc/ceph/<cluster>.conf) where there is one and the
 * connection brings no keyring, else a minimal one from the connection, as os-brick writes it.
 */
function configuration(image: RbdImage, context: AttachContext): string {
  const { CEPH_CONF } = process.env;
  const own = CEPH_CONF && existsSync(CEPH_CONF) ? CEPH_CONF : `/etc/ceph/${image.cluster}.conf`;
  if (existsSync(own) && image.keyring === undefined) return own;
  if (image.monitors.length === 0) {
    throw new VolumeError(
      "unsupported",
      `attaching the volume ${image.pool}/${image.image} by rbd: the connection names no monitors and there is no ${own}: set CEPH_CONF`,
    );
  }
  const folder = privateFolder(context);
  let keyring: string | undefined;
  if (image.keyring !== undefined) {
    keyring = join(folder, "keyring");
    writeFileSync(keyring, image.keyring, { mode: 0o600 });
  }
  const path = join(folder, "ceph.conf");
  writeFileSync(path, minimalConfiguration(image, keyring), { mode: 0o600 });
  return path;
}

export function minimalConfiguration(image: RbdImage, keyring?: string): string {
  // the default of 300 s is too long to wait for a user or a monitor that does not exist
  const lines = ["[global]", `mon_host = ${image.monitors.join(",")}`, "client_mount_timeout = 30"];
  if (!image.authenticated) {
    lines.push("auth_cluster_required = none", "auth_service_required = none", "auth_client_required = none");
  }
  if (keyring) lines.push(`[client.${image.user ?? "admin"}]`, `keyring = ${keyring}`);
  return `${lines.join("\n")}\n`;
}

/** Arguments of `rbd map`. */
export function mapArguments(image: RbdImage, spec: string, configurationFile: string): string[] {
  return ["map", spec, "--conf", configurationFile, ...(image.user ? ["--id", image.user] : [])];
}

/** QEMU's BlockdevOptionsRbd. */
export function blockdevOf(image: RbdImage, configurationFile: string): Record<string, unknown> {
  return {
    driver: "rbd",
    pool: image.pool,
    ...(image.namespace ? { namespace: image.namespace } : {}),
    image: image.image,
    conf: configurationFile,
    ...(image.user ? { user: image.user } : {}),
  };
}

/** Arguments of rbd-fuse, which serves one image as a file of its name. The user goes by CEPH_ARGS: it has no option for it. */
export function rbdFuseArguments(image: RbdImage, folder: string, configurationFile: string): string[] {
  return ["-f", "-c", configurationFile, "-p", image.pool, "-r", image.image, folder];
}

/** By the kernel, else by qemu-storage-daemon, else by rbd-fuse; each is tried only where it can work. */
export async function attachRbd(connection: Connection, context: AttachContext): Promise<Device> {
  const image = parseRbd(connection);
  const spec = rbdSpec(connection);
  const conf = configuration(image, context);
  const doing = `attaching the volume ${spec} by rbd`;
  const ways: {
    how: string;
    unable: () => string | undefined | Promise<string | undefined>;
    open: () => Promise<string>;
  }[] = [
    {
      how: "rbd map",
      unable: () => {
        if (!findTool("rbd")) return `rbd is not installed (${remedyFor("rbd")})`;
        if (!mayMount()) return "mapping needs root";
        return kernelHasRbd();
      },
      open: async () => {
        context.claim.add({ kind: "rbd", spec });
        const { stdout } = await run("rbd", mapArguments(image, spec, conf), {
          doing,
          signal: context.signal,
        });
        return stdout.trim() || mappedRbd(spec) || "";
      },
    },
    {
      how: "qemu-storage-daemon",
      unable: () =>
        findTool("qemu-storage-daemon")
          ? whyNoFuse()
          : `qemu-storage-daemon is not installed (${remedyFor("qemu-storage-daemon")})`,
      open: () => exportImage(blockdevOf(image, conf), spec, context),
    },
    {
      how: "rbd-fuse",
      unable: () => {
        if (!findTool("rbd-fuse")) return `rbd-fuse is not installed (${remedyFor("rbd-fuse")})`;
        return image.namespace ? "it knows no namespaces" : whyNoFuse();
      },
      open: async () => {
        const folder = privateFolder(context);
        const args = rbdFuseArguments(image, folder, conf);
        const environment = image.user ? { CEPH_ARGS: `--id ${image.user}` } : {};
        await serveMount({ tool: "rbd-fuse", args, patienceSeconds: 2 }, folder, context, {
          doing,
          environment,
        });
        const file = join(folder, image.image);
        if (await waitUntil(() => existsSync(file), 10, context.signal)) return file;
        throw new VolumeError("failed", `${doing}: rbd-fuse shows no such image`);
      },
    },
  ];
  const reasons: string[] = [];
  for (const way of ways) {
    const reason = await way.unable();
    if (reason) {
      reasons.push(`${way.how}: ${reason}`);
      continue;
    }
    const before = context.claim.traces.length;
    try {
      return { path: await way.open(), how: way.how };
    } catch (error) {
      if (context.signal?.aborted) throw error;
      reasons.push(`${way.how}: ${messageOf(error)}`);
      context.log(`${way.how} did not work for ${spec}: ${messageOf(error)}`);
      await context.claim.undo({ keep: before });
    }
  }
  throw new VolumeError("unsupported", `${doing}: no way works here: ${reasons.join("; ")}`);
}

async function kernelHasRbd(): Promise<string | undefined> {
  if (!existsSync("/sys/bus/rbd") && findTool("modprobe")) {
    await run("modprobe", ["--quiet", "rbd"], { doing: "loading the kernel's rbd", accept: [0, 1] });
  }
  return existsSync("/sys/bus/rbd") ? undefined : "this kernel has no rbd";
}
