import assert from "node:assert/strict";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { embeddedStack, findPulumi, passphrase, pulumiStack } from "../engine/engine-stacks";
import { images } from "./install";
import { Lab } from "./lab";

const namespace = "shop";
const days = ["20", "21", "22", "23", "24"];

/** The operator's page, with this repository and with retentions that five days reach. */
const manifest = (url: string) => `apiVersion: backups.k8s.bnerd.com/v1
kind: VolumeSnapshotBackup
metadata: { name: orders, namespace: ${namespace} }
spec:
  volumeClaimRef: { name: orders-data }
  openstack:
    credentialsSecretRef: { name: openstack, namespace: ${namespace} }
    autoDiscover: true
  snapshot:
    force: true
    timeout: 600
    namePrefix: backup
    retention: { keepLast: 2, keepForDays: 2 }
  temporaryVolume: { timeout: 300 }
  repository:
    type: rest
    url: "${url}"
    secretRef: { name: restic }
  host: orders
  paths: ["/"]
  exclude: [lost+found, "*.tmp"]
  retention: { keepLast: 3 }
  resources:
    requests: { memory: 64Mi, cpu: 50m }
    limits: { memory: 512Mi, cpu: "1" }
`;

const program = `
const { readFileSync } = require("node:fs");
const { VolumeBackup } = require("pulumi-openstack-backup");
const [orders] = VolumeBackup.fromManifest(readFileSync("backup.yml", "utf8"), {
  schedule: "0 2 * * *",
  image: "${images.restic}",
});
exports.volumeId = orders.volumeId;
exports.points = orders.points;
`;

const engines = [
  ["the embedded engine", embeddedStack, true],
  ["the real CLI", pulumiStack, findPulumi() !== undefined],
] as const;

for (const [engine, open, present] of engines)
  describe(`A manifest of the operator on a real node, by ${engine}`, () => {
    const title = "backs its claim up for five days, and keeps what its two retentions say";
    if (!present) {
      it(`${title} (skipped: no pulumi on PATH)`);
      return;
    }

    it(title, async function () {
      this.timeout(600_000);
      const lab = await Lab.start();
      await lab.fresh();
      const root = path.join(lab.work, engine.replaceAll(" ", "-"));
      const project = path.join(root, "project");
      for (const name of ["project", "engine", "home"])
        await mkdir(path.join(root, name), { recursive: true });
      await symlink(path.join(__dirname, "../../node_modules"), path.join(project, "node_modules"), "dir");
      await writeFile(path.join(project, "Pulumi.yaml"), "name: page\nruntime: nodejs\nmain: index.js\n");
      await writeFile(path.join(project, "package.json"), '{ "private": true, "main": "index.js" }');
      await writeFile(path.join(project, "index.js"), program);
      // its own: a ResticRepository makes it
      const url = lab.rest.repository(`page-${engine.length}`);
      await writeFile(path.join(project, "backup.yml"), manifest(url));
      const volumeId = await lab.volumeWith({ "orders.txt": "order 1\n", "a.tmp": "left out\n" });
      await lab.claimOf(namespace, "orders-data", volumeId);
      await lab.secret(namespace, "restic", { RESTIC_PASSWORD: lab.repository.password });
      const environment: NodeJS.ProcessEnv = {
        ...lab.node.devcloud.environment,
        PATH: process.env.PATH,
        HOME: path.join(root, "home"),
        KUBECONFIG: process.env.KUBECONFIG,
        PULUMI_CONFIG_PASSPHRASE: passphrase,
      };
      const stack = await open({ project, directory: path.join(root, "engine"), environment });
      for (const day of days) {
        environment.OSBACKUP_NOW = `2026-11-${day}T02:30:00Z`;
        const { exitCode, output } = await stack.run("up");
        assert.equal(exitCode, 0, output);
        assert.match(output, /Succeeded: restic snapshot .* 1 files.* by Job in namespace shop, ext4/);
        assert.ok(!output.includes(lab.repository.password));
        const again = await stack.run("up", ["expectNoChanges"]);
        assert.equal(again.exitCode, 0, again.output);
      }
      const snapshots = await lab.open(url).snapshots();
      const daysOf = (times: string[]) => times.map(time => time.slice(8, 10)).sort();
      assert.deepEqual(daysOf(snapshots.map(({ time }) => time.toISOString())), days.slice(-3));
      const points = lab.node.devcloud.snapshots().filter(({ volume_id }) => volume_id === volumeId);
      assert.deepEqual(
        points.map(({ name }) => name?.replace(/-\d.*$/, "")),
        points.map(() => "backup-shop-orders-data"),
      );
      assert.deepEqual(
        daysOf(
          points.map(({ metadata }) => metadata["osbackup-time"] ?? metadata["osbackup-taken-at"] ?? ""),
        ),
        days.slice(-points.length),
      );
      assert.ok(points.length >= 2 && points.length <= 3, `${points.length} snapshots`);
      await lab.nothingLeft(namespace, ["orders-data", "restic"]);
      const gone = await stack.run("destroy");
      assert.equal(gone.exitCode, 0, gone.output);
      await lab.forget(namespace, "orders-data", "restic");
    });
  });
