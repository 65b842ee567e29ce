import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, openSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { type Devcloud, startDevcloud } from "../../devcloud";
import { type Cluster, cinderDriver, openCluster } from "../../provider/kubernetes/cluster";
import { until } from "../until";

/** Where the node is reached by its pods. */
export const nodeAddress = "10.77.0.1";

/** A cloud whose one server is the node, with the real Cinder CSI driver between the two. */
export interface NodeCloud {
  devcloud: Devcloud;
  cluster: Cluster;
  serverId: string;
  stop(): Promise<void>;
}

/** Starts it, inside the node's namespaces. */
export async function startNodeCloud(): Promise<NodeCloud> {
  const directory = process.env.OSBACKUP_KUBERNETES as string;
  const devcloud = await startDevcloud({
    backend: "local",
    directory: path.join(directory, "cloud"),
    deviceDirectory: "/dev/disk/by-id",
    statusDelayMs: 50,
  });
  const server = devcloud.addServer({ name: "node1" });
  const metadata = createServer((request, response) => {
    const known = request.url === "/openstack/latest/meta_data.json";
    const body = {
      uuid: server.id,
      name: "node1",
      hostname: "node1",
      availability_zone: "nova",
      devices: [],
    };
    response.writeHead(known ? 200 : 404).end(known ? JSON.stringify(body) : "");
  });
  await new Promise<void>(listening => metadata.listen(80, "169.254.169.254", listening));
  const cluster = await openCluster({});
  await until(
    "the node",
    async () =>
      (await cluster.core.listNode()).items.some(({ status }) =>
        status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True"),
      ),
    { seconds: 60 },
  );
  await until("the default service account", () =>
    cluster.core.readNamespacedServiceAccount({ name: "default", namespace: "default" }).then(
      () => true,
      () => false,
    ),
  );
  const driver = await startDriver(directory, devcloud, cluster);
  return {
    devcloud,
    cluster,
    serverId: server.id,
    async stop() {
      for (const one of driver) one.kill("SIGKILL");
      metadata.close();
      await devcloud.stop();
    },
  };
}

const kubelet = "/var/lib/kubelet";

async function startDriver(directory: string, devcloud: Devcloud, cluster: Cluster): Promise<ChildProcess[]> {
  const folder = `${kubelet}/plugins/${cinderDriver}`;
  const socket = `${folder}/csi.sock`;
  await mkdir(folder, { recursive: true });
  await mkdir(`${kubelet}/plugins_registry`, { recursive: true });
  const { OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME, OS_REGION_NAME } = devcloud.environment;
  await writeFile(
    "/run/cloud.conf",
    `[Global]
auth-url=${OS_AUTH_URL}
username=${OS_USERNAME}
password=${OS_PASSWORD}
tenant-name=${OS_PROJECT_NAME}
domain-id=default
region=${OS_REGION_NAME}
[Metadata]
search-order=metadataService
[BlockStorage]
ignore-volume-az=true
`,
    { mode: 0o600 },
  );
  const start = (name: string, args: string[]) => {
    const log = openSync(path.join(directory, "log", `${name}.log`), "w");
    return spawn(name, args, { stdio: ["ignore", log, log], env: { ...process.env, TMPDIR: "/run" } });
  };
  const plugin = start("cinder-csi-plugin", [
    `--endpoint=unix://${socket}`,
    ...["--cloud-config=/run/cloud.conf", "--cluster=test", "--with-topology=true", "--v=4"],
  ]);
  await until("the driver's socket", async () => existsSync(socket), { seconds: 30 });
  await cluster.storage.createCSIDriver({
    body: {
      metadata: { name: cinderDriver },
      spec: { attachRequired: true, podInfoOnMount: true, volumeLifecycleModes: ["Persistent"] },
    },
  });
  const attacher = start("csi-attacher", [
    ...["--kubeconfig=/run/admin.kubeconfig", `--csi-address=${socket}`, "--timeout=3m"],
    ...["--default-fstype=ext4", "--v=4"],
  ]);
  const registrar = start("registrar", [
    cinderDriver,
    socket,
    `${kubelet}/plugins_registry/${cinderDriver}-reg.sock`,
  ]);
  await until(
    "the driver on the node",
    async () =>
      (await cluster.storage.listCSINode()).items.some(({ spec }) =>
        (spec.drivers ?? []).some(({ name }) => name === cinderDriver),
      ),
    { seconds: 60 },
  );
  return [plugin, attacher, registrar];
}
