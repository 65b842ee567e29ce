import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { makeExt4Image } from "../../devcloud";
import { openRepository } from "../../provider/restic";
import { type CloudUnderTest, cloudUnderTest } from "../contract/clouds";
import { HostileStack, hourOf, password, type Site, slotOf } from "../faults/hostile-set";
import { until } from "../until";
import { type Openstack, openstack } from ".";
import { emptyProject } from "./data/cloud";

describe("a storage whose services are killed in the middle of a run", () => {
  const variables = ["TMPDIR", "OSBACKUP_MOUNT_DIRECTORY", "CEPH_CONF", "PATH"] as const;
  const inherited = variables.map(name => [name, process.env[name]] as const);
  let services: Openstack;
  let cloud: CloudUnderTest;
  let directory: string;
  let site: Site;
  let stack: HostileStack<Site>;

  before(async function () {
    this.timeout(900_000); // the first start on a machine installs everything
    services = await openstack({ backends: ["rbd"] });
    cloud = await cloudUnderTest("rbd", services);
  });
  after(async function () {
    this.timeout(60_000);
    await cloud?.stop();
    await services?.stop();
  });

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "osbackup-outages-"));
    for (const name of ["mnt", "tmp", "bin", "files"]) await mkdir(path.join(directory, name));
    await writeFile(path.join(directory, "files", "ledger"), randomBytes(64 << 20));
    const restic = execFileSync("sh", ["-c", "command -v restic"], { encoding: "utf8" }).trim();
    // it takes a while, so that something can happen in it
    const slow = `#!/bin/sh\ncase " $* " in *" backup "*) sleep 3;; esac\nexec ${restic} "$@"\n`;
    await writeFile(path.join(directory, "bin", "restic"), slow, { mode: 0o755 });
    Object.assign(process.env, {
      TMPDIR: path.join(directory, "tmp"),
      OSBACKUP_MOUNT_DIRECTORY: path.join(directory, "mnt"),
      CEPH_CONF: services.environment.CEPH_CONF,
      PATH: `${path.join(directory, "bin")}:${process.env.PATH}`,
    });
    const imageFile = path.join(directory, "volume.img");
    await makeExt4Image(imageFile, { fromDirectory: path.join(directory, "files"), sizeMib: 128 });
    const url = path.join(directory, "repository");
    await openRepository({ url, password }).ensureInitialised();
    site = { cloud: services, url, said: [], clock: new Date() };
    const volumeId = await cloud.addVolume({ imageFile });
    const retention = { retention: { keepLast: 2 } };
    stack = new HostileStack(site, "shop/outages", {
      pg: { volumeId, snapshot: retention, backup: retention, timeoutSeconds: 25 },
    });
    assert.deepEqual(await stack.up(hourOf(1)), {});
  });

  afterEach(async function () {
    this.timeout(120_000);
    if (this.currentTest?.state === "failed") console.error(site?.said.join("\n"));
    for (const [name, value] of inherited)
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    let well = 0;
    // each of a service's connections to a database that was away fails once
    await until("the services", async () => {
      const { status } = await cloud.demo.send("GET", "volumev3", "/volumes/detail");
      well = status === 200 ? well + 1 : 0;
      return well === 5;
    });
    await emptyProject(cloud.demo);
    await rm(directory, { recursive: true, force: true });
  });

  /** One point of each of these slots here and there, as the state has it, and nothing that only lives for a while. */
  async function assertWhole(...slots: string[]): Promise<void> {
    const idsOf = (resource: string, key: string) =>
      (stack.state(resource)?.points as Record<string, string>[]).map(point => point[key]).sort();
    const objects = await cloud.objects();
    const points = objects.filter(({ kind }) => kind === "snapshot");
    assert.deepEqual(points.map(({ id }) => id).sort(), idsOf("pg-snapshot", "snapshotId"));
    assert.deepEqual(
      points.filter(({ status }) => status !== "available"),
      [],
    );
    const cinder = points.map(({ metadata }) => metadata["osbackup-slot"]).sort();
    assert.deepEqual([...new Set(cinder)], cinder);
    assert.equal(cinder.at(-1), slots.at(-1));
    assert.deepEqual(
      objects.filter(({ kind }) => kind !== "snapshot").map(({ id }) => id),
      [stack.sets.pg?.volumeId],
    );
    const copies = await openRepository({ url: site.url, password }).snapshots();
    assert.deepEqual(copies.map(({ id }) => id).sort(), idsOf("pg-backup", "resticSnapshotId"));
    const tags = copies.map(({ tags }) =>
      tags.filter(tag => /^slot=|^partial$|^unproven$/.test(tag)).join(" "),
    );
    assert.deepEqual(
      tags.sort(),
      slots.map(slot => `slot=${slot}`),
    );
    assert.deepEqual(await readdir(path.join(site.url, "locks")), []);
    assert.deepEqual(
      (await readdir(path.join(directory, "mnt"))).filter(name => name.endsWith(".json")),
      [],
    );
    assert.deepEqual(await readdir(path.join(directory, "tmp")), []);
    assert.ok(!readFileSync("/proc/self/mounts", "utf8").includes(directory));
    assert.deepEqual(commandsOf(directory), []);
    const secrets = [password, services.environment.OS_PASSWORD ?? "?"];
    assert.deepEqual(
      site.said.filter(line => secrets.some(secret => line.includes(secret))),
      [],
    );
  }

  /** Runs until one ends well, which is the second after the trouble at the latest. */
  async function converges(hour: number): Promise<void> {
    const first = await stack.up(hourOf(hour));
    if (Object.keys(first).length === 0) return;
    console.log(`      the run after it: ${Object.values(first)}`);
    assert.deepEqual(await stack.up(hourOf(hour)), {});
  }

  it("leaves one point of each slot where the daemon is killed that shows an image to this machine", async function () {
    this.timeout(180_000);
    const run = stack.up(hourOf(2));
    const pid = await until("the daemon", async () => {
      for (const name of await readdir(path.join(directory, "mnt"))) {
        if (!name.endsWith(".json")) continue;
        const text = await readFile(path.join(directory, "mnt", name), "utf8").catch(() => "{}");
        const found = /"tool":\s*"qemu-storage-daemon"[^}]*"pid":\s*(\d+)/s.exec(text);
        if (found && readFileSync("/proc/self/mounts", "utf8").includes(path.join(directory, "mnt")))
          return Number(found[1]);
      }
      return undefined;
    });
    process.kill(pid, "SIGKILL");
    const failures = await run;
    assert.deepEqual(Object.keys(failures), ["pg-backup"], JSON.stringify(failures));
    console.log(`      ${failures["pg-backup"]}`);
    await converges(2);
    await assertWhole(slotOf(1), slotOf(2));
  });

  const moments = { "its volume is being made": "pg-snapshot", "it is about to be read": "pg-volume" };
  const outages: [title: string, name: string, signal: NodeJS.Signals][] = [
    ["volume service", "cinder-volume", "SIGKILL"],
    ["message bus", "rabbitmq", "SIGKILL"],
    // a killed one would lose its last second here: it is not set up to survive a power failure
    ["database", "mariadb", "SIGTERM"],
  ];
  for (const [title, name, signal] of outages)
    it(`leaves one point of each slot where the ${title} is away for 10 s, whenever that is`, async function () {
      this.timeout(300_000);
      let hour = 1;
      for (const [when, resource] of Object.entries(moments)) {
        hour++;
        let outage: Promise<void> | undefined;
        stack.meanwhile[resource] = async () => {
          outage ??= services.outage(name, 10, signal);
        };
        const begun = Date.now();
        const failures = await stack.up(hourOf(hour));
        assert.ok(outage, "it was not ended");
        await outage;
        stack.meanwhile = {};
        console.log(
          `      ${when}: ${Object.values(failures)[0] ?? "well"}, ${((Date.now() - begun) / 1000).toFixed(0)} s`,
        );
        for (const words of Object.values(failures)) assert.match(words, /(volume|snapshot|attach|cinder)/i);
        await converges(hour);
        await assertWhole(slotOf(hour - 1), slotOf(hour));
      }
    });
});

/** What still runs with this folder in its command. */
function commandsOf(directory: string): string[] {
  return readdirSync("/proc")
    .filter(name => /^\d+$/.test(name))
    .flatMap(pid => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        return command.includes(directory) ? [command] : [];
      } catch {
        return [];
      }
    });
}
