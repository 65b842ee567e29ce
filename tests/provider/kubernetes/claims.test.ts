import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { volumeOfClaim } from "../../../provider/kubernetes/claims";

const volumeId = "0a65e82a-0c49-424e-8369-364f49c97e92";

/** The answers of an API server 1.36, as recorded, cut to what is asked of them. */
const refusal = (code: number, reason: string, message: string) => ({
  code,
  body: { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, code },
});
const claim = (name: string, spec: object, phase: string, metadata: object = {}) => ({
  code: 200,
  body: {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name, namespace: "shop", ...metadata },
    spec: { accessModes: ["ReadWriteOnce"], volumeMode: "Filesystem", ...spec },
    status: { phase },
  },
});
const volume = (name: string, source: object) => ({
  code: 200,
  body: {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name },
    spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" }, ...source },
    status: { phase: "Bound" },
  },
});

const claims = "/api/v1/namespaces/shop/persistentvolumeclaims";
const volumes = "/api/v1/persistentvolumes";
const answers: Record<string, { code: number; body: object }> = {
  [`${claims}/data`]: claim("data", { volumeName: "pv-data", storageClassName: "csi-cinder" }, "Bound"),
  [`${volumes}/pv-data`]: volume("pv-data", {
    csi: { driver: "cinder.csi.openstack.org", fsType: "ext4", volumeHandle: volumeId },
  }),
  [`${claims}/old`]: claim("old", { volumeName: "pv-old", volumeMode: "Block" }, "Bound"),
  [`${volumes}/pv-old`]: volume("pv-old", { cinder: { volumeID: volumeId } }),
  [`${claims}/pending`]: claim("pending", { storageClassName: "external" }, "Pending"),
  [`${claims}/lost`]: claim("lost", { volumeName: "pv-lost" }, "Lost"),
  [`${claims}/going`]: claim("going", { volumeName: "pv-data" }, "Bound", {
    deletionTimestamp: "2026-11-25T23:02:20Z",
  }),
  [`${claims}/gone`]: claim("gone", { volumeName: "not-there" }, "Bound"),
  [`${volumes}/not-there`]: refusal(404, "NotFound", 'persistentvolumes "not-there" not found'),
  [`${claims}/ceph`]: claim("ceph", { volumeName: "pv-ceph" }, "Bound"),
  [`${volumes}/pv-ceph`]: volume("pv-ceph", { csi: { driver: "rbd.csi.ceph.com", volumeHandle: "x" } }),
  [`${claims}/nfs`]: claim("nfs", { volumeName: "pv-nfs" }, "Bound"),
  [`${volumes}/pv-nfs`]: volume("pv-nfs", { nfs: { server: "10.0.0.1", path: "/" } }),
  [`${claims}/hidden`]: claim("hidden", { volumeName: "x" }, "Bound"),
  [`${volumes}/x`]: refusal(
    403,
    "Forbidden",
    'persistentvolumes "x" is forbidden: User "backup-runner" cannot get resource "persistentvolumes" in API group "" at the cluster scope',
  ),
};

describe("the Cinder volume behind a claim", () => {
  let server: Server;
  let directory: string;
  let kubeconfig: string;
  let asked: { path: string; token: string | undefined }[];

  before(async () => {
    asked = [];
    server = createServer((request, response) => {
      const token = request.headers.authorization;
      asked.push({ path: request.url ?? "", token });
      const known = token === "Bearer a-token-nobody-must-see";
      const { code, body } = known
        ? (answers[request.url ?? ""] ??
          refusal(404, "NotFound", `persistentvolumeclaims "${request.url?.split("/").at(-1)}" not found`))
        : refusal(401, "Unauthorized", "Unauthorized");
      response.writeHead(code, { "Content-Type": "application/json", "Audit-Id": "an-audit-id" });
      response.end(JSON.stringify(body));
    });
    await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
    directory = await mkdtemp(path.join(tmpdir(), "osbackup-kubernetes-"));
    kubeconfig = path.join(directory, "config");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await writeFile(kubeconfig, configOf(url));
  });
  after(async () => {
    await new Promise(resolve => server.close(resolve));
    await rm(directory, { recursive: true });
  });

  const configOf = (url: string) => `apiVersion: v1
kind: Config
current-context: shop
clusters: [{name: here, cluster: {server: "${url}", insecure-skip-tls-verify: true}}]
users:
  - {name: runner, user: {token: a-token-nobody-must-see}}
  - {name: stranger, user: {token: another-token}}
contexts:
  - {name: shop, context: {cluster: here, user: runner, namespace: shop}}
  - {name: stranger, context: {cluster: here, user: stranger}}
`;

  it("is found through its persistent volume, in the context's namespace", async () => {
    assert.deepEqual(await volumeOfClaim({ name: "data", kubeconfig }), {
      volumeId,
      namespace: "shop",
      claim: "data",
      persistentVolume: "pv-data",
      storageClass: "csi-cinder",
      volumeMode: "Filesystem",
    });
    assert.deepEqual(
      asked.map(({ path }) => path),
      [`${claims}/data`, `${volumes}/pv-data`],
    );
  });

  it("is found too where the volume is of the time before drivers", async () => {
    const found = await volumeOfClaim({ name: "old", namespace: "shop", kubeconfig });
    assert.deepEqual([found.volumeId, found.volumeMode], [volumeId, "Block"]);
  });

  for (const [name, words] of [
    [
      "pending",
      /^claim shop\/pending is Pending, it has no volume yet: `kubectl describe pvc pending -n shop` says why$/,
    ],
    ["lost", /^claim shop\/lost is Lost: its volume pv-lost is gone from the cluster/],
    ["going", /^claim shop\/going is being deleted/],
    [
      "missing",
      /^reading claim shop\/missing: persistentvolumeclaims "missing" not found \(HTTP 404\), see `kubectl get pvc -n shop`$/,
    ],
    ["gone", /^reading persistent volume not-there of claim shop\/gone: .* not found \(HTTP 404\)/],
    [
      "ceph",
      /^persistent volume pv-ceph of claim shop\/ceph is of the driver rbd\.csi\.ceph\.com, not of cinder\.csi\.openstack\.org/,
    ],
    ["nfs", /^persistent volume pv-nfs of claim shop\/nfs is of nfs, not of/],
    [
      "hidden",
      /^reading persistent volume x of claim shop\/hidden: .*cannot get resource .* \(HTTP 403\); the account needs the verb get/,
    ],
  ] as const)
    it(`is an error that names the object where the claim is ${name}`, () =>
      assert.rejects(volumeOfClaim({ name, kubeconfig }), (error: Error) => {
        assert.match(error.message, words);
        assert.doesNotMatch(error.message, /nobody-must-see|audit-id/i);
        return true;
      }));

  it("is an error where the account, the context, the file or the cluster is not there", async () => {
    await assert.rejects(
      volumeOfClaim({ name: "data", kubeconfig, context: "stranger", namespace: "shop" }),
      /^Error: reading claim shop\/data: Unauthorized \(HTTP 401\); the kubeconfig's login is not/,
    );
    await assert.rejects(
      volumeOfClaim({ name: "data", kubeconfig, context: "prod" }),
      /no context 'prod', it has shop, stranger/,
    );
    await assert.rejects(
      volumeOfClaim({ name: "data", kubeconfig: "/nowhere" }),
      /kubeconfig \/nowhere: ENOENT/,
    );
    const dead = path.join(directory, "dead");
    await writeFile(dead, configOf("http://127.0.0.1:1"));
    await assert.rejects(
      volumeOfClaim({ name: "data", kubeconfig: dead }),
      /reading claim shop\/data: .*ECONNREFUSED/,
    );
  });
});
