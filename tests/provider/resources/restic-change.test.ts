import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { Held } from "../../lifecycle";
import { tidyUp } from "../restic/fixture";
import { BackupCase, worths } from "./backup-case";

describe("ResticBackup of a source of which nearly all has changed", function () {
  this.timeout(240_000);
  const keep = { retention: { keepLast: 2 } };
  let set: BackupCase;
  let files: Record<string, Buffer>;
  let held: Held;

  /** Seven calm runs, hours 0 to 6, then one at 7 that finds everything encrypted. */
  beforeEach(async () => {
    set = await BackupCase.make();
    files = Object.fromEntries(
      Array.from({ length: 20 }, (_, index) => [`file-${index}`, randomBytes(20_000)] as const),
    );
    await set.holds(files);
    held = await set.up(0, keep);
    for (let hour = 1; hour < 7; hour++) {
      await set.changes({ "file-0": randomBytes(20_000) });
      held = await set.up(hour, keep, held);
    }
    assert.equal(warning(), undefined);
    const names = Object.keys(files);
    files = Object.fromEntries(names.map(name => [`${name}.locked`, randomBytes(20_000)] as const));
    await set.changes(files, names);
    held = await set.up(7, keep, held);
  });
  afterEach(() => set.end());
  after(tidyUp);

  const warning = () => set.lines.find(line => line.includes("unusual change"));
  const slots = (state: Held) => worths(state).map(([slot]) => slot.slice(11, 13));
  const seven = "2026-11-22T07:00:00Z";

  it("keeps every older point from then on, and warns in each run until it is acknowledged, with the state lost too", async () => {
    assert.deepEqual(worths(held)[0], [seven, true]);
    assert.match(
      warning() ?? "",
      new RegExp(
        `\\] unusual change: against the point before, 100 % of the files and \\d+ % of the bytes of [0-9a-f]{8} of ${seven} are others, before that \\d % and \\d % at most; no restic snapshot from before it is removed, the set's Cinder snapshots rotate on; see whether the data is whole, then set acknowledgeChange to '${seven}'$`,
      ),
    );
    assert.deepEqual(slots(held), ["07", "06", "05"]);
    const next = await set.up(8, keep, held);
    assert.deepEqual(slots(next), ["08", "07", "06", "05"]);
    assert.ok(warning());
    assert.match(
      next.points.at(-1).keptBecause[0],
      /^beyond the last 2, but the change in [0-9a-f]{8} of .* is not acknowledged$/,
    );
    const lost = await set.up(9, keep);
    assert.deepEqual(slots(lost), ["09", "08", "07", "06", "05"]);
    assert.ok(warning());
    await set.preview(9, { ...keep, retention: { keepLast: 1 } }, { ...lost, paths: ["/"], exclude: [] });
    assert.ok(warning(), "a preview says it too");
    assert.equal(await set.differs(9, keep, lost), false);
    assert.equal(
      set.lines.filter(line => line.includes("unusual change")).length,
      1,
      "with nothing due too, and once",
    );
    const acknowledged = await set.up(10, { ...keep, acknowledgeChange: seven }, lost);
    assert.equal(warning(), undefined);
    assert.deepEqual(slots(acknowledged), ["10", "09"]);
  });

  it("does not say it again of what the set has done once", async () => {
    for (const name of Object.keys(files)) files[name] = randomBytes(20_000);
    await set.changes(files);
    await set.up(8, { ...keep, acknowledgeChange: seven }, held);
    assert.equal(warning(), undefined);
  });
});
