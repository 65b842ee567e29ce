import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { allCases, ends, requestFaults, resticFaults, titleOf, walksOf, workFaults } from "../faults/cases";
import { playWalks } from "../faults/pool";
import { type Openstack, openstack } from ".";
import { notHere } from "./faults/played-rbd";

const seed = Number(process.env.FAULTS_SEED ?? 1);
const walks = 8;
const all = [...ends, ...requestFaults, ...resticFaults, ...workFaults];

describe("The fault matrix on real Cinder with Ceph RBD", () => {
  let services: Openstack;
  let directory: string;

  before(async function () {
    this.timeout(900_000); // the first start on a machine installs everything
    services = await openstack({ backends: ["rbd"] });
    directory = await mkdtemp(path.join(tmpdir(), "osbackup-matrix-"));
  });
  after(async function () {
    this.timeout(60_000);
    await services?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  it("holds in a sample of its cases", async function () {
    this.timeout(30 * 60_000);
    const file = path.join(directory, "services.json");
    await writeFile(file, JSON.stringify(services), { mode: 0o600 });
    const began = Date.now();
    const played = await playWalks(
      calls =>
        walksOf(
          allCases(calls, { ofEveryStage: true }).filter(({ fault }) => !notHere.includes(fault)),
          walks,
          seed,
        ),
      {
        workers: 2,
        worker: {
          file: path.join(__dirname, "faults/worker.ts"),
          given: index => [file, ["demo", "other"][index] ?? ""],
        },
        onPlayed({ one, problems, seconds }) {
          console.log(
            `      ${titleOf(one)} ${seconds.toFixed(1)} s${problems.length > 0 ? ": FAILED" : ""}`,
          );
        },
      },
    );
    const kinds = new Set(played.map(({ one }) => one.fault));
    const minutes = ((Date.now() - began) / 60_000).toFixed(1);
    console.log(
      `    ${played.length} cases, ${kinds.size} of ${all.length - notHere.length} kinds of fault, FAULTS_SEED=${seed}, ${minutes} minutes`,
    );
    const failed = played.filter(({ problems }) => problems.length > 0);
    assert.deepEqual(
      failed.map(({ one, problems }) => `${titleOf(one)}: ${problems.join("\n")}`),
      [],
    );
    assert.equal(played.length, 5 * walks);
    // a stage has room for eight, and not every kind comes in every stage
    assert.ok(kinds.size >= 36, `only ${kinds.size} kinds of fault`);
  });
});
