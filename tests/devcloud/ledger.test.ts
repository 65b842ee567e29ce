import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { promises as fs } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  type Devcloud,
  emptyLedger,
  fileExtents,
  Ledger,
  makeExt4Image,
  startDevcloud,
  verifyLedger,
} from "../../devcloud";
import { Client } from "./client";

const pages = 16;

describe("Ledger", () => {
  let devcloud: Devcloud;
  let demo: Client;
  let ledger: Ledger;
  let volumeId: string;
  let image: string;
  let directory: string;

  before(async () => {
    directory = await fs.mkdtemp(path.join(tmpdir(), "devcloud-ledger-"));
    await fs.mkdir(path.join(directory, "files/db"), { recursive: true });
    await fs.writeFile(path.join(directory, "files/db/ledger"), emptyLedger(pages));
    image = path.join(directory, "image");
    await makeExt4Image(image, { sizeMib: 16, fromDirectory: path.join(directory, "files") });
  });
  after(() => fs.rm(directory, { recursive: true, force: true }));

  beforeEach(async () => {
    devcloud = await startDevcloud({ statusDelayMs: 2 });
    demo = await Client.login(devcloud.environment, "3.71");
    volumeId = (await devcloud.addVolume({ name: "db", imageFile: image, attachedTo: true })).id;
    ledger = await Ledger.open(devcloud, volumeId, "/db/ledger");
  });
  afterEach(() => devcloud.stop());

  async function fileIn(imagePath: string): Promise<Buffer> {
    const bytes = await fs.readFile(imagePath);
    const extents = await fileExtents(imagePath, "/db/ledger");
    return Buffer.concat(
      extents.map(({ imageOffset, length }) => bytes.subarray(imageOffset, imageOffset + length)),
    );
  }

  const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

  it("says of each snapshot what the file held at its instant, while it goes on writing", async () => {
    ledger.start(0);
    const ids: string[] = [];
    for (let count = 0; count < 6; count++) {
      const answer = await demo.send("POST", "/snapshots", { snapshot: { volume_id: volumeId } });
      ids.push(answer.body.snapshot.id);
      await demo.waitFor(`/snapshots/${answer.body.snapshot.id}`, "available");
    }
    await ledger.stop();
    const seen = new Set<string>();
    for (const id of ids) {
      const file = await fileIn(devcloud.imagePath(id));
      assert.equal(sha256(file), ledger.sha256AtSnapshot(id));
      const report = verifyLedger(file);
      assert.deepEqual(report, {
        intact: Math.min(report.lastSequence, pages),
        unused: Math.max(0, pages - report.lastSequence),
        damaged: 0,
        lastSequence: ledger.lastSequenceAtSnapshot(id),
        unbroken: true,
      });
      seen.add(sha256(file));
    }
    assert.equal(seen.size, ids.length);
    assert.equal(sha256(await fileIn(devcloud.imagePath(volumeId))), ledger.sha256());
    assert.equal(ledger.sha256AtSnapshot("another"), undefined);
  });

  it("goes on with the next record when it is opened again", async () => {
    for (let count = 0; count < 20; count++) await ledger.append(Buffer.from(`record ${count}`));
    const again = await Ledger.open(devcloud, volumeId, "/db/ledger");
    assert.equal(again.lastSequence, 20);
    assert.equal(again.sha256(), ledger.sha256());
    await again.append(Buffer.from("one more"));
    assert.equal(verifyLedger(await fileIn(devcloud.imagePath(volumeId))).lastSequence, 21);
  });

  it("numbers records in order when they are appended at once", async () => {
    await Promise.all(Array.from({ length: 40 }, (_, count) => ledger.append(Buffer.from(String(count)))));
    assert.deepEqual(verifyLedger(await fileIn(devcloud.imagePath(volumeId))), {
      intact: 16,
      unused: 0,
      damaged: 0,
      lastSequence: 40,
      unbroken: true,
    });
  });

  it("refuses a record that no page can hold, and goes on", async () => {
    await assert.rejects(ledger.append(Buffer.alloc(4041)), {
      message: "writing a record of 4041 bytes to the ledger: a page holds 4040",
    });
    await ledger.append(Buffer.alloc(4040, 1));
    assert.equal(ledger.lastSequence, 1);
  });

  it("sees a page that was torn, a page that is missing its turn, and a file cut short", async () => {
    for (let count = 0; count < 20; count++) await ledger.append(Buffer.from(`record ${count}`));
    const file = await fileIn(devcloud.imagePath(volumeId));
    const torn = Buffer.from(file);
    torn.fill(0, 5 * 4096 + 2048, 6 * 4096);
    assert.deepEqual(verifyLedger(torn), {
      intact: 15,
      unused: 0,
      damaged: 1,
      lastSequence: 20,
      unbroken: false,
    });

    const older = Buffer.from(file);
    emptyLedger(pages).copy(older, 2 * 4096, 2 * 4096, 3 * 4096);
    assert.deepEqual(verifyLedger(older), {
      intact: 15,
      unused: 1,
      damaged: 0,
      lastSequence: 20,
      unbroken: false,
    });

    assert.equal(verifyLedger(file.subarray(0, 8 * 4096)).unbroken, false);
    assert.equal(verifyLedger(Buffer.alloc(pages * 4096)).damaged, pages);
  });

  it("sees a snapshot in which a later write is present and an earlier one is not", async () => {
    for (let count = 0; count < 10; count++) await ledger.append(Buffer.from(`record ${count}`));
    const before = await fileIn(devcloud.imagePath(volumeId));
    await ledger.append(Buffer.from("earlier"));
    await ledger.append(Buffer.from("later"));
    const after = await fileIn(devcloud.imagePath(volumeId));
    const mixed = Buffer.from(after);
    before.copy(mixed, 10 * 4096, 10 * 4096, 11 * 4096);
    assert.deepEqual(verifyLedger(mixed), {
      intact: 11,
      unused: 5,
      damaged: 0,
      lastSequence: 12,
      unbroken: false,
    });
  });
});
