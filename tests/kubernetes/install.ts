import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { buildGoModule, installPackages } from "../services/install";

const execute = promisify(execFile);

const kubernetesVersion = "v1.36.3";

/** The parts of a node that Debian has. */
const packages = [
  "containerd",
  "runc",
  "etcd-server",
  "containernetworking-plugins",
  "busybox-static",
  "iptables",
  "conntrack",
];

/** Installs and builds what a node needs; returns the folder of its programs, each by its name. */
export async function install(): Promise<string> {
  await installPackages([...packages, "attr", "rclone"]);
  const version = "k8s.io/component-base/version";
  const directory = await buildGoModule(
    path.join(__dirname, "build"),
    [
      "./components",
      "./registrar",
      "k8s.io/cloud-provider-openstack/cmd/cinder-csi-plugin",
      "github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher",
    ],
    `-X ${version}.gitVersion=${kubernetesVersion} -X ${version}.gitMajor=1 -X ${version}.gitMinor=36`,
  );
  for (const name of ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"]) {
    const link = path.join(directory, name);
    if (!existsSync(link)) await symlink("components", link);
  }
  return directory;
}

/** The images that pods run, none of which comes from a registry. */
export const images = { pause: "localhost/pause:1", restic: "localhost/osbackup/runner:1" };

const shellTools =
  "sh sleep cat ls echo dd mount df id find tail head printf true false date touch rm mkdir cp sha256sum wc grep stat env tr tee chown chmod sync mkfifo base64 test".split(
    " ",
  );

/** Writes the images into a folder, made from this machine's own files. */
export async function makeImages(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  await image(path.join(directory, "pause.tar"), images.pause, ["/bin/sleep", "2147483647"], []);
  await image(
    path.join(directory, "runner.tar"),
    images.restic,
    ["/bin/sh"],
    ["restic", "getfattr", "setfattr"],
  );
}

/** One image of one layer: busybox, and programs with their libraries. */
async function image(file: string, name: string, entrypoint: string[], programs: string[]): Promise<void> {
  const work = await mkdtemp(path.join(tmpdir(), "osbackup-image-"));
  try {
    const root = path.join(work, "root");
    for (const folder of ["bin", "etc", "tmp", "usr/bin"])
      await mkdir(path.join(root, folder), { recursive: true });
    await copyFile("/bin/busybox", path.join(root, "bin/busybox"));
    for (const tool of shellTools) await symlink("busybox", path.join(root, "bin", tool));
    await writeFile(path.join(root, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
    for (const program of programs) await addProgram(root, program);
    await execute("tar", ["--owner=0", "--group=0", "-C", root, "-cf", path.join(work, "layer"), "."]);
    const layout = path.join(work, "layout");
    await mkdir(path.join(layout, "blobs/sha256"), { recursive: true });
    const blob = async (data: Buffer | string, mediaType: string) => {
      const digest = createHash("sha256").update(data).digest("hex");
      await writeFile(path.join(layout, "blobs/sha256", digest), data);
      return { mediaType, digest: `sha256:${digest}`, size: Buffer.byteLength(data) };
    };
    const kind = (what: string) => `application/vnd.oci.image.${what}`;
    const layer = await blob(await readFile(path.join(work, "layer")), kind("layer.v1.tar"));
    const config = await blob(
      JSON.stringify({
        architecture: "amd64",
        os: "linux",
        config: { Entrypoint: entrypoint, Env: ["PATH=/usr/bin:/bin"], StopSignal: "SIGINT" },
        rootfs: { type: "layers", diff_ids: [layer.digest] },
      }),
      kind("config.v1+json"),
    );
    const manifest = await blob(
      JSON.stringify({ schemaVersion: 2, mediaType: kind("manifest.v1+json"), config, layers: [layer] }),
      kind("manifest.v1+json"),
    );
    const annotations = { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": "1" };
    await writeFile(path.join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
    await writeFile(
      path.join(layout, "index.json"),
      JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
    );
    await execute("tar", ["-C", layout, "-cf", file, "oci-layout", "index.json", "blobs"]);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function addProgram(root: string, program: string): Promise<void> {
  const { stdout } = await execute("sh", ["-c", 'command -v "$1"', "sh", program]);
  const found = stdout.trim();
  const linked = await execute("ldd", [found]).then(
    ({ stdout: text }) => text.match(/\/\S+/g) ?? [],
    () => [], // a static one
  );
  for (const file of [found, ...linked]) {
    const target = path.join(root, file === found ? `usr/bin/${program}` : file);
    await mkdir(path.dirname(target), { recursive: true });
    await copyFile(await realpath(file), target);
  }
}
