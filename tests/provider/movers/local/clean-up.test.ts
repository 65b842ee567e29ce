import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { cleanUp, openVolume } from "../../../../provider/movers/local";
import { nfsFile } from "../../../../provider/movers/local/attach";
import { loopDevices } from "../../../../provider/movers/local/loop";
import { skips } from "../../../needs";
import {
  cleanLab,
  expectedWay,
  imageWithPendingJournal,
  isRoot,
  killHard,
  leftovers,
  local,
  needsMount,
  needsQcow2,
  occupy,
  openElsewhere,
  sh,
  temporaryFolder,
} from "./lab";

describe(`cleanUp by ${expectedWay}`, () => {
  let folder: string;
  let mountPath: string;
  let image: string;

  beforeEach(() => {
    folder = temporaryFolder();
    mountPath = join(folder, "mnt");
    image = imageWithPendingJournal(join(folder, "volume.img"));
  });
  afterEach(cleanLab);

  const killARun = async () =>
    killHard(await openElsewhere({ connection: local(image), mountPath, access: "read" }));

  const assertNothingLeft = () => {
    assert.deepEqual(leftovers(folder), []);
    assert.equal(existsSync(`${mountPath}.state.json`), false);
    assert.deepEqual(readdirSync(mountPath), []);
  };

  it("undoes what a killed run left, and finds nothing the second time", async () => {
    await killARun();
    const did = await cleanUp(mountPath);
    if (expectedWay === "fuse2fs") {
      // its daemon ends with the run and unmounts, if it is quick enough
      for (const line of did) assert.match(line, /^(unmounted .*\/mnt|ended fuse2fs \(process \d+\))$/);
    } else if (expectedWay === "debugfs copy") {
      assert.deepEqual(did, [`removed the copied files in ${mountPath}`]);
    } else {
      assert.equal(did[0], `unmounted ${mountPath}`);
      assert.match(did[1] ?? "", /^detached \/dev\/loop\d+ from .*\/volume\.img$/);
      assert.equal(did.length, 2);
    }
    assertNothingLeft();
    assert.deepEqual(await cleanUp(mountPath), []);
    assert.deepEqual(await cleanUp(join(folder, "never-used")), []);
  });

  it("is done by the next run, which opens the volume again", async () => {
    await killARun();
    const lines: string[] = [];
    const volume = await openVolume({
      connection: local(image),
      mountPath,
      access: "read",
      log: line => lines.push(line),
    });
    assert.equal(readdirSync(join(mountPath, "db")).length, 50);
    if (expectedWay !== "fuse2fs") {
      assert.match(
        lines.join("\n"),
        /^left by an earlier run: (unmounted|removed the copied files in) .*\/mnt/,
      );
    }
    await volume.close();
    assertNothingLeft();
  });

  it("removes the dead mount of a killed daemon", async function () {
    if (expectedWay !== "fuse2fs") skips(this, `volumes are read by ${expectedWay} here`);
    const run = await openElsewhere({ connection: local(image), mountPath, access: "read" });
    const { traces } = JSON.parse(readFileSync(`${mountPath}.state.json`, "utf8"));
    process.kill(traces[0].process.pid, "SIGKILL");
    await killHard(run);
    assert.throws(() => readdirSync(mountPath), /ENOTCONN|ECONNABORTED/);
    assert.deepEqual(await cleanUp(mountPath), [`unmounted ${mountPath}`]);
    assertNothingLeft();
  });

  it("finds the mount of a killed run whose list was lost", async function () {
    if (expectedWay === "debugfs copy") skips(this, "files are copied here, nothing is mounted");
    await killARun();
    rmSync(`${mountPath}.state.json`);
    await cleanUp(mountPath);
    assertNothingLeft();
  });

  it("takes a mount away that a process still uses", async function () {
    if (expectedWay === "debugfs copy") skips(this, "files are copied here, nothing is mounted");
    const run = await openElsewhere({ connection: local(image), mountPath, access: "read" });
    const user = await occupy(join(mountPath, "db"));
    await killHard(run);
    await cleanUp(mountPath);
    assert.deepEqual(readdirSync(mountPath), []);
    assert.equal(user.exitCode ?? user.signalCode, null);
    await killHard(user);
    for (let wait = 0; leftovers(folder).length > 0 && wait < 100; wait++)
      await new Promise(go => setTimeout(go, 20));
    assertNothingLeft();
  });

  it("detaches a loop device that was never mounted", async function () {
    needsMount(this);
    const device = sh("losetup", "-f", "--show", image).trim();
    assert.deepEqual(await cleanUp(mountPath, local(image)), [`detached ${device} from ${image}`]);
    assert.deepEqual(leftovers(folder), []);
  });

  it("finds the loop device of an image whose own mount has gone", async function () {
    needsQcow2(this);
    const share = join(folder, "share");
    const connection = {
      driver_volume_type: "nfs",
      export: "s",
      name: "volume",
      mount_point_base: share,
      format: "qcow2",
    };
    mkdirSync(dirname(nfsFile(connection)), { recursive: true });
    sh("qemu-img", "convert", "-O", "qcow2", image, nfsFile(connection));
    const run = await openElsewhere({ connection, mountPath, access: "read" });
    const { traces } = JSON.parse(readFileSync(`${mountPath}.state.json`, "utf8"));
    const noted = traces.find((trace: { kind: string }) => trace.kind === "loop");
    await killHard(run);
    // its daemon ends with the run and takes the image away from below the loop device
    await cleanUp(mountPath, connection);
    assertNothingLeft();
    const still = loopDevices().filter(
      ({ device, sequence }) => device === noted?.device && sequence === noted?.sequence,
    );
    assert.deepEqual(still, []);
    const volume = await openVolume({ connection, mountPath, access: "read" });
    assert.equal(readdirSync(join(mountPath, "db")).length, 50);
    await volume.close();
    assertNothingLeft();
  });

  it("does not follow a list that others may have written", async () => {
    const victim = join(folder, "victim");
    writeFileSync(victim, "precious");
    const list = `${mountPath}.state.json`;
    const owner = { pid: 2 ** 22 - 1, startTime: "1", bootId: "" };
    writeFileSync(list, JSON.stringify({ owner, traces: [{ kind: "folder", path: victim }] }));
    chmodSync(list, 0o666);
    await assert.rejects(cleanUp(mountPath), /was not written by this user/);
    if (isRoot) {
      chmodSync(list, 0o600);
      chownSync(list, 65534, 65534);
      await assert.rejects(cleanUp(mountPath), /was not written by this user/);
    }
    assert.equal(readFileSync(victim, "utf8"), "precious");
  });

  it("ends a daemon only if it is the process that was noted", async () => {
    const innocent = await occupy(folder);
    const pid = innocent.pid as number;
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const dead = { pid: 2 ** 22 - 1, startTime: "1", bootId };
    const daemon = (startTime: string) => ({
      kind: "daemon",
      tool: "sleep",
      patienceSeconds: 0,
      process: { pid, startTime, bootId },
    });
    const note = (startTime: string) =>
      writeFileSync(`${mountPath}.state.json`, JSON.stringify({ owner: dead, traces: [daemon(startTime)] }), {
        mode: 0o600,
      });
    note("1");
    assert.deepEqual(await cleanUp(mountPath), []);
    assert.equal(innocent.exitCode ?? innocent.signalCode, null);
    note(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[19] ?? "");
    assert.deepEqual(await cleanUp(mountPath), [`ended sleep (process ${pid})`]);
  });
});
